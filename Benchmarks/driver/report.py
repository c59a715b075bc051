"""The table, and RESULTS.md with the machine that it was measured on."""
from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .place import Place

HEADINGS = [
    "Row", "Measures", "Ours", "Peer", "Ratio", "Demanded", "CPU s/GiB, ours", "CPU s/GiB, peer", "Measured", "Verdict",
]


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    row: str
    measures: str
    ours: str
    peer: str
    ratio: str
    demanded: str
    our_cpu: str
    peer_cpu: str
    verdict: str
    """met, below, or shown."""
    note: str
    """What is included."""


def demanded(is_met: bool, place: Place) -> str:
    """The verdict; a smoke run demands nothing."""
    if place.sizes.is_smoke:
        return "shown"
    return "met" if is_met else "below"


def _markdown(line: Line, day: str) -> str:
    cells = [f"`{line.row}`", line.measures, line.ours, line.peer, line.ratio, line.demanded, line.our_cpu]
    return f"| {' | '.join([*cells, line.peer_cpu, day, line.verdict])} |"


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _framed(lines: list[str]) -> str:
    return "\n".join([f"| {' | '.join(HEADINGS)} |", f"|{' --- |' * len(HEADINGS)}", *lines])


def table(lines: list[Line]) -> str:
    """The table of this run."""
    return _framed([_markdown(line, _today()) for line in lines])


def print_notes(lines: list[Line]) -> None:
    """What each row includes."""
    print()
    for line in lines:
        print(f"- `{line.row}`: {line.note}")


def update_results(path: str, lines: list[Line]) -> None:
    """Writes the table; rows that were not measured now stay, if they were measured on the same machine."""
    machine = _machine()
    rows = {line.row: _markdown(line, _today()) for line in lines}
    notes = {line.row: f"- `{line.row}`: {line.note}" for line in lines}
    try:
        with open(path, encoding="utf-8") as file:
            old = file.read()
    except FileNotFoundError:
        old = ""
    if machine in old:
        for match in re.finditer(r"^\| `([a-z0-9 -]+)` \|.*$", old, re.MULTILINE):
            rows.setdefault(match[1], match[0])
        for match in re.finditer(r"^- `([a-z0-9 -]+)`: .*$", old, re.MULTILINE):
            notes.setdefault(match[1], match[0])
    text = "\n".join(
        [
            "# What was measured",
            "",
            "Written by `make bench`. Each row: ours and the peer in turn on the same machine, one warm-up, then the"
            " median of five.",
            "",
            f"Machine: {machine}",
            "",
            f"Versions, {_today()}: {_versions()}",
            "",
            _framed([rows[row] for row in sorted(rows, key=_order)]),
            "",
            *[notes[row] for row in sorted(notes, key=_order)],
            "",
        ]
    )
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)
    print(f"bench: written to {os.path.relpath(path)}", file=sys.stderr)


def _order(row: str) -> tuple[int, str]:
    known = ["ship-1", "whole", "memory api", "memory worker", "rebuild"]
    return (known.index(row) if row in known else len(known), row)


def _machine() -> str:
    model = "unknown processor"
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    model = line.partition(":")[2].strip()
                    break
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0))
    return f"{model}, {cores} cores, Linux {platform.release()} {platform.machine()}"


def _versions() -> str:
    """First words of what each program says about itself."""

    def said(pattern: str, *command: str) -> str:
        try:
            done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
        except OSError:
            return ""
        match = re.search(pattern, done.stdout + done.stderr)
        return match[0] if match else ""

    here = os.path.dirname(os.path.abspath(__file__))
    commit = said(r"^[0-9a-f]+\S*", "git", "-C", here, "describe", "--always", "--dirty", "--abbrev=12")
    found = [
        f"Ferry {commit}" if commit else "",
        said(r"Swift version [\d.]+", "swift", "--version"),
        said(r"OpenSSH_[\w.]+", "ssh", "-V"),
        said(r"OpenSSL [\d.]+", "openssl", "version"),
        said(r"rclone v[\w.-]+", "rclone", "version"),
        said(r"Redis server v=[\d.]+", "redis-server", "--version"),
        said(r"libssh2-1[^ ]* [\w.+-]+", "dpkg-query", "-W", "-f", "${Package} ${Version}", "libssh2-1"),
        said(r"rabbitmq-server [\w.+-]+", "dpkg-query", "-W", "-f", "${Package} ${Version}", "rabbitmq-server"),
    ]
    return ", ".join(version for version in found if version)
