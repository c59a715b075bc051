// The files of the upload page: what each is, what stands in its row, and what can be done about it.

import { announce, client, glyph, iconButton, make, t } from './page.js';
import { set, say } from './rows.js';
import * as format from './format.js';

/** Problems of a file that choosing it again, or waiting, does not mend. */
const FINAL = new Set(['invalid-request', 'too-large', 'target-unknown', 'forbidden', 'part-conflict', 'digest-mismatch']);
/** How long to leave a path alone that somebody else's upload holds, in milliseconds. */
const BUSY_PAUSE = 10_000;

/** One file: of this page, of the server's list, or both. */
export class Item {
  /** @type {File|null} */
  file = null;
  /** @type {import('./ferry-upload.js').Upload|null} */
  upload = null;
  /** @type {any} the server's own word, where this page does not send it */
  remote = null;
  isSkipped = false;
  /** When the server last told of `remote`, by performance.now(). */
  heardAt = performance.now();
  #told = '';

  /**
   * @param {{target: string, path: string, size: number|null}} place
   * @param {(isNews: boolean) => void} onChange told of each change; of news where it is more than bytes that moved
   */
  constructor({ target, path, size }, onChange) {
    this.target = target;
    this.path = path;
    this.size = size ?? 0;
    this.onChange = onChange;
    const slash = path.lastIndexOf('/');
    this.name = format.shown(path.slice(slash + 1));
    this.folder = format.shown(path.slice(0, Math.max(0, slash)));
  }

  /** Whether choosing a file for this place again makes a difference. */
  get takesFile() { return ['needed', 'failed', 'different', 'busy'].includes(this.phase); }

  /** Begins to send the file, or goes on. @param {File} file @param {object} [options] */
  send(file, options = {}) {
    this.file = file;
    this.size = file.size;
    const overwrite = this.remote?.overwrite ?? 'never';
    const fingerprint = this.remote?.fingerprint ?? undefined;
    this.remote = null;
    this.isSkipped = false;
    if (this.upload) client.forget(this.upload);
    this.upload = client.upload(file, {
      target: this.target, path: this.path, overwrite, fingerprint, ...options, onProgress: () => this.#changed(),
    });
  }

  #changed() {
    // The first call comes before `upload` is set.
    if (!this.upload) return queueMicrotask(() => this.#changed());
    const { phase } = this;
    const isNews = phase !== this.#told;
    if (isNews) {
      this.#told = phase;
      if (phase === 'busy') setTimeout(() => { if (this.phase === 'busy') this.upload.retry(); }, BUSY_PAUSE);
      if (phase === 'done') announce(t('saysDone', { name: this.name }));
      if (phase === 'failed') announce(t('saysFailed', { name: this.name }));
      if (phase === 'exists') announce(t('saysExists', { name: this.name }));
    }
    this.onChange(isNews);
  }

  /** @type {string} what is going on, in the page's words */
  get phase() {
    if (this.isSkipped) return 'skipped';
    const { upload, remote } = this;
    if (!upload) {
      if (remote.state === 'receiving' || remote.error?.reason === 'part-damaged') return 'needed';
      if (remote.state === 'failed') return remote.error?.reason === 'target-exists' ? 'exists' : 'failed';
      return remote.state;
    }
    if (upload.state === 'failed') {
      const { problem } = upload.error;
      if (problem === 'target-exists') return 'exists';
      if (problem === 'upload-in-progress') return 'busy';
      if (problem === 'different-content') return 'different';
      return 'failed';
    }
    return upload.state === 'waiting' && !upload.waitingFor ? 'waiting'
      : upload.isLocal && upload.waitingFor ? 'away' : upload.state;
  }

  get error() { return this.upload ? this.upload.error : this.remote?.error; }
  get sentBytes() { return this.upload ? this.upload.sentBytes : this.remote.receivedBytes; }
  get shippedBytes() { return this.upload ? this.upload.shippedBytes : this.remote.shippedBytes; }
  get id() { return this.upload ? this.upload.id : this.remote?.id; }

