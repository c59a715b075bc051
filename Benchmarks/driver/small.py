"""Rows small and small-far: many small files, each from the client to its verified commit."""
from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Callable

from . import peers
from .client import ferry, in_threads
from .contest import OURS, Attempt, contest
from .place import GIBIBYTE, BenchError, Place, Settings, sha256_of
from .processes import Meter, run
from .report import Demand, Line, Unit, versus
from .ship import proxy_note
from .stack import Stack

FILE_BYTES = 10 * 1024
# Requests that the client has open at once.
CONNECTIONS = 16
FILES = Unit("files", 1.0, "s/GiB", GIBIBYTE / FILE_BYTES)


def near(place: Place) -> list[Line]:
    """The row small."""
    count = place.sizes.pick(2_000, 20)
    stack = place.stack(Settings())
    files = _Files(place, stack, count)
    server = place.stack_ssh()
    commands = {
        "rclone": peers.rclone(place, server, "copy", "--ignore-checksum"),
        "sftp": peers.sftp(place, server),
    }
    sides = {OURS: files.ours}
    sides |= {name: files.peer(command, name) for name, command in commands.items() if command is not None}
    return [
        versus(
            place,
            "small",
            f"{count:,} files of 10 KiB through the whole system",
            contest(count, place.sizes, sides, unit="files", scale=1),
            [Demand(0.7, ("rclone",))],
            f"{_OURS} Peers: whole run of `rclone copy --ignore-checksum` with its 4 transfers, and of `sftp` with `put"
            f" -r`, straight to the target. Everything {place.medium}.",
            FILES,
        )
    ]


def far(place: Place) -> list[Line]:
    """The row small-far."""
    count = place.sizes.pick(500, 10)
    milliseconds = 20
    place.stack(Settings())
    server = place.far(place.stack_ssh(), milliseconds)
    carried = place.carried(milliseconds)
    files = _Files(place, place.stack(Settings(target_port=server.port)), count)
    commands = {"rclone": peers.rclone(place, server, "copy", "--ignore-checksum")}
    sides = {OURS: files.ours}
    sides |= {name: files.peer(command, name) for name, command in commands.items() if command is not None}
    return [
        versus(
            place,
            "small-far",
            f"{count:,} files of 10 KiB, the target {milliseconds} ms away",
            contest(count, place.sizes, sides, unit="files", scale=1),
            [Demand(10.0, ("rclone",))],
            f"{_OURS} Peer: whole run of `rclone copy --ignore-checksum` with its 4 transfers, straight to the target."
            f" {proxy_note(carried.round_trip, carried.rate)} Everything {place.medium}.",
            FILES,
        )
    ]


_OURS = (
    f"Ours: from the first of {CONNECTIONS} connections' `PUT /v1/files` to the last file's appearance at its final"
    " path; one worker, whose sessions are open already, ships and commits, with `verify: auto`, which proves every"
    " file by its SHA-256 on the target. Processor time includes the clean-up after that, and a client in Python."
)


class _Files:
    """The files, and their way to a directory on the target."""

    def __init__(self, place: Place, stack: Stack, count: int) -> None:
        self._stack = stack
        self._directory = place.scratch(f"small-{count}")
        self._limit = 60 + count / 5
        self._numbers = itertools.count(1)
        self._digests: dict[str, str] = {}
        for number in range(count):
            path = os.path.join(self._directory, f"file-{number}.bin")
            with open(path, "wb") as file:
                file.write(os.urandom(FILE_BYTES))
            self._digests[os.path.basename(path)] = sha256_of(path)

    def ours(self) -> Attempt:
        """Through Ferry."""
        name = f"small/ours-{next(self._numbers)}"
        final = os.path.join(self._stack.target_root, name)
        names = iter(sorted(self._digests))

        def send(_: int) -> None:
            with ferry(self._stack.environment) as client:
                # Taking the next one is a single step of the interpreter.
                while (file := next(names, None)) is not None:
                    with open(os.path.join(self._directory, file), "rb") as source:
                        body = source.read()
                    client.expect({202}, "PUT", f"/v1/files/{self._stack.target}/{name}/{file}", body)

        with Meter(self._stack.pids()) as meter:
            began = time.monotonic()
            in_threads(CONNECTIONS, send)
            seconds = self._await_all(final, began)
            self._stack.await_clean()
            cpu = meter.cpu(own=True)
        self._check(final)
        return Attempt(seconds, cpu, meter.peak_bytes)

    def peer(self, command: peers.Command, what: str) -> Callable[[], Attempt]:
        """Straight to the target."""

        def attempt() -> Attempt:
            final = os.path.join(self._stack.target_root, f"small/peer-{next(self._numbers)}")
            os.makedirs(final)
            with Meter([self._stack.pid("sshd")]) as meter:
                done = run(
                    command(self._directory, final),
                    limit=self._limit,
                    what=what,
                    environment=peers.environment(),
                    meter=meter,
                )
                cpu = meter.cpu()
            self._check(final)
            return Attempt(done.seconds, cpu, meter.peak_bytes)

        return attempt

    def _await_all(self, final: str, began: float) -> float:
        while True:
            present = [name for name in _names(final) if not name.startswith(".")]
            seconds = time.monotonic() - began
            if len(present) == len(self._digests):
                return seconds
            if seconds > self._limit:
                tail = self._stack.log_tail("worker-1")
                raise BenchError(f"{len(present)} of {len(self._digests)} files arrived in {seconds:.0f} s: {tail}")
            time.sleep(0.02)

    def _check(self, final: str) -> None:
        for name, digest in self._digests.items():
            if sha256_of(os.path.join(final, name)) != digest:
                raise BenchError(f"{name} differs on the target from its source")
        shutil.rmtree(final)


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
