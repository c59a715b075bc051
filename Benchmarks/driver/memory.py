"""Row memory: what API and worker hold while many clients upload at once."""
from __future__ import annotations

import os
import shutil
import statistics
import sys
import time

from .load import Load, Shape
from .place import GIBIBYTE, MEBIBYTE, BenchError, Place, Settings, Stack
from .processes import cpu_seconds, resident_bytes
from .report import Line, verdict

INTERVAL = 0.5
LIMITS = {"api": 128 * MEBIBYTE, "worker": 96 * MEBIBYTE}
GROWTH = 1.1
WORKERS = 4


def measure(place: Place) -> list[Line]:
    """The rows, one a program."""
    smoke = place.sizes.is_smoke
    shape = Shape(3, MEBIBYTE, 1, 1.0) if smoke else Shape(200, 10 * MEBIBYTE, 2, 20.0)
    workers = 1 if smoke else WORKERS
    load_seconds = place.sizes.pick(120, 6)
    # In staging, and as part file or final file on the target.
    place.expect_space(2 * shape.clients * shape.part_bytes * shape.parts + GIBIBYTE)
    stack = place.stack(Settings(workers=workers))
    pids = {"api": stack.pid("api-1")} | {f"worker-{n}": stack.pid(f"worker-{n}") for n in range(1, workers + 1)}
    samples: dict[str, list[int]] = {name: [] for name in pids}
    in_flight: list[int] = []
    before = {name: cpu_seconds([pid]) for name, pid in pids.items()}
    with Load(stack.environment, shape) as load:
        began = time.monotonic()
        while (now := time.monotonic() - began) < load_seconds:
            _check(load, stack)
            for name, pid in pids.items():
                samples[name].append(resident_bytes(pid))
            in_flight.append(load.tally.in_flight)
            time.sleep(max(0.0, INTERVAL - (time.monotonic() - began - now)))
        cpu = {name: cpu_seconds([pid]) - before[name] for name, pid in pids.items()}
        received, done = load.tally.bytes_received, load.tally.uploads_done
    _check(load, stack)
    shutil.rmtree(os.path.join(stack.target_root, "memory"), ignore_errors=True)
    if received < 2 * shape.clients * shape.part_bytes or (done == 0 and not smoke):
        raise BenchError(
            f"in {load_seconds} s only {received / MEBIBYTE:.0f} MiB were received and {done} uploads done:"
            " too little to say anything about memory"
        )
    # The first clients are still being started then.
    average = statistics.mean(in_flight[len(in_flight) // 4 :])
    if average < shape.clients / 2 and not smoke:
        raise BenchError(
            f"only {average:.1f} of {shape.clients} clients were sending on average: shipping does not keep up"
        )
    print(
        f"bench:   {received / MEBIBYTE:.0f} MiB received, {done} uploads done,"
        f" {average:.1f} parts in flight on average, {load.tally.asked_to_wait} requests repeated",
        file=sys.stderr,
    )
    load_note = (
        f"VmRSS every {INTERVAL} s during {load_seconds} s, while {shape.clients} clients upload parts of"
        f" {shape.part_bytes // MEBIBYTE} MiB in bursts ({average:.0f} parts in flight on average,"
        f" {received / load_seconds / 1e6:.0f} MB/s received) and {workers} worker(s) of 4 sessions ship and commit"
        f" them; {place.medium}. Ratio: median of the last third over that of the middle third. Processor time: this"
        " program alone, for each GiB received."
    )
    fullest = max((name for name in pids if name != "api"), key=lambda name: max(samples[name]))
    clients = f"{shape.clients} clients at once, {workers} worker(s)"
    return [
        _line("memory api", clients, samples["api"], LIMITS["api"], cpu["api"] / received * GIBIBYTE, load_note, place),
        _line(
            "memory worker",
            clients,
            samples[fullest],
            LIMITS["worker"],
            cpu[fullest] / received * GIBIBYTE,
            f"{load_note} The fullest of the workers.",
            place,
        ),
    ]


def _check(load: Load, stack: Stack) -> None:
    try:
        load.check()
    except BenchError as error:
        tails = [f"{name}: {stack.log_tail(name)}" for name in ("api-1", "worker-1")]
        raise BenchError("\n".join([str(error), *tails])) from error


def _line(row: str, clients: str, samples: list[int], limit: int, cpu: float, note: str, place: Place) -> Line:
    third = len(samples) // 3
    if third == 0:
        raise BenchError(f"{len(samples)} samples are too few")
    peak = max(samples)
    growth = statistics.median(samples[2 * third :]) / statistics.median(samples[third : 2 * third])
    return Line(
        row=row,
        measures=f"resident memory, {clients}",
        ours=f"peak {peak / MEBIBYTE:.0f} MiB",
        ratio=f"{growth:.2f}",
        demanded=f"≤ {limit // MEBIBYTE} MiB, ≤ {GROWTH} ×",
        our_cpu=f"{cpu:.2f} s/GiB",
        our_memory=f"{peak / MEBIBYTE:.0f}",
        verdict=verdict(peak <= limit and growth <= GROWTH, place),
        note=note,
    )
