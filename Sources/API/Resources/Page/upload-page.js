// The upload page: choosing files, the list of them, and what is done about all at once.

import { Meter, fingerprint } from './ferry.js';
import { announce, begin, by, client, confirm, glyph, make, person, t } from './page.js';
import { Rows, set, say } from './rows.js';
import { Item, fillRow, isWorthRetrying, makeRow } from './upload-list.js';
import * as format from './format.js';

/** Files that are added to the list before the page may do something else. */
const BATCH = 200;
/** States of uploads that an earlier visit left. */
const OPEN = ['receiving', 'failed', 'shipping', 'merging', 'committing'];

/** @type {Item[]} */
let items = [];
let group = 'all';
/** What to do about files that exist, for those still to come: asked once. @type {'replace'|'skip'|null} */
let forAll = null;
let isForAll = false;
const speed = new Meter();
let sentBefore = 0;
const rows = new Rows(by('rows'), { make: makeRow, fill: fillRow });

// Choosing.

/**
 * @param {{file: File, path: string}[]} chosen paths relative to the directory that was chosen
 */
async function add(chosen) {
  const directory = by('directory').value.trim().replace(/^\/+|\/+$/g, '');
  const target = by('target').value;
  const needed = new Map();
  for (const item of items) {
    if (item.phase !== 'needed' || !item.remote.fingerprint) continue;
    const mark = item.remote.fingerprint;
    needed.set(mark, [...(needed.get(mark) ?? []), item]);
  }
  const byPlace = new Map(items.filter((item) => item.group !== 'over').map((item) => [`${item.target}\n${item.path}`, item]));
  let added = 0, resumed = 0, breath = performance.now();
  for (const [index, { file, path }] of chosen.entries()) {
    if (index % BATCH === BATCH - 1 || performance.now() - breath > 20) {
      update();
      await new Promise((resolve) => setTimeout(resolve));
      breath = performance.now();
    }
    const candidates = needed.get(fingerprint(file)) ?? [];
    const found = candidates.find((item) => item.path === path || item.path.endsWith(`/${path}`)) ?? candidates[0];
    if (found) {
      candidates.splice(candidates.indexOf(found), 1);
      found.send(file);
      resumed++;
      continue;
    }
    const place = directory ? `${directory}/${path}` : path;
    const key = `${target}\n${place}`;
    const known = byPlace.get(key);
    if (known) {
      // Chosen again, it is tried again, as the file is now.
      if (known.takesFile) { known.send(file, { fingerprint: undefined }); resumed++; }
      continue;
    }
    const item = new Item({ target, path: place, size: file.size }, update);
    byPlace.set(key, item);
    // What was chosen last is seen first.
    items.splice(added++, 0, item);
    item.send(file);
  }
  update();
  if (added > 0) announce(t('saysAdded', { count: format.count(added), n: added }));
  if (resumed > 0) announce(t('saysResumed', { count: format.count(resumed), n: resumed }));
}

/** All files below what was dropped. @param {DataTransferItem[]} dropped */
async function dropped(dropped) {
  const entries = dropped.map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const found = [];
  for (const entry of entries) await collect(entry, '', found);
  await add(found);
}

async function collect(entry, folder, found) {
  const path = folder + entry.name;
  if (entry.isFile) {
    try {
      found.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path });
    } catch { announce(t('unreadable', { name: format.shown(entry.name) })); }
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)).catch(() => []);
    if (some.length === 0) return;
    for (const inner of some) await collect(inner, `${path}/`, found);
  }
}

