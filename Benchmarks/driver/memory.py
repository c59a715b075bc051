"""Row memory: what API and worker hold while many clients upload at once."""
from __future__ import annotations

import os
import shutil
import statistics
import sys
import time

from .load import Load
from .place import GIBIBYTE, MEBIBYTE, Place, Stack
from .processes import BenchError, cpu_seconds, resident_bytes
from .report import Line, demanded

INTERVAL = 0.5
LIMITS = {"api": 100 * MEBIBYTE, "worker": 150 * MEBIBYTE}
GROWTH = 1.1


def measure(place: Place) -> list[Line]:
    """The rows, one a program."""
    sizes = place.sizes
    # For every client two uploads in staging, two part files, and the final files they replace.
    place.expect_space(8 * sizes.clients * sizes.part_bytes * sizes.parts_per_upload + GIBIBYTE // 4)
    stack = place.stack()
    pids = {"api": stack.pid("api-1"), "worker": stack.pid("worker-1")}
    samples: dict[str, list[int]] = {name: [] for name in pids}
    in_flight: list[int] = []
    before = {name: cpu_seconds([pid]) for name, pid in pids.items()}
    with Load(stack.environment, sizes.clients, sizes.part_bytes, sizes.parts_per_upload) as load:
        began = time.monotonic()
        while (now := time.monotonic() - began) < sizes.load_seconds:
            _check(load, stack)
            for name, pid in pids.items():
                samples[name].append(resident_bytes(pid))
            in_flight.append(load.tally.in_flight)
            time.sleep(max(0.0, INTERVAL - (time.monotonic() - began - now)))
        cpu = {name: cpu_seconds([pid]) - before[name] for name, pid in pids.items()}
        received, done = load.tally.bytes_received, load.tally.uploads_done
    _check(load, stack)
    shutil.rmtree(os.path.join(stack.environment["STACK_TARGET_ROOT"], "memory"), ignore_errors=True)
    least = 2 * sizes.clients * sizes.part_bytes
    if received < least or (done == 0 and not sizes.is_smoke):
        raise BenchError(
            f"in {sizes.load_seconds:.0f} s only {received / MEBIBYTE:.0f} MiB were received and {done} uploads done:"
            " too little to say anything about memory"
        )
    average = statistics.mean(in_flight)
    if average < sizes.clients / 2 and not sizes.is_smoke:
        raise BenchError(
            f"only {average:.1f} of {sizes.clients} clients were sending on average: shipping does not keep up"
        )
    print(
        f"bench:   {received / MEBIBYTE:.0f} MiB received, {done} uploads done,"
        f" {average:.1f} parts in flight on average, {load.tally.asked_to_wait} requests repeated",
        file=sys.stderr,
    )
    load_note = (
        f"VmRSS every {INTERVAL} s during {sizes.load_seconds:.0f} s, while {sizes.clients} clients upload parts of"
        f" {sizes.part_bytes // MEBIBYTE} MiB in bursts ({average:.0f} parts in flight on average,"
        f" {received / sizes.load_seconds / 1e6:.0f} MB/s received) and one worker ships and commits them; staging and"
        " target on tmpfs. Ratio: median of the last third over that of the middle third. Processor time: this program"
        " alone, for each GiB received."
    )
    return [
        _line(f"memory {name}", samples[name], LIMITS[name], cpu[name] / received * GIBIBYTE, load_note, place)
        for name in pids
    ]


def _check(load: Load, stack: Stack) -> None:
    try:
        load.check()
    except BenchError as error:
        tails = [f"{name}: {stack.log_tail(name)}" for name in ("api-1", "worker-1")]
        raise BenchError("\n".join([str(error), *tails])) from error


def _line(row: str, samples: list[int], limit: int, cpu: float, note: str, place: Place) -> Line:
    third = len(samples) // 3
    if third == 0:
        raise BenchError(f"{len(samples)} samples are too few")
    peak = max(samples)
    middle = statistics.median(samples[third : 2 * third])
    last = statistics.median(samples[2 * third :])
    growth = last / middle
    return Line(
        row=row,
        measures=f"resident memory, {place.sizes.clients} clients at once",
        ours=f"peak {peak / MEBIBYTE:.0f} MiB",
        peer="–",
        ratio=f"{growth:.2f}",
        demanded=f"≤ {limit // MEBIBYTE} MiB, ≤ {GROWTH} ×",
        our_cpu=f"{cpu:.2f}",
        peer_cpu="–",
        verdict=demanded(peak <= limit and growth <= GROWTH, place),
        note=note,
    )
