"""An HTTP/1.1 client over one kept connection that costs little: as a load it must not be what is measured."""
from __future__ import annotations

import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Self

from .processes import BenchError

PATIENCE = 60.0


class Client:
    """One connection to a server on loopback."""

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urllib.parse.urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._common = f"Host: {self._address[0]}:{self._address[1]}\r\n"
        if token is not None:
            self._common += f"Authorization: Bearer {token}\r\n"
        self._socket: socket.socket | None = None
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets the connection go."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._rest = b""

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, header fields in lower case, and body of the answer. `headers` are whole lines with their ends."""
        length = f"Content-Length: {len(body)}\r\n" if body is not None else ""
        head = f"{method} {path} HTTP/1.1\r\n{self._common}{headers}{length}\r\n".encode()
        try:
            connection = self._connect()
            if body is None or len(body) < 65_536:
                connection.sendall(head + (body or b""))
            else:
                connection.sendall(head)
                connection.sendall(body)
            return self._answer(connection)
        except OSError as error:
            self.close()
            raise BenchError(f"{method} {path}: {error}") from error

    def expect(
        self, statuses: set[int], method: str, path: str, body: bytes | None = None, headers: str = ""
    ) -> tuple[dict[str, str], bytes]:
        """Header and body of an answer that must have one of these statuses; asked again where the server says so."""
        deadline = time.monotonic() + PATIENCE
        while True:
            status, fields, text = self.ask(method, path, body, headers)
            if status in statuses:
                return fields, text
            if status not in (423, 429, 503, 507) or time.monotonic() > deadline:
                said = text[:300].decode("utf-8", "replace")
                raise BenchError(f"{method} {path} was answered {status}: {said}")
            time.sleep(min(1.0, float(fields.get("retry-after", "0.1") or 0.1)))

    def document(
        self, statuses: set[int], method: str, path: str, document: object = None, headers: str = ""
    ) -> dict[str, object]:
        """The same with JSON both ways."""
        body = json.dumps(document).encode() if document is not None else None
        if body is not None:
            headers += "Content-Type: application/json\r\n"
        elif method == "POST":
            body = b""
        _, text = self.expect(statuses, method, path, body, headers)
        try:
            answer = json.loads(text)
        except ValueError as error:
            raise BenchError(f"{method} {path}: the answer is no JSON: {text[:100]!r}") from error
        return answer if isinstance(answer, dict) else {}

    def _connect(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, PATIENCE)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _answer(self, connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
        data = self._rest
        while (end := data.find(b"\r\n\r\n")) < 0:
            more = connection.recv(65_536)
            if not more:
                raise ConnectionError("the server closed the connection")
            data += more
        lines = data[:end].decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        data = data[end + 4 :]
        if status < 200:
            self._rest = data
            return self._answer(connection)
        if "content-length" not in fields and status != 204:
            raise ConnectionError("an answer without Content-Length")
        length = int(fields.get("content-length", "0"))
        while len(data) < length:
            more = connection.recv(65_536)
            if not more:
                raise ConnectionError("the server closed the connection")
            data += more
        self._rest = data[length:]
        if fields.get("connection", "").lower() == "close":
            self.close()
        return status, fields, data[:length]


def ferry(environment: dict[str, str]) -> Client:
    """A client of a stack's API."""
    return Client(environment["FERRY_URL"], environment["FERRY_TOKEN"])


def create(client: Client, target: str, path: str, size: int, part_size: int, overwrite: str = "never") -> str:
    """A new upload's id."""
    wanted = {"target": target, "path": path, "size": size, "partSize": part_size, "overwrite": overwrite}
    answer = client.document({201}, "POST", "/v1/uploads", wanted)
    identifier = answer.get("id")
    if not isinstance(identifier, str):
        raise BenchError(f"the created upload has no id: {answer}")
    return identifier


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Runs `work(number)` in so many threads; raises what went wrong in the first that failed."""
    errors: list[Exception] = []

    def one(number: int) -> None:
        try:
            work(number)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
