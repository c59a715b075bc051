"""Processes as /proc shows them: processor time and memory of whole families; and running one to its end."""
from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class BenchError(Exception):
    """A measurement that cannot be made, with what to do about it."""


class Skipped(BenchError):
    """One that is not to be made here, for a reason that is no fault."""


def _fields(pid: int) -> list[str] | None:
    """/proc/PID/stat behind the name (proc(5)): [0] state, [1] parent, [11..14] times; None where it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _families(roots: list[int]) -> list[list[str]]:
    """The fields of these processes and of all their descendants."""
    children: dict[int, list[int]] = {}
    known: dict[int, list[str]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        fields = _fields(int(name))
        if fields is None:
            continue
        children.setdefault(int(fields[1]), []).append(int(name))
        known[int(name)] = fields
    found = []
    queue = list(dict.fromkeys(roots))
    while queue:
        pid = queue.pop()
        if pid in known:
            found.append(known[pid])
        queue += children.get(pid, [])
    return found


def cpu_seconds(roots: list[int]) -> float:
    """Processor seconds of these processes and all their descendants, those that were waited for included."""
    return sum(int(field) for fields in _families(roots) for field in fields[11:15]) / _TICKS


def resident_families(roots: list[int]) -> int:
    """Resident bytes of these processes and all their descendants; what they share is counted for each."""
    return sum(int(fields[21]) for fields in _families(roots)) * _PAGE


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


class Meter:
    """A context that tells processor time and memory of servers, and of the clients that are started in it."""

    INTERVAL = 0.2
    """Seconds between two looks at memory: seldom enough not to disturb what is measured."""

    def __init__(self, servers: list[int]) -> None:
        self._servers = servers
        self._clients: list[int] = []
        self._before = 0.0
        self._own_before = 0.0
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="meter", daemon=True)
        self.client_seconds = 0.0
        """Processor seconds of the clients that ended."""
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        self._before = cpu_seconds(self._servers)
        self._own_before = time.process_time()
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watcher.join()

    def began(self, pid: int) -> None:
        """A client runs."""
        self._clients.append(pid)

    def ended(self, pid: int, seconds: float) -> None:
        """It has ended, and needed so many processor seconds."""
        self._clients.remove(pid)
        self.client_seconds += seconds

    def cpu(self, *, own: bool = False) -> float:
        """Processor seconds so far; with `own`, this program is a client, too."""
        mine = time.process_time() - self._own_before if own else 0.0
        return cpu_seconds(self._servers) - self._before + self.client_seconds + mine

    def _watch(self) -> None:
        while not self._ended.wait(self.INTERVAL):
            self.peak_bytes = max(self.peak_bytes, resident_families([*self._servers, *self._clients]))


@dataclass(frozen=True)
class Ran:
    """A program that ran to its end."""

    seconds: float
    cpu_seconds: float
    output: str


def run(
    command: list[str],
    *,
    limit: float,
    what: str,
    environment: dict[str, str] | None = None,
    meter: Meter | None = None,
) -> Ran:
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
    if meter is not None:
        meter.began(process.pid)
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
    if meter is not None:
        meter.ended(process.pid, usage.ru_utime + usage.ru_stime)
    if late.is_set():
        raise BenchError(f"{what} did not end within {limit:.0f} s")
    text = output.decode("utf-8", "replace")
    if process.returncode != 0:
        tail = text.strip().splitlines()[-5:]
        raise BenchError(f"{what} ended with {process.returncode}: {' / '.join(tail) or 'it said nothing'}")
    return Ran(elapsed, usage.ru_utime + usage.ru_stime, text)


class Background:
    """A server that runs until it is stopped; its output goes to a file."""

    def __init__(
        self,
        command: list[str],
        log: str,
        environment: dict[str, str] | None = None,
        directory: str | None = None,
    ) -> None:
        self._log = log
        self._name = os.path.basename(command[0])
        with open(log, "wb") as output:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=environment,
                    cwd=directory,
                    start_new_session=True,
                )
            except OSError as error:
                raise BenchError(f"{command[0]} cannot be started: {error.strerror}") from error

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        if self._process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def said(self) -> str:
        """The end of its output."""
        with open(self._log, encoding="utf-8", errors="replace") as file:
            return file.read()[-800:].strip()

    def stop(self) -> None:
        """Ends it, and with it whatever it started in its session."""
        if self._process.returncode is not None:
            return
        self._process.terminate()
        deadline = time.monotonic() + 10
        # Not taken off the kernel's list before its family is ended: until then the number is its own.
        while os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()

    def await_ready(self, is_ready: Callable[[], bool], seconds: float = 20) -> None:
        """Waits until a condition holds."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            if self.has_ended or time.monotonic() > deadline:
                raise BenchError(f"{self._name} is not ready: {self.said() or 'it said nothing'}")
            time.sleep(0.05)
