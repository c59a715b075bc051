"""Row ship-1: one SFTP session against `sftp put`, with the same cipher and MAC."""
from __future__ import annotations

import os

from .contest import Attempt, contest
from .place import GIBIBYTE, MEBIBYTE, Place, sha256_of
from .processes import BenchError, cpu_seconds, run, wait_until_alone
from .report import Line, demanded

CIPHER = "aes128-ctr"
MAC = "hmac-sha2-256"
DEMANDED = 0.9


def measure(place: Place) -> list[Line]:
    """The row."""
    sizes = place.sizes
    program = place.program("ShipOneSession")
    sftp = place.tool("sftp", "openssh-client")
    place.expect_space(2 * sizes.file_bytes + GIBIBYTE // 4)
    server = place.ssh()
    source = place.source()
    digest = sha256_of(source)
    final = os.path.join(place.scratch("ship"), "file.bin")
    batch = os.path.join(place.scratch("ship"), "batch")
    with open(batch, "w", encoding="utf-8") as file:
        file.write(f'put "{source}" "{final}"\n')
    address = f"{server.user}@127.0.0.1"
    ours = [program, "--port", str(server.port), "--user", server.user, "--key", server.key]
    ours += ["--host-key", server.fingerprint, "--source", source, "--path", final]
    peer = [sftp, "-q", "-F", "/dev/null", "-b", batch, "-P", str(server.port), "-i", server.key]
    for option in (
        f"Ciphers={CIPHER}",
        f"MACs={MAC}",
        "Compression=no",
        "IdentitiesOnly=yes",
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={server.known_hosts}",
    ):
        peer += ["-o", option]
    peer.append(address)

    def attempt(command: list[str], what: str) -> Attempt:
        wait_until_alone(server.pid, 10)
        before = cpu_seconds([server.pid])
        done = run(command, limit=60 + sizes.file_bytes / 1e6, what=what)
        wait_until_alone(server.pid, 10)
        served = cpu_seconds([server.pid]) - before
        if sha256_of(final) != digest:
            raise BenchError(f"what {what} put on the target differs from its source")
        os.remove(final)
        return Attempt(done.seconds, done.cpu_seconds + served)

    first, second = contest(
        sizes.file_bytes,
        sizes.rounds,
        lambda: attempt(ours, "ShipOneSession"),
        lambda: attempt(peer, "sftp put"),
        warm_up=not sizes.is_smoke,
    )
    ratio = first.rate / second.rate
    return [
        Line(
            row="ship-1",
            measures=f"{sizes.file_bytes // MEBIBYTE} MiB over one session",
            ours=f"{first.rate:.0f} MB/s",
            peer=f"`sftp put` {second.rate:.0f} MB/s",
            ratio=f"{ratio:.2f}",
            demanded=f"≥ {DEMANDED} ×",
            our_cpu=f"{first.cpu_per_gibibyte:.2f}",
            peer_cpu=f"{second.cpu_per_gibibyte:.2f}",
            verdict=demanded(ratio >= DEMANDED, place),
            note=f"Whole run of each program, from its start to its end: connecting, logging in, reading the source on"
            f" tmpfs, shipping over loopback with {CIPHER} and {MAC}, closing. The server writes to tmpfs; nothing is"
            " fsynced or verified in that time (both files are compared by SHA-256 after it). Processor time: client"
            " and sshd.",
        )
    ]
