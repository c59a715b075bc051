// The files of the upload page: what each is, what stands in its row, and what can be done about it.

import { announce, client, glyph, hasText, iconButton, make, t, why } from './page.js';
import { set, say } from './rows.js';
import * as format from './format.js';

/** Problems of a file that choosing it again, or waiting, does not mend. */
const FINAL = ['invalid-request', 'too-large', 'target-unknown', 'forbidden', 'part-conflict', 'digest-mismatch'];
/** How long to leave a path alone that somebody else's upload holds, at least; in milliseconds. */
const BUSY_PAUSE = 10_000;

/** One file: of this page, of the server's list, or both. */
export class Item {
  /** @type {import('./ferry-upload.js').Upload|null} */
  upload = null;
  /** @type {any} the server's own word, where this page does not send it */
  remote = null;
  isSkipped = false;
  /** What to do where the file exists, for all that was chosen with it. @type {{what?: 'replace'|'skip'}} */
  wish = {};
  /** When the server last told of `remote`, by performance.now(). */
  heardAt = performance.now();
  #told = '';
  #timer = 0;

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

  /** Whether choosing its file again makes a difference. */
  get takesFile() { return ['needed', 'failed', 'different', 'busy'].includes(this.phase); }

  /** Begins to send the file, or goes on. @param {File} file @param {object} [options] */
  send(file, options = {}) {
    this.size = file.size;
    const { overwrite = 'never', fingerprint } = this.remote ?? {};
    this.remote = null;
    this.isSkipped = false;
    if (this.upload) client.forget(this.upload);
    this.upload = null;
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
      clearTimeout(this.#timer);
      if (phase === 'busy') {
        const pause = Math.max(BUSY_PAUSE, this.error.retryAfter ?? 0) * (1 + Math.random() / 4);
        this.#timer = setTimeout(() => this.upload.retry(), pause);
      }
      const says = { done: 'saysDone', failed: 'saysFailed', exists: 'saysExists' }[phase];
      if (says) announce(t(says, { name: this.name }));
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
      return { 'target-exists': 'exists', 'upload-in-progress': 'busy', 'different-content': 'different' }[
        upload.error.problem] ?? 'failed';
    }
    return upload.state === 'waiting' && !upload.waitingFor ? 'waiting'
      : upload.isLocal && upload.waitingFor ? 'away' : upload.state;
  }

  get error() { return (this.upload ?? this.remote)?.error; }
  get sentBytes() { return this.upload ? this.upload.sentBytes : this.remote.receivedBytes; }
  get shippedBytes() { return this.upload ? this.upload.shippedBytes : this.remote.shippedBytes; }
  get id() { return (this.upload ?? this.remote)?.id; }

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
  /** Whether the server lacks what this page could send. */
  get isUnsent() {
    const { upload, error } = this;
    return Boolean(upload) && !this.isSkipped
      && (upload.isLocal || upload.state === 'failed' && (error.status !== 200 || error.problem === 'part-damaged'));
  }
  get canRetry() { return ['busy', 'failed'].includes(this.phase) && this.isUnsent; }
  get canCancel() { return this.group !== 'over' && this.phase !== 'committing'; }

  pause() { this.upload?.pause(); }
  resume() { this.upload?.resume(); }
  replace() {
    if (this.upload) this.upload.retry({ overwrite: 'replace' });
    else this.#again();
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
    if (problem === 'part-conflict' && this.id) {
      // Its end is not the file's.
      client.forget(this.upload);
      await client.cancel(this.id).catch(() => {});
    }
    this.upload?.retry();
  }

  async cancel() {
    try {
      if (this.upload) await this.upload.cancel();
      else {
        await client.cancel(this.remote.id);
        this.#ended('cancelled');
      }
    } catch (error) {
      if (!this.upload && this.heardGone(error)) return;
      announce(error.problem === 'committing' ? t('tooLate', { name: this.name }) : why(error));
    }
    this.onChange(true);
  }

  #ended(state) { this.remote = { ...this.remote, state, error: null }; }

