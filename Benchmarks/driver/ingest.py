"""Rows ingest-1, ingest-4, ingest-small: bytes into the API's staging, beside servers that only store them."""
from __future__ import annotations

import base64
import hashlib
import itertools
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping

from .client import Client, create, ferry, in_threads
from .contest import OURS, Attempt, contest
from .place import GIBIBYTE, MEBIBYTE, BenchError, Place, Settings
from .processes import Meter, Skipped, run
from .report import Demand, Line, Unit, versus
from .stack import Stack
from .storage import Storage, nginx, tus

PART_BYTES = 8 * MEBIBYTE
SMALL_BYTES = 4096
# The most that an upload may have.
SMALL_PARTS = 50_000
REQUESTS = Unit("requests", 1.0, "s/GiB", GIBIBYTE / SMALL_BYTES)


def one(place: Place) -> list[Line]:
    """The row ingest-1."""
    return [_large(place, 1)]


def four(place: Place) -> list[Line]:
    """The row ingest-4."""
    return [_large(place, 4)]


def _large(place: Place, connections: int) -> Line:
    size = place.sizes.pick(GIBIBYTE, 4 * connections * PART_BYTES // 2)
    place.expect_space(2 * size + GIBIBYTE // 4)
    stack = place.stack(Settings(workers=0))
    parts = _Parts(stack, size, connections)
    sides = {OURS: parts.ours}
    stores = {"nginx": (nginx(place), parts.dav), "tus": (tus(place), parts.tus)}
    for name, (store, send) in stores.items():
        if store is not None:
            sides[name] = parts.peer(store, send)
    try:
        results = contest(size, place.sizes, sides)
    finally:
        _stop(stores)
        stack.renew()
    return versus(
        place,
        f"ingest-{connections}",
        f"parts of {PART_BYTES // MEBIBYTE} MiB over {connections} connection(s), {size // MEBIBYTE} MiB in all",
        results,
        [Demand(0.5, ("nginx",)), Demand(1.0, ("tus",))],
        "From the first byte to the last answer; uploads are created before. Ours: `PUT` of parts with"
        " `Content-Digest`: the API takes the SHA-256 of each, compares it, fsyncs part and directory, and records part"
        f" and job. No worker runs. Peers: nginx with DAV `PUT`, {os.cpu_count()} processes, without any digest or"
        f" fsync; tuspyserver in uvicorn, {os.cpu_count()} processes, one upload a connection in `PATCH`es of the same"
        f" size. Everything {place.medium}. The client, in Python, is counted in all.",
    )


class _Parts:
    """The same bytes to different servers."""

    def __init__(self, stack: Stack, size: int, connections: int) -> None:
        self._stack = stack
        self._connections = connections
        self._count = size // PART_BYTES
        self._body = os.urandom(PART_BYTES)
        digest = base64.b64encode(hashlib.sha256(self._body).digest()).decode()
        self._digest = f"Content-Digest: sha-256=:{digest}:\r\n"
        self._numbers = itertools.count(1)

    def ours(self) -> Attempt:
        """Into staging."""
        with ferry(self._stack.environment) as client:
            path = f"ingest/{next(self._numbers)}.bin"
            upload = create(client, self._stack.target, path, self._count * PART_BYTES, PART_BYTES)

        def send(which: int) -> None:
            with ferry(self._stack.environment) as connection:
                for number in range(1 + which, self._count + 1, self._connections):
                    target = f"/v1/uploads/{upload}/parts/{number}"
                    connection.expect({201}, "PUT", target, self._body, self._digest)

        attempt = self._measured(self._stack.pids(), send)
        shutil.rmtree(os.path.join(self._stack.staging, upload[:2], upload))
        return attempt

    def peer(self, store: Storage, send: Callable[[Storage, int], None]) -> Callable[[], Attempt]:
        """Into a peer's directory."""

        def attempt() -> Attempt:
            done = self._measured([store.server.pid], lambda which: send(store, which))
            held = sum(os.path.getsize(os.path.join(store.directory, name)) for name in os.listdir(store.directory))
            if held < self._count * PART_BYTES:
                raise BenchError(f"{store.url} has {held} bytes of {self._count * PART_BYTES}")
            store.empty()
            return done

        return attempt

    def dav(self, store: Storage, which: int) -> None:
        """What one connection sends to nginx."""
        with Client(store.url) as connection:
            for number in range(which, self._count, self._connections):
                connection.expect({201}, "PUT", f"/files/{number}", self._body)

    def tus(self, store: Storage, which: int) -> None:
        """What one connection sends to the tus server (tus 1.0.0, core and creation)."""
        count = len(range(which, self._count, self._connections))
        version = "Tus-Resumable: 1.0.0\r\n"
        with Client(store.url) as connection:
            length = f"Upload-Length: {count * PART_BYTES}\r\n"
            fields, _ = connection.expect({201}, "POST", "/files/", b"", version + length)
            path = re.sub(r"^https?://[^/]+", "", fields["location"])
            kind = "Content-Type: application/offset+octet-stream\r\n"
            for number in range(count):
                offset = f"Upload-Offset: {number * PART_BYTES}\r\n"
                connection.expect({204}, "PATCH", path, self._body, version + kind + offset)

    def _measured(self, servers: list[int], send: Callable[[int], None]) -> Attempt:
        with Meter(servers) as meter:
            began = time.monotonic()
            in_threads(self._connections, send)
            return Attempt(time.monotonic() - began, meter.cpu(own=True), meter.peak_bytes)


def _remove(directory: str) -> None:
    """Removes an upload's parts, of which the last may still be on their way there: wrk leaves without waiting."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return shutil.rmtree(directory)
        except OSError as error:
            if time.monotonic() > deadline:
                raise BenchError(f"{directory} cannot be removed: {error}") from error
        time.sleep(0.1)


def small(place: Place) -> list[Line]:
    """The row ingest-small."""
    wrk = place.tool("wrk", "wrk")
    if wrk is None:
        raise Skipped("wrk, which makes the requests, is not installed")
    place.expect_space(2 * GIBIBYTE)
    stack = place.stack(Settings(workers=0, fsync=False))
    store = nginx(place)
    seconds = place.sizes.pick(5, 1)
    script = os.path.join(place.root, "Benchmarks", "peers", "put.lua")
    numbers = itertools.count(1)

    def attempt(url: str, servers: list[int], arguments: list[str]) -> Attempt:
        command = [wrk, "--threads", "2", "--connections", "32", "--duration", f"{seconds}s", "--script", script, url]
        with Meter(servers) as meter:
            done = run([*command, "--", *arguments], limit=60, what="wrk", meter=meter)
            cpu = meter.cpu()
        counted = re.search(r"^\s+(\d+) requests in ([\d.]+)(m?s)", done.output, re.MULTILINE)
        wrong = re.search(r"Non-2xx.*|Socket errors.*", done.output)
        if counted is None or wrong is not None:
            raise BenchError(f"wrk at {url}: {wrong[0] if wrong else done.output[-300:]}")
        took = float(counted[2]) * (1 if counted[3] == "s" else 1e-3)
        return Attempt(took, cpu, meter.peak_bytes, units=int(counted[1]))

    def ours() -> Attempt:
        with ferry(stack.environment) as client:
            uploads = []
            for _ in range(8):
                path = f"small-parts/{next(numbers)}.bin"
                uploads.append(create(client, stack.target, path, SMALL_PARTS * SMALL_BYTES, SMALL_BYTES))
        url, token = stack.environment["FERRY_URL"], stack.environment["FERRY_TOKEN"]
        done = attempt(url, stack.pids(), ["parts", token, *uploads])
        for upload in uploads:
            _remove(os.path.join(stack.staging, upload[:2], upload))
        return done

    sides = {OURS: ours}
    if store is not None:
        running = store

        def peer() -> Attempt:
            done = attempt(running.url, [running.server.pid], ["files"])
            running.empty()
            return done

        sides["nginx"] = peer
    try:
        results = contest(1, place.sizes, sides, unit="requests", scale=1)
    finally:
        if store is not None:
            store.server.stop()
        stack.stop()
        stack.forget()
    return [
        versus(
            place,
            "ingest-small",
            "parts of 4 KiB over 32 connections",
            results,
            [Demand(0.12, ("nginx",))],
            f"`wrk` with 2 threads, {seconds} s each time. Ours: `PUT` of parts, `staging.fsync: false`, workers"
            " stopped; the API takes the SHA-256 of each, and records part and job, which goes to the broker. Peer:"
            f" nginx with DAV `PUT`, {os.cpu_count()} processes. Everything {place.medium}. `wrk` is counted in both.",
            REQUESTS,
        )
    ]


def _stop(stores: Mapping[str, tuple[Storage | None, object]]) -> None:
    for store, _ in stores.values():
        if store is not None:
            store.server.stop()
