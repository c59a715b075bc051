"""Row scale: one file to a target far away, with one worker and with four, one session each."""
from __future__ import annotations

import itertools
import os
import time

from .client import create, ferry, in_threads
from .contest import Attempt, contest, ratio
from .place import GIBIBYTE, MEBIBYTE, BenchError, Place, Settings
from .processes import Meter
from .report import BYTES, Line, verdict
from .ship import proxy_note
from .stack import Stack

WORKERS = 4
DEMANDED = 3.5
PART_BYTES = 8 * MEBIBYTE


def measure(place: Place) -> list[Line]:
    """The row."""
    size = place.sizes.pick(256 * MEBIBYTE, 4 * MEBIBYTE)
    part = min(PART_BYTES, size // 4)
    most, milliseconds = place.sizes.pick(WORKERS, 2), place.sizes.pick(100, 20)
    place.expect_space(4 * size + GIBIBYTE // 4)
    place.stack(Settings())
    server = place.far(place.stack_ssh(), milliseconds)
    carried = place.carried(milliseconds)
    numbers = itertools.count(1)

    def with_workers(count: int) -> Attempt:
        stack = place.stack(Settings(workers=count, target_port=server.port, sessions=1))
        # So that every worker's session is open, as it is in one that has work.
        _send(stack, f"scale/warm-{next(numbers)}.bin", 2 * count * part, part)
        with Meter(stack.pids()) as meter:
            seconds = _send(stack, f"scale/file-{next(numbers)}.bin", size, part)
            return Attempt(seconds, meter.cpu(own=True), meter.peak_bytes)

    sides = {"1 worker": lambda: with_workers(1), f"{most} workers": lambda: with_workers(most)}
    results = contest(size, place.sizes, sides)
    place.stack(Settings())
    first, last = results["1 worker"], results[f"{most} workers"]
    gain = ratio(last, first)
    return [
        Line(
            row="scale",
            measures=f"{size // MEBIBYTE} MiB, the target {milliseconds} ms away, 1 and {most} workers of one session",
            ours=f"1: {BYTES.rate(first)}; {most}: {BYTES.rate(last)}",
            ratio=str(gain),
            demanded=f"≥ {DEMANDED} ×",
            our_cpu=f"1: {BYTES.cpu(first)}; {most}: {BYTES.cpu(last)}",
            our_memory=f"1: {first.peak_bytes // MEBIBYTE}; {most}: {last.peak_bytes // MEBIBYTE}",
            verdict=verdict(gain.median >= DEMANDED, place),
            note=f"One file in parts of {part // MEBIBYTE} MiB, from its creation over HTTP to its appearance at the"
            " final path. Workers run and have sent something before; each keeps `sessions: 1`. Everything"
            f" {place.medium}. {proxy_note(carried.round_trip, carried.rate)}",
        )
    ]


def _send(stack: Stack, name: str, size: int, part: int) -> float:
    """Seconds from the creation to the commit."""
    body = os.urandom(part)
    final = os.path.join(stack.target_root, name)
    began = time.monotonic()
    with ferry(stack.environment) as client:
        upload = create(client, stack.target, name, size, part)
        count = -(-size // part)

        def send(which: int) -> None:
            with ferry(stack.environment) as other:
                for number in range(1 + which, count + 1, 2):
                    other.expect({200, 201}, "PUT", f"/v1/uploads/{upload}/parts/{number}", body)

        in_threads(2, send)
        client.document({202}, "POST", f"/v1/uploads/{upload}/complete")
    while not os.path.exists(final):
        if time.monotonic() - began > 120 + size / 5e5:
            raise BenchError(f"{name} is not there: {stack.log_tail('worker-1')}")
        time.sleep(0.005)
    seconds = time.monotonic() - began
    stack.await_clean()
    os.remove(final)
    return seconds
