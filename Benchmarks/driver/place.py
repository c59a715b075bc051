"""Where a benchmark happens: built programs, a scratch directory, a private sshd and stack; all of it undone."""
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
from dataclasses import dataclass, replace
from typing import Self

from . import delay, venv
from .processes import Background, BenchError
from .stack import Settings, Stack

__all__ = ["BenchError", "Place", "SSHServer", "Settings", "Sizes", "Stack"]

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    is_smoke: bool
    rounds: int
    """Measured ones, after the warm-up."""
    is_disk: bool = False

    def pick(self, full: int, smoke: int) -> int:
        """One of two amounts."""
        return smoke if self.is_smoke else full

    @property
    def file_bytes(self) -> int:
        """The file that most rows send."""
        return self.pick(GIBIBYTE, 8 * MEBIBYTE)

    @property
    def has_warm_up(self) -> bool:
        """Whether a round that does not count comes first."""
        return not self.is_smoke


@dataclass(frozen=True)
class SSHServer:
    """A server with the client's side of its keys."""

    port: int
    user: str
    key: str
    known_hosts: str
    fingerprint: str
    pid: int


class Place:
    """A context: what was started and made in it is gone after it."""

    def __init__(self, root: str, sizes: Sizes, programs: str | None, *, only_installed: bool = False) -> None:
        self.root = root
        self.sizes = sizes
        self._only_installed = only_installed
        self._programs = programs or os.environ.get("STACK_PROGRAMS") or None
        self._is_given = self._programs is not None
        self._built: set[str] = set()
        self._scratch = ""
        self._base = os.path.join(root, ".stack-bench")
        self._directory = os.path.join(self._base, "stack")
        self._servers: list[Background] = []
        self._ssh: SSHServer | None = None
        self._stack: Stack | None = None
        self._sources: dict[int, str] = {}
        self._delayed: dict[tuple[int, int], SSHServer] = {}
        self._carried: dict[int, delay.Carried] = {}

    def __enter__(self) -> Self:
        os.makedirs(self._base, exist_ok=True)
        # A stack that an interrupted run left behind.
        self._call("scripts/stack", "wipe", environment=self._stack_environment())
        try:
            place = self._base if self.sizes.is_disk else "/dev/shm"
            self._scratch = tempfile.mkdtemp(prefix="ferry-bench-", dir=place)
        except OSError as error:
            raise BenchError(f"no scratch directory can be made: {error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        try:
            for server in reversed(self._servers):
                server.stop()
            self._call("scripts/stack", "wipe", environment=self._stack_environment())
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)
            shutil.rmtree(os.path.join(self._base, "sshd"), ignore_errors=True)

    @property
    def medium(self) -> str:
        """Where files lie, in words."""
        return "on disk" if self.sizes.is_disk else "on tmpfs"

    def scratch(self, name: str) -> str:
        """A directory on tmpfs, or on disk if that is what is measured."""
        path = os.path.join(self._scratch, name)
        os.makedirs(path, exist_ok=True)
        return path

    def expect_space(self, count: int) -> None:
        """Refuses to begin what there is no room for."""
        free = shutil.disk_usage(self._scratch).free
        if free < count:
            raise BenchError(f"{count / GIBIBYTE:.1f} GiB are needed {self.medium}, {free / GIBIBYTE:.1f} are free")

    def source(self, size: int | None = None) -> str:
        """The random file that is sent."""
        size = size or self.sizes.file_bytes
        if size not in self._sources:
            path = os.path.join(self.scratch("source"), f"{size}.bin")
            with open(path, "wb") as file:
                left = size
                while left > 0:
                    left -= file.write(os.urandom(min(left, 16 * MEBIBYTE)))
            self._sources[size] = path
        return self._sources[size]

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

    def tool(self, command: str, package: str) -> str | None:
        """The path of a peer's program, installed if it lacks; nothing where only what is installed is wanted."""
        if shutil.which(command, path=_PATH) is None:
            if self._only_installed:
                print(f"bench:   {command} is not installed and is left out", file=sys.stderr)
                return None
            print(f"bench:   installing {package}", file=sys.stderr)
            self._call("scripts/install", package)
        path = shutil.which(command, path=_PATH)
        if path is None:
            raise BenchError(f"{command} is not there, although the package {package} is installed")
        return path

    def python(self) -> str | None:
        """A Python that has the peers from PyPI; nothing where only what is installed is wanted."""
        return venv.python(os.path.join(self._base, "peers"), only_installed=self._only_installed)

    def browser_python(self) -> str | None:
        """A Python that drives a browser; nothing where only what is installed is wanted."""
        options = ["--installed"] if self._only_installed else []
        try:
            return self._output(os.path.join(self.root, "scripts", "browser-python"), *options).strip()
        except BenchError:
            if not self._only_installed:
                raise
            return None

    def free_port(self) -> int:
        """One on loopback that nobody uses."""
        return int(self._output("bash", "-c", "source scripts/servers/ports.bash && free_port"))

    def serve(self, command: list[str], name: str, *, directory: str | None = None) -> Background:
        """Starts a server, which is stopped with everything else."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("FERRY_")}
        server = Background(command, os.path.join(self._scratch, f"{name}.log"), environment, directory)
        self._servers.append(server)
        return server

    def ssh(self) -> SSHServer:
        """A private sshd with the machine's own configuration of ciphers."""
        if self._ssh is None:
            directory = os.path.join(self._base, "sshd")
            shutil.rmtree(directory, ignore_errors=True)
            port = self.free_port()
            server = self.serve([os.path.join(self.root, "scripts/servers/sshd"), directory, str(port)], "sshd")
            server.await_ready(lambda: _greets(port))
            with open(os.path.join(directory, "fingerprints"), encoding="utf-8") as file:
                fingerprint = file.read().split()[1]
            self._ssh = SSHServer(
                port=port,
                user=self._output("id", "-un").strip(),
                key=os.path.join(directory, "client_ed25519"),
                known_hosts=os.path.join(directory, "known_hosts"),
                fingerprint=fingerprint,
                pid=server.pid,
            )
        return self._ssh

    def stack(self, settings: Settings) -> Stack:
        """A private Ferry, with staging and target in scratch directories, set up as a row wants it."""
        if self._stack is None:
            for product in ("ferry-api", "ferry-worker", "ferry"):
                self.program(product)
            self.scratch("staging")
            self.scratch("target")
            self._call("scripts/stack", "up", environment=self._stack_environment())
            stack = Stack(self._directory, self._control, self._broker)
            stack.read()
            self._stack = stack
        self._stack.configure(settings)
        return self._stack

    def _control(self, verb: str, name: str) -> None:
        self._call("scripts/stack", verb, name, environment=self._stack_environment())

    def _broker(self, *arguments: str) -> None:
        place = os.path.join(self._directory, "rabbitmq")
        self._call("scripts/servers/rabbitmqctl", place, "-p", "ferry", *arguments)

    def stack_ssh(self) -> SSHServer:
        """The stack's own target as a server for peers."""
        assert self._stack is not None
        directory = os.path.join(self._directory, "sshd")
        return SSHServer(
            port=int(self._stack.environment["STACK_SSH_PORT"]),
            user=self._stack.environment["STACK_SSH_USER"],
            key=self._stack.environment["STACK_SSH_KEY"],
            known_hosts=os.path.join(directory, "known_hosts"),
            fingerprint="",
            pid=self._stack.pid("sshd"),
        )

    def far(self, server: SSHServer, milliseconds: int) -> SSHServer:
        """The same server behind a round trip of so many milliseconds."""
        key = (server.port, milliseconds)
        if key not in self._delayed:
            port = self._delay(server.port, milliseconds)
            with open(server.known_hosts, encoding="utf-8") as file:
                known = file.read()
            path = os.path.join(self.scratch("known-hosts"), str(port))
            with open(path, "w", encoding="utf-8") as file:
                file.write(known.replace(f"]:{server.port} ", f"]:{port} "))
            self._delayed[key] = replace(server, port=port, known_hosts=path)
        return self._delayed[key]

    def carried(self, milliseconds: int) -> delay.Carried:
        """What the delay proxy does to connections, measured without SSH."""
        if milliseconds not in self._carried:
            amount = self.sizes.pick(GIBIBYTE, 16 * MEBIBYTE)
            self._carried[milliseconds] = delay.probe(lambda port: self._delay(port, milliseconds), 4, amount)
        return self._carried[milliseconds]

    def _delay(self, to: int, milliseconds: int) -> int:
        port = self.free_port()
        command = [sys.executable, "-m", "driver.delay", str(port), str(to), str(milliseconds)]
        server = self.serve(command, f"delay-{port}", directory=os.path.join(self.root, "Benchmarks"))
        server.await_ready(lambda: _listens(port))
        return port

    def _stack_environment(self) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FERRY_")}
        environment |= {"STACK_DIR": self._directory, "WORKERS": "1"}
        if self._scratch:
            environment["STACK_STAGING"] = os.path.join(self._scratch, "staging")
            environment["STACK_ROOT"] = os.path.join(self._scratch, "target")
        if self._programs is not None:
            environment["STACK_PROGRAMS"] = self._programs
        return environment

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


# Servers are in directories that are not in every user's path.
_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            return connection.recv(8).startswith(b"SSH-2.0-")
    except OSError:
        return False


def _listens(port: int) -> bool:
    """Whether the kernel lists a listener there; nothing is connected to (proc(5): local address, state 0A)."""
    time.sleep(0.01)
    with open("/proc/net/tcp", encoding="utf-8") as file:
        return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in file)


def sha256_of(path: str) -> str:
    """The digest of a file, in hexadecimal."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}") from error
