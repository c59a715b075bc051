"""SFTP servers that are unlike OpenSSH's, for tests: gateways to object stores, slow ones, and ones that lie.

usage: asyncssh_server.py DIR PORT KIND [VALUE...]

Run by scripts/servers/asyncssh, which makes the keys in DIR. The client sees DIR/root as "/".
"""
import asyncio
import logging
import os
import sys

import asyncssh
from asyncssh import sftp


class Disk(asyncssh.SFTPServer):
    """Files as they lie on the disk, all of the protocol."""

    place = b""

    def __init__(self, channel):
        super().__init__(channel, chroot=os.path.join(self.place, b"root"))

    def abandon(self, file):
        """The connection ended before the client closed this file."""
        file.close()


# Gateways: an object is written whole, from its beginning on, and nothing about it can be changed later.


class Arriving:
    """An object that is being written."""

    def __init__(self, file, path):
        self.file = file
        self.path = path
        self.end = 0


class Gateway(Disk):
    """No writing at an offset, no appending, no renaming onto a file, no attributes, no flushing; no extensions."""

    def open(self, path, flags, attributes):
        if not flags & sftp.FXF_WRITE:
            return super().open(path, flags, attributes)
        if flags & (sftp.FXF_READ | sftp.FXF_APPEND):
            raise refused("an object is either read or written, from its beginning on")
        local = self.map_path(path)
        if os.path.isdir(local):
            raise asyncssh.SFTPFailure("a directory")
        if os.path.lexists(local):
            if flags & sftp.FXF_EXCL:
                raise asyncssh.SFTPFailure("there is an object already")
            if not flags & sftp.FXF_TRUNC:
                raise refused("an object cannot be changed, only replaced")
        elif not flags & sftp.FXF_CREAT or not os.path.isdir(os.path.dirname(local)):
            raise asyncssh.SFTPNoSuchFile("no such object")
        return self.begin(local)

    def begin(self, local):
        return Arriving(open(local, "wb", buffering=0), local)

    def close(self, file):
        if isinstance(file, Arriving):
            file.file.close()
            self.publish(file)
        else:
            super().close(file)

    def abandon(self, file):
        super().abandon(file.file if isinstance(file, Arriving) else file)

    def publish(self, file):
        """The object is complete."""

    def read(self, file, offset, size):
        if isinstance(file, Arriving):
            raise refused("an object that is written cannot be read yet")
        return super().read(file, offset, size)

    def write(self, file, offset, data):
        if not isinstance(file, Arriving):
            raise asyncssh.SFTPPermissionDenied("opened for reading")
        if offset != file.end:
            raise refused("objects are written in order; %d comes next, not %d" % (file.end, offset))
        file.file.write(data)
        file.end += len(data)

    def fstat(self, file):
        return os.fstat(file.file.fileno()) if isinstance(file, Arriving) else super().fstat(file)

    def mkdir(self, path, attributes):
        # Not with the mode that is asked for.
        os.mkdir(self.map_path(path))

    def setstat(self, path, attributes):
        raise refused("attributes are not kept")

    def fsetstat(self, file, attributes):
        raise refused("attributes are not kept")

    def posix_rename(self, old, new):
        raise refused("an object is not replaced by renaming")

    def link(self, old, new):
        raise refused("no links")

    def symlink(self, old, new):
        raise refused("no links")

    def readlink(self, path):
        raise refused("no links")

    def fsync(self, file):
        raise refused("no flushing")

    def statvfs(self, path):
        raise refused("no file system")

    def fstatvfs(self, file):
        raise refused("no file system")


class PublishingGateway(Gateway):
    """An object is seen when its handle is closed, and not before; one whose connection is lost never is. It keeps
    the name it was written by."""

    def begin(self, local):
        descriptor, name = hidden_file(os.path.join(self.place, b"arriving"))
        file = Arriving(os.fdopen(descriptor, "wb", buffering=0), local)
        file.hidden = name
        return file

    def publish(self, file):
        # As in an object store: the last writer wins.
        os.replace(file.hidden, file.path)

    def abandon(self, file):
        super().abandon(file)
        if isinstance(file, Arriving):
            os.remove(file.hidden)

    def rename(self, old, new):
        raise refused("objects have one name")


class CarelessGateway(PublishingGateway):
    """An object is seen when its handle is closed; one whose connection is lost, as far as it has come."""

    def abandon(self, file):
        self.close(file)


class Appending(Disk):
    """A file is only written on at its end; what is there cannot be changed."""

    def write(self, file, offset, data):
        if offset != os.fstat(file.fileno()).st_size:
            raise refused("a file is only written on at its end")
        return super().write(file, offset, data)


def hidden_file(directory):
    name = os.path.join(directory, os.urandom(8).hex().encode())
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), name


def refused(reason):
    return asyncssh.SFTPOpUnsupported(reason)


# Trouble.


