"""Row whole: a file from `ferry upload` to its verified commit, beside rclone with its hash check."""
from __future__ import annotations

import itertools
import os
import time

from .contest import Attempt, contest
from .place import GIBIBYTE, MEBIBYTE, Place, sha256_of
from .processes import BenchError, cpu_seconds, run
from .report import Line


def measure(place: Place) -> list[Line]:
    """The row."""
    sizes = place.sizes
    rclone = place.tool("rclone", "rclone")
    # Source, staging, the part file on the target, and the copy of one that is still being cleaned up.
    place.expect_space(5 * sizes.file_bytes + GIBIBYTE // 4)
    source = place.source()
    digest = sha256_of(source)
    stack = place.stack()
    target = stack.environment["STACK_TARGET"]
    root = stack.environment["STACK_TARGET_ROOT"]
    server = place.stack_ssh()
    staging = stack.environment["FERRY_STAGING_PATH"]
    limit = 120 + sizes.file_bytes / 5e5
    numbers = itertools.count(1)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("FERRY_", "RCLONE_"))}
    configuration = os.path.join(place.scratch("rclone"), "none.conf")
    with open(configuration, "w", encoding="utf-8"):
        pass

    def attempt(command: list[str], name: str, what: str, environment: dict[str, str]) -> Attempt:
        pids = stack.pids()
        before = cpu_seconds(pids)
        done = run(command, limit=limit, what=what, environment=environment)
        served = cpu_seconds(pids) - before
        path = os.path.join(root, name)
        if sha256_of(path) != digest:
            raise BenchError(f"what {what} put on the target differs from its source")
        os.remove(path)
        return Attempt(done.seconds, done.cpu_seconds + served)

    def ours() -> Attempt:
        name = f"whole/ours-{next(numbers)}.bin"
        command = [place.program("ferry"), "upload", "--json", source, f"{target}:{name}"]
        done = attempt(command, name, "ferry upload", plain | stack.environment)
        await_clean(staging)
        return done

    def peer() -> Attempt:
        name = f"whole/peer-{next(numbers)}.bin"
        command = [rclone, "copyto", source, f":sftp:{root}/{name}", "--config", configuration]
        command += ["--sftp-host", "127.0.0.1", "--sftp-port", str(server.port), "--sftp-user", server.user]
        command += ["--sftp-key-file", server.key, "--sftp-known-hosts-file", server.known_hosts]
        command += ["--sftp-shell-type", "unix", "--sftp-md5sum-command", "md5sum", "--retries", "1"]
        return attempt(command, name, "rclone copyto", plain)

    first, second = contest(sizes.file_bytes, sizes.rounds, ours, peer, warm_up=not sizes.is_smoke)
    return [
        Line(
            row="whole",
            measures=f"{sizes.file_bytes // MEBIBYTE} MiB from `ferry upload` to its commit",
            ours=f"{first.rate:.0f} MB/s",
            peer=f"`rclone copyto` {second.rate:.0f} MB/s",
            ratio=f"{first.rate / second.rate:.2f}",
            demanded="–",
            our_cpu=f"{first.cpu_per_gibibyte:.2f}",
            peer_cpu=f"{second.cpu_per_gibibyte:.2f}",
            verdict="shown",
            note="Ours: whole run of `ferry upload`, which sends over HTTP into staging while one worker ships over"
            " SFTP, takes the SHA-256 of every part on the target and commits; staging and target on tmpfs, where an"
            " fsync costs nothing. Peer: whole run of rclone's sftp, straight to the target with its own cipher, and"
            " its hash check, an MD5 taken on the target by md5sum. Both files are compared by SHA-256 afterwards."
            " Processor time: client and all servers; the API, the worker, Redis and RabbitMQ among them.",
        )
    ]


def await_clean(staging: str) -> None:
    """Waits until nothing of an upload's bytes is left in staging, so that clean-up is not in the peer's time."""
    deadline = time.monotonic() + 60
    while True:
        left = [name for _, _, names in os.walk(staging) for name in names if len(name) > 64]
        if not left:
            return
        if time.monotonic() > deadline:
            raise BenchError(f"{len(left)} parts are still in staging 60 s after the commit")
        time.sleep(0.05)
