"""The lines of the table: what was measured, held against what is demanded."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from .contest import OURS, Side, ratio
from .place import GIBIBYTE, MEBIBYTE, Place

HEADINGS = [
    "Row", "Measures", "Ours", "Peers", "Ratio", "Demanded", "CPU, ours", "CPU, best peer", "MiB, ours",
    "MiB, best peer", "Measured", "Verdict",
]


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    row: str
    measures: str
    ours: str
    verdict: str
    """met, below, or shown."""
    note: str
    """What is included."""
    peer: str = "–"
    ratio: str = "–"
    demanded: str = "–"
    our_cpu: str = "–"
    peer_cpu: str = "–"
    our_memory: str = "–"
    peer_memory: str = "–"

    def on_disk(self) -> Self:
        """The same line under a name that says where."""
        return replace(self, row=f"{self.row} disk", demanded="–")


def verdict(is_met: bool, place: Place) -> str:
    """A smoke run demands nothing, and neither does one on disk."""
    if place.sizes.is_smoke or place.sizes.is_disk:
        return "shown"
    return "met" if is_met else "below"


@dataclass(frozen=True)
class Demand:
    """At least so many times the best of some peers."""

    factor: float
    peers: tuple[str, ...]


@dataclass(frozen=True)
class Unit:
    """What is counted."""

    name: str
    """Of `scale` of them: `MB`, `files`."""
    scale: float = 1.0
    cpu_name: str = ""
    """What processor time is told for."""
    cpu_scale: float = 1.0

    def rate(self, side: Side) -> str:
        """With the spread, where there is any."""
        values = [value / self.scale for value in (side.rate, min(side.rates), max(side.rates))]
        digits = 0 if values[0] >= 10 else 1
        middle, low, high = (f"{value:,.{digits}f}" for value in values)
        return f"{middle} {self.name}/s" if low == high else f"{middle} {self.name}/s ({low}–{high})"

    def cpu(self, side: Side) -> str:
        """Processor seconds for so many."""
        return f"{side.cpu_per_unit * self.cpu_scale:.2f} {self.cpu_name}"


BYTES = Unit("MB", 1e6, "s/GiB", GIBIBYTE)


def versus(
    place: Place,
    row: str,
    measures: str,
    sides: Mapping[str, Side],
    demands: list[Demand],
    note: str,
    unit: Unit = BYTES,
) -> Line:
    """Ours against the peers that were measured beside it."""
    ours = sides[OURS]
    peers = {name: side for name, side in sides.items() if name != OURS}
    best = max(peers, key=lambda name: peers[name].rate, default=None)
    ratios: list[str] = []
    demanded: list[str] = []
    is_met = True
    for demand in demands:
        known = [name for name in demand.peers if name in peers]
        demanded.append(f"≥ {demand.factor:g} × {' or '.join(demand.peers)}")
        if not known:
            # Nothing was held against anything.
            is_met = False
            continue
        peer = max(known, key=lambda name: peers[name].rate)
        found = ratio(ours, peers[peer])
        ratios.append(f"{found} × {peer}")
        is_met = is_met and found.median >= demand.factor
    if not demands and best is not None:
        ratios.append(f"{ratio(ours, peers[best])} × {best}")
    return Line(
        row=row,
        measures=measures,
        ours=unit.rate(ours),
        peer="; ".join(f"{name} {unit.rate(side)}" for name, side in peers.items()) or "–",
        ratio="; ".join(ratios) or "–",
        demanded="; ".join(demanded) or "–",
        our_cpu=unit.cpu(ours),
        peer_cpu=unit.cpu(peers[best]) if best is not None else "–",
        our_memory=_mebibytes(ours.peak_bytes),
        peer_memory=_mebibytes(peers[best].peak_bytes) if best is not None else "–",
        verdict=verdict(is_met, place) if demands else "shown",
        note=note,
    )


def _mebibytes(count: int) -> str:
    return f"{count / MEBIBYTE:,.0f}" if count else "–"
