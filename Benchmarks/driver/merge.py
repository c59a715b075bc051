"""Rows tail, merge, merge-copy, merge-script: from the last part's arrival on the target to the commit."""
from __future__ import annotations

import itertools
import os
import statistics
import sys
import time
from dataclasses import dataclass

from .client import Client, create, ferry, in_threads
from .place import GIBIBYTE, MEBIBYTE, BenchError, Place, Settings
from .processes import Skipped, run
from .report import Line, verdict
from .stack import Stack

PART_BYTES = 16 * MEBIBYTE
TAIL = 0.1
MERGE = 1.0
GROWTH = 1.5


@dataclass(frozen=True)
class Times:
    """Of one size, in seconds."""

    size: int
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """p50."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        low, high = min(self.values) * 1e3, max(self.values) * 1e3
        return f"{_name(self.size)}: {self.median * 1e3:.0f} ms ({low:.0f}–{high:.0f})"


def in_place(place: Place) -> list[Line]:
    """The rows tail and merge: the same measurement, held against two demands."""
    small, large = place.sizes.pick(100 * MEBIBYTE, 2 * MEBIBYTE), place.sizes.pick(4 * GIBIBYTE, 8 * MEBIBYTE)
    place.expect_space(2 * large + GIBIBYTE)
    stack = place.stack(Settings(verify="size"))
    merges = _Merges(stack, place.sizes.pick(PART_BYTES, MEBIBYTE))
    found: dict[int, list[float]] = {small: [], large: []}
    for number in range(place.sizes.rounds + place.sizes.has_warm_up):
        for size in (small, small, small, small, large):
            seconds = merges.once(size)
            if number or not place.sizes.has_warm_up:
                found[size].append(seconds)
        told = ", ".join(f"{_name(size)} {seconds * 1e3:.0f} ms" for size, seconds in merges.last.items())
        print(f"bench:   round {number}: {told}", file=sys.stderr)
    place.stack(Settings())
    first, last = (Times(size, tuple(found[size])) for size in (small, large))
    growth = last.median / first.median
    note = (
        "From the last answer of the index that not every part was on the target yet, asked again at once, to the"
        " appearance of the file at its final path, looked for twice a millisecond; merge in place, `verify: size`;"
        f" median, and the lowest and highest of {len(first.values)} and {len(last.values)}. Parts of"
        f" {merges.part // MEBIBYTE} MiB; `complete` was asked for before. Everything {place.medium}."
    )
    measures = f"last part on the target to commit, {_name(small)} and {_name(large)}"
    return [
        Line(
            row="tail",
            measures=measures,
            ours=f"{first}; {last}",
            demanded=f"< {TAIL * 1e3:.0f} ms both",
            verdict=verdict(max(first.median, last.median) < TAIL, place),
            note=note,
        ),
        Line(
            row="merge",
            measures=measures,
            ours=f"{first}; {last}",
            ratio=f"{growth:.2f}",
            demanded=f"< {MERGE:.0f} s, ≤ {GROWTH} × the smaller",
            verdict=verdict(last.median < MERGE and growth <= GROWTH, place),
            note=note,
        ),
    ]


def by_copy(place: Place) -> list[Line]:
    """The row merge-copy."""
    return [_against_cat(place, "copy")]


def by_script(place: Place) -> list[Line]:
    """The row merge-script."""
    return [_against_cat(place, "script")]


def _against_cat(place: Place, strategy: str) -> Line:
    size = place.sizes.pick(GIBIBYTE, 8 * MEBIBYTE)
    place.expect_space(4 * size + GIBIBYTE)
    stack = place.stack(Settings())
    said = len(stack.log("worker-1"))
    stack = place.stack(Settings(verify="size", merge=strategy))
    # A worker that does not act upon a setting says so when it starts.
    if f"merge: {strategy}" in stack.log("worker-1")[said:]:
        place.stack(Settings())
        raise Skipped(f"this Ferry has no merge strategy {strategy} yet")
    merges = _Merges(stack, place.sizes.pick(PART_BYTES, MEBIBYTE))
    ours: list[float] = []
    cats: list[float] = []
    for number in range(place.sizes.rounds + place.sizes.has_warm_up):
        seconds, cat = merges.once(size), _cat(place, size, merges.part)
        if number or not place.sizes.has_warm_up:
            ours.append(seconds)
            cats.append(cat)
        print(f"bench:   round {number}: merge {seconds:.2f} s, cat {cat:.2f} s", file=sys.stderr)
    place.stack(Settings())
    first, last = Times(size, tuple(ours)), Times(size, tuple(cats))
    share = first.median / last.median
    return Line(
        row=f"merge-{strategy}",
        measures=f"last part on the target to commit, {_name(size)}, `merge: {strategy}`",
        ours=str(first),
        peer=f"cat {last}",
        ratio=f"{share:.2f}",
        demanded=f"≤ {GROWTH} × cat",
        verdict=verdict(share <= GROWTH, place),
        note="Ours: from the last answer of the index that not every part was on the target yet, asked again at once, to"
        " the appearance of the file at its final path. Peer: `cat` of as many files of the same size into a new one,"
        f" on the target. Parts of {merges.part // MEBIBYTE} MiB. Everything {place.medium}.",
    )


class _Merges:
    """Uploads whose end is watched."""

    def __init__(self, stack: Stack, part: int) -> None:
        self._stack = stack
        self._numbers = itertools.count(1)
        self._body = os.urandom(part)
        self.part = part
        self.last: dict[int, float] = {}

    def once(self, size: int) -> float:
        """Seconds from the last part's arrival to the commit."""
        name = f"merge/{next(self._numbers)}.bin"
        final = os.path.join(self._stack.target_root, name)
        with ferry(self._stack.environment) as client:
            upload = create(client, self._stack.target, name, size, self.part)
            count = -(-size // self.part)

            def send(which: int) -> None:
                with ferry(self._stack.environment) as other:
                    for number in range(1 + which, count + 1, 2):
                        length = min(self.part, size - (number - 1) * self.part)
                        body = self._body[:length]
                        other.expect({200, 201}, "PUT", f"/v1/uploads/{upload}/parts/{number}", body)

            in_threads(2, send)
            client.document({202}, "POST", f"/v1/uploads/{upload}/complete")
            seconds = _watch(client, self._stack, upload, size, final, time.monotonic() + 120 + size / 1e7)
        self._stack.await_clean(120)
        if os.path.getsize(final) != size:
            raise BenchError(f"{name} has {os.path.getsize(final)} bytes of {size}")
        os.remove(final)
        self.last[size] = seconds
        return seconds


def _watch(client: Client, stack: Stack, upload: str, size: int, final: str, deadline: float) -> float:
    """Asks the API slowly while much is to be shipped, then the index without a pause."""
    while True:
        answer = client.document({200}, "GET", f"/v1/uploads/{upload}")
        if answer.get("state") == "failed" or time.monotonic() > deadline:
            raise BenchError(f"upload {upload} is {answer.get('state')}: {answer.get('error')}")
        shipped = answer.get("shippedBytes")
        if isinstance(shipped, int) and size - shipped <= 8 * PART_BYTES:
            break
        time.sleep(0.1)
    # The API's answer takes longer the more parts there are, and the two sizes are compared.
    with stack.index() as index:
        before = time.monotonic()
        while True:
            asked = time.monotonic()
            if index.ask("HGET", f"ferry:u:{upload}", "shippedBytes") == str(size):
                break
            if asked > deadline:
                raise BenchError(f"upload {upload} does not get to the target")
            before = asked
    while not os.path.exists(final):
        if time.monotonic() > deadline:
            raise BenchError(f"upload {upload} is on the target and not committed")
        time.sleep(0.0005)
    return time.monotonic() - before


def _cat(place: Place, size: int, part: int) -> float:
    """Seconds that cat needs."""
    directory = place.scratch("cat")
    paths = [os.path.join(directory, f"{number:05d}") for number in range(-(-size // part))]
    body = os.urandom(part)
    for path in paths:
        with open(path, "wb") as file:
            file.write(body)
    whole = os.path.join(directory, "whole")
    done = run(["sh", "-c", 'out=$1; shift; cat "$@" >"$out"', "sh", whole, *paths], limit=300, what="cat")
    for path in [whole, *paths]:
        os.remove(path)
    return done.seconds


def _name(size: int) -> str:
    return f"{size // GIBIBYTE} GiB" if size >= GIBIBYTE else f"{size // MEBIBYTE} MiB"
