"""Row whole: a file from `ferry upload` to its verified commit, beside rclone with its hash check."""
from __future__ import annotations

import itertools
import os

from . import peers
from .contest import OURS, Attempt, contest
from .place import GIBIBYTE, MEBIBYTE, BenchError, Place, Settings, sha256_of
from .processes import Meter, run
from .report import Demand, Line, versus


def measure(place: Place) -> list[Line]:
    """The row."""
    size = place.sizes.file_bytes
    # Source, staging, the part file on the target, and the copy of one that is still being cleaned up.
    place.expect_space(5 * size + GIBIBYTE // 4)
    source = place.source()
    digest = sha256_of(source)
    stack = place.stack(Settings())
    limit = 120 + size / 5e5
    numbers = itertools.count(1)

    def attempt(command: list[str], name: str, what: str, environment: dict[str, str], servers: list[int]) -> Attempt:
        with Meter(servers) as meter:
            done = run(command, limit=limit, what=what, environment=environment, meter=meter)
            stack.await_clean()
            cpu = meter.cpu()
        path = os.path.join(stack.target_root, name)
        if sha256_of(path) != digest:
            raise BenchError(f"what {what} put on the target differs from its source")
        os.remove(path)
        return Attempt(done.seconds, cpu, meter.peak_bytes)

    def ours() -> Attempt:
        name = f"whole/ours-{next(numbers)}.bin"
        command = [place.program("ferry"), "upload", "--json", source, f"{stack.target}:{name}"]
        return attempt(command, name, "ferry upload", peers.environment() | stack.environment, stack.pids())

    sides = {OURS: ours}
    rclone = peers.rclone(place, place.stack_ssh(), "copyto")
    if rclone is not None:

        def peer() -> Attempt:
            name = f"whole/peer-{next(numbers)}.bin"
            command = rclone(source, os.path.join(stack.target_root, name))
            return attempt(command, name, "rclone copyto", peers.environment(), [stack.pid("sshd")])

        sides["rclone"] = peer
    return [
        versus(
            place,
            "whole",
            f"{size // MEBIBYTE} MiB from `ferry upload` to its commit",
            contest(size, place.sizes, sides),
            [Demand(1.0, ("rclone",))],
            "Ours: whole run of `ferry upload`, which sends over HTTP into staging while one worker ships over SFTP,"
            " takes the SHA-256 of every part on the target and commits. Peer: whole run of `rclone copyto`, straight"
            " to the target with its own cipher, and its hash check, an MD5 taken on the target by md5sum. Both files"
            f" are compared by SHA-256 afterwards. Everything {place.medium}. Processor time: client and servers, the"
            " API, the worker, Redis and RabbitMQ among ours; the clean-up after the commit is in it.",
        )
    ]
