"""A private Ferry that runs, and how it is set up for a row."""
from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from .processes import BenchError


@dataclass(frozen=True)
class Settings:
    """What a row wants otherwise than scripts/stack sets it."""

    workers: int = 1
    target_port: int | None = None
    """Another way to the target: a delay proxy's."""
    sessions: int = 4
    """SFTP sessions of each worker."""
    verify: str = "auto"
    merge: str = "auto"
    fsync: bool = True
    """Whether staging is fsynced."""


@dataclass
class Stack:
    """A private Ferry; `control(verb, name)` starts, stops or kills one of its processes."""

    directory: str
    control: Callable[[str, str], None]
    broker: Callable[..., None]
    """rabbitmqctl on its virtual host."""
    environment: dict[str, str] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    _written: str = ""

    def read(self) -> None:
        """Takes over what `scripts/stack up` has written."""
        with open(os.path.join(self.directory, "env"), encoding="utf-8") as file:
            for line in file:
                name, _, value = line.removeprefix("export ").strip().partition("=")
                self.environment[name] = "".join(shlex.split(value))
        with open(self.environment["FERRY_CONFIG"], encoding="utf-8") as file:
            self._written = file.read()

    @property
    def target(self) -> str:
        """The target's id."""
        return self.environment["STACK_TARGET"]

    @property
    def target_root(self) -> str:
        """Its directory on this machine."""
        return self.environment["STACK_TARGET_ROOT"]

    @property
    def staging(self) -> str:
        """Staging's directory."""
        return self.environment["FERRY_STAGING_PATH"]

    def pid(self, name: str) -> int:
        """The process of redis, rabbitmq, sshd, api-1, worker-1."""
        try:
            with open(os.path.join(self.directory, "run", f"{name}.pid"), encoding="utf-8") as file:
                return int(file.read())
        except (OSError, ValueError) as error:
            raise BenchError(f"{name} of the stack in {self.directory} does not run") from error

    def names(self) -> list[str]:
        """All processes that the stack started itself."""
        names = sorted(os.listdir(os.path.join(self.directory, "run")))
        return [name.removesuffix(".pid") for name in names if name.endswith(".pid")]

    def pids(self) -> list[int]:
        """Theirs."""
        return [self.pid(name) for name in self.names()]

    def port(self, name: str) -> str:
        """The port of redis, rabbitmq, sshd."""
        try:
            with open(os.path.join(self.directory, "ports", name), encoding="utf-8") as file:
                return file.read().strip()
        except OSError as error:
            raise BenchError(f"{name} of the stack in {self.directory} has no port") from error

    def log(self, name: str) -> str:
        """All that a program has said."""
        try:
            with open(os.path.join(self.directory, "log", f"{name}.log"), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def log_tail(self, name: str) -> str:
        """The last lines of that."""
        return "\n".join(self.log(name).splitlines()[-5:])

    def redis(self, *command: str) -> str:
        """What Redis answers."""
        done = subprocess.run(
            ["redis-cli", "-p", self.port("redis"), *command],
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        answer = done.stdout.strip()
        if done.returncode != 0 or answer.startswith("ERR"):
            raise BenchError(f"redis-cli {command[0]}: {answer or done.stderr.strip()}")
        return answer

    def index(self) -> Index:
        """A connection of its own to Redis, for questions that must be cheap."""
        return Index(int(self.port("redis")))

    def configure(self, settings: Settings) -> None:
        """Runs API and workers with these settings; does nothing where they do already."""
        workers = [f"worker-{number}" for number in range(1, settings.workers + 1)]
        present = [name for name in self.names() if name.startswith("worker-")]
        if settings != self.settings:
            self.stop()
            present = []
            with open(self.environment["FERRY_CONFIG"], "w", encoding="utf-8") as file:
                file.write(written_with(self._written, settings))
            self.settings = settings
        for name in present:
            if name not in workers:
                self.control("stop", name)
        self.start(workers)

    def stop(self) -> None:
        """Stops API and workers; the servers go on."""
        for name in self.names():
            if name.startswith(("worker-", "api-")):
                self.control("stop", name)

    def start(self, workers: list[str]) -> None:
        """Starts the API and these workers, as far as they do not run."""
        for name in ["api-1", *workers]:
            if name not in self.names():
                self.control("start", name)

    def forget(self) -> None:
        """Empties index, broker, staging and target, while neither API nor worker runs."""
        self.forget_index()
        for place in (self.staging, self.target_root):
            for name in os.listdir(place):
                path = os.path.join(place, name)
                shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)

    def forget_index(self) -> None:
        """Empties Redis and takes the target's queues away."""
        self.redis("FLUSHALL")
        for kind in ("ship", "merge"):
            try:
                self.broker("delete_queue", f"ferry.{kind}.{self.target}")
            except BenchError as error:
                if "not found" not in str(error).lower():
                    raise

    def renew(self) -> None:
        """The same stack as if nothing had been sent yet."""
        workers = [name for name in self.names() if name.startswith("worker-")]
        self.stop()
        self.forget()
        self.start(workers)

    def await_clean(self, seconds: float = 60) -> None:
        """Waits until nothing of an upload's bytes is left in staging, so that clean-up is not in a peer's time."""
        deadline = time.monotonic() + seconds
        while True:
            left = [name for _, _, names in os.walk(self.staging) for name in names if len(name) > 64]
            if not left:
                return
            if time.monotonic() > deadline:
                raise BenchError(f"{len(left)} parts are still in staging {seconds:.0f} s after the commit")
            time.sleep(0.05)


class Index:
    """Asks Redis for single values, some ten microseconds each."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 5)
        self._answers = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._socket.close()

    def ask(self, *command: str) -> str | None:
        """A string, or nothing where there is none (RESP2)."""
        words = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in command)
        self._socket.sendall(f"*{len(command)}\r\n{words}".encode())
        head = self._answers.readline()
        if not head.startswith(b"$"):
            raise BenchError(f"Redis answered {command[0]} with {head!r}")
        length = int(head[1:])
        if length < 0:
            return None
        return self._answers.read(length + 2)[:-2].decode()


def written_with(text: str, settings: Settings) -> str:
    """What scripts/stack wrote, changed."""
    changes = [
        (r"fsync: true", f"fsync: {str(settings.fsync).lower()}"),
        (
            r"^    sessions: \d+$",
            f"    sessions: {settings.sessions}\n    verify: {settings.verify}\n    merge: {settings.merge}",
        ),
    ]
    if settings.target_port is not None:
        changes.append((r"^    port: \d+$", f"    port: {settings.target_port}"))
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        if count != 1:
            raise BenchError(f"scripts/stack writes a configuration that is not known here: {count} times {pattern}")
    return text
