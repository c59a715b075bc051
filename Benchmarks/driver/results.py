"""The table as Markdown, and RESULTS.md with the machine and the versions that it was measured with."""
from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import sys

from . import venv
from .report import HEADINGS, Line


def _markdown(line: Line, day: str) -> str:
    cells = [f"`{line.row}`", line.measures, line.ours, line.peer, line.ratio, line.demanded, line.our_cpu]
    cells += [line.peer_cpu, line.our_memory, line.peer_memory, day, line.verdict]
    return f"| {' | '.join(cells)} |"


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


INTRODUCTION = [
    "# What was measured",
    "",
    "Written by `make bench`. Each row: ours and its peers in turn on the same machine, one warm-up, then the median of"
    " five, with the lowest and the highest. Processor time is that of all programs that a side needs, clients and"
    " servers; MiB is the most that they held together, looked at every 0.2 s, what processes share counted for each."
    " Rows that end in `disk` were measured once more, on disk, and demand nothing: Ferry fsyncs there, most peers do"
    " not.",
    "",
]


def update_results(path: str, lines: list[Line], order: list[str]) -> None:
    """Writes the table; rows that were not measured now stay, if they were measured on the same machine."""
    machine = _machine()
    rows = {line.row: _markdown(line, _today()) for line in lines}
    notes = {line.row: f"- `{line.row}`: {line.note}" for line in lines}
    try:
        with open(path, encoding="utf-8") as file:
            old = file.read()
    except FileNotFoundError:
        old = ""
    if f"Machine: {machine}\n" in old and f"| {' | '.join(HEADINGS)} |" in old:
        for match in re.finditer(r"^\| `([a-z0-9 -]+)` \|.*$", old, re.MULTILINE):
            rows.setdefault(match[1], match[0])
        for match in re.finditer(r"^- `([a-z0-9 -]+)`: .*$", old, re.MULTILINE):
            notes.setdefault(match[1], match[0])

    def place(row: str) -> tuple[bool, int, str]:
        name = row.split(" ")[0]
        return (row.endswith(" disk"), order.index(name) if name in order else len(order), row)

    text = "\n".join(
        [
            *INTRODUCTION,
            f"Machine: {machine}",
            "",
            f"Versions, {_today()}: {_versions(os.path.dirname(os.path.dirname(path)))}",
            "",
            _framed([rows[row] for row in sorted(rows, key=place)]),
            "",
            *[notes[row] for row in sorted(notes, key=place)],
            "",
        ]
    )
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)
    print(f"bench: written to {os.path.relpath(path)}", file=sys.stderr)


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


def _versions(root: str) -> str:
    """First words of what each program says about itself."""

    def said(pattern: str, *command: str) -> str:
        try:
            done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
        except OSError:
            return ""
        match = re.search(pattern, done.stdout + done.stderr)
        return match[0] if match else ""

    def package(name: str) -> str:
        return said(rf"{name}[^ ]* [\w.+~-]+", "dpkg-query", "-W", "-f", "${Package} ${Version}", name)

    commit = said(r"^[0-9a-f]+\S*", "git", "-C", root, "describe", "--always", "--dirty", "--abbrev=12")
    found = [
        f"Ferry {commit}" if commit else "",
        said(r"Swift version [\d.]+", "swift", "--version"),
        said(r"OpenSSH_[\w.]+", "ssh", "-V"),
        said(r"OpenSSL [\d.]+", "openssl", "version"),
        said(r"rclone v[\w.-]+", "rclone", "version"),
        said(r"Redis server v=[\d.]+", "redis-server", "--version"),
        *[package(name) for name in ("libssh2-1", "librabbitmq4", "rabbitmq-server", "lftp", "nginx", "wrk")],
        f"Python {platform.python_version()}",
        *venv.versions(os.path.join(root, ".stack-bench", "peers")),
    ]
    return ", ".join(version for version in found if version)
