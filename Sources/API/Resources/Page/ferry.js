// Ferry in a browser: sends files, watches them arrive, and asks what operators ask. docs/browser.md shows how.

import { FerryError, Patience, ask } from './ferry-request.js';
import { EventStream } from './ferry-events.js';
import { Lanes } from './ferry-lanes.js';
import { Upload } from './ferry-upload.js';

export { FerryError, isAbort } from './ferry-request.js';
export { Meter } from './ferry-lanes.js';
export { fingerprint, partNumbers } from './ferry-upload.js';

/** How often uploads of which nothing was heard are asked after, and for how long nothing; in milliseconds. */
const LOOK_EVERY = 2_000, LOOK_AFTER = 20_000;
/** How many are asked after each time. */
const LOOKS = 4;

/**
 * @typedef {object} ClientOptions
 * @property {string} [url] where Ferry is; where the page comes from if it is not given
 * @property {string} [token] a bearer token; without it the cookie of signIn() counts, which only goes to the page's
 *   own server
 * @property {number} [parallel] parts that travel at once at most, over all files: 1 to 5, 4 where it is not given.
 *   Browsers open six connections to one HTTP/1.1 server, and the event stream needs one
 * @property {number} [files] files that are sent at once at most; 4
 * @property {boolean} [partDigests] whether each part carries its SHA-256; true
 * @property {number} [patience] how long trying again is worth it while nothing works, in milliseconds; ten minutes
 * @property {() => Promise<boolean>} [onUnauthorized] asked where the server does not let us in any more: true if it is
 *   worth trying again
 */

/** A connection to one Ferry. Make one for a page. */
export class FerryClient {
  #base;
  #headers;
  #credentials;
  #partDigests;
  #onUnauthorized;
  #signingIn = null;
  #patience = new Patience();
  #events;
  #followed = new Map();
  #stopListening = null;
  #looking = null;
  #sending = 0;
  #queue = [];

