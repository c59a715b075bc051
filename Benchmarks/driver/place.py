"""Where a benchmark happens: built programs, a directory on tmpfs, a private sshd and stack; all of it undone."""
from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Self

from .processes import BenchError

__all__ = ["BenchError", "Place", "SSHServer", "Sizes", "Stack"]

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    is_smoke: bool
    file_bytes: int
    rounds: int
    clients: int
    part_bytes: int
    parts_per_upload: int
    load_seconds: float

    @classmethod
    def full(cls) -> Self:
        """What the table is made of."""
        return cls(False, GIBIBYTE, 5, 20, 10 * MEBIBYTE, 5, 75)

    @classmethod
    def smoke(cls) -> Self:
        """Enough to see that it works."""
        return cls(True, 8 * MEBIBYTE, 1, 3, MEBIBYTE, 1, 8)


@dataclass(frozen=True)
class SSHServer:
    """A server with the client's side of its keys."""

    port: int
    user: str
    key: str
    known_hosts: str
    fingerprint: str
    pid: int


@dataclass
class Stack:
    """A private Ferry that runs."""

    directory: str
    environment: dict[str, str] = field(default_factory=dict)

    def pid(self, name: str) -> int:
        """The process of redis, rabbitmq, sshd, api-1, worker-1."""
        try:
            with open(os.path.join(self.directory, "run", f"{name}.pid"), encoding="utf-8") as file:
                return int(file.read())
        except (OSError, ValueError) as error:
            raise BenchError(f"{name} of the stack in {self.directory} does not run") from error

    def pids(self) -> list[int]:
        """All processes that the stack started itself."""
        names = sorted(os.listdir(os.path.join(self.directory, "run")))
        return [self.pid(name.removesuffix(".pid")) for name in names if name.endswith(".pid")]

    def port(self, name: str) -> str:
        """The port of redis, rabbitmq, sshd."""
        try:
            with open(os.path.join(self.directory, "ports", name), encoding="utf-8") as file:
                return file.read().strip()
        except OSError as error:
            raise BenchError(f"{name} of the stack in {self.directory} has no port") from error

    def log_tail(self, name: str) -> str:
        """The last lines of a program's log."""
        try:
            with open(os.path.join(self.directory, "log", f"{name}.log"), encoding="utf-8", errors="replace") as file:
                return "".join(file.readlines()[-5:]).strip()
        except OSError:
            return ""


