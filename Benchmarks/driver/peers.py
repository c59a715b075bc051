"""The programs that people would otherwise use, as commands; each as fast as its options make it."""
from __future__ import annotations

import os
from collections.abc import Callable

from .place import Place, SSHServer

Command = Callable[[str, str], list[str]]
"""From a local path and a path on the server to a command that sends it there."""

# The fastest that OpenSSH and libssh2's rivals have on processors with AES.
BEST_CIPHER = "aes128-gcm@openssh.com"


def environment() -> dict[str, str]:
    """Nothing that a user has set up for these programs."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("FERRY_", "RCLONE_", "LFTP_"))}


def _ssh_options(server: SSHServer, cipher: str, mac: str | None) -> list[str]:
    options = [
        f"Ciphers={cipher}",
        "Compression=no",
        "IdentitiesOnly=yes",
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={server.known_hosts}",
    ]
    if mac is not None:
        options.append(f"MACs={mac}")
    return ["-F", "/dev/null", "-i", server.key, *[word for option in options for word in ("-o", option)]]


def sftp(place: Place, server: SSHServer, *, cipher: str = BEST_CIPHER, mac: str | None = None) -> Command | None:
    """OpenSSH's own client; sends directories too."""
    program = place.tool("sftp", "openssh-client")
    if program is None:
        return None
    batch = os.path.join(place.scratch("sftp"), f"batch-{server.port}")

    def command(source: str, path: str) -> list[str]:
        with open(batch, "w", encoding="utf-8") as file:
            if os.path.isdir(source):
                file.write(f'lcd "{source}"\ncd "{path}"\nput -r .\n')
            else:
                file.write(f'put "{source}" "{path}"\n')
        options = _ssh_options(server, cipher, mac)
        return [program, "-q", *options, "-b", batch, "-P", str(server.port), f"{server.user}@127.0.0.1"]

    return command


def rclone(place: Place, server: SSHServer, verb: str, *options: str) -> Command | None:
    """rclone; its SSH library chooses AES-GCM by itself."""
    program = place.tool("rclone", "rclone")
    if program is None:
        return None
    configuration = os.path.join(place.scratch("rclone"), "none.conf")
    with open(configuration, "w", encoding="utf-8"):
        pass
    common = ["--config", configuration, "--retries", "1"]
    common += ["--sftp-host", "127.0.0.1", "--sftp-port", str(server.port), "--sftp-user", server.user]
    common += ["--sftp-key-file", server.key, "--sftp-known-hosts-file", server.known_hosts]
    common += ["--sftp-shell-type", "unix", "--sftp-md5sum-command", "md5sum"]
    return lambda source, path: [program, verb, source, f":sftp:{path}", *common, *options]


# No digest is taken on either side.
UNCHECKED = ("--ignore-checksum", "--sftp-disable-hashcheck")


def lftp(place: Place, server: SSHServer) -> Command | None:
    """lftp over OpenSSH."""
    program = place.tool("lftp", "lftp")
    if program is None:
        return None
    connect = " ".join(["ssh", "-a", "-x", *_ssh_options(server, BEST_CIPHER, None)])
    home = place.scratch("lftp")

    def command(source: str, path: str) -> list[str]:
        script = [
            f'set sftp:connect-program "{connect}"',
            "set sftp:max-packets-in-flight 64",
            "set net:max-retries 1",
            "set cmd:fail-exit yes",
            f"open -p {server.port} sftp://{server.user}:none@127.0.0.1",
            f'put "{source}" -o "{path}"',
        ]
        return ["env", f"HOME={home}", program, "--norc", "-c", "; ".join(script)]

    return command


def python(place: Place, server: SSHServer, name: str) -> Command | None:
    """A library from PyPI: paramiko or asyncssh."""
    program = place.python()
    if program is None:
        return None
    script = os.path.join(place.root, "Benchmarks", "peers", f"put_{name}.py")
    login = [str(server.port), server.user, server.key, server.known_hosts]
    return lambda source, path: [program, script, *login, source, path]
