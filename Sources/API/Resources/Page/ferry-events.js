// The one stream of events that a page holds open. It reads by fetch, because an EventSource cannot carry a token.

import { Patience } from './ferry-request.js';

/** The server gives a sign of life every 15 seconds; without one for so long, the stream is dead. In milliseconds. */
const SILENCE = 40_000;
/** A stream that lived for less counts as one more failure; in milliseconds. */
const LIFE = 5_000;

/** Takes an event stream apart (WHATWG HTML §9.2.6). */
export class EventParser {
  #rest = '';
  #data = [];
  #type = '';

  /**
   * @param {string} text what came next
   * @returns {{type: string, data: string}[]} the events that it completed
   */
  push(text) {
    const events = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') {
        if (this.#data.length > 0) events.push({ type: this.#type || 'message', data: this.#data.join('\n') });
        this.#data = [];
        this.#type = '';
        continue;
      }
      const [, field, value] = line.match(/^([^:]*):? ?(.*)$/s);
      if (field === 'data') this.#data.push(value);
      if (field === 'event') this.#type = value;
    }
    return events;
  }
}

/**
 * What listeners are told: an event (docs/protocol.md, "Event streams"), with the types `snapshot` for what is there at
 * the beginning, and `open` and `lost` for the stream itself, which have no other fields.
 * @typedef {{type: string, upload?: string, owner?: string, target?: string, path?: string, state?: string,
 *            size?: number|null, receivedBytes?: number, shippedBytes?: number,
 *            error?: {reason: string, detail: string}|null, at?: string}} FerryEvent
 */

/** A stream that is open while anybody listens, and opens itself again. */
export class EventStream {
  #open;
  #listeners = new Set();
  #controller = null;
  #patience = new Patience();

  /** @param {(signal: AbortSignal) => Promise<Response>} open sends the request */
  constructor(open) { this.#open = open; }

  /**
   * @param {(event: FerryEvent) => void} listener
   * @returns {() => void} ends the listening
   */
  listen(listener) {
    this.#listeners.add(listener);
    if (!this.#controller) {
      this.#controller = new AbortController();
      this.#run(this.#controller.signal);
    }
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#controller?.abort();
      this.#controller = null;
    };
  }

  /** Tries again at once, if it is waiting to. */
  wake() { this.#patience.wake(); }

  async #run(signal) {
    for (let failures = 0; !signal.aborted; failures++) {
      let retryAfter;
      try { if (await this.#read(signal)) failures = 0; } catch (error) { retryAfter = error.retryAfter; }
      if (signal.aborted) return;
      this.#tell({ type: 'lost' });
      try { await this.#patience.pause(failures, retryAfter, signal); } catch { return; }
    }
  }

  /** Whether it lived before it ended. */
  async #read(signal) {
    const silence = new AbortController();
    let timer;
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE);
    };
    heard();
    let openedAt = 0;
    const lived = () => performance.now() - openedAt > LIFE;
    try {
      const response = await this.#open(AbortSignal.any([signal, silence.signal]));
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new EventParser();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return lived();
        heard();
        if (!openedAt) this.#tell({ type: 'open' });
        openedAt ||= performance.now();
        for (const event of parser.push(value)) {
          if (event.type === 'end') continue;
          try { this.#tell(JSON.parse(event.data)); } catch (error) { if (!(error instanceof SyntaxError)) throw error; }
        }
      }
    } catch (error) {
      if (openedAt) return lived();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #tell(event) { for (const listener of [...this.#listeners]) listener(event); }
}
