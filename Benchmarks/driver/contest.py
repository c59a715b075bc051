"""Ours and its peers in turn: one warm-up, then rounds, of which the medians count."""
from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .place import Sizes

OURS = "ours"


@dataclass(frozen=True)
class Attempt:
    """One measurement of one side."""

    seconds: float
    cpu_seconds: float
    """Of all processes that this side needs, the servers included."""
    peak_bytes: int = 0
    """Resident memory of all of them together at its highest; 0 where it was not looked at."""
    units: float | None = None
    """What was done, where it is not the same each time."""


@dataclass(frozen=True)
class Side:
    """What one side reached, in all rounds."""

    rates: tuple[float, ...]
    """In units a second."""
    cpu_per_unit: float
    """Processor seconds."""
    peak_bytes: int

    @property
    def rate(self) -> float:
        """The median."""
        return statistics.median(self.rates)


def side(attempts: list[Attempt], units: float) -> Side:
    """Rates, processor time and memory of some attempts."""
    return Side(
        rates=tuple((attempt.units or units) / attempt.seconds for attempt in attempts),
        cpu_per_unit=statistics.median(attempt.cpu_seconds / (attempt.units or units) for attempt in attempts),
        peak_bytes=max(attempt.peak_bytes for attempt in attempts),
    )


def contest(
    units: float,
    sizes: Sizes,
    sides: Mapping[str, Callable[[], Attempt]],
    *,
    unit: str = "MB",
    scale: float = 1e6,
) -> dict[str, Side]:
    """Alternates the sides, so that what the machine does meanwhile befalls all.

    `units` is what each attempt does, `unit` the name of `scale` units, for what is told on the way.
    """
    results: dict[str, list[Attempt]] = {name: [] for name in sides}
    for number in range(-1 if sizes.has_warm_up else 0, sizes.rounds):
        told: list[str] = []
        for name, attempt in sides.items():
            if sizes.is_disk:
                # So that nobody writes out what another left in memory.
                os.sync()
            done = attempt()
            told.append(f"{name} {(done.units or units) / done.seconds / scale:,.0f} {unit}/s")
            if number >= 0:
                results[name].append(done)
        heading = "warm-up" if number < 0 else f"round {number + 1}"
        print(f"bench:   {heading}: {', '.join(told)}", file=sys.stderr)
    return {name: side(attempts, units) for name, attempts in results.items()}


@dataclass(frozen=True)
class Ratio:
    """Ours to a peer's."""

    median: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        if self.lowest == self.highest:
            return f"{self.median:.2f}"
        return f"{self.median:.2f} ({self.lowest:.2f}–{self.highest:.2f})"


def ratio(ours: Side, peer: Side) -> Ratio:
    """Of the medians, with the spread over the rounds."""
    single = [mine / theirs for mine, theirs in zip(ours.rates, peer.rates, strict=True)]
    return Ratio(ours.rate / peer.rate, min(single), max(single))
