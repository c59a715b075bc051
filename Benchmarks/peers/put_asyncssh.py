"""Sends a file with asyncssh: put_asyncssh.py PORT USER KEY KNOWN_HOSTS SOURCE PATH"""
import asyncio
import sys

import asyncssh


async def main() -> None:
    port, user, key, known_hosts, source, path = sys.argv[1:]
    async with asyncssh.connect(
        "127.0.0.1",
        int(port),
        username=user,
        client_keys=[key],
        known_hosts=known_hosts,
        config=None,
        encryption_algs=["aes128-gcm@openssh.com"],
    ) as connection:
        async with connection.start_sftp_client() as session:
            await session.put(source, path)


asyncio.run(main())
