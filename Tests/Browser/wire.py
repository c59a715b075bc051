"""The wire between browser and server: it can be cut, slowed down, and says what went over it."""
import re
import socket
import threading
import time

PUT = re.compile(rb"PUT /v1/uploads/([0-9a-f]{32})/parts/(\d+) HTTP/1\.1\r\n")
DIGEST = re.compile(rb"Content-Digest: sha-256=:[0-9A-Za-z+/]{43}=:\r\n")
STREAM = re.compile(rb"GET /v1/events HTTP/1\.1\r\n")
PIECE = 65_536


class Wire:
    """A TCP proxy on a free loopback port. Bounded by its owner: `close` ends every thread of it."""

    def __init__(self, port):
        self.target = port
        self.rate = None  # bytes a second from the browser, over all connections
        self.puts = []  # (upload, part number) of each part whose sending was begun
        self.digests = 0  # of parts whose sending was begun
        self.streams = 0  # event streams that were opened
        self._lock = threading.Lock()
        self._open = set()
        self._is_cut = False
        self._due = time.monotonic()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def cut(self):
        """Ends all connections, and every new one, until `mend`."""
        with self._lock:
            self._is_cut = True
            pairs = list(self._open)
        for one in pairs:
            self._end(one)

    def mend(self):
        with self._lock:
            self._is_cut = False

    def close(self):
        self.cut()
        self._listener.close()

    def _accept(self):
        while True:
            try:
                browser, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
                server.settimeout(None)
            except OSError:
                browser.close()
                continue
            with self._lock:
                refused = self._is_cut
                if not refused:
                    self._open |= {browser, server}
            if refused:
                browser.close()
                server.close()
                continue
            threading.Thread(target=self._pump, args=(browser, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, browser, False), daemon=True).start()

    def _pump(self, source, sink, is_from_browser):
        tail = b""
        try:
            while piece := source.recv(PIECE):
                if is_from_browser:
                    tail = self._note(tail, piece)
                    self._slow(len(piece))
                sink.sendall(piece)
        except OSError:
            pass
        for one in (source, sink):
            self._end(one)

    def _note(self, tail, piece):
        """Finds lines of requests, those that come in two pieces as well."""
        text = tail + piece
        puts, digests, streams = (list(pattern.finditer(text)) for pattern in (PUT, DIGEST, STREAM))
        with self._lock:
            self.puts += [(match[1].decode(), int(match[2])) for match in puts]
            self.digests += len(digests)
            self.streams += len(streams)
        # What was found is not found again.
        end = max((match.end() for match in puts + digests + streams), default=0)
        return text[max(end, len(text) - 100):]

    def _slow(self, count):
        rate = self.rate
        if not rate:
            return
        with self._lock:
            now = time.monotonic()
            self._due = max(self._due, now) + count / rate
            pause = self._due - now
        time.sleep(min(pause, 5))

    def _end(self, one):
        with self._lock:
            self._open.discard(one)
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        one.close()
