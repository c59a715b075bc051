// One file on its way: sent in parts, followed until it is in place; paused, resumed, cancelled, tried again.

import { FerryError, aborted, isAbort } from './ferry-request.js';
import { Meter } from './ferry-lanes.js';

/** States in which a file still travels from here. */
const LOCAL = new Set(['waiting', 'sending', 'paused']);
/** States after which nothing comes any more. */
export const ENDED = new Set(['done', 'cancelled', 'expired']);

/** @param {string} text ranges like `"1-40,42"` @returns {number[]} */
export function partNumbers(text) {
  const numbers = [];
  for (const range of text ? text.split(',') : []) {
    const [first, last = first] = range.split('-').map(Number);
    for (let number = first; number <= last; number++) numbers.push(number);
  }
  return numbers;
}

/**
 * A file's own mark, by which the server finds its unfinished upload again: name, size and time of the last change.
 * @param {File} file
 */
export function fingerprint(file) {
  const marks = ` ${file.size} ${file.lastModified}`;
  let name = file.name;
  while (new TextEncoder().encode(name + marks).length > 512) name = name.slice(Math.max(1, Math.ceil(name.length / 8)));
  return name + marks;
}

/** The time of a file's last change; nothing where targets keep no such time. @param {File} file */
function changedAt({ lastModified }) {
  return lastModified >= 0 && lastModified < 1000 * 2 ** 32 ? new Date(lastModified).toISOString() : undefined;
}

/**
 * @typedef {object} UploadOptions
 * @property {string} target a configured target
 * @property {string} path relative to the target's root
 * @property {'never'|'replace'} [overwrite] what happens to a file that is there; `never`
 * @property {AbortSignal} [signal] ends the sending; what the server has stays there, for another time
 * @property {(upload: Upload) => void} [onProgress] called whenever something changed
 * @property {boolean} [digest] declares the SHA-256 of the whole file; costs computing time
 * @property {boolean} [times] gives the final file the time of its last change here; true
 * @property {string} [fingerprint] another mark than name, size and time of the last change
 */

/**
 * A file on its way. `sent` is fulfilled when the server has all of it, `done` when it is in place; both are rejected
 * with a FerryError, or an AbortError after cancel() or the signal.
 */
export class Upload {
  #client;
  #options;
  #controller = null;
  #inFlight = new Map();
  #sentMeter = new Meter();
  #shippedMeter = new Meter();
  #lastSuccess = 0;
  #resolve = {};
  /** The creation under way, and whether the server may know the upload though `id` is not set. */
  #creating = null;
  #mayBeThere = false;

  /** @type {string|null} the upload's identifier, once the server knows it */
  id = null;
  /** @type {'waiting'|'sending'|'paused'|'shipping'|'merging'|'committing'|'done'|'failed'|'cancelled'|'expired'} */
  state = 'waiting';
  /** Bytes that the server has acknowledged, and that are proven on the target. */
  receivedBytes = 0;
  shippedBytes = 0;
  /** @type {FerryError|null} why it stands still */
  error = null;
  /** @type {FerryError|null} what the last try ended with, while the next one is waited for */
  waitingFor = null;
  /** @type {number} when the server last told of it, by performance.now() */
  heardAt = 0;

