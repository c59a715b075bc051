"""Sends a file with paramiko: put_paramiko.py PORT USER KEY KNOWN_HOSTS SOURCE PATH"""
import sys

import paramiko

port, user, key, known_hosts, source, path = sys.argv[1:]
# The client leaves no choice of cipher; the fastest first, as its rivals have it.
ciphers = [name for name in ("aes128-gcm@openssh.com", "aes128-ctr") if name in paramiko.Transport._cipher_info]
paramiko.Transport._preferred_ciphers = tuple(ciphers)
with paramiko.SSHClient() as client:
    client.load_host_keys(known_hosts)
    client.connect("127.0.0.1", int(port), user, key_filename=key, allow_agent=False, look_for_keys=False)
    with client.open_sftp() as session:
        session.put(source, path)
