// All uploads on their way: the server's list, kept by its events; one upload's story.

import { announce, by, client, confirm, glyph, iconButton, make, t, why } from './page.js';
import { Patience } from './ferry-request.js';
import { Rows, set, say } from './rows.js';
import * as format from './format.js';

/** States that the list shows. */
const STATES = ['receiving', 'shipping', 'merging', 'committing', 'failed'];
const LIVE = new Set(STATES);
/** The most uploads that are kept. */
const MOST = 10_000;
/** How long one that has ended stays to be seen, in milliseconds. */
const LINGER = 8_000;
/** How often the list is read again, for events may be lost; in milliseconds. */
const REREAD = 60_000;

/** What changes while an upload is on its way. */
const moving = ({ state, size, receivedBytes, shippedBytes, error, updatedAt }) =>
  ({ state, size, receivedBytes, shippedBytes, error, updatedAt });

/** All uploads that the server has on their way. */
async function readAll() {
  const found = [];
  for (const state of STATES) {
    let cursor;
    do {
      const page = await client.uploads({ state, limit: 1000, cursor });
      found.push(...page.uploads);
      cursor = page.next ?? undefined;
    } while (cursor && found.length < MOST);
  }
  return found;
}

export class LiveUploads {
  /** @type {Map<string, any>} by identifier, newest first */
  #uploads = new Map();
  #rows;
  #listed = true;
  #timer = 0;
  /** Uploads that events told of while the list is being read. @type {Set<string>|null} */
  #news = null;
  /** Whether the list has to be read again. */
  #isStale = false;
  /** What is done when one fails. */
  onFailure = () => {};

