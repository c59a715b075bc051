// The upload page: choosing files, the list of them, and what is done about all at once.

import { Meter, fingerprint } from './ferry.js';
import { announce, begin, by, client, confirm, glyph, make, person, t } from './page.js';
import { Rows, set, say } from './rows.js';
import { Item, fillRow, isWorthRetrying, makeRow } from './upload-list.js';
import * as format from './format.js';

/** States of uploads that an earlier visit left, in the order in which they follow each other. */
const OPEN = ['receiving', 'shipping', 'merging', 'committing', 'failed'];

/** @type {Item[]} */
let items = [];
let group = 'all';
/** Whether an answer about files that exist is meant for those still to come. */
let isForAll = false;
const speed = new Meter();
let sentBefore = 0;
const rows = new Rows(by('rows'), { make: makeRow, fill: fillRow });

// Choosing.

/** What is being added: one choice after the other, once the list of an earlier visit is here. */
let adding;

/**
 * @typedef {{file: File, path: string, place: string}} Chosen
 * @param {Chosen[]} chosen paths relative to the directory that was chosen
 */
function add(chosen) {
  const directory = by('directory').value.trim().replace(/^\/+|\/+$/g, '');
  const target = by('target').value;
  for (const each of chosen) each.place = directory ? `${directory}/${each.path}` : each.path;
  adding = adding.then(() => addTo(target, chosen)).catch(reportError);
}

/**
 * Which unfinished uploads the chosen files go on with. The same name, size and time may be in many folders: the path
 * decides, and nothing where two fit alike.
 * @param {string} target @param {Chosen[]} chosen @returns {Map<Chosen, Item>}
 */
function unfinished(target, chosen) {
  const fit = (item, { path, place }) => (item.target === target && item.path === place ? 3
    : item.path === path ? 2 : item.path.endsWith(`/${path}`) ? 1 : 0);
  const best = (list, rank) => {
    const [one, next] = list.filter(rank).sort((a, b) => rank(b) - rank(a));
    return next && rank(next) === rank(one) ? undefined : one;
  };
  const byMark = Map.groupBy(items.filter((item) => item.phase === 'needed'), (item) => item.remote.fingerprint);
  const claims = new Map();
  for (const one of byMark.size > 0 ? chosen : []) {
    const item = best(byMark.get(fingerprint(one.file)) ?? [], (item) => fit(item, one));
    if (item) claims.set(item, [...(claims.get(item) ?? []), one]);
  }
  return new Map([...claims].map(([item, ones]) => [best(ones, (one) => fit(item, one)), item]));
}

/** @param {string} target @param {Chosen[]} chosen */
async function addTo(target, chosen) {
  const goOn = unfinished(target, chosen);
  const wish = {};
  const byPlace = new Map(items.filter((item) => item.group !== 'over')
    .map((item) => [`${item.target}\n${item.path}`, item]));
  let added = 0, resumed = 0, breath = performance.now();
  for (const one of chosen) {
    const { file, place } = one;
    if (performance.now() - breath > 20) {
      update();
      await new Promise((resolve) => setTimeout(resolve));
      breath = performance.now();
    }
    const key = `${target}\n${place}`;
    const found = goOn.get(one), known = found ?? byPlace.get(key);
    if (known) {
      // Chosen again, it is tried again, as the file is now.
      if (known.takesFile) {
        known.wish = wish;
        known.send(file, found ? {} : { fingerprint: undefined });
        resumed++;
      }
      continue;
    }
    const item = new Item({ target, path: place, size: file.size }, update);
    item.wish = wish;
    byPlace.set(key, item);
    // What was chosen last is seen first.
    items.splice(added++, 0, item);
    item.send(file);
  }
  update();
  for (const [says, n] of [['saysAdded', added], ['saysResumed', resumed]]) {
    if (n > 0) announce(t(says, { count: format.count(n), n }));
  }
}

/** Adds all files below what was dropped. @param {DataTransferItem[]} items */
async function dropped(items) {
  const found = [];
  for (const entry of items.map((item) => item.webkitGetAsEntry())) if (entry) await collect(entry, '', found);
  add(found);
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
  for (const [kind, step] of Object.entries({ dragenter: 1, dragleave: -1, dragover: 0, drop: -Infinity })) {
    addEventListener(kind, (event) => {
      if (!event.dataTransfer?.types.includes('Files')) return;
      event.preventDefault();
      depth = Math.max(0, depth + step);
      drop.classList.toggle('over', depth > 0);
      if (kind === 'drop') dropped([...event.dataTransfer.items]);
    });
  }
}

// Showing.

let timer = 0, due = Infinity;

/** Shows what changed: news all within a tenth of a second together, the sums of bytes that move once a second. */
function update(isNews = true) {
  rows.refresh();
  const wait = isNews ? 100 : 1000, at = performance.now() + wait;
  if (at >= due) return;
  clearTimeout(timer);
  due = at;
  timer = setTimeout(() => { due = Infinity; draw(); }, wait);
}