function listenForFiles() {
  const drop = by('drop');
  for (const [button, input] of [['pick-files', 'files'], ['pick-folder', 'folder']]) {
    by(button).addEventListener('click', () => by(input).click());
    by(input).addEventListener('change', () => {
      const chosen = [...by(input).files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
      by(input).value = '';
      add(chosen);
    });
  }
  let depth = 0;
  const carriesFiles = (event) => event.dataTransfer?.types.includes('Files');
  addEventListener('dragenter', (event) => { if (carriesFiles(event)) { depth++; drop.classList.add('over'); } });
  addEventListener('dragleave', (event) => { if (carriesFiles(event) && --depth <= 0) drop.classList.remove('over'); });
  addEventListener('dragover', (event) => { if (carriesFiles(event)) event.preventDefault(); });
  addEventListener('drop', (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth = 0;
    drop.classList.remove('over');
    dropped([...event.dataTransfer.items].filter((item) => item.kind === 'file'));
  });
}

// Showing.

let timer = 0, due = Infinity;

/** Draws all that is not a row, soon. */
function drawIn(milliseconds) {
  const at = performance.now() + milliseconds;
  if (at >= due) return;
  clearTimeout(timer);
  due = at;
  timer = setTimeout(() => { due = Infinity; draw(); }, milliseconds);
}

/** Shows what changed: news all within a tenth of a second together, the sums of bytes that move once a second. */
function update(isNews = true) {
  rows.refresh();
  drawIn(isNews ? 100 : 1000);
}

function draw() {
  const groups = { all: items, moving: [], waiting: [], attention: [], over: [] };
  let size = 0, sent = 0, here = 0, done = 0, rest = 0;
  let exists = 0, needed = 0;
  for (const item of items) {
    const { phase } = item;
    groups[item.group].push(item);
    if (phase === 'exists') {
      exists++;
      if (forAll) { item[forAll](); exists--; }
    }
    if (phase === 'needed') needed++;
    if (phase === 'done') done++;
    if (['skipped', 'cancelled', 'expired'].includes(phase)) continue;
    size += item.size;
    sent += phase === 'done' ? item.size : item.sentBytes;
    if (item.upload) here += item.sentBytes;
    if (item.upload?.isLocal) rest += item.size - item.sentBytes;
  }
  if (items.length > 0 && groups.over.length === items.length) forAll = null;
  if (here >= sentBefore) speed.add(here - sentBefore);
  sentBefore = here;
  by('sheet').hidden = items.length === 0;
  const listed = groups[group];
  rows.items = listed;
  by('none').hidden = listed.length > 0;
  const rate = speed.rate();
  say(by('summary'), [
    t('summaryDone', { done: format.count(done), all: format.count(items.length), n: items.length }),
    t('sentOf', { sent: format.bytes(sent), size: format.bytes(size) }),
    ...(rest > 0 && rate > 1000 ? [format.rate(rate), t('left', { time: format.duration(rest / rate) })] : []),
  ].join(' · '));
  const share = size > 0 ? sent / size : 1;
  by('overall').querySelector('.fill').style.transform = `scaleX(${share.toFixed(4)})`;
  set(by('overall'), 'aria-valuenow', Math.floor(share * 100));
  drawChips(groups);
  drawDeeds();
  drawNotices(exists, needed);
  // Rates fall without anything happening.
  if (rest > 0 || sentBefore > 0 && rate > 0) update(false);
}

function drawChips(groups) {
  const chips = by('chips');
  for (const name of Object.keys(groups)) {
    let chip = chips.querySelector(`input[value=${name}]`);
    if (!chip) {
      chip = make('input', { type: 'radio', name: 'group', value: name, checked: name === group,
        change: () => { group = name; draw(); } });
      chips.append(make('label.chip', {}, chip, make('span'), make('span')));
    }
    say(chip.nextSibling, t(`group.${name}`));
    say(chip.nextSibling.nextSibling, format.count(groups[name].length));
  }
}

const DEEDS = {
  pauseAll: { fits: (item) => item.canPause, run: (item) => item.pause() },
  resumeAll: { fits: (item) => item.canResume, run: (item) => item.resume() },
  retryAll: { fits: isWorthRetrying, run: (item) => item.retry() },
  cancelAll: {
    fits: (item) => item.canCancel, run: (item) => item.cancel(),
    asks: (count) => confirm(t('cancelAllTitle', { count: format.count(count), n: count }), t('cancelAllText'), t('cancelAll')),
  },
  clearDone: { fits: (item) => item.group === 'over' },
};

function drawDeeds() {
  const place = by('all');
  for (const [name, deed] of Object.entries(DEEDS)) {
    let button = place.querySelector(`[data-deed=${name}]`);
    if (!button) {
      button = make('button.button.plain', { type: 'button', 'data-deed': name, click: () => doAll(deed) }, t(name));
      place.append(button);
    }
    const isFit = items.some(deed.fits);
    if (!isFit && button === document.activeElement) by('pick-files').focus();
    button.hidden = !isFit;
  }
}

async function doAll(deed) {
  const fit = items.filter(deed.fits);
  if (deed.asks && !await deed.asks(fit.length)) return;
  if (deed === DEEDS.clearDone) items = items.filter((item) => !deed.fits(item));
  // A request each: a few at a time.
  else for (let at = 0; at < fit.length; at += 8) await Promise.all(fit.slice(at, at + 8).map(deed.run));
  update();
}

function drawNotices(exists, needed) {
  const place = by('notices');
  const wanted = `${exists} ${needed}`;
  if (place.dataset.wanted === wanted) return;
  const focused = document.activeElement?.closest('#notices [data-deed]')?.dataset.deed;
  place.dataset.wanted = wanted;
  const notices = [];
  if (exists > 0) {
    const settle = (what) => {
      if (isForAll) forAll = what;
      for (const item of items) if (item.phase === 'exists') item[what]();
      update();
    };
    const box = make('input', { type: 'checkbox', checked: isForAll, change: () => { isForAll = box.checked; } });
    notices.push(make('div.notice.warn', { role: 'group', 'aria-label': t('exists') }, glyph('alert'),
      make('p', {}, t('existMany', { count: format.count(exists), n: exists })),
      make('label.check', {}, box, make('span', {}, t('existsRest'))),
      make('button.button', { type: 'button', 'data-deed': 'skipAll', click: () => settle('skip') }, t('skipAll')),
      make('button.button', { type: 'button', 'data-deed': 'replaceAll', click: () => settle('replace') }, t('replaceAll'))));
  }
  if (needed > 0) {
    notices.push(make('div.notice', { role: 'group', 'aria-label': t('needed') }, glyph('alert'),
      make('p', {}, t('neededMany', { count: format.count(needed), n: needed })),
      make('button.button', { type: 'button', 'data-deed': 'pick', click: () => by('files').click() }, t('chooseFiles')),
      make('button.button', { type: 'button', 'data-deed': 'pickFolder', click: () => by('folder').click() }, t('chooseFolder'))));
  }
  place.replaceChildren(...notices);
  if (focused) (place.querySelector(`[data-deed=${focused}]`) ?? by('pick-files')).focus();
}

// What an earlier visit left.

async function restore() {
  const found = [];
  for (const state of OPEN) {
    let cursor;
    do {
      const page = await client.uploads({ state, limit: 1000, cursor });
      found.push(...page.uploads.filter((upload) => upload.owner === person.owner));
      cursor = page.next ?? undefined;
    } while (cursor && found.length < 20_000);
  }
  found.sort((one, other) => (one.createdAt < other.createdAt ? -1 : 1));
  for (const remote of found) {
    const item = new Item(remote, update);
    item.remote = remote;
    items.push(item);
  }
  if (found.length > 0) update();
}

/** Keeps what this page does not send itself as the server has it. @param {import('./ferry-events.js').FerryEvent} event */
function heard(event) {
  const item = event.upload && items.find((item) => !item.upload && item.remote?.id === event.upload);
  if (!item) return;
  const { state, receivedBytes, shippedBytes, error } = event;
  item.remote = { ...item.remote, state, receivedBytes, shippedBytes, error };
  item.heardAt = performance.now();
  update();
}

/** Events may be lost, and a stream begins with the newest uploads only: a few that were not heard of are asked after. */
async function lookAtSilent() {
  const now = performance.now();
  const silent = items.filter((item) => !item.upload && item.group === 'moving' && now - item.heardAt > 20_000);
  for (const item of silent.slice(0, 8)) {
    item.heardAt = now;
    try { heard({ ...await client.status(item.remote.id), upload: item.remote.id, type: 'status' }); } catch { /* Later. */ }
  }
}

async function open() {
  if (!await begin('uploader')) return;
  const target = by('target');
  target.append(...person.targets.map((name) => make('option', { value: name }, name)));
  const kept = JSON.parse(localStorage.getItem('ferry-destination') ?? '{}');
  if (person.targets.includes(kept.target)) target.value = kept.target;
  by('directory').value = kept.directory ?? '';
  const keep = () => {
    const place = { target: target.value, directory: by('directory').value };
    localStorage.setItem('ferry-destination', JSON.stringify(place));
  };
  target.addEventListener('change', keep);
  by('directory').addEventListener('change', keep);
  by('destination').addEventListener('submit', (event) => event.preventDefault());
  listenForFiles();
  // What the server has can go on at any time; what is only here is lost with the page.
  onbeforeunload = (event) => { if (items.some((item) => item.upload?.isLocal)) event.preventDefault(); };
  client.watch(heard);
  setInterval(lookAtSilent, 5_000);
  for (let failures = 0; ; failures++) {
    try { await restore(); break; } catch (error) {
      if (error.status === 401) await client.signInAgain();
      else await client.wait(Math.min(8000, 500 * 2 ** failures));
    }
  }
}

open();