class Losing(Disk):
    """Each connection is cut as soon as it has carried so many bytes of file data; all of them count, and are kept."""

    bytes = 0

    def __init__(self, channel):
        super().__init__(channel)
        self.left = self.bytes

    def read(self, file, offset, size):
        data = super().read(file, offset, size)
        self.carry(len(data))
        return data

    def write(self, file, offset, data):
        data = data[: self.left]
        super().write(file, offset, data)
        self.carry(len(data))
        return len(data)

    def carry(self, count):
        self.left -= count
        if self.left <= 0:
            self.connection.abort()
            raise asyncssh.SFTPConnectionLost("cut")


class Slow(Disk):
    """Looks at the new name of a rename, and renames a while later: what has appeared meanwhile is replaced."""

    seconds = 0.0

    async def rename(self, old, new):
        if os.path.lexists(self.map_path(new)):
            raise asyncssh.SFTPFailure("there is a file already")
        await asyncio.sleep(self.seconds)
        os.rename(self.map_path(old), self.map_path(new))


class Limited(Disk):
    """Refuses in its own words what a file would have behind so many bytes."""

    bytes = 0
    words = ""

    def write(self, file, offset, data):
        if offset + len(data) > self.bytes:
            raise asyncssh.SFTPFailure(self.words)
        return super().write(file, offset, data)


class ShortWrites(Disk):
    """Writes the first half of what it is sent, and says that all went well."""

    def write(self, file, offset, data):
        return super().write(file, offset, data[: len(data) // 2])


class Handler(sftp.SFTPServerHandler):
    """asyncssh's own, with what the servers above need and what a subclass spoils."""

    request = None

    async def _process_packet(self, kind, identifier, packet):
        self.request = kind
        await super()._process_packet(kind, identifier, packet)

    async def _cleanup(self, reason):
        handles, self._file_handles = self._file_handles, {}
        for file in handles.values():
            self._server.abandon(file)
        await super()._cleanup(reason)

    @property
    def carries_data(self):
        """Whether the request under way reads or writes: everything until then is answered well."""
        return self.request in (sftp.FXP_READ, sftp.FXP_WRITE)


class GatewayHandler(Handler):
    _extensions = []


class SlowHandler(Handler):
    """Each answer takes a while, one after the other."""

    async def _process_packet(self, kind, identifier, packet):
        await asyncio.sleep(Slow.seconds)
        await super()._process_packet(kind, identifier, packet)


class WrongIDsHandler(Handler):
    """Answers to reads and writes name a request that nobody made."""

    def send_packet(self, kind, identifier, *body):
        if self.carries_data:
            body = (sftp.UInt32(identifier ^ 0x80000000),) + body[1:]
        super().send_packet(kind, identifier, *body)


class OversizedPacketsHandler(Handler):
    """Answers to reads and writes begin with a length of 512 MiB, and with some of the bytes."""

    def send_packet(self, kind, identifier, *body):
        if self.carries_data:
            self._writer.write(sftp.UInt32(512 << 20) + sftp.Byte(kind) + body[0] + bytes(65_536))
        else:
            super().send_packet(kind, identifier, *body)


KINDS = {
    "gateway": (Gateway, GatewayHandler),
    "publishing-gateway": (PublishingGateway, GatewayHandler),
    "careless-gateway": (CarelessGateway, GatewayHandler),
    "appending": (Appending, GatewayHandler),
    "slow": (Slow, SlowHandler),
    "losing": (Losing, Handler),
    "limited": (Limited, Handler),
    "short-writes": (ShortWrites, Handler),
    "wrong-ids": (Disk, WrongIDsHandler),
    "oversized-packets": (Disk, OversizedPacketsHandler),
}


async def serve(directory, port, server, handler):
    Disk.place = os.fsencode(directory)
    # The only place where asyncssh can be given another handler.
    sftp.SFTPServerHandler = handler
    await asyncssh.listen(
        "127.0.0.1",
        port,
        server_host_keys=[os.path.join(directory, "host_ed25519")],
        authorized_client_keys=os.path.join(directory, "authorized_keys"),
        sftp_factory=server,
        allow_scp=False,
        # A restart finds connections of the last run in TIME_WAIT.
        reuse_address=True,
    )
    await asyncio.Event().wait()


def main():
    if len(sys.argv) < 4 or sys.argv[3] not in KINDS:
        sys.exit("usage: asyncssh_server.py DIR PORT %s [VALUE...]" % "|".join(KINDS))
    directory, port, kind = sys.argv[1:4]
    if kind == "slow":
        Slow.seconds = float(sys.argv[4])
    elif kind == "losing":
        Losing.bytes = int(sys.argv[4])
    elif kind == "limited":
        Limited.bytes, Limited.words = int(sys.argv[4]), sys.argv[5]
    os.umask(0o022)
    logging.basicConfig(level=logging.INFO)
    asyncio.run(serve(directory, int(port), *KINDS[kind]))


main()
