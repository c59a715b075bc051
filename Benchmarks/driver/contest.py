"""Ours and a peer in turn: one warm-up, then rounds, of which the medians count."""
from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Attempt:
    """One measurement of one side."""

    seconds: float
    cpu_seconds: float
    """Of all processes that this side needs, the servers included."""


@dataclass(frozen=True)
class Side:
    """The medians of one side."""

    rate: float
    """In MB/s."""
    cpu_per_gibibyte: float


def medians(attempts: list[Attempt], size: int) -> Side:
    """Rate and processor time."""
    return Side(
        rate=size / statistics.median(attempt.seconds for attempt in attempts) / 1e6,
        cpu_per_gibibyte=statistics.median(attempt.cpu_seconds for attempt in attempts) / size * (1 << 30),
    )


def contest(
    size: int, rounds: int, ours: Callable[[], Attempt], peer: Callable[[], Attempt], *, warm_up: bool
) -> tuple[Side, Side]:
    """Alternates the two, so that what the machine does meanwhile befalls both."""
    results: tuple[list[Attempt], list[Attempt]] = ([], [])
    for number in range(-1 if warm_up else 0, rounds):
        rates: list[str] = []
        for attempts, attempt in zip(results, (ours, peer), strict=True):
            done = attempt()
            rates.append(f"{size / done.seconds / 1e6:.0f}")
            if number >= 0:
                attempts.append(done)
        name = "warm-up" if number < 0 else f"round {number + 1}"
        print(f"bench:   {name}: ours {rates[0]} MB/s, peer {rates[1]} MB/s", file=sys.stderr)
    return medians(results[0], size), medians(results[1], size)