class Place:
    """A context: what was started and made in it is gone after it."""

    def __init__(self, root: str, sizes: Sizes, programs: str | None) -> None:
        self.root = root
        self.sizes = sizes
        self._programs = programs or os.environ.get("STACK_PROGRAMS") or None
        self._is_given = self._programs is not None
        self._built: set[str] = set()
        self._scratch = ""
        self._directory = os.path.join(root, ".stack-bench")
        self._server: subprocess.Popen[bytes] | None = None
        self._ssh: SSHServer | None = None
        self._stack: Stack | None = None
        self._source = ""

    def __enter__(self) -> Self:
        # A stack that an interrupted run left behind.
        self._call("scripts/stack", "wipe", environment=self._stack_environment())
        try:
            self._scratch = tempfile.mkdtemp(prefix="ferry-bench-", dir="/dev/shm")
        except OSError as error:
            raise BenchError(f"no directory on tmpfs can be made: {error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if self._server is not None:
            self._server.terminate()
            self._server.wait()
        try:
            self._call("scripts/stack", "wipe", environment=self._stack_environment())
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)
            shutil.rmtree(self._directory + "-sshd", ignore_errors=True)

    def scratch(self, name: str) -> str:
        """A directory on tmpfs."""
        path = os.path.join(self._scratch, name)
        os.makedirs(path, exist_ok=True)
        return path

    def expect_space(self, count: int) -> None:
        """Refuses to begin what tmpfs has no room for."""
        free = shutil.disk_usage(self._scratch).free
        if free < count:
            raise BenchError(f"{count / GIBIBYTE:.1f} GiB are needed on /dev/shm, {free / GIBIBYTE:.1f} are free")

    def source(self) -> str:
        """The random file that is sent, on tmpfs."""
        if not self._source:
            path = os.path.join(self.scratch("source"), "file.bin")
            with open(path, "wb") as file:
                left = self.sizes.file_bytes
                while left > 0:
                    left -= file.write(os.urandom(min(left, 16 * MEBIBYTE)))
            self._source = path
        return self._source

    def program(self, product: str) -> str:
        """The path of a built program: release, or the tests' debug build in a smoke run."""
        how = ["--package-path", self.root]
        if self.sizes.is_smoke:
            how += ["--scratch-path", os.path.join(self.root, ".build")]
        else:
            how += ["-c", "release", "--scratch-path", os.path.join(self.root, ".build-release")]
        if self._programs is None:
            self._programs = self._output("swift", "build", *how, "--show-bin-path").strip()
        if not self._is_given and product not in self._built:
            print(f"bench: building {product}", file=sys.stderr)
            self._output("swift", "build", *how, "--product", product)
            self._built.add(product)
        path = os.path.join(self._programs, product)
        if not os.access(path, os.X_OK):
            raise BenchError(f"{path} is not there; build it first")
        return path

    def tool(self, command: str, package: str) -> str:
        """The path of a peer, installed if it lacks."""
        if shutil.which(command) is None:
            self._call("scripts/install", package)
        path = shutil.which(command)
        if path is None:
            raise BenchError(f"{command} is not there, although the package {package} is installed")
        return path

    def ssh(self) -> SSHServer:
        """A private sshd with the machine's own configuration of ciphers."""
        if self._ssh is None:
            directory = self._directory + "-sshd"
            shutil.rmtree(directory, ignore_errors=True)
            port = int(self._output("bash", "-c", "source scripts/servers/ports.bash && free_port"))
            with open(os.path.join(self._scratch, "sshd.log"), "wb") as log:
                self._server = subprocess.Popen(
                    [os.path.join(self.root, "scripts/servers/sshd"), directory, str(port)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self._await_greeting(port)
            with open(os.path.join(directory, "fingerprints"), encoding="utf-8") as file:
                fingerprint = file.read().split()[1]
            self._ssh = SSHServer(
                port=port,
                user=self._output("id", "-un").strip(),
                key=os.path.join(directory, "client_ed25519"),
                known_hosts=os.path.join(directory, "known_hosts"),
                fingerprint=fingerprint,
                pid=self._server.pid,
            )
        return self._ssh

    def stack(self) -> Stack:
        """A private Ferry with one worker, staging and target on tmpfs."""
        if self._stack is None:
            for product in ("ferry-api", "ferry-worker", "ferry"):
                self.program(product)
            self.scratch("staging")
            self.scratch("target")
            self._call("scripts/stack", "up", environment=self._stack_environment())
            stack = Stack(self._directory)
            with open(os.path.join(self._directory, "env"), encoding="utf-8") as file:
                for line in file:
                    name, _, value = line.removeprefix("export ").strip().partition("=")
                    stack.environment[name] = "".join(shlex.split(value))
            self._stack = stack
        return self._stack

    def control(self, verb: str, name: str) -> None:
        """Starts, stops or kills one process of the stack."""
        self._call("scripts/stack", verb, name, environment=self._stack_environment())

    def broker(self, *arguments: str) -> None:
        """rabbitmqctl on the stack's broker and virtual host."""
        place = os.path.join(self._directory, "rabbitmq")
        self._call("scripts/servers/rabbitmqctl", place, "-p", "ferry", *arguments)

    def stack_ssh(self) -> SSHServer:
        """The stack's own target as a server for peers."""
        stack = self.stack()
        directory = os.path.join(self._directory, "sshd")
        return SSHServer(
            port=int(stack.environment["STACK_SSH_PORT"]),
            user=stack.environment["STACK_SSH_USER"],
            key=stack.environment["STACK_SSH_KEY"],
            known_hosts=os.path.join(directory, "known_hosts"),
            fingerprint="",
            pid=stack.pid("sshd"),
        )

    def _stack_environment(self) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FERRY_")}
        environment |= {"STACK_DIR": self._directory, "WORKERS": "1"}
        if self._scratch:
            environment["STACK_STAGING"] = os.path.join(self._scratch, "staging")
            environment["STACK_ROOT"] = os.path.join(self._scratch, "target")
        if self._programs is not None:
            environment["STACK_PROGRAMS"] = self._programs
        return environment

    def _await_greeting(self, port: int) -> None:
        deadline = time.monotonic() + 15
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), 2) as connection:
                    if connection.recv(8).startswith(b"SSH-2.0-"):
                        return
            except OSError:
                pass
            if time.monotonic() > deadline or self._server is None or self._server.poll() is not None:
                with open(os.path.join(self._scratch, "sshd.log"), encoding="utf-8", errors="replace") as log:
                    raise BenchError(f"the private sshd does not answer: {log.read()[-500:].strip()}")
            time.sleep(0.05)

    def _call(self, program: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self._output(os.path.join(self.root, program), *arguments, environment=environment)

    def _output(self, *command: str, environment: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            command,
            cwd=self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip().splitlines()[-12:]
            raise BenchError(f"{shlex.join(command)} ended with {done.returncode}:\n" + "\n".join(said))
        return done.stdout


def sha256_of(path: str) -> str:
    """The digest of a file, in hexadecimal."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}") from error
