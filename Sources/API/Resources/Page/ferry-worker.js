// Reads, hashes and sends parts beside the page's own thread. ferry.js starts it and talks to it.

import { Sha256 } from './ferry-sha256.js';

/** Without a byte leaving for so long, a request is lost; in milliseconds. */
const STALL = 60_000;
/** The same once all has left, which may be on its way; twice as long after each failure. */
const ANSWER = 180_000;
/** What is read at once for a whole file's digest, in bytes. */
const PIECE = 4 << 20;
/** How often progress is told, in milliseconds. */
const TELL = 200;

/** @type {Map<number, () => void>} What ends each job early. */
const jobs = new Map();

self.onmessage = async ({ data }) => {
  if (data.abort) return jobs.get(data.id)?.();
  const job = { isOver: false, stop: () => { job.isOver = true; } };
  jobs.set(data.id, () => job.stop());
  try {
    await (data.put ? put(data.id, data.put, job) : hash(data.id, data.hash, job));
  } catch {
    // A file that was changed, moved or taken away cannot be read any more.
    if (!job.isOver) self.postMessage({ id: data.id, failed: 'read' });
  }
  jobs.delete(data.id);
};

async function put(id, { url, blob, headers, digest, credentials, failures }, job) {
  const fields = { ...headers };
  if (digest) {
    const bytes = await blob.arrayBuffer();
    fields['Content-Digest'] = `sha-256=:${await base64Digest(bytes)}:`;
    // Not read again, unless that is much to hold.
    if (blob.size <= 32 << 20) blob = bytes;
  }
  // Whether it still is the file that was chosen: a request cannot tell that from a cut line.
  else await blob.slice(0, 1).arrayBuffer();
  if (job.isOver) return;
  await new Promise((resolve) => {
    const request = new XMLHttpRequest();
    const finish = (message) => {
      clearTimeout(stall);
      if (!job.isOver) self.postMessage({ id, ...message });
      job.isOver = true;
      resolve();
    };
    let stall, toldAt = 0;
    const expect = (wait) => {
      clearTimeout(stall);
      stall = setTimeout(() => { finish({ failed: 'network' }); request.abort(); }, wait);
    };
    expect(STALL);
    job.stop = () => { job.isOver = true; request.abort(); clearTimeout(stall); resolve(); };
    request.upload.onprogress = ({ loaded, total, timeStamp }) => {
      expect(loaded < total ? STALL : ANSWER * 2 ** Math.min(failures, 2));
      if (job.isOver || loaded < total && timeStamp - toldAt < TELL) return;
      toldAt = timeStamp;
      self.postMessage({ id, loaded });
    };
    request.onload = () => finish({
      status: request.status,
      retryAfter: request.getResponseHeader('Retry-After'),
      type: request.getResponseHeader('Content-Type'),
      text: request.responseText,
    });
    request.onerror = request.onabort = () => finish({ failed: 'network' });
    request.open('PUT', url);
    request.withCredentials = credentials;
    for (const [name, value] of Object.entries(fields)) request.setRequestHeader(name, value);
    request.send(blob);
  });
}

async function base64Digest(bytes) {
  let digest;
  if (self.crypto?.subtle) {
    digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  } else {
    // Plain HTTP: browsers keep crypto.subtle for secure pages.
    const hex = new Sha256().update(new Uint8Array(bytes)).hex();
    digest = Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
  }
  return btoa(String.fromCharCode(...digest));
}

async function hash(id, blob, job) {
  const sha = new Sha256();
  for (let at = 0; at < blob.size; at += PIECE) {
    sha.update(new Uint8Array(await blob.slice(at, at + PIECE).arrayBuffer()));
    if (job.isOver) return;
    self.postMessage({ id, loaded: Math.min(at + PIECE, blob.size) });
  }
  self.postMessage({ id, hex: sha.hex() });
}
