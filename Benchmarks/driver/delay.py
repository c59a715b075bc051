"""A TCP proxy on loopback behind which everything takes longer, as on a long path: python3 -m driver.delay PORT TO MS

Listens on 127.0.0.1:PORT and connects on to 127.0.0.1:TO. Every byte is handed on half of MS milliseconds after it
came, each way, in order. Nothing bounds the rate but this program itself; how much it carries is measured by `probe`.
"""
from __future__ import annotations

import collections
import select
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

# A look at everything at most this often, so that what comes meanwhile is moved in large pieces.
TICK = 0.0005
PIECE = 1 << 18
# What may be on its way in one direction of a connection: far more than SSH's window.
BOUND = 64 << 20


@dataclass(eq=False)
class Stream:
    """One direction of a connection."""

    source: socket.socket
    sink: socket.socket
    pieces: collections.deque[tuple[float, memoryview]] = field(default_factory=collections.deque)
    held: int = 0
    has_source_ended: bool = False
    is_over: bool = False

    def take(self, now: float, latency: float) -> None:
        """Reads what is there."""
        while self.held < BOUND:
            try:
                data = self.source.recv(PIECE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            self.pieces.append((now + latency, memoryview(data)))
            self.held += len(data)
            if not data:
                self.has_source_ended = True
                return
            if len(data) < PIECE:
                return

    def give(self, now: float) -> None:
        """Hands on what is due, as far as it is taken."""
        while self.pieces and self.pieces[0][0] <= now:
            due, data = self.pieces[0]
            if not data:
                self.end()
                return
            try:
                sent = self.sink.send(data)
            except BlockingIOError:
                return
            except OSError:
                self.end()
                return
            self.held -= sent
            if sent == len(data):
                self.pieces.popleft()
            else:
                self.pieces[0] = (due, data[sent:])

    def end(self) -> None:
        """Nothing more passes."""
        self.pieces.clear()
        self.held = 0
        self.has_source_ended = True
        self.is_over = True
        try:
            self.sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def serve(listener: socket.socket, to: int, latency: float) -> None:
    """Until it is killed."""
    listener.setblocking(False)
    streams: list[Stream] = []
    while True:
        readable = [stream.source for stream in streams if not stream.has_source_ended and stream.held < BOUND]
        now = time.monotonic()
        waiting = [stream for stream in streams if stream.pieces]
        # Those whose time has come can only wait for their sink.
        stuck = [stream.sink for stream in waiting if stream.pieces[0][0] <= now]
        due = min((stream.pieces[0][0] for stream in waiting if stream.pieces[0][0] > now), default=now + 60)
        came, _, _ = select.select([listener, *readable], stuck, [], due - now)
        now = time.monotonic()
        ready = set(came)
        for stream in streams:
            if stream.source in ready:
                stream.take(now, latency)
            stream.give(now)
        over = [stream for stream in streams if stream.is_over]
        for stream in over:
            other = next((one for one in streams if one.source is stream.sink), None)
            if other is None or other.is_over:
                stream.source.close()
                stream.sink.close()
                streams = [one for one in streams if one not in (stream, other)]
        if listener in ready:
            streams += _accepted(listener, to)
        time.sleep(TICK)


def _accepted(listener: socket.socket, to: int) -> list[Stream]:
    try:
        client, _ = listener.accept()
    except BlockingIOError:
        return []
    try:
        server = socket.create_connection(("127.0.0.1", to), 2)
    except OSError:
        client.close()
        return []
    for end in (client, server):
        end.setblocking(False)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return [Stream(client, server), Stream(server, client)]


@dataclass(frozen=True)
class Carried:
    """What a proxy does to a connection."""

    round_trip: float
    """Seconds; the median of many."""
    rate: float
    """Bytes a second of several connections together."""


def probe(start: Callable[[int], int], connections: int, amount: int) -> Carried:
    """Measures a proxy; `start(port)` starts one before that port and answers its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer, args=(server,), daemon=True).start()
        port = start(server.getsockname()[1])
        trips = []
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(21):
                began = time.monotonic()
                connection.sendall(b"?")
                connection.recv(1)
                trips.append(time.monotonic() - began)
        began = time.monotonic()
        threads = [threading.Thread(target=_send, args=(port, amount // connections)) for _ in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - began
    return Carried(statistics.median(trips), amount / max(seconds - statistics.median(trips), 1e-3))


def _answer(server: socket.socket) -> None:
    """Says a byte for a single byte, and one at the end of many."""

    def one(connection: socket.socket) -> None:
        with connection:
            count = 0
            while data := connection.recv(PIECE):
                count += len(data)
                if data == b"?":
                    connection.sendall(b"!")
            if count > PIECE:
                connection.sendall(b"!")

    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=one, args=(connection,), daemon=True).start()


def _send(port: int, amount: int) -> None:
    piece = bytes(PIECE)
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        left = amount
        while left > 0:
            connection.sendall(piece[: min(left, PIECE)])
            left -= PIECE
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)


if __name__ == "__main__":
    door = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
    # A byte waits for half a tick to be seen, and for half a tick to be handed on.
    serve(door, int(sys.argv[2]), float(sys.argv[3]) / 2e3 - TICK)