  /** Which of the list's filters it belongs to. */
  get group() {
    switch (this.phase) {
      case 'done': case 'skipped': case 'cancelled': case 'expired': return 'over';
      case 'waiting': case 'paused': return 'waiting';
      case 'exists': case 'busy': case 'different': case 'failed': case 'needed': return 'attention';
      default: return 'moving';
    }
  }

  // What can be done.

  get canPause() { return ['waiting', 'sending', 'away'].includes(this.phase); }
  get canResume() { return this.phase === 'paused'; }
  get canRetry() {
    if (this.phase === 'busy') return true;
    return this.phase === 'failed' && Boolean(this.upload) && this.error.status !== 200;
  }
  get canCancel() { return this.group !== 'over' && this.phase !== 'committing'; }

  pause() { this.upload?.pause(); }
  resume() { this.upload?.resume(); }
  replace() {
    if (this.upload) this.upload.retry({ overwrite: 'replace' });
    else this.#again({ overwrite: 'replace' });
  }

  /** Leaves the file that is there as it is. */
  async skip() {
    this.isSkipped = true;
    this.onChange(true);
    if (this.id) await client.cancel(this.id).catch(() => {});
  }

  async retry() {
    const { problem, fields } = this.error ?? {};
    // What is there is another file's, or an earlier state of this one: it makes place.
    if (problem === 'different-content' && fields.upload) await client.cancel(String(fields.upload)).catch(() => {});
    if (problem === 'part-conflict' && this.id) await client.cancel(this.id).catch(() => {});
    this.upload?.retry();
  }

  async cancel() {
    try {
      if (this.upload) await this.upload.cancel();
      else {
        await client.cancel(this.remote.id);
        this.remote = { ...this.remote, state: 'cancelled', error: null };
      }
    } catch (error) {
      announce(error.problem === 'committing' ? t('tooLate', { name: this.name }) : error.message);
    }
    this.onChange(true);
  }

  /** A failed upload of an earlier visit needs no bytes: creating it again with another wish is enough. */
  async #again(options) {
    const { target, path, size, fingerprint } = this.remote;
    this.remote = { ...this.remote, state: 'shipping', error: null };
    try {
      this.remote = await client.ask('POST', '/v1/uploads', { json: { target, path, size, fingerprint, ...options } });
    } catch (error) { announce(error.message); }
    this.onChange(true);
  }
}

/** What stands in a row: a tone, a line and a smaller one. @param {Item} item */
function words(item) {
  const { upload, error } = item;
  switch (item.phase) {
    case 'waiting': return ['', t('waiting'), ''];
    case 'paused': return ['', t('paused'), t('sentOf', { sent: format.bytes(item.sentBytes), size: format.bytes(item.size) })];
    case 'sending':
      return ['live', upload.rate > 0 ? t('sending', { rate: format.rate(upload.rate) }) : t('sendingSoon'), left(upload.remaining)];
    case 'away': return ['warn', upload.waitingFor.problem === 'staging-full' ? t('noRoom') : t('retrying'), upload.waitingFor.problem === 'network' ? t('noAnswer') : upload.waitingFor.message];
    case 'shipping': return ['live', t('shipping'), upload?.waitingFor ? t('targetWaits') : left(upload?.remaining)];
    case 'merging': return ['live', t('merging'), ''];
    case 'committing': return ['live', t('committing'), ''];
    case 'done': return ['good', t('done'), ''];
    case 'exists': return ['warn', t('exists'), t('existsWhat')];
    case 'busy': return ['warn', t('busy'), t('busyWhat')];
    case 'different': return ['warn', t('different'), t('differentWhat')];
    case 'needed': return ['warn', t('needed'), t('neededWhat')];
    case 'skipped': return ['', t('skipped'), t('skippedWhat')];
    case 'cancelled': return ['', t('cancelled'), ''];
    case 'expired': return ['', t('expired'), ''];
    default: {
      const name = error?.reason ?? error?.problem ?? '';
      const known = t(`reason.${name}`);
      return ['bad', t('failed'), known.startsWith('reason.') ? error?.detail ?? error?.message ?? '' : known];
    }
  }
}

const left = (seconds) => (seconds === undefined ? '' : t('left', { time: format.duration(seconds) }));