function draw() {
  const groups = { all: items, moving: [], waiting: [], attention: [], over: [] };
  let size = 0, sent = 0, here = 0, done = 0, rest = 0;
  let exists = 0, needed = 0;
  for (const item of items) {
    const { phase } = item;
    groups[item.group].push(item);
    if (phase === 'exists') {
      if (item.wish.what) item[item.wish.what]();
      else exists++;
    }
    if (phase === 'needed') needed++;
    if (phase === 'done') done++;
    if (['skipped', 'cancelled', 'expired'].includes(phase)) continue;
    size += item.size;
    sent += phase === 'done' ? item.size : item.sentBytes;
    if (item.upload) here += item.sentBytes;
    if (item.upload?.isLocal) rest += item.size - item.sentBytes;
  }
  if (here >= sentBefore) speed.add(here - sentBefore);
  sentBefore = here;
  by('sheet').hidden = items.length === 0;
  rows.items = groups[group];
  by('none').hidden = groups[group].length > 0;
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
    asks: (n) => confirm(t('cancelAllTitle', { count: format.count(n), n }), t('cancelAllText'), t('cancelAll')),
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
  const button = (deed, text, click) => make('button.button', { type: 'button', 'data-deed': deed, click }, t(text));
  if (exists === 0) isForAll = false;
  else {
    const settle = (what) => {
      for (const item of items) {
        if (isForAll) item.wish.what = what;
        if (item.phase === 'exists') item[what]();
      }
      update();
    };
    const box = make('input', { type: 'checkbox', checked: isForAll, change: () => { isForAll = box.checked; } });
    notices.push(make('div.notice.warn', { role: 'group', 'aria-label': t('exists') }, glyph('alert'),
      make('p', {}, t('existMany', { count: format.count(exists), n: exists })),
      make('label.check', {}, box, make('span', {}, t('existsRest'))),
      button('skipAll', 'skipAll', () => settle('skip')),
      button('replaceAll', 'replaceAll', () => settle('replace'))));
  }
  if (needed > 0) {
    notices.push(make('div.notice', { role: 'group', 'aria-label': t('needed') }, glyph('alert'),
      make('p', {}, t('neededMany', { count: format.count(needed), n: needed })),
      button('pick', 'chooseFiles', () => by('files').click()),
      button('pickFolder', 'chooseFolder', () => by('folder').click())));
  }
  place.replaceChildren(...notices);
  if (focused) (place.querySelector(`[data-deed=${focused}]`) ?? by('pick-files')).focus();
}

// What an earlier visit left.

async function restore() {
  // One that moves on meanwhile comes twice: the later word counts.
  const found = new Map();
  let failures = 0;
  for (const state of OPEN) {
    for (let cursor; cursor !== null && found.size < 20_000;) {
      try {
        const page = await client.uploads({ state, limit: 1000, cursor });
        for (const remote of page.uploads) {
          if (remote.owner !== person.owner) continue;
          let item = found.get(remote.id);
          if (!item) {
            found.set(remote.id, item = new Item(remote, update));
            items.push(item);
          }
          item.remote = remote;
        }
        cursor = page.next ?? null;
      } catch (error) {
        if (error.status === 401) await client.signInAgain();
        else await client.pause(failures++, error.retryAfter);
      }
    }
  }
  items.sort((one, other) => (one.remote.createdAt < other.remote.createdAt ? -1 : 1));
  if (found.size > 0) update();
}

/** @param {import('./ferry-events.js').FerryEvent} event of what is not sent here */
function heard(event) {
  const item = event.upload && items.find((item) => !item.upload && item.remote?.id === event.upload);
  if (!item) return;
  const { state, receivedBytes, shippedBytes, error } = event;
  item.remote = { ...item.remote, state, receivedBytes, shippedBytes, error };
  item.heardAt = performance.now();
  update();
}

/** Events may be lost. */
async function lookAtSilent() {
  const now = performance.now();
  const silent = items.filter((item) => !item.upload && item.group !== 'over'
    && now - item.heardAt > (item.group === 'moving' ? 20_000 : 120_000));
  for (const item of silent.slice(0, 8)) {
    item.heardAt = now;
    const { id } = item.remote;
    try {
      heard({ ...await client.status(id), upload: id, type: 'status' });
    } catch (error) {
      // Otherwise later.
      if (!item.upload) item.heardGone(error);
    }
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
  adding = restore();
  listenForFiles();
  // What the server has can go on at any time; what is only here is lost with the page.
  onbeforeunload = (event) => { if (items.some((item) => item.isUnsent)) event.preventDefault(); };
  client.watch(heard);
  setInterval(lookAtSilent, 5_000);
}

open();
