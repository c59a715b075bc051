// One request to Ferry: its answer, or an error that says what to do; and how long to wait before the next try.

/** Statuses after which the same request may work later. */
const TEMPORARY = new Set([0, 408, 429, 500, 502, 503, 504, 507]);
/** Problems that come of a bad way, not of a bad request. */
const PASSING = new Set(['body-incomplete', 'digest-mismatch']);
/** Within how long whatever is woken begins, in milliseconds. */
const SPREAD = 500;

/** What Ferry answered, or why it did not. */
export class FerryError extends Error {
  /**
   * @param {string} problem name of the problem (docs/protocol.md); 'network' and 'file-unreadable' are the browser's
   * @param {number} status the HTTP status; 0 where there was no answer
   * @param {string} detail what happened, for a person
   * @param {Record<string, unknown>} [fields] further fields of the problem
   * @param {number} [retryAfter] milliseconds that the server asks to wait
   */
  constructor(problem, status, detail, fields = {}, retryAfter = undefined) {
    super(detail);
    this.name = 'FerryError';
    this.problem = problem;
    this.status = status;
    this.fields = fields;
    this.retryAfter = retryAfter;
  }

  /** Whether trying again later makes sense. */
  get isTemporary() { return TEMPORARY.has(this.status) || PASSING.has(this.problem); }

  /**
   * The error of an answer.
   * @param {number} status
   * @param {string|null} type media type
   * @param {string} text the body
   * @param {string|null} retryAfter the field of that name
   */
  static of(status, type, text, retryAfter) {
    let document = {};
    if (type?.includes('json')) {
      try { document = JSON.parse(text); } catch { /* Something between us and the server answered. */ }
    }
    const name = typeof document.type === 'string' ? document.type.split('/').pop() : `status-${status}`;
    const seconds = Number(retryAfter);
    const wait = retryAfter && Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
    return new FerryError(name, status, document.detail ?? document.title ?? `HTTP ${status}`, document, wait);
  }

  static network() { return new FerryError('network', 0, 'the server was not reached'); }
}

/** Thrown where the caller ended it. */
export const aborted = () => new DOMException('ended by the caller', 'AbortError');
/** @param {unknown} error */
export const isAbort = (error) => error instanceof DOMException && error.name === 'AbortError';

/**
 * Sends a request and reads its JSON.
 * @param {string} url
 * @param {{method?: string, headers?: Record<string, string>, json?: unknown, signal?: AbortSignal,
 *          credentials?: RequestCredentials}} [options]
 * @returns {Promise<any>} the document; null where there is none
 */
export async function ask(url, { method = 'GET', headers = {}, json, signal, credentials } = {}) {
  const limit = AbortSignal.timeout(60_000);
  let response, text;
  try {
    response = await fetch(url, {
      method,
      headers: json === undefined ? headers : { ...headers, 'Content-Type': 'application/json' },
      body: json === undefined ? undefined : JSON.stringify(json),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      credentials,
      cache: 'no-store',
    });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw aborted();
    throw FerryError.network();
  }
  if (!response.ok) {
    throw FerryError.of(response.status, response.headers.get('Content-Type'), text, response.headers.get('Retry-After'));
  }
  return text ? JSON.parse(text) : null;
}

/** Waits that end early when there is reason to hope, for example because the network is back. */
export class Patience {
  #wakers = new Set();

  /** Ends all waits but the firm ones, not at one instant. */
  wake() { for (const waker of this.#wakers) waker(); }

  /**
   * How long to wait after the nth failure in a row, in milliseconds: what the server asks for, and never two clients
   * at once.
   * @param {number} failures 0 for the first
   * @param {number} [retryAfter]
   */
  static delay(failures, retryAfter = 0) {
    const most = Math.min(30_000, 500 * 2 ** Math.min(failures, 6));
    return retryAfter + most * (0.5 + Math.random() / 2);
  }

  /** Waits before the next try. */
  pause(failures, retryAfter, signal) {
    return this.wait(Patience.delay(failures, retryAfter), signal, retryAfter > 0);
  }

  /**
   * @param {number} milliseconds
   * @param {AbortSignal} [signal]
   * @param {boolean} [isFirm] whether nothing shortens it, because the server asks for it
   */
  async wait(milliseconds, signal, isFirm = false) {
    if (signal?.aborted) throw aborted();
    await new Promise((resolve) => {
      let timer;
      const endIn = (time) => { clearTimeout(timer); timer = setTimeout(end, time); };
      const wake = () => endIn(Math.random() * SPREAD);
      const end = () => {
        clearTimeout(timer);
        this.#wakers.delete(wake);
        signal?.removeEventListener('abort', end);
        resolve(undefined);
      };
      endIn(milliseconds);
      if (!isFirm) this.#wakers.add(wake);
      signal?.addEventListener('abort', end);
    });
    if (signal?.aborted) throw aborted();
  }
}