/** An empty row. */
export function makeRow() {
  const track = () => make('div.track', {}, make('span.fill'));
  const dot = make('div.dot', {}, glyph('check'));
  const row = make('li.file', {},
    make('div.ellipsis', {}, make('p.name.ellipsis'), make('p.small.soft.ellipsis')),
    make('div.stages', { role: 'progressbar', 'aria-valuemin': '0', 'aria-valuemax': '100' },
      make('small', { 'aria-hidden': 'true' }), make('small', { 'aria-hidden': 'true' }), track(), track(), dot),
    make('div.state', {}, make('p', {}, make('strong')), make('p.small.soft')),
    make('div.buttons'));
  return row;
}

/** @param {HTMLElement} row @param {Item} item */
export function fillRow(row, item) {
  const [names, stages, state, buttons] = row.children;
  say(names.children[0], item.name);
  names.children[0].title = format.shown(item.path);
  say(names.children[1], `${item.target} · ${item.folder ? `${item.folder} · ` : ''}${format.bytes(item.size)}`);
  const share = (bytes) => (item.size > 0 ? Math.min(1, bytes / item.size) : item.phase === 'done' ? 1 : 0);
  const { phase } = item;
  const sent = phase === 'done' ? 1 : share(item.sentBytes), shipped = phase === 'done' ? 1 : share(item.shippedBytes);
  const [sentText, shippedText, sentTrack, shippedTrack, dot] = stages.children;
  const isIdle = ['skipped', 'cancelled', 'expired'].includes(phase);
  stages.style.visibility = isIdle ? 'hidden' : '';
  say(sentText, `${t('stageSent')} ${format.percent(sent)}`);
  say(shippedText, `${t('stageShipped')} ${format.percent(shipped)}`);
  for (const [track, value] of [[sentTrack, sent], [shippedTrack, shipped]]) {
    track.classList.toggle('whole', value === 1);
    const scale = `scaleX(${value.toFixed(4)})`;
    if (track.firstChild.style.transform !== scale) track.firstChild.style.transform = scale;
  }
  dot.classList.toggle('busy', phase === 'merging' || phase === 'committing');
  dot.classList.toggle('whole', phase === 'done');
  const [tone, line, more] = words(item);
  set(row, 'data-tone', tone);
  set(row, 'data-phase', phase);
  say(state.children[0].firstChild, line);
  say(state.children[1], more);
  state.children[1].title = more;
  set(stages, 'aria-label', item.name);
  set(stages, 'aria-valuenow', Math.round(sent * 100));
  set(stages, 'aria-valuetext', `${sentText.textContent}, ${shippedText.textContent}, ${line}`);
  fillButtons(buttons, item);
}

function fillButtons(place, item) {
  const wanted = item.phase === 'exists' ? ['replace', 'skip']
    : [item.canPause ? 'pause' : item.canResume ? 'resume' : item.canRetry || item.phase === 'different' ? 'retry' : '', item.canCancel ? 'cancel' : ''].filter(Boolean);
  // Rows are used again for other items: the buttons are this item's only if both are as they were.
  if (place.dataset.wanted === wanted.join() && place.item === item) return;
  const hadFocus = place.contains(document.activeElement) ? [...place.children].indexOf(document.activeElement) : -1;
  place.dataset.wanted = wanted.join();
  place.item = item;
  const signs = { pause: 'pause', resume: 'play', retry: 'retry', cancel: 'close', replace: 'replace', skip: 'close' };
  place.replaceChildren(...wanted.map((deed) => {
    const label = t(`do.${deed}`, { name: item.name });
    const button = iconButton(signs[deed], label, () => item[deed]());
    button.tabIndex = place.parentElement.tabIndex;
    button.dataset.deed = deed;
    return button;
  }));
  if (hadFocus >= 0) (place.children[Math.min(hadFocus, wanted.length - 1)] ?? place.parentElement).focus();
}

/** Whether it makes sense to try the item again when everything is tried again. @param {Item} item */
export const isWorthRetrying = (item) => item.canRetry && !FINAL.has(item.error?.problem);
