"""Rows ship-1, ship-n, ship-far: Ferry's SFTP client against others, from a file to a file on the server."""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from . import peers
from .contest import OURS, Attempt, contest
from .place import GIBIBYTE, MEBIBYTE, BenchError, Place, SSHServer, sha256_of
from .processes import Meter, run, wait_until_alone
from .report import Demand, Line, versus

CIPHER = "aes128-ctr"
MAC = "hmac-sha2-256"
GCM = "aes128-gcm@openssh.com"
PART_SIZE = 8 * MEBIBYTE
WHOLE_RUN = (
    "Whole run of each program, from its start to its end: connecting, logging in, reading the source, shipping,"
    " closing. Nothing is fsynced or verified in that time; files are compared by SHA-256 after it."
)


class _Way(NamedTuple):
    """How ours is shipped."""

    sessions: int
    transport: str = "libssh2"

    @property
    def cipher(self) -> str:
        """libssh2 knows no GCM."""
        return GCM if self.transport == "openssh" else CIPHER


class _Shipping:
    """One file to one place on a private sshd."""

    def __init__(self, place: Place, size: int) -> None:
        self._place = place
        place.expect_space(2 * size + GIBIBYTE // 4)
        self.server = place.ssh()
        self.source = place.source(size)
        self._digest = sha256_of(self.source)
        self._final = os.path.join(place.scratch("ship"), "file.bin")
        self._limit = 60 + size / 1e6

    def ours(self, server: SSHServer, way: _Way) -> Callable[[], Attempt]:
        """ShipFile."""
        command = [self._place.program("ShipFile"), "--port", str(server.port), "--user", server.user]
        command += ["--key", server.key, "--host-key", server.fingerprint, "--cipher", way.cipher, "--mac", MAC]
        command += ["--transport", way.transport, "--sessions", str(way.sessions), "--part-size", str(PART_SIZE)]
        command += ["--source", self.source, "--path", self._final]
        return lambda: self._attempt(command, f"ShipFile over {way.sessions} session(s)")

    def peer(self, command: peers.Command, name: str) -> Callable[[], Attempt]:
        """Another program."""
        return lambda: self._attempt(command(self.source, self._final), name)

    def _attempt(self, command: list[str], what: str) -> Attempt:
        server = self.server.pid
        wait_until_alone(server, 10)
        with Meter([server]) as meter:
            done = run(command, limit=self._limit, what=what, environment=peers.environment(), meter=meter)
            wait_until_alone(server, 10)
            cpu = meter.cpu()
        if sha256_of(self._final) != self._digest:
            raise BenchError(f"what {what} put on the target differs from its source")
        os.remove(self._final)
        return Attempt(done.seconds, cpu, meter.peak_bytes)


def _present(commands: Mapping[str, peers.Command | None]) -> dict[str, peers.Command]:
    return {name: command for name, command in commands.items() if command is not None}


def _best(shipping: _Shipping, server: SSHServer, choice: list[_Way]) -> _Way:
    """The way that is fastest here, each tried twice."""
    if len(choice) == 1:
        return choice[0]
    tried = {way: min(shipping.ours(server, way)().seconds for _ in range(2)) for way in choice}
    return min(tried, key=lambda way: tried[way])


def one(place: Place) -> list[Line]:
    """The row ship-1."""
    size = place.sizes.file_bytes
    shipping = _Shipping(place, size)
    others = _present({"sftp": peers.sftp(place, shipping.server, cipher=CIPHER, mac=MAC)})
    sides = {OURS: shipping.ours(shipping.server, _Way(1))}
    sides |= {name: shipping.peer(command, name) for name, command in others.items()}
    return [
        versus(
            place,
            "ship-1",
            f"{size // MEBIBYTE} MiB over one session",
            contest(size, place.sizes, sides),
            [Demand(1.0, ("sftp",))],
            f"{WHOLE_RUN} Both with {CIPHER} and {MAC}, over loopback, source and target {place.medium}.",
        )
    ]


def several(place: Place) -> list[Line]:
    """The row ship-n."""
    size = place.sizes.file_bytes
    shipping = _Shipping(place, size)
    server = shipping.server
    choice = [_Way(count, transport) for transport in ("libssh2", "openssh") for count in (1, 2, 3, 4)]
    way = _best(shipping, server, choice[1:2] if place.sizes.is_smoke else choice)
    others = _present(
        {
            "sftp": peers.sftp(place, server),
            "rclone": peers.rclone(place, server, "copyto", *peers.UNCHECKED),
            "lftp": peers.lftp(place, server),
            "asyncssh": peers.python(place, server, "asyncssh"),
            "paramiko": peers.python(place, server, "paramiko"),
        }
    )
    sides = {OURS: shipping.ours(server, way)}
    sides |= {name: shipping.peer(command, name) for name, command in others.items()}
    return [
        versus(
            place,
            "ship-n",
            f"{size // MEBIBYTE} MiB, each at its best",
            contest(size, place.sizes, sides),
            [Demand(1.2, ("sftp", "rclone"))],
            f"{WHOLE_RUN} Ours: {way.sessions} session(s) by `transport: {way.transport}`, the fastest of 1 to 4 by either,"
            f" parts of {PART_SIZE // MEBIBYTE} MiB, {way.cipher}{'' if way.cipher == GCM else f' and {MAC}'}. Peers: AES-128 in GCM mode, their best here; rclone without its hash check."
            f" Loopback, source and target {place.medium}.",
        )
    ]


def far(place: Place) -> list[Line]:
    """The rows ship-far: at 20 ms and at 100 ms."""
    return [
        _far(place, 20, place.sizes.file_bytes, 3.0, (4, 8, 12)),
        _far(place, 100, place.sizes.file_bytes // 4, 6.0, (16, 20, 24)),
    ]


def _far(place: Place, milliseconds: int, size: int, factor: float, choice: tuple[int, ...]) -> Line:
    shipping = _Shipping(place, size)
    server = place.far(shipping.server, milliseconds)
    carried = place.carried(milliseconds)
    ways = [_Way(count) for count in choice]
    way = _best(shipping, server, ways[:1] if place.sizes.is_smoke else ways)
    others = _present(
        {
            "sftp": peers.sftp(place, server),
            "rclone": peers.rclone(place, server, "copyto", *peers.UNCHECKED),
        }
    )
    sides = {OURS: shipping.ours(server, way)}
    sides |= {name: shipping.peer(command, name) for name, command in others.items()}
    return versus(
        place,
        f"ship-far {milliseconds}",
        f"{size // MEBIBYTE} MiB at a round trip of {milliseconds} ms",
        contest(size, place.sizes, sides),
        [Demand(factor, ("sftp", "rclone"))],
        f"{WHOLE_RUN} Ours: {way.sessions} sessions, the fastest of {', '.join(map(str, choice))}, opened at once, parts"
        f" of {PART_SIZE // MEBIBYTE} MiB, {CIPHER} and {MAC}. Peers: AES-128 in GCM mode, one session, as they have"
        f" it. {proxy_note(carried.round_trip, carried.rate)}",
    )


def proxy_note(round_trip: float, rate: float) -> str:
    """What the delay is made of."""
    return (
        f"The delay is a proxy's on loopback: measured round trip {round_trip * 1e3:.1f} ms, alone it carries"
        f" {rate / 1e6:,.0f} MB/s; its own processor time is not counted."
    )