  /**
   * @param {import('./ferry.js').FerryClient} client
   * @param {File} file
   * @param {UploadOptions} options
   */
  constructor(client, file, options) {
    this.#client = client;
    this.#options = { overwrite: 'never', ...options };
    this.file = file;
    this.target = options.target;
    this.path = options.path;
    this.size = file.size;
    options.signal?.addEventListener('abort', () => this.#leave());
    this.#promise();
    if (options.signal?.aborted) this.#leave();
    else this.#start();
  }

  /** Bytes that are acknowledged or on their way. */
  get sentBytes() {
    let bytes = this.receivedBytes;
    for (const loaded of this.#inFlight.values()) bytes += loaded;
    return Math.min(bytes, this.size);
  }

  /** Whether it is still being sent, or could be. */
  get isLocal() { return LOCAL.has(this.state); }
  get isEnded() { return ENDED.has(this.state); }
  /** Bytes a second: from here while it is being sent, to the target after that. */
  get rate() { return this.isLocal ? this.#sentMeter.rate() : this.#shippedMeter.rate(); }
  /** Seconds until all is sent, or on the target; undefined where nobody can tell. */
  get remaining() {
    const rate = this.rate;
    if (rate <= 0 || !['sending', 'shipping'].includes(this.state)) return undefined;
    return (this.size - (this.state === 'sending' ? this.sentBytes : this.shippedBytes)) / rate;
  }

  /** Stops sending. What has arrived stays; what was on its way is sent again. */
  pause() {
    if (!this.isLocal) return;
    this.#halt();
    this.#become('paused');
  }

  /** Goes on: the server is asked what it has. */
  resume() { if (this.state === 'paused') this.#start(); }

  /**
   * Tries a failed one again, with other wishes perhaps.
   * @param {Partial<UploadOptions>} [options]
   */
  retry(options = {}) {
    if (this.state !== 'failed') return;
    Object.assign(this.#options, options);
    this.#promise();
    this.#start();
  }

  /** Gives it up, here and on the server. Rejected with `committing` where it is too late. */
  async cancel() {
    if (this.isEnded) return;
    this.#halt();
    try {
      await this.#creating?.catch(() => {});
      // Asked again, the server tells which one it is.
      if (!this.id && this.#mayBeThere) await this.#create();
      if (this.id) await this.#client.cancel(this.id);
    } catch (error) {
      // The end was told meanwhile, or is now.
      if (ENDED.has(error.fields?.state)) this.heard(error.fields);
      if (this.isEnded) return;
      if (error.problem === 'committing') { this.#follow(); throw error; }
      if (error.status !== 404 && error.status !== 410 && (this.id || this.#mayBeThere)) {
        if (this.isLocal) this.#become('paused');
        throw error;
      }
    }
    if (this.isEnded) return;
    this.#halt();
    this.#end('cancelled', aborted());
  }

  /**
   * Takes what the server says about it; the client's event stream calls this.
   * @param {import('./ferry-events.js').FerryEvent & {digest?: unknown}} said
   */
  heard(said) {
    // One that was given up for another.
    if ((said.upload ?? said.id ?? this.id) !== this.id) return;
    this.heardAt = performance.now();
    // An answer that was overtaken by the event of the end.
    if (this.isEnded) return;
    const { state, receivedBytes = this.receivedBytes, shippedBytes = this.shippedBytes } = said;
    const isReceiving = state === 'receiving' && this.state !== 'waiting';
    if (this.#controller && !isReceiving) return;
    // While parts travel, what they are answered is newer than any event.
    if (!this.#controller) this.receivedBytes = receivedBytes;
    this.#shippedMeter.add(shippedBytes - this.shippedBytes);
    this.shippedBytes = shippedBytes;
    if (isReceiving) return this.#tell();
    if (state === 'failed') {
      this.#fail(new FerryError(said.error?.reason ?? 'failed', 200, said.error?.detail ?? '', said.error ?? {}));
    } else if (state === 'done') {
      this.shippedBytes = this.size;
      this.#end('done');
    } else if (ENDED.has(state)) {
      this.#end(state, aborted());
    } else if (state !== 'receiving') {
      this.waitingFor = said.error ? new FerryError(said.error.reason, 200, said.error.detail, said.error) : null;
      this.error = null;
      this.#become(state);
    }
  }

  // The way from here to the server.

  #start() {
    this.#controller = new AbortController();
    this.#lastSuccess = performance.now();
    this.error = null;
    this.waitingFor = null;
    this.state = 'waiting';
    this.#tell();
    const { signal } = this.#controller;
    this.#send(signal).catch((error) => {
      if (signal.aborted || isAbort(error)) return;
      this.#halt();
      this.#fail(error instanceof FerryError ? error : new FerryError('internal-error', -1, String(error)));
    });
  }

  async #send(signal) {
    await this.#client.gate.enter(signal);
    try {
      const hash = () => this.#client.lanes.digest(this.file, signal);
      const digest = this.#options.digest ? this.#attempt(signal, hash) : null;
      digest?.catch(() => {});
      const created = await this.#attempt(signal, () => new Promise((resolve, reject) => {
        signal.addEventListener('abort', reject);
        this.#create().then(resolve, reject);
      }));
      this.#client.follow(this);
      if (created.state === 'receiving' || created.error?.reason === 'part-damaged') {
        this.#become('sending');
        const known = created.receivedBytes > 0 || created.state !== 'receiving'
          ? await this.#attempt(signal, () => this.#client.status(created.id, signal)) : created;
        const has = new Set(partNumbers(known.receivedParts ?? ''));
        this.receivedBytes = known.receivedBytes;
        const count = Math.ceil(this.size / known.partSize);
        let missing = [];
        for (let number = 1; number <= count; number++) if (!has.has(number)) missing.push(number);
        for (let round = 0; ; round++) {
          await this.#sendParts(missing, known.partSize, signal);
          const whole = digest ? { digest: { 'sha-256': await digest } } : undefined;
          try {
            const path = `/v1/uploads/${this.id}/complete`;
            await this.#attempt(signal, () => this.#client.ask('POST', path, { signal, json: whole }));
            break;
          } catch (error) {
            // A part that the server's disk lost since.
            if (error.problem !== 'parts-missing' || round >= 3) throw error;
            missing = partNumbers(String(error.fields.missing ?? ''));
          }
        }
      }
      this.receivedBytes = this.size;
    } finally {
      this.#client.gate.leave();
    }
    this.#follow();
  }

  /** Asks for the upload, never twice at once. No signal ends that: nobody would know what came of it. */
  #create() {
    this.#mayBeThere = true;
    return this.#creating ??= this.#client.ask('POST', '/v1/uploads', {
      json: {
        target: this.target,
        path: this.path,
        size: this.size,
        fingerprint: this.#options.fingerprint ?? fingerprint(this.file),
        overwrite: this.#options.overwrite,
        modifiedAt: this.#options.times === false ? undefined : changedAt(this.file),
      },
    }).then((created) => {
      if (this.#client.isSending(created.id, this)) {
        throw new FerryError('upload-in-progress', 423, 'sent here already');
      }
      if (this.id !== created.id) this.#client.forget(this);
      this.id = created.id;
      return created;
    }).catch((error) => {
      if (error.isTemporary === false && error.status !== 401) this.#mayBeThere = false;
      throw error;
    }).finally(() => { this.#creating = null; });
  }

  /** Sends parts, as many at once as there are lanes. */
  async #sendParts(numbers, partSize, signal) {
    const group = new AbortController();
    const both = AbortSignal.any([signal, group.signal]);
    const queue = numbers.values();
    const lane = async () => {
      for (const number of queue) await this.#sendPart(number, partSize, both);
    };
    const lanes = Array.from({ length: Math.min(this.#client.parallel, numbers.length) }, lane);
    try {
      await Promise.all(lanes);
    } catch (error) {
      group.abort();
      await Promise.allSettled(lanes);
      throw error;
    }
  }

  async #sendPart(number, partSize, signal) {
    const begin = (number - 1) * partSize;
    const blob = this.file.slice(begin, Math.min(begin + partSize, this.size));
    await this.#attempt(signal, async (failures) => {
      try {
        await this.#client.putPart(this.id, number, blob, failures, signal, (loaded) => {
          this.#sentMeter.add(loaded - (this.#inFlight.get(number) ?? 0));
          this.#inFlight.set(number, loaded);
          this.waitingFor = null;
          this.#tell();
        });
        this.receivedBytes += blob.size;
      } finally {
        this.#inFlight.delete(number);
        this.#tell();
      }
    });
  }

  /** Tries until it works, is refused for good, or the client's patience is at its end. */
  async #attempt(signal, work) {
    for (let failures = 0; ; failures++) {
      if (signal.aborted) throw aborted();
      try {
        const result = await work(failures);
        this.#lastSuccess = performance.now();
        if (this.waitingFor) { this.waitingFor = null; this.#tell(); }
        return result;
      } catch (error) {
        if (signal.aborted) throw aborted();
        if (!(error instanceof FerryError)) throw error;
        if (error.status === 401 && failures < 20 && await this.#client.signInAgain()) continue;
        const isOver = performance.now() - this.#lastSuccess > this.#client.patience;
        if (!error.isTemporary || isOver) throw error;
        if (error.problem === 'digest-mismatch' && failures >= 5) throw error;
        this.waitingFor = error;
        this.#tell();
        await this.#client.pause(failures, error.retryAfter, signal);
      }
    }
  }

  // From the server to the target.

  #follow() {
    this.#controller = null;
    this.#inFlight.clear();
    this.#resolve.sent?.();
    if (LOCAL.has(this.state)) this.#become('shipping');
    this.#client.follow(this);
    // Events may have come while parts still travelled.
    this.#client.look(this);
  }

  #halt() {
    const controller = this.#controller;
    this.#controller = null;
    controller?.abort();
    this.#inFlight.clear();
    this.waitingFor = null;
  }

  #leave() {
    this.#halt();
    if (!this.isEnded) { this.#become('paused'); this.#reject(aborted()); }
    this.#client.forget(this);
  }

  #fail(error) {
    this.error = error;
    this.#reject(error);
    this.#become('failed');
  }

  #end(state, reason) {
    this.error = null;
    this.waitingFor = null;
    if (reason) this.#reject(reason);
    else { this.#resolve.sent(); this.#resolve.done(); }
    this.#client.forget(this);
    this.#become(state);
  }

  #promise() {
    for (const name of ['sent', 'done']) {
      this[name] = new Promise((resolve, reject) => {
        this.#resolve[name] = resolve;
        this.#resolve[name + 'Not'] = reject;
      });
      // Whoever looks at the state only need not wait for it.
      this[name].catch(() => {});
    }
  }

  #reject(error) { this.#resolve.sentNot(error); this.#resolve.doneNot(error); }

  #become(state) {
    this.state = state;
    this.#tell();
  }

  #tell() { this.#options.onProgress?.(this); }
}
