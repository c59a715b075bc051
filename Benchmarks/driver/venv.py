"""The peers from PyPI, in an environment of their own; kept from run to run."""
from __future__ import annotations

import os
import re
import subprocess
import sys

from .processes import BenchError

# What a row runs, and what makes the tus server as fast as its kind is.
PACKAGES = ["asyncssh", "celery", "fastapi", "httptools", "paramiko", "tuspyserver", "uvicorn", "uvloop"]


def python(place: str, *, only_installed: bool) -> str | None:
    """The interpreter that has them; nothing where they are not installed and nothing is to be."""
    path = os.path.join(place, "bin", "python3")
    if os.path.exists(os.path.join(place, "complete")):
        return path
    if only_installed:
        print("bench:   the peers from PyPI are not installed and are left out", file=sys.stderr)
        return None
    print(f"bench:   installing {', '.join(PACKAGES)} into {os.path.relpath(place)}", file=sys.stderr)
    _call([sys.executable, "-m", "venv", "--clear", place], "making an environment for the peers from PyPI")
    _call([path, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES], "installing from PyPI")
    with open(os.path.join(place, "complete"), "w", encoding="utf-8") as file:
        file.write("\n".join(PACKAGES))
    return path


def versions(place: str) -> list[str]:
    """Name and version of each peer."""
    path = os.path.join(place, "bin", "python3")
    if not os.path.exists(path):
        return []
    done = subprocess.run([path, "-m", "pip", "freeze"], capture_output=True, encoding="utf-8", check=False)
    found = []
    for name in ("asyncssh", "celery", "paramiko", "tuspyserver", "uvicorn"):
        match = re.search(rf"^{name}==(\S+)$", done.stdout, re.MULTILINE | re.IGNORECASE)
        if match:
            found.append(f"{name} {match[1]}")
    return found


def _call(command: list[str], what: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"{what} failed: {error}") from error
    if done.returncode != 0:
        raise BenchError(f"{what} failed: {' / '.join(done.stderr.strip().splitlines()[-4:])}")