  /** Takes the server's answer that it has ended; whether it is one. @param {any} error */
  heardGone({ status, fields }) {
    if (status !== 404 && status !== 410) return false;
    this.#ended(fields.state ?? 'expired');
    this.onChange(true);
    return true;
  }

  /** An upload of an earlier visit needs no bytes: creating it again with another wish is enough. */
  async #again() {
    const before = this.remote;
    const { target, path, size, fingerprint } = before;
    this.#ended('shipping');
    try {
      const json = { target, path, size, fingerprint, overwrite: 'replace' };
      this.remote = await client.ask('POST', '/v1/uploads', { json });
    } catch (error) {
      this.remote = before;
      this.wish = {};
      announce(why(error));
    }
    this.onChange(true);
  }
}

/** What stands in a row: a tone, a line and a smaller one. @param {Item} item */
function words(item) {
  const { phase, upload } = item, more = `${phase}What`;
  switch (phase) {
    case 'paused':
      return ['', t(phase), t('sentOf', { sent: format.bytes(item.sentBytes), size: format.bytes(item.size) })];
    case 'sending':
      return ['live', upload.rate > 0 ? t(phase, { rate: format.rate(upload.rate) }) : t('sendingSoon'),
        left(upload.remaining)];
    case 'away': {
      const { problem } = upload.waitingFor;
      return ['warn', t(problem === 'staging-full' ? 'noRoom' : 'retrying'),
        problem === 'network' ? t('noAnswer') : why(upload.waitingFor)];
    }
    case 'shipping': return ['live', t(phase), upload?.waitingFor ? t('targetWaits') : left(upload?.remaining)];
    case 'failed': return ['bad', t(phase), item.error ? why(item.error) : ''];
    default: {
      const tone = phase === 'done' ? 'good' : { attention: 'warn', moving: 'live' }[item.group] ?? '';
      return [tone, t(phase), hasText(more) ? t(more) : ''];
    }
  }
}

const left = (seconds) => (seconds === undefined ? '' : t('left', { time: format.duration(seconds) }));

/** An empty row. */
export function makeRow() {
  const track = () => make('div.track', {}, make('span.fill'));
  return make('li.file', {},
    make('div.ellipsis', {}, make('p.name.ellipsis'), make('p.small.soft.ellipsis')),
    make('div.stages', { role: 'progressbar', 'aria-valuemin': '0', 'aria-valuemax': '100' },
      make('small', { 'aria-hidden': 'true' }), make('small', { 'aria-hidden': 'true' }), track(), track(),
      make('div.dot', {}, glyph('check'))),
    make('div.state', {}, make('p', {}, make('strong')), make('p.small.soft')),
    make('div.buttons'));
}

/** @param {HTMLElement} row @param {Item} item */
export function fillRow(row, item) {
  const [names, stages, state, buttons] = row.children;
  say(names.children[0], item.name);
  names.children[0].title = format.shown(item.path);
  say(names.children[1], `${item.target} · ${item.folder ? `${item.folder} · ` : ''}${format.bytes(item.size)}`);
  const { phase } = item;
  const share = (bytes) => (phase === 'done' ? 1 : item.size > 0 ? Math.min(1, bytes / item.size) : 0);
  const sent = share(item.sentBytes);
  const [sentText, shippedText, sentTrack, shippedTrack, dot] = stages.children;
  stages.style.visibility = ['skipped', 'cancelled', 'expired'].includes(phase) ? 'hidden' : '';
  for (const [text, key, track, value] of [[sentText, 'stageSent', sentTrack, sent],
    [shippedText, 'stageShipped', shippedTrack, share(item.shippedBytes)]]) {
    say(text, `${t(key)} ${format.percent(value)}`);
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
    : [item.canPause && 'pause', item.canResume && 'resume', (item.canRetry || item.phase === 'different') && 'retry',
      item.canCancel && 'cancel'].filter(Boolean);
  // Rows are used again: the buttons are this item's only if both are as they were.
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

/** Whether it is tried again when everything is. @param {Item} item */
export const isWorthRetrying = (item) => item.canRetry && !FINAL.includes(item.error?.problem);
