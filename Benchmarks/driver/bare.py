"""What the browser alone can send: a page that does nothing else, and a server that throws all of it away.

python3 -m driver.bare PORT serves both on loopback until it is killed.
"""
from __future__ import annotations

import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"""<!doctype html><title>bare</title><input type="file" id="file"><script>
// Answers milliseconds, from the first worker's start to the last answer.
globalThis.send = async (lanes, size) => {
  const file = document.getElementById('file').files[0];
  const parts = Array.from({ length: Math.ceil(file.size / size) }, (_, number) => number);
  const began = performance.now();
  await Promise.all(Array.from({ length: lanes }, async () => {
    const worker = new Worker('/worker.js');
    while (parts.length > 0) {
      const number = parts.shift();
      worker.postMessage({ number, blob: file.slice(number * size, (number + 1) * size) });
      const { data } = await new Promise((resolve) => { worker.onmessage = resolve; });
      if (data !== 204) throw new Error(`part ${number}: ${data}`);
    }
    worker.terminate();
  }));
  return performance.now() - began;
};
</script>"""

WORKER = b"""
self.onmessage = async ({ data: { number, blob } }) => {
  const bytes = await blob.arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const request = new XMLHttpRequest();
  request.open('PUT', '/' + number);
  request.setRequestHeader('Content-Digest', `sha-256=:${btoa(String.fromCharCode(...digest))}:`);
  request.onloadend = () => postMessage(request.status);
  request.send(bytes);
};
"""

PIECE = 1 << 20


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The page, or its worker."""
        body, kind = (WORKER, "text/javascript") if self.path == "/worker.js" else (PAGE, "text/html")
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        """Takes a part. The kernel throws it away, without handing it over (tcp(7), MSG_TRUNC)."""
        left = int(self.headers["Content-Length"])
        # What came with the head is here already.
        left -= len(self.rfile.read1(min(left, len(self.rfile.peek(1))))) if left > 0 else 0
        while left > 0:
            count = self.connection.recv_into(_NOWHERE, min(left, PIECE), socket.MSG_TRUNC)
            if count == 0:
                return
            left -= count
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


_NOWHERE = bytearray(PIECE)

if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
