"""Processes as /proc shows them: processor time of whole families, resident memory; and running one to its end."""
from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

_TICKS = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """A measurement that cannot be made, with what to do about it."""


def _fields(pid: int) -> list[str] | None:
    """/proc/PID/stat behind the name (proc(5)): [0] state, [1] parent, [11..14] times; None where it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def cpu_seconds(roots: list[int]) -> float:
    """Processor seconds of these processes and all their descendants, those that were waited for included."""
    children: dict[int, list[int]] = {}
    times: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        fields = _fields(int(name))
        if fields is None:
            continue
        children.setdefault(int(fields[1]), []).append(int(name))
        times[int(name)] = sum(int(field) for field in fields[11:15])
    total = 0
    queue = list(dict.fromkeys(roots))
    while queue:
        pid = queue.pop()
        total += times.get(pid, 0)
        queue += children.get(pid, [])
    return total / _TICKS


def has_children(pid: int) -> bool:
    """Whether any process has this one as its parent."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _fields(int(name))
            if fields is not None and int(fields[1]) == pid:
                return True
    return False


def wait_until_alone(pid: int, seconds: float) -> None:
    """Waits until a server has no session left, so that all their time is counted."""
    deadline = time.monotonic() + seconds
    while has_children(pid):
        if time.monotonic() > deadline:
            raise BenchError(f"process {pid} still has sessions {seconds:.0f} s after the last one should have ended")
        time.sleep(0.01)


def resident_bytes(pid: int) -> int:
    """VmRSS of a process (proc(5)); raises where it has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    raise BenchError(f"process {pid} ended while it was measured")


@dataclass(frozen=True)
class Ran:
    """A program that ran to its end."""

    seconds: float
    cpu_seconds: float


def run(command: list[str], *, limit: float, what: str, environment: dict[str, str] | None = None) -> Ran:
    """Runs a program in a session of its own and measures it; with its output as the error if it fails."""
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise BenchError(f"{what}: {command[0]} cannot be started: {error.strerror}") from error
    late = threading.Event()

    def kill() -> None:
        late.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(limit, kill)
    timer.start()
    try:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        elapsed = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    except BaseException:
        kill()
        raise
    finally:
        timer.cancel()
    if late.is_set():
        raise BenchError(f"{what} did not end within {limit:.0f} s")
    if process.returncode != 0:
        tail = output.decode("utf-8", "replace").strip().splitlines()[-5:]
        raise BenchError(f"{what} ended with {process.returncode}: {' / '.join(tail) or 'it said nothing'}")
    return Ran(elapsed, usage.ru_utime + usage.ru_stime)
