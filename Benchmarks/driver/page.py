"""Rows page, page-ops: a real Chromium on the pages, beside curl, and what the pages' own thread and memory do."""
from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import selectors
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from typing import Self, cast

from .client import ferry
from .contest import OURS, Attempt, contest
from .place import GIBIBYTE, MEBIBYTE, BenchError, Place, Settings
from .processes import Background, Meter, Skipped, run
from .report import Demand, Line, verdict, versus
from .stack import Stack

LONGEST = 50
"""Milliseconds for which the page's thread may be busy with one thing. The browser tells of longer ones only, without
the fraction: one of 50 took longer."""
GROWTH = 1.1
LANES = 4
ALONE = "Chromium alone"
"""A page that only reads, hashes and sends, to a server that throws everything away: the browser's own bound."""


def sending(place: Place) -> list[Line]:
    """The row page."""
    curl = place.tool("curl", "curl")
    if curl is None:
        raise Skipped("curl, the peer, is not installed")
    size = place.sizes.pick(GIBIBYTE, 24 * MEBIBYTE)
    place.expect_space(2 * size + GIBIBYTE // 4)
    stack = place.stack(Settings(workers=0))
    count, seconds = place.sizes.pick(2_000, 200), place.sizes.pick(20, 2)
    try:
        with Chromium(place, stack) as chromium:
            sides = _Sides(place, stack, chromium, curl, size)
            results = contest(
                size, place.sizes, {OURS: sides.chromium, ALONE: sides.alone, "curl": sides.curl}
            )
            rows = chromium.tasks("rows", count=count, seconds=seconds)
    finally:
        stack.renew()
    longest = {"while sending": max(sides.tasks, default=0), f"with {count:,} rows": max(rows, default=0)}
    return [
        versus(
            place,
            "page",
            f"a file of {size // MEBIBYTE} MiB by the upload page in Chromium",
            results,
            [Demand(0.5, ("curl",))],
            "From the answer that the upload was created to that of `complete`, by the browser's own clock: reading, the"
            " SHA-256 of each part (`crypto.subtle`), sending, and what the page shows meanwhile. curl sends the same"
            f" parts, whose `Content-Digest` was taken before, over {LANES} connections (`--parallel`), to an upload that"
            " was created before; its start is counted. No worker runs."
            f" {ALONE}: a page that does nothing but read, hash and send such parts with {LANES} workers, to a server that"
            " throws them away (driver/bare.py): what this browser can do here at most, whatever takes the parts."
            f" Everything {place.medium}. Processor time and memory"
            " are those of the servers and of the whole browser, or of curl.",
        ),
        Line(
            row="page thread",
            measures=f"the longest task of the page's thread: the same file; {count:,} files chosen at once",
            ours="; ".join(f"{_told(value)} {what}" for what, value in longest.items()),
            demanded=f"≤ {LONGEST} ms both",
            verdict=verdict(max(longest.values()) < LONGEST, place),
            note="PerformanceObserver `longtask`, which tells of tasks over 50 ms, in all rounds. The files of the"
            f" second number are being sent meanwhile, and the list is scrolled for {seconds} s.",
        ),
    ]


def operations(place: Place) -> list[Line]:
    """The row page-ops."""
    uploads, rate = place.sizes.pick(1_000, 50), 100
    seconds, every = place.sizes.pick(600, 3), place.sizes.pick(5, 1)
    stack = place.stack(Settings(workers=0))
    try:
        with Chromium(place, stack) as chromium:
            answer = chromium.ask("watch", seconds + 300, uploads=uploads, rate=rate, seconds=seconds, every=every)
    finally:
        stack.renew()
    tasks, heaps, reached = _numbers(answer, "tasks"), _numbers(answer, "heaps"), cast(float, answer["rate"])
    if reached < 0.9 * rate and not place.sizes.is_smoke:
        raise BenchError(f"only {reached:.0f} of {rate} events a second were sent")
    third = max(1, len(heaps) // 3)
    growth = statistics.median(heaps[-third:]) / statistics.median(heaps[third : 2 * third] or heaps)
    measures = f"operations page, {uploads:,} live uploads, {rate} events a second, {seconds} s"
    note = (
        f"Chromium on `/ops`, whose list is scrolled every {every} s; the events are sent to the broker, as workers and"
        f" API send them ({reached:.0f} a second)."
    )
    return [
        Line(
            row="page-ops thread",
            measures=measures,
            ours=f"longest task of the page's thread {_told(max(tasks, default=0))}",
            demanded=f"≤ {LONGEST} ms",
            verdict=verdict(max(tasks, default=0) < LONGEST, place),
            note=f"{note} PerformanceObserver `longtask`, which tells of tasks over 50 ms.",
        ),
        Line(
            row="page-ops memory",
            measures=measures,
            ours=f"at most {max(heaps) / MEBIBYTE:.1f} MiB held by scripts",
            ratio=f"{growth:.2f}",
            demanded=f"≤ {GROWTH} ×",
            our_memory=f"{max(heaps) / MEBIBYTE:,.0f}",
            verdict=verdict(growth <= GROWTH, place),
            note=f"{note} The scripts' heap every {every} s, after its garbage was collected. Ratio: median of the last"
            " third over that of the middle third.",
        ),
    ]


def _told(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds else f"≤ {LONGEST} ms"


def _numbers(answer: dict[str, object], name: str) -> list[float]:
    return [float(value) for value in cast(list[float], answer[name])]


class _Sides:
    """The same bytes by the page and by curl."""

    def __init__(self, place: Place, stack: Stack, chromium: Chromium, curl: str, size: int) -> None:
        self._stack = stack
        self._chromium = chromium
        self._curl = curl
        self._size = size
        self._file = place.source(size)
        self._scratch = place.scratch("page")
        self._sink, self._sink_port = _sink(place)
        self._part_size = 0
        self._numbers = itertools.count(1)
        self.tasks: list[float] = []

    def chromium(self) -> Attempt:
        """By the upload page."""
        directory = f"page/{next(self._numbers)}"
        with Meter([*self._stack.pids(), self._chromium.pid]) as meter:
            answer = self._chromium.ask("send", 300, file=self._file, directory=directory)
            attempt = Attempt(cast(float, answer["seconds"]), meter.cpu(), meter.peak_bytes)
        self.tasks += _numbers(answer, "tasks")
        with ferry(self._stack.environment) as client:
            page = client.document({200}, "GET", "/v1/uploads?limit=1")
        newest = cast(list[dict[str, object]], page["uploads"])[0]
        self._part_size = cast(int, newest["partSize"])
        self._check(str(newest["id"]))
        return attempt

    def alone(self) -> Attempt:
        """By a page that does nothing else, in parts of the size that the upload page sent before."""
        url = f"http://127.0.0.1:{self._sink_port}/"
        with Meter([self._sink.pid, self._chromium.pid]) as meter:
            answer = self._chromium.ask("bare", 300, url=url, file=self._file, lanes=LANES, part=self._part_size)
            return Attempt(cast(float, answer["seconds"]), meter.cpu(), meter.peak_bytes)

    def curl(self) -> Attempt:
        """With as many connections as the page has."""
        with ferry(self._stack.environment) as client:
            wanted = {"target": self._stack.target, "path": f"page/{next(self._numbers)}", "size": self._size}
            upload = client.document({201}, "POST", "/v1/uploads", wanted)
        identifier, part = str(upload["id"]), cast(int, upload["partSize"])
        configuration = os.path.join(self._scratch, "curl")
        url, token = self._stack.environment["FERRY_URL"], self._stack.environment["FERRY_TOKEN"]
        blocks = []
        for number in range(-(-self._size // part)):
            path, digest = self._part(number, part)
            blocks.append(
                f'url = "{url}/v1/uploads/{identifier}/parts/{number + 1}"\nupload-file = "{path}"\n'
                f'header = "Authorization: Bearer {token}"\nheader = "Content-Digest: sha-256=:{digest}:"\n'
                'header = "Expect:"\noutput = "/dev/null"\nfail\n'
            )
        with open(configuration, "w", encoding="utf-8", opener=_private) as file:
            file.write(f"parallel\nparallel-immediate\nparallel-max = {LANES}\nno-progress-meter\n")
            file.write("next\n".join(blocks))
        with Meter(self._stack.pids()) as meter:
            done = run([self._curl, "--disable", "--config", configuration], limit=300, what="curl", meter=meter)
            attempt = Attempt(done.seconds, meter.cpu(), meter.peak_bytes)
        self._check(identifier)
        return attempt

    def _part(self, number: int, size: int) -> tuple[str, str]:
        """A part as a file of its own, and its SHA-256."""
        path = os.path.join(self._scratch, f"{number}.part")
        with open(self._file, "rb") as file:
            file.seek(number * size)
            content = file.read(size)
        if not os.path.exists(path):
            with open(path, "wb") as file:
                file.write(content)
        return path, base64.b64encode(hashlib.sha256(content).digest()).decode()

    def _check(self, identifier: str) -> None:
        """All of it is there; it is taken away."""
        with ferry(self._stack.environment) as client:
            received = client.document({200}, "GET", f"/v1/uploads/{identifier}")["receivedBytes"]
        if received != self._size:
            raise BenchError(f"{received} of {self._size} bytes were received")
        shutil.rmtree(os.path.join(self._stack.staging, identifier[:2], identifier))


def _sink(place: Place) -> tuple[Background, int]:
    """What the bare page comes from and sends to, with its port."""
    port = place.free_port()
    directory = os.path.join(place.root, "Benchmarks")
    server = place.serve([sys.executable, "-m", "driver.bare", str(port)], "bare", directory=directory)

    def answers() -> bool:
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", port)) == 0

    server.await_ready(answers)
    return server, port


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class Chromium:
    """The program that has the browser; a context."""

    def __init__(self, place: Place, stack: Stack) -> None:
        if place.tool("chromium", "chromium") is None:
            raise Skipped("Chromium is not installed")
        python = place.browser_python()
        if python is None:
            raise Skipped("what drives Chromium is not installed")
        self._log = os.path.join(place.scratch("page"), "chromium.log")
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [python, "-B", os.path.join(place.root, "Benchmarks", "driver", "chromium.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | stack.environment | {"TMPDIR": place.scratch("page")},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process; the browser's are below it."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.close()
            self._process.wait(15)
        except (OSError, subprocess.TimeoutExpired):
            pass
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.stdout.close()
        self._process.wait()

    def tasks(self, what: str, **how: object) -> list[float]:
        """The long tasks meanwhile."""
        return _numbers(self.ask(what, 300, **how), "tasks")

    def ask(self, what: str, limit: float, **how: object) -> dict[str, object]:
        """Does something; raises where it takes longer than so many seconds."""
        assert self._process.stdin is not None and self._process.stdout is not None
        answer = b""
        try:
            self._process.stdin.write(json.dumps({"do": what, **how}).encode() + b"\n")
            self._process.stdin.flush()
            deadline = time.monotonic() + limit
            with selectors.DefaultSelector() as selector:
                selector.register(self._process.stdout, selectors.EVENT_READ)
                while not answer.endswith(b"\n"):
                    if not selector.select(max(0.0, deadline - time.monotonic())):
                        raise BenchError(f"Chromium did not {what} within {limit:.0f} s")
                    piece = os.read(self._process.stdout.fileno(), 1 << 20)
                    if not piece:
                        raise BrokenPipeError
                    answer += piece
        except BrokenPipeError as error:
            with open(self._log, encoding="utf-8", errors="replace") as log:
                said = log.read()[-800:].strip()
            raise BenchError(f"Chromium could not {what}: {said}") from error
        print(f"bench:   Chromium: {what}: {_short(answer)}", file=sys.stderr)
        return cast(dict[str, object], json.loads(answer))


def _short(answer: bytes) -> str:
    text = answer.decode().strip()
    return text if len(text) < 160 else text[:160] + "…"
