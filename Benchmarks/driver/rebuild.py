"""Row rebuild: an empty index and a broker without queues are made whole again from staging alone."""
from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import statistics
import sys
import time

from .place import GIBIBYTE, BenchError, Place, Settings, Stack
from .processes import cpu_seconds
from .report import Line, verdict

LIMIT = 60.0
PARTS = 20
PART_BYTES = 4096
ROUNDS = 3


def measure(place: Place) -> list[Line]:
    """The row."""
    uploads = 50 if place.sizes.is_smoke else 10_000
    place.expect_space(uploads * PARTS * 3 * PART_BYTES + GIBIBYTE // 4)
    stack = place.stack(Settings())
    stack.stop()
    stack.forget()
    _fill(stack.staging, stack.target, uploads)
    try:
        rounds = [_round(stack, uploads) for _ in range(place.sizes.pick(ROUNDS, 1))]
    finally:
        stack.stop()
        stack.forget()
    seconds = statistics.median(seconds for seconds, _ in rounds)
    cpu = statistics.median(cpu for _, cpu in rounds)
    spread = f"{min(seconds for seconds, _ in rounds):.1f}–{max(seconds for seconds, _ in rounds):.1f} s"
    return [
        Line(
            row="rebuild",
            measures=f"{uploads:,} unfinished uploads with {uploads * PARTS:,} parts",
            ours=f"{seconds:.1f} s",
            demanded=f"< {LIMIT:.0f} s",
            verdict=verdict(seconds < LIMIT, place),
            note=f"Redis emptied and the target's queues deleted, then a worker is started: from its start until the"
            f" index is staging's again, with every upload, every part and a ship job for each part recorded. Median"
            f" of {len(rounds)} ({spread}); the worker used {cpu:.1f} s of processor time. The worker goes on shipping"
            f" meanwhile. Everything {place.medium}; each upload has a record and 20 staged parts of 4 KiB, as a client"
            " leaves them before `complete`.",
        )
    ]


def _fill(staging: str, target: str, count: int) -> None:
    """Uploads as they lie in staging; the form is that of docs/architecture.md."""
    content = secrets.token_bytes(PART_BYTES)
    name = f"{PART_BYTES}-{hashlib.sha256(content).hexdigest()}"
    now = time.time_ns() // 1000
    for number in range(count):
        identifier = secrets.token_hex(16)
        place = os.path.join(staging, identifier[:2], identifier)
        os.makedirs(os.path.join(place, "parts"))
        os.mkdir(os.path.join(place, "tmp"))
        record = {
            "v": 1,
            "id": identifier,
            "owner": "alice",
            "target": target,
            "path": f"rebuild/{number % 100}/{number}.bin",
            "protocol": "native",
            "size": (PARTS + 1) * PART_BYTES,
            "partSize": PART_BYTES,
            "overwrite": "never",
            "metadata": {},
            "createdAt": now,
            "expiresAt": now + 86_400_000_000,
        }
        with open(os.path.join(place, "upload.json"), "w", encoding="utf-8") as file:
            json.dump(record, file)
        for part in range(PARTS):
            directory = os.path.join(place, "parts", f"{part * PART_BYTES:016x}")
            os.mkdir(directory)
            with open(os.path.join(directory, name), "wb") as file:
                file.write(content)


def _round(stack: Stack, uploads: int) -> tuple[float, float]:
    """Seconds, and processor seconds of the worker."""
    stack.forget_index()
    shutil.rmtree(os.path.join(stack.target_root, "rebuild"), ignore_errors=True)
    began = time.monotonic()
    stack.control("start", "worker-1")
    worker = stack.pid("worker-1")
    while stack.redis("EXISTS", "ferry:epoch") != "1":
        if time.monotonic() - began > 10 * LIMIT:
            raise BenchError(f"the index is not there after {10 * LIMIT:.0f} s: {stack.log_tail('worker-1')}")
        time.sleep(0.05)
    seconds = time.monotonic() - began
    cpu = cpu_seconds([worker])
    parts = stack.redis("EVAL", COUNT_PARTS, "0")
    known = stack.redis("ZCARD", "ferry:uploads")
    if (known, parts) != (str(uploads), str(uploads * PARTS)):
        raise BenchError(f"{known} uploads with {parts} parts came back of {uploads} with {uploads * PARTS}")
    stack.control("kill", "worker-1")
    stack.control("stop", "worker-1")
    print(f"bench:   {known} uploads, {parts} parts in {seconds:.1f} s", file=sys.stderr)
    return seconds, cpu


COUNT_PARTS = """
local sum = 0
for _, id in ipairs(redis.call('ZRANGE', 'ferry:uploads', 0, -1)) do
  sum = sum + redis.call('HLEN', 'ferry:u:' .. id .. ':parts')
end
return sum
"""