  constructor() {
    this.#rows = new Rows(by('live-rows'), {
      make: makeRow, fill: (row, upload) => fillRow(row, upload), open: (upload) => showDetail(upload.id),
    });
    by('live-rows').addEventListener('click', (event) => {
      const row = event.target.closest('.row');
      if (row) showDetail(row.dataset.id);
    });
    by('live-state').append(make('option', { value: '' }, t('any')),
      ...STATES.map((state) => make('option', { value: state }, t(`state.${state}`))));
    by('live-filters').addEventListener('submit', (event) => event.preventDefault());
    by('live-filters').addEventListener('input', () => { this.#listed = true; this.#soon(); });
  }

  start() {
    client.watch((event) => {
      if (event.type === 'open') return this.#load();
      if (event.upload) this.#heard(event);
    });
    setInterval(() => { if (!document.hidden) this.#load(); }, REREAD * (0.8 + Math.random() * 0.4));
  }

  /** Reads the whole list: at the beginning, whenever the stream was interrupted, and now and then. */
  async #load() {
    this.#isStale = true;
    if (this.#news) return;
    for (let failures = 0; this.#isStale; failures++) {
      this.#isStale = false;
      this.#news = new Set();
      try { this.#take(await readAll()); } catch (error) {
        this.#isStale = true;
        await client.wait(Patience.delay(failures, error.retryAfter));
      }
    }
    this.#news = null;
  }

  /** Takes over what was read. What events told meanwhile is newer: they go on from there. */
  #take(found) {
    const list = new Map(found.map((upload) => [upload.id, upload]));
    // What has ended meanwhile stays away.
    for (const id of this.#news) if (!this.#uploads.has(id)) list.delete(id);
    for (const [id, known] of this.#uploads) {
      const read = list.get(id);
      // The same objects for the same uploads, so that their rows stay.
      if (this.#news.has(id)) list.set(id, Object.assign(known, { ...read, ...moving(known) }));
      else if (read) list.set(id, Object.assign(known, read));
    }
    const newest = [...list.values()].sort((one, other) => (one.createdAt < other.createdAt ? 1 : -1)).slice(0, MOST);
    this.#uploads = new Map(newest.map((upload) => [upload.id, upload]));
    this.#listed = true;
    this.#soon();
  }

  #heard(event) {
    const id = event.upload;
    let upload = this.#uploads.get(id);
    if (!upload) {
      if (!LIVE.has(event.state)) this.#news?.add(id);
      if (!LIVE.has(event.state) || this.#news && event.type === 'snapshot') return;
      upload = { id, owner: event.owner, target: event.target, path: event.path, createdAt: event.at };
      this.#uploads = new Map([[id, upload], ...this.#uploads]);
      if (this.#uploads.size > MOST) this.#uploads.delete([...this.#uploads.keys()].pop());
      this.#listed = true;
    }
    if (upload.state !== event.state) {
      if (event.state === 'failed' || upload.state === 'failed') this.onFailure();
      this.#listed = true;
    }
    this.#news?.add(id);
    Object.assign(upload, moving({ ...event, updatedAt: event.at }));
    if (!LIVE.has(event.state)) {
      setTimeout(() => {
        if (LIVE.has(this.#uploads.get(id)?.state)) return;
        this.#uploads.delete(id);
        this.#listed = true;
        this.#soon();
      }, LINGER);
    }
    this.#soon();
  }

  #soon() { this.#timer ||= setTimeout(() => { this.#timer = 0; this.draw(); }, 150); }

  draw() {
    if (this.#listed) {
      this.#listed = false;
      const words = by('live-search').value.trim().toLowerCase();
      const state = by('live-state').value, target = by('live-target').value;
      const listed = [];
      let live = 0, receiving = 0;
      for (const upload of this.#uploads.values()) {
        if (LIVE.has(upload.state) && upload.state !== 'failed') live++;
        if (upload.state === 'receiving') receiving++;
        if (state && upload.state !== state || target && upload.target !== target) continue;
        if (words && !upload.path.toLowerCase().includes(words) && !upload.owner.toLowerCase().includes(words)
          && !upload.id.startsWith(words)) continue;
        listed.push(upload);
      }
      this.#rows.items = listed;
      say(by('live-count'), format.count(live));
      say(by('live-more'), `${t('state.receiving')} ${format.count(receiving)}`);
      const all = format.count(this.#uploads.size);
      say(by('live-shown'), this.#uploads.size >= MOST ? t('more', { count: format.count(MOST) }) : t('shownOf', { shown: format.count(listed.length), all }));
      by('live-none').hidden = listed.length > 0;
      say(by('live-none'), this.#uploads.size > 0 ? t('noMatch') : t('noLive'));
    }
    this.#rows.refresh();
  }
}

const TONES = { failed: 'bad', done: 'good', cancelled: '', expired: '' };

function makeRow() {
  const track = () => make('div.track', {}, make('span.fill'));
  return make('li.live', {},
    make('div.ellipsis', {}, make('p.name.ellipsis'), make('p.small.soft.ellipsis')),
    make('p.small.soft.ellipsis.owner'),
    make('div.stages', { 'aria-hidden': 'true' }, make('small'), make('small'), track(), track(),
      make('div.dot', {}, glyph('check'))),
    make('div.state', {}, make('p', {}, make('strong')), make('p.small.soft')),
    make('div.buttons', {}, iconButton('more', '')));
}

function fillRow(row, upload) {
  const [names, owner, stages, state, buttons] = row.children;
  const name = format.shown(upload.path);
  row.dataset.id = upload.id;
  set(row, 'data-tone', upload.state in TONES ? TONES[upload.state] : upload.error ? 'warn' : 'live');
  say(names.children[0], name);
  names.children[0].title = name;
  say(names.children[1], [upload.target, upload.size === null ? '' : format.bytes(upload.size)].filter(Boolean).join(' · '));
  say(owner, format.shown(upload.owner));
  const size = upload.size ?? Math.max(upload.receivedBytes, 1);
  const [receivedText, shippedText, receivedTrack, shippedTrack, dot] = stages.children;
  for (const [text, label, track, bytes] of [[receivedText, 'received', receivedTrack, upload.receivedBytes],
    [shippedText, 'stageShipped', shippedTrack, upload.shippedBytes]]) {
    const share = upload.state === 'done' ? 1 : size > 0 ? Math.min(1, bytes / size) : 0;
    say(text, `${t(label)} ${format.percent(share)}`);
    const scale = `scaleX(${share.toFixed(4)})`;
    if (track.firstChild.style.transform !== scale) track.firstChild.style.transform = scale;
    track.classList.toggle('whole', share === 1 && size > 0);
  }
  dot.classList.toggle('busy', upload.state === 'merging' || upload.state === 'committing');
  dot.classList.toggle('whole', upload.state === 'done');
  say(state.children[0].firstChild, t(`state.${upload.state}`));
  say(state.children[1], upload.error ? why(upload.error) : upload.updatedAt ? format.time(upload.updatedAt) : '');
  state.children[1].title = format.shown(upload.error?.detail);
  const label = t('details', { name });
  set(buttons.firstChild, 'aria-label', label);
  set(buttons.firstChild, 'title', label);
}

const EVENT_TONES = { failed: 'bad', damaged: 'bad', retried: 'warn', restarted: 'warn', done: 'good', expired: 'bad' };

/** An upload with its history as a line of time. @param {string} id */
export async function showDetail(id) {
  const dialog = by('detail');
  let upload, history = [];
  try {
    [upload, { history }] = await Promise.all([client.status(id), client.history(id)]);
  } catch (error) { return announce(why(error)); }
  const name = format.shown(upload.path);
  const fact = (label, value) => (value === null || value === undefined || value === '' ? [] : [make('dt', {}, t(label)), make('dd', {}, value)]);
  const canCancel = ['receiving', 'shipping', 'merging', 'failed'].includes(upload.state);
  const cancel = async () => {
    if (!await confirm(t('cancelTitle'), t('cancelText', { name }), t('cancelUpload'))) return;
    try { await client.cancel(id); dialog.close(); } catch (error) { announce(why(error)); }
  };
  const close = iconButton('close', t('close'), () => dialog.close());
  // Where the focus begins: the story is read from its top.
  close.autofocus = true;
  dialog.replaceChildren(make('div', {},
    make('div.line', {}, make('h2', { id: 'detail-title' }, name), close),
    make('dl.facts', {},
      ...fact('state', t(`state.${upload.state}`)), ...fact('reason', upload.error ? why(upload.error) : ''),
      ...fact('lastError', format.shown(upload.error?.detail)), ...fact('target', upload.target),
      ...fact('owner', format.shown(upload.owner)),
      ...fact('size', upload.size === null ? '' : format.bytes(upload.size)),
      ...fact('received', [format.bytes(upload.receivedBytes), upload.receivedParts].filter(Boolean).join(' · ')),
      ...fact('shipped', [format.bytes(upload.shippedBytes), upload.shippedParts].filter(Boolean).join(' · ')),
      ...fact('fact.merge', upload.merge),
      ...fact('generation', upload.generation > 1 ? format.count(upload.generation) : ''),
      ...fact('verification', upload.verification), ...fact('atomic', upload.atomic === null ? '' : t(upload.atomic ? 'yes' : 'no')),
      ...fact('created', format.time(upload.createdAt)), ...fact('changed', format.time(upload.updatedAt)),
      ...fact('attempts', upload.attempts > 0 ? format.count(upload.attempts) : ''), ...fact('identifier', upload.id)),
    make('h3', {}, t('history')),
    history.length === 0 ? make('p.soft', {}, t('noHistory')) : make('ol.timeline', {}, ...history.map((entry) => {
      const more = [
        entry.by ? t('by', { who: format.shown(entry.by) }) : '', entry.job ? t(entry.job.kind) : '',
        entry.attempt ? t('attempt', { n: entry.attempt + 1 }) : '',
      ].filter((text) => text).join(' · ');
      return make('li', { 'data-tone': EVENT_TONES[entry.event] ?? '' },
        make('strong', {}, t(`event.${entry.event}`)),
        make('span', {}, make('time', { datetime: entry.at }, format.time(entry.at)), more ? ` · ${more}` : ''),
        entry.error ? make('span', {}, `${why(entry.error)}: ${format.shown(entry.error.detail)}`) : null);
    })),
    canCancel && make('div.actions', {}, make('button.button.danger', { type: 'button', click: cancel }, t('cancelUpload')))));
  if (!dialog.open) dialog.showModal();
}
