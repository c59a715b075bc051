"""Row idle: thousands of open event streams cost the API little, and all of them hear of an event at once."""
from __future__ import annotations

import resource
import selectors
import socket
import statistics
import sys
import time
import urllib.parse

from .client import create, ferry
from .place import MEBIBYTE, BenchError, Place, Settings
from .processes import cpu_seconds, resident_bytes
from .report import Line, verdict
from .stack import Stack

LIMIT = 150 * MEBIBYTE
WITHIN = 1.0
PATIENCE = 30.0


def measure(place: Place) -> list[Line]:
    """The row."""
    count = place.sizes.pick(5_000, 50)
    _allow_descriptors(count + 256)
    stack = place.stack(Settings())
    # What another row has left to ship takes both processors, and is in each stream's beginning.
    stack.await_clean(180)
    api = stack.pid("api-1")
    before = resident_bytes(api)
    with _Streams(stack, count) as streams:
        streams.open()
        cpu = cpu_seconds([api])
        held = _peak(api, place.sizes.pick(20, 1)) - before
        idle = (cpu_seconds([api]) - cpu) / place.sizes.pick(20, 1)
        reached = []
        for number in range(place.sizes.rounds):
            began = time.monotonic()
            with ferry(stack.environment) as client:
                upload = create(client, stack.target, f"idle/{number}.bin", MEBIBYTE, MEBIBYTE)
                reached.append(streams.await_all(upload, began))
                client.expect({202}, "DELETE", f"/v1/uploads/{upload}")
            print(f"bench:   event {number + 1} reached all within {reached[-1]:.2f} s", file=sys.stderr)
        held = max(held, resident_bytes(api) - before)
    slowest = max(reached)
    return [
        Line(
            row="idle",
            measures=f"{count:,} open event streams",
            ours=f"{held / MEBIBYTE:.0f} MiB more, an event reaches all within {slowest:.2f} s",
            demanded=f"≤ {LIMIT // MEBIBYTE} MiB more, < {WITHIN:.0f} s",
            our_cpu=f"{idle * 100:.0f} % of a core, idle",
            our_memory=f"{(held + before) / MEBIBYTE:.0f}",
            verdict=verdict(held <= LIMIT and slowest < WITHIN, place),
            note=f"VmRSS of the API before and with `GET /v1/events` over {count:,} connections, the highest of"
            f" {place.sizes.pick(20, 1)} s and of what follows. The event is an upload's creation, from its request to"
            f" the last stream's reading of it; the slowest of {len(reached)} (median"
            f" {statistics.median(reached):.2f} s). The reader is one process in Python.",
        )
    ]


def _allow_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise BenchError(f"{count} descriptors are needed, {hard} are allowed (ulimit -Hn)")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def _peak(pid: int, seconds: float) -> int:
    ends = time.monotonic() + seconds
    peak = resident_bytes(pid)
    while time.monotonic() < ends:
        time.sleep(0.2)
        peak = max(peak, resident_bytes(pid))
    return peak


class _Streams:
    """Connections that read events; a context."""

    def __init__(self, stack: Stack, count: int) -> None:
        parts = urllib.parse.urlsplit(stack.environment["FERRY_URL"])
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        token = stack.environment["FERRY_TOKEN"]
        self._request = f"GET /v1/events HTTP/1.1\r\nHost: ferry\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        self._count = count
        self._selector = selectors.DefaultSelector()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> _Streams:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            one.close()
        self._selector.close()

    def open(self) -> None:
        """Opens all, and waits for the first bytes of each."""
        for start in range(0, self._count, 100):
            some = []
            for _ in range(start, min(start + 100, self._count)):
                one = socket.create_connection(self._address, PATIENCE)
                one.sendall(self._request)
                self._sockets.append(one)
                some.append(one)
            for one in some:
                head = one.recv(65_536)
                if not head.startswith(b"HTTP/1.1 200"):
                    raise BenchError(f"an event stream was refused: {head[:100]!r}")
                one.setblocking(False)
                self._selector.register(one, selectors.EVENT_READ, bytearray())

    def await_all(self, word: str, began: float) -> float:
        """Seconds from `began` until each stream has shown the word."""
        wanted = word.encode()
        waiting = set(self._sockets)
        for key in self._selector.get_map().values():
            key.data.clear()
        while waiting:
            if time.monotonic() - began > PATIENCE:
                raise BenchError(f"{len(waiting)} streams did not hear of an event in {PATIENCE:.0f} s")
            for key, _ in self._selector.select(1):
                one = key.fileobj
                assert isinstance(one, socket.socket)
                data = one.recv(65_536)
                if not data:
                    raise BenchError("an event stream ended")
                key.data.extend(data)
                if one in waiting and wanted in key.data:
                    waiting.discard(one)
        return time.monotonic() - began
