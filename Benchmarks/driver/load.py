"""Clients that upload parts in bursts, over the public HTTP interface and nothing else."""
from __future__ import annotations

import http.client
import json
import os
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field

from .processes import BenchError

PATIENCE = 180.0
BURSTS = 10


@dataclass(frozen=True)
class Shape:
    """What the load looks like."""

    clients: int
    """Each has one upload on the way at a time: this bounds what is staged."""
    part_bytes: int
    parts: int
    """Of each upload."""
    part_seconds: float
    """A part comes in bursts, each as fast as it is taken, over at least this time: so that all clients are in the
    middle of a part nearly always, and shipping keeps up with them."""


@dataclass
class Tally:
    """What all clients did together; every change under the lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    bytes_received: int = 0
    uploads_done: int = 0
    in_flight: int = 0
    asked_to_wait: int = 0
    errors: list[str] = field(default_factory=list)


class Load:
    """A context: clients run in it and are gone after it."""

    def __init__(self, environment: dict[str, str], shape: Shape) -> None:
        self.tally = Tally()
        self._stop = threading.Event()
        body = os.urandom(shape.part_bytes)
        self._threads = [
            threading.Thread(
                target=_Client(environment, number, body, shape, self.tally, self._stop).work,
                name=f"client-{number}",
                daemon=True,
            )
            for number in range(shape.clients)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        deadline = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def check(self) -> None:
        """Raises what went wrong in a client."""
        with self.tally.lock:
            if self.tally.errors:
                raise BenchError(f"a client failed: {self.tally.errors[0]}")


class _Client:
    """One client with one connection; its files are taken away from the target once they are there."""

    def __init__(
        self,
        environment: dict[str, str],
        number: int,
        body: bytes,
        shape: Shape,
        tally: Tally,
        stop: threading.Event,
    ) -> None:
        address = urllib.parse.urlsplit(environment["FERRY_URL"])
        self._host = address.hostname or "127.0.0.1"
        self._port = address.port or 80
        self._token = environment["FERRY_TOKEN"]
        self._target = environment["STACK_TARGET"]
        self._root = environment["STACK_TARGET_ROOT"]
        self._number = number
        self._body = body
        self._shape = shape
        self._tally = tally
        self._stop = stop
        self._connection: http.client.HTTPConnection | None = None
        self._upload_id: str | None = None

    def work(self) -> None:
        """Uploads until it is stopped, then cancels what is unfinished."""
        try:
            # Spread, so that their bursts do not come all at one moment.
            self._stop.wait(self._shape.part_seconds * self._number / self._shape.clients)
            turn = 0
            while not self._stop.is_set():
                self._upload(turn)
                turn += 1
        except BenchError as error:
            with self._tally.lock:
                self._tally.errors.append(f"client {self._number}: {error}")
            self._stop.set()
        finally:
            if self._upload_id is not None:
                try:
                    self._ask("DELETE", f"/v1/uploads/{self._upload_id}", None, {202, 404, 409, 410})
                except BenchError:
                    pass
            self._drop()

    def _upload(self, turn: int) -> None:
        path = f"memory/client-{self._number}-{turn}.bin"
        document = {
            "target": self._target,
            "path": path,
            "size": len(self._body) * self._shape.parts,
            "partSize": len(self._body),
        }
        answer = self._ask("POST", "/v1/uploads", json.dumps(document).encode(), {201})
        upload = answer.get("id")
        if not isinstance(upload, str):
            raise BenchError(f"the created upload has no id: {answer}")
        self._upload_id = upload
        for part in range(1, self._shape.parts + 1):
            if self._stop.is_set():
                return
            with self._tally.lock:
                self._tally.in_flight += 1
            try:
                self._ask("PUT", f"/v1/uploads/{upload}/parts/{part}", self._body, {200, 201})
            finally:
                with self._tally.lock:
                    self._tally.in_flight -= 1
            with self._tally.lock:
                self._tally.bytes_received += len(self._body)
        self._ask("POST", f"/v1/uploads/{upload}/complete", b"{}", {202})
        if self._await_done(upload):
            self._upload_id = None
            os.remove(os.path.join(self._root, path))

    def _await_done(self, upload: str) -> bool:
        """False if the load ends before."""
        deadline = time.monotonic() + PATIENCE
        while not self._stop.is_set():
            answer = self._ask("GET", f"/v1/uploads/{upload}", None, {200})
            state = answer.get("state")
            if state == "done":
                with self._tally.lock:
                    self._tally.uploads_done += 1
                return True
            if state in ("failed", "cancelled", "expired"):
                raise BenchError(f"upload {upload} is {state}: {answer.get('error')}")
            if time.monotonic() > deadline:
                raise BenchError(f"upload {upload} is still {state} after {PATIENCE:.0f} s")
            self._stop.wait(0.2)
        return False

    def _ask(self, method: str, path: str, body: bytes | None, good: set[int]) -> dict[str, object]:
        """One request; repeated where the server says so or the connection was closed between two requests."""
        headers = {"Authorization": f"Bearer {self._token}"}
        if body is not None:
            headers["Content-Length"] = str(len(body))
            if method == "POST":
                headers["Content-Type"] = "application/json"
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                connection = self._connect()
                connection.request(method, path, self._bursts(body) if method == "PUT" else body, headers)
                response = connection.getresponse()
                text = response.read()
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                if time.monotonic() > deadline or self._stop.is_set():
                    raise BenchError(f"{method} {path}: {error or type(error).__name__}") from error
                with self._tally.lock:
                    self._tally.asked_to_wait += 1
                time.sleep(0.1)
                continue
            if response.will_close:
                self._drop()
            if response.status in good:
                return _document(text)
            may_wait = response.status in (429, 503, 507)
            if not may_wait or time.monotonic() > deadline:
                said = text[:300].decode("utf-8", "replace")
                raise BenchError(f"{method} {path} was answered {response.status}: {said}")
            with self._tally.lock:
                self._tally.asked_to_wait += 1
            wait = response.headers.get("Retry-After", "")
            self._stop.wait(min(5.0, float(wait)) if wait.isdigit() else 0.1)
            if self._stop.is_set():
                raise BenchError(f"{method} {path}: stopped while the server asked to wait ({response.status})")

    def _bursts(self, body: bytes | None) -> Iterator[memoryview]:
        view = memoryview(body or b"")
        length = max(1, -(-len(view) // BURSTS))
        began = time.monotonic()
        for number, start in enumerate(range(0, len(view), length)):
            time.sleep(max(0.0, began + number * self._shape.part_seconds / BURSTS - time.monotonic()))
            yield view[start : start + length]

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE)
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _document(text: bytes) -> dict[str, object]:
    if not text:
        return {}
    try:
        document = json.loads(text)
    except ValueError as error:
        raise BenchError(f"an answer is not JSON: {text[:100]!r}") from error
    return document if isinstance(document, dict) else {}
