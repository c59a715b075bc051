// How many parts travel at once, over all files of a page: as many as make it faster.

import { FerryError, aborted } from './ferry-request.js';

/** How often the number is thought over, in milliseconds. */
const INTERVAL = 2_000;

/** Measures bytes a second over the last few seconds. */
export class Meter {
  #slots = [];

  /** @param {number} bytes that moved just now; less than nothing where they have to be sent again */
  add(bytes, now = performance.now()) {
    const slot = Math.floor(now / 500);
    const last = this.#slots.at(-1);
    if (last?.slot === slot) last.bytes += bytes;
    else this.#slots.push({ slot, bytes });
    while (this.#slots[0].slot < slot - 10) this.#slots.shift();
  }

  /** Bytes a second. */
  rate(now = performance.now()) {
    const from = now - 5_000;
    let bytes = 0, begin = now;
    for (const { slot, bytes: moved } of this.#slots) {
      if (slot * 500 < from) continue;
      bytes += moved;
      begin = Math.min(begin, slot * 500);
    }
    return Math.max(0, bytes) / Math.max(1, (now - begin) / 1000);
  }
}

/** The number of lanes, by trying: one more while that makes it faster, one fewer where it does not. */
export class Climber {
  /** @param {number} most */
  constructor(most) {
    this.most = most;
    this.limit = Math.min(3, most);
    this.#step = 1;
    this.#last = 0;
  }

  #step;
  #last;

  /** @param {number} rate bytes a second since the last call, all lanes having been busy */
  measured(rate) {
    if (rate < this.#last * 0.95) this.#step = -this.#step;
    this.#last = rate;
    this.limit = Math.max(1, Math.min(this.most, this.limit + this.#step));
    if (this.limit === 1) this.#step = 1;
    if (this.limit === this.most) this.#step = -1;
    return this.limit;
  }
}

/** A door that lets so many in at once. */
export class Gate {
  #limit;
  /** @type {Set<() => void>} */
  #waiting = new Set();
  inside = 0;

  /** @param {() => number} limit */
  constructor(limit) { this.#limit = limit; }

  get isWanted() { return this.#waiting.size > 0; }

  /** @param {AbortSignal} signal */
  enter(signal) {
    return new Promise((resolve, reject) => {
      const leave = () => { this.#waiting.delete(admit); reject(aborted()); };
      const admit = () => { signal.removeEventListener('abort', leave); resolve(undefined); };
      if (signal.aborted) return leave();
      signal.addEventListener('abort', leave);
      this.#waiting.add(admit);
      this.admit();
    });
  }

  leave() {
    this.inside--;
    this.admit();
  }

  admit() {
    for (const admit of this.#waiting) {
      if (this.inside >= this.#limit()) return;
      this.inside++;
      this.#waiting.delete(admit);
      admit();
    }
  }
}

/** The lanes of a client: workers that read, hash and send parts. */
export class Lanes {
  #climber;
  #makeWorker;
  /** @type {Worker[]} */
  #idle = [];
  /** @type {WeakSet<Worker>} */
  #broken = new WeakSet();
  #gate = new Gate(() => this.limit);
  #jobs = new Map();
  #next = 1;
  #bytes = 0;
  #since = 0;
  #wasFull = true;

  /**
   * @param {number} most lanes
   * @param {() => Worker} makeWorker
   */
  constructor(most, makeWorker) {
    this.#climber = new Climber(most);
    this.#makeWorker = makeWorker;
  }

  /** How many parts may travel now. */
  get limit() { return this.#climber.limit; }

  /**
   * Sends one part when there is a lane for it.
   * @param {object} put what the worker needs
   * @param {AbortSignal} signal
   * @param {(loaded: number) => void} onLoaded bytes of it that are on their way
   */
  async put(put, signal, onLoaded) {
    await this.#gate.enter(signal);
    try {
      let before = 0;
      const answer = await this.#work({ put }, signal, (loaded) => {
        this.#count(loaded - before);
        before = loaded;
        onLoaded(loaded);
      });
      if (answer.failed === 'network') throw FerryError.network();
      if (answer.status >= 400 || answer.status < 200) {
        throw FerryError.of(answer.status, answer.type, answer.text, answer.retryAfter);
      }
    } finally {
      this.#wasFull &&= this.#gate.isWanted;
      this.#gate.leave();
    }
  }

  /**
   * The SHA-256 of a whole file, in 64 hexadecimal digits; on a worker of its own.
   * @param {Blob} blob
   * @param {AbortSignal} signal
   */
  async digest(blob, signal) {
    const answer = await this.#work({ hash: blob }, signal, () => {});
    if (answer.failed === 'network') throw FerryError.network();
    return answer.hex;
  }

  async #work(message, signal, onLoaded) {
    if (signal.aborted) throw aborted();
    const worker = this.#idle.pop() ?? this.#start();
    const id = this.#next++;
    let leave;
    const answer = await new Promise((resolve, reject) => {
      leave = () => { worker.postMessage({ id, abort: true }); reject(aborted()); };
      signal.addEventListener('abort', leave);
      this.#jobs.set(id, { worker, resolve, onLoaded });
      worker.postMessage({ id, ...message });
    }).finally(() => {
      signal.removeEventListener('abort', leave);
      this.#jobs.delete(id);
      if (!this.#broken.has(worker)) this.#idle.push(worker);
    });
    if (answer.failed === 'read') throw new FerryError('file-unreadable', -1, 'the file cannot be read any more');
    return answer;
  }

  #start() {
    const worker = this.#makeWorker();
    worker.onmessage = ({ data }) => {
      const job = this.#jobs.get(data.id);
      if (!job) return;
      if ('loaded' in data) job.onLoaded(data.loaded);
      else job.resolve(data);
    };
    // Its own script may be what the network did not bring: what it was given, another one tries again.
    worker.onerror = () => {
      this.#broken.add(worker);
      this.#idle = this.#idle.filter((other) => other !== worker);
      worker.terminate();
      for (const job of this.#jobs.values()) if (job.worker === worker) job.resolve({ failed: 'network' });
    };
    return worker;
  }

  #count(bytes) {
    const now = performance.now();
    if (this.#since === 0) this.#since = now;
    this.#bytes += bytes;
    if (now - this.#since < INTERVAL) return;
    if (this.#wasFull) this.#climber.measured(this.#bytes / (now - this.#since));
    this.#since = now;
    this.#bytes = 0;
    this.#wasFull = this.#gate.inside >= this.limit;
    this.#gate.admit();
  }
}
