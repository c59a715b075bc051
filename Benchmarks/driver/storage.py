"""Servers that only store what comes over HTTP: nginx with DAV, and a tus server from PyPI."""
from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

from .client import Client
from .place import BenchError, Place
from .processes import Background


@dataclass(frozen=True)
class Storage:
    """One that runs."""

    url: str
    directory: str
    """Where it puts what it gets."""
    server: Background

    def empty(self) -> None:
        """Forgets all of it."""
        for name in os.listdir(self.directory):
            path = os.path.join(self.directory, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)


def nginx(place: Place) -> Storage | None:
    """nginx with one process a core, whose files are renamed into their places."""
    program = place.tool("nginx", "nginx-light")
    if program is None:
        return None
    directory = place.scratch("nginx")
    files = place.scratch("nginx/files")
    port = place.free_port()
    configuration = os.path.join(directory, "nginx.conf")
    with open(configuration, "w", encoding="utf-8") as file:
        file.write(_NGINX.format(user="user root;" if os.geteuid() == 0 else "", directory=directory, port=port))
    server = place.serve([program, "-p", directory, "-c", configuration, "-e", "stderr"], "nginx")
    url = f"http://127.0.0.1:{port}"
    server.await_ready(lambda: _answers(url, "/files/", {403, 404}))
    return Storage(url, files, server)


_NGINX = """
{user}
daemon off;
pid {directory}/pid;
error_log stderr warn;
worker_processes auto;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    client_body_buffer_size 1m;
    client_max_body_size 0;
    keepalive_requests 10000000;
    server {{
        listen 127.0.0.1:{port};
        location /files/ {{
            root {directory};
            dav_methods PUT;
            create_full_put_path on;
        }}
    }}
}}
"""


def tus(place: Place) -> Storage | None:
    """tuspyserver in uvicorn, with one process a core."""
    program = place.python()
    if program is None:
        return None
    files = place.scratch("tus")
    port = place.free_port()
    script = os.path.join(place.root, "Benchmarks", "peers", "tus_server.py")
    server = place.serve([program, script, files, str(port)], "tus")
    url = f"http://127.0.0.1:{port}"
    server.await_ready(lambda: _answers(url, "/files/", {204}, "OPTIONS"), 30)
    return Storage(url, files, server)


def _answers(url: str, path: str, statuses: set[int], method: str = "GET") -> bool:
    try:
        with Client(url) as client:
            return client.ask(method, path, headers="Tus-Resumable: 1.0.0\r\n")[0] in statuses
    except BenchError:
        return False