  /** @param {ClientOptions} [options] */
  constructor({ url = location.origin, token, parallel = 4, files = 4, partDigests = true, patience = 600_000,
    onUnauthorized } = {}) {
    this.#base = url.replace(/\/+$/, '');
    this.#headers = token ? { Authorization: `Bearer ${token}` } : {};
    this.#credentials = token ? 'omit' : 'same-origin';
    this.#partDigests = partDigests;
    this.#onUnauthorized = onUnauthorized;
    this.parallel = Math.max(1, Math.min(5, parallel));
    this.files = files;
    this.patience = patience;
    this.lanes = new Lanes(this.parallel, startWorker);
    this.#events = new EventStream(async (signal) => {
      const response = await fetch(`${this.#base}/v1/events`, {
        headers: this.#headers, credentials: this.#credentials, signal, cache: 'no-store',
      }).catch((error) => { if (signal.aborted) throw error; throw FerryError.network(); });
      if (response.ok) return response;
      const after = response.headers.get('Retry-After');
      if (response.status === 401 && await this.signInAgain()) throw FerryError.of(503, null, '', '0');
      throw FerryError.of(response.status, response.headers.get('Content-Type'), await response.text(), after);
    });
    globalThis.addEventListener?.('online', () => this.wake());
  }

  /** Ends all waiting for a better time: everything is tried now. */
  wake() {
    this.#patience.wake();
    this.#events.wake();
  }

  // Files.

  /**
   * Sends a file. Run again with the same file it goes on where it was, whether or not this page was closed meanwhile:
   * the server is asked what it has.
   * @param {File} file
   * @param {import('./ferry-upload.js').UploadOptions} options
   */
  upload(file, options) { return new Upload(this, file, options); }

  /**
   * Tells what happens, in one stream for the page that opens itself again. An uploader sees the own uploads, an
   * operator all.
   * @param {(event: import('./ferry-events.js').FerryEvent) => void} listener
   * @returns {() => void} ends it
   */
  watch(listener) { return this.#events.listen(listener); }

  /** @param {string} id @param {AbortSignal} [signal] */
  status(id, signal) { return this.ask('GET', `/v1/uploads/${id}`, { signal }); }
  /** @param {string} id */
  cancel(id) { return this.ask('DELETE', `/v1/uploads/${id}`); }
  /** @param {string} id */
  history(id) { return this.ask('GET', `/v1/uploads/${id}/history`); }
  /** A page of uploads, newest first. @param {{state?: string, target?: string, cursor?: string, limit?: number}} [query] */
  uploads(query) { return this.ask('GET', withQuery('/v1/uploads', query)); }

  // Who somebody is.

  /** Who is signed in, and the targets there are. */
  session() { return this.ask('GET', '/v1/session'); }
  /** Exchanges a token for a cookie that scripts cannot read. @param {string} token */
  signIn(token) { return this.ask('POST', '/v1/session', { json: { token } }); }
  signOut() { return this.ask('DELETE', '/v1/session'); }

  // What operators ask for.

  /** @param {{target?: string, reason?: string, cursor?: string, limit?: number}} [query] */
  deadLetters(query) { return this.ask('GET', withQuery('/v1/dead-letters', query)); }
  /** @param {string} id */
  replay(id) { return this.ask('POST', `/v1/dead-letters/${id}/replay`); }
  /** @param {{target?: string, reason?: string, limit?: number, ratePerSecond?: number, dryRun?: boolean}} filter */
  replayAll(filter) { return this.ask('POST', '/v1/dead-letters/replay', { json: filter }); }
  /** @param {string} id */
  discard(id) { return this.ask('DELETE', `/v1/dead-letters/${id}`); }
  targets() { return this.ask('GET', '/v1/targets'); }
  workers() { return this.ask('GET', '/v1/workers'); }
  queues() { return this.ask('GET', '/v1/queues'); }
  throughput() { return this.ask('GET', '/v1/throughput'); }

  /**
   * Any request.
   * @param {string} method
   * @param {string} path
   * @param {{json?: unknown, signal?: AbortSignal}} [options]
   */
  ask(method, path, options = {}) {
    return ask(this.#base + path, { method, headers: this.#headers, credentials: this.#credentials, ...options });
  }

  // What Upload needs; not for others.

  /** @internal */
  putPart(id, number, blob, signal, onLoaded) {
    return this.lanes.put({
      url: `${this.#base}/v1/uploads/${id}/parts/${number}`,
      blob,
      headers: this.#headers,
      digest: this.#partDigests,
      credentials: false,
    }, signal, onLoaded);
  }

  /** @internal */
  wait(milliseconds, signal) { return this.#patience.wait(milliseconds, signal); }

  /** @internal Whether trying again is worth it; asks once for all who need to know. */
  signInAgain() {
    if (!this.#onUnauthorized) return Promise.resolve(false);
    this.#signingIn ??= this.#onUnauthorized().finally(() => { this.#signingIn = null; });
    return this.#signingIn;
  }

  /** @internal Waits until a file may be sent. */
  async enter(signal) {
    if (this.#sending < this.files) {
      this.#sending++;
      return;
    }
    // Whoever leaves hands the place on.
    await new Promise((resolve, reject) => {
      const entry = { resolve, isGone: false };
      signal.addEventListener('abort', () => { entry.isGone = true; reject(signal.reason); }, { once: true });
      this.#queue.push(entry);
    });
  }

  /** @internal */
  leave() {
    let next;
    do { next = this.#queue.shift(); } while (next?.isGone);
    if (next) next.resolve();
    else this.#sending--;
  }

  /** @internal */
  follow(upload) {
    upload.heardAt = performance.now();
    this.#followed.set(upload.id, upload);
    this.#stopListening ??= this.watch((event) => {
      // The server is back: whatever waits for it need not wait any longer.
      if (event.type === 'open') this.#patience.wake();
      else this.#followed.get(event.upload)?.heard(event);
    });
    this.#looking ??= setInterval(() => this.#lookAtSilent(), LOOK_EVERY);
  }

  /** @internal */
  forget(upload) {
    if (upload.id) this.#followed.delete(upload.id);
    if (this.#followed.size > 0) return;
    this.#stopListening?.();
    this.#stopListening = null;
    clearInterval(this.#looking);
    this.#looking = null;
  }

  /** @internal Asks how one stands; nothing comes of it where the server does not answer. */
  async look(upload) {
    try {
      upload.heard(await this.status(upload.id));
    } catch (error) {
      if (error.status === 404) upload.heard({ type: 'gone', state: 'expired' });
    }
  }

  /** Events may be lost, and a stream's beginning shows the newest uploads only. */
  #lookAtSilent() {
    const now = performance.now();
    const silent = [...this.#followed.values()].filter((upload) => now - upload.heardAt > LOOK_AFTER && !upload.isLocal)
      .sort((one, other) => one.heardAt - other.heardAt).slice(0, LOOKS);
    for (const upload of silent) {
      upload.heardAt = now;
      this.look(upload);
    }
  }
}

function withQuery(path, query = {}) {
  const parameters = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== undefined && value !== ''));
  return parameters.size > 0 ? `${path}?${parameters}` : path;
}

/** Under a policy of trusted types a worker's address has to be vouched for. */
const trusted = globalThis.trustedTypes?.createPolicy?.('ferry', { createScriptURL: (url) => url });

function startWorker() {
  const url = new URL('ferry-worker.js', import.meta.url).href;
  return new Worker(trusted ? trusted.createScriptURL(url) : url, { type: 'module', name: 'ferry' });
}
