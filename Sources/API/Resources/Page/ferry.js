// Ferry in a browser: sends files, watches them arrive, and asks what operators ask. docs/browser.md shows how.

import { FerryError, Patience, ask } from './ferry-request.js';
import { EventStream } from './ferry-events.js';
import { Gate, Lanes } from './ferry-lanes.js';
import { Upload } from './ferry-upload.js';

export { FerryError, isAbort } from './ferry-request.js';
export { Meter } from './ferry-lanes.js';
export { fingerprint, partNumbers } from './ferry-upload.js';

/** How often uploads of which nothing was heard are asked after, for how long nothing, and how many at once. */
const LOOK_EVERY = 2_000, LOOK_AFTER = 20_000, LOOKS = 4;

/**
 * @typedef {object} ClientOptions
 * @property {string} [url] where Ferry is; where the page comes from if it is not given
 * @property {string} [token] a bearer token; otherwise the cookie of signIn(), which goes to the page's own server only
 * @property {number} [parallel] parts at once over all files: 1 to 5; 4. Browsers open six connections to one HTTP/1.1
 *   server, and the event stream needs one
 * @property {number} [files] files at once; 4
 * @property {boolean} [partDigests] whether each part carries its SHA-256; true
 * @property {number} [patience] how long trying again is worth it while nothing works, in milliseconds; ten minutes
 * @property {() => Promise<boolean>} [onUnauthorized] asked when the session has ended: true to try again
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

  /** @param {ClientOptions} [options] */
  constructor({ url = location.origin, token, parallel = 4, files = 4, partDigests = true, patience = 600_000,
    onUnauthorized } = {}) {
    this.#base = url.replace(/\/+$/, '');
    this.#headers = token ? { Authorization: `Bearer ${token}` } : {};
    this.#credentials = token ? 'omit' : 'same-origin';
    this.#partDigests = partDigests;
    this.#onUnauthorized = onUnauthorized;
    this.parallel = Math.max(1, Math.min(5, parallel));
    /** @internal Lets files in that may be sent. */
    this.gate = new Gate(() => files);
    this.patience = patience;
    this.lanes = new Lanes(this.parallel, startWorker);
    this.#events = new EventStream(async (signal) => {
      const response = await fetch(`${this.#base}/v1/events`, {
        headers: this.#headers, credentials: this.#credentials, signal, cache: 'no-store',
      });
      if (response.ok) return response;
      const text = await response.text();
      if (response.status === 401) await this.signInAgain();
      throw FerryError.of(response.status, null, text, response.headers.get('Retry-After'));
    });
    globalThis.addEventListener?.('online', () => this.wake());
  }

  /** Ends all waiting for a better time, but where the server asked for it. */
  wake() {
    this.#patience.wake();
    this.#events.wake();
  }

  // Files.

  /**
   * Sends a file. Run again with the same file it goes on where it was, after a reload too: the server is asked.
   * @param {File} file
   * @param {import('./ferry-upload.js').UploadOptions} options
   */
  upload(file, options) { return new Upload(this, file, options); }

  /**
   * Tells what happens, in one stream for the page. An uploader sees the own uploads, an operator all.
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
  /** Newest first. @param {{state?: string, target?: string, cursor?: string, limit?: number}} [query] */
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
  putPart(id, number, blob, failures, signal, onLoaded) {
    return this.lanes.put({
      url: `${this.#base}/v1/uploads/${id}/parts/${number}`,
      blob,
      headers: this.#headers,
      digest: this.#partDigests,
      credentials: false,
      failures,
    }, signal, onLoaded);
  }

  /** @internal */
  wait(milliseconds) { return this.#patience.wait(milliseconds); }
  /** @internal */
  pause(failures, retryAfter, signal) { return this.#patience.pause(failures, retryAfter, signal); }

  /** @internal Asks once for all who need to know. */
  signInAgain() {
    if (!this.#onUnauthorized) return Promise.resolve(false);
    this.#signingIn ??= this.#onUnauthorized().finally(() => { this.#signingIn = null; });
    return this.#signingIn;
  }

  /** @internal Whether another of this page sends what has this identifier. */
  isSending(id, upload) {
    const other = this.#followed.get(id) ?? upload;
    return other !== upload && (other.state === 'sending' || other.state === 'waiting');
  }

  /** @internal */
  follow(upload) {
    upload.heardAt = performance.now();
    this.#followed.set(upload.id, upload);
    this.#stopListening ??= this.watch((event) => {
      if (event.type !== 'open') return this.#followed.get(event.upload)?.heard(event);
      // The server is back. What ended meanwhile is in no snapshot.
      this.#patience.wake();
      for (const upload of this.#followed.values()) upload.heardAt = 0;
    });
    this.#looking ??= setInterval(() => this.#lookAtSilent(), LOOK_EVERY);
  }

  /** @internal */
  forget(upload) {
    if (this.#followed.get(upload.id) === upload) this.#followed.delete(upload.id);
    if (this.#followed.size > 0) return;
    this.#stopListening?.();
    this.#stopListening = null;
    clearInterval(this.#looking);
    this.#looking = null;
  }

  /** @internal Asks how one stands. */
  async look(upload) {
    const { id } = upload;
    try {
      upload.heard(await this.status(id));
    } catch (error) {
      if (error.status === 404) upload.heard({ type: 'gone', upload: id, state: 'expired' });
    }
  }

  /** Events may be lost, and a stream's beginning shows the newest uploads only. */
  #lookAtSilent() {
    const now = performance.now();
    const silent = [...this.#followed.values()]
      .filter((upload) => !upload.isLocal && (!upload.heardAt || now - upload.heardAt > LOOK_AFTER))
      .sort((one, other) => one.heardAt - other.heardAt);
    for (const upload of silent.slice(0, silent[0]?.heardAt ? LOOKS : 4 * LOOKS)) {
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
  let url = new URL('ferry-worker.js', import.meta.url).href;
  // A worker has to be of the page's origin; what it imports has not.
  if (new URL(url).origin !== location.origin) {
    url = URL.createObjectURL(new Blob([`import ${JSON.stringify(url)}`], { type: 'text/javascript' }));
  }
  return new Worker(trusted ? trusted.createScriptURL(url) : url, { type: 'module', name: 'ferry' });
}
