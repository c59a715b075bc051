#!/usr/bin/env python3
"""Uploads a file through Ferry's four compatibility interfaces (docs/compat.md), with Python's standard library only.

usage: compat_client.py FILE HOST_ID FULL_PATH PERSON_ID [--overwrite] [--chunk-size BYTES] [--wait SECONDS]

FERRY_URL and FERRY_TOKEN are taken from the environment. Run again after any interruption, kill -9 included, it goes on
where it was: chunks that were stored are not sent again. It ends with 0 once the file is merged, with 1 when it cannot
be, with 2 on wrong use.
"""
import argparse
import hashlib
import http.client
import json
import os
import sys
import time
import urllib.parse
import uuid

# The article's slices.
CHUNK_SIZE = 10 * 1024 * 1024
# For how long requests that may succeed later are repeated, and how long one may take, in seconds.
PATIENCE = 600
TIMEOUT = 60
# Statuses that pass by themselves: body too slow, locked, unavailable, staging full.
PASSING = {408, 503, 507}


class Refused(Exception):
    """Ferry said no, and repeating the request does not help."""

    def __init__(self, interface, status, answer):
        super().__init__(f"{interface}: {status} {answer.get('msg', '')}")
        self.status, self.answer = status, answer
        self.problem = answer.get("type", "").rpartition("/")[2]


class Client:
    def __init__(self, url, token, fields):
        self.url = urllib.parse.urlsplit(url)
        self.token, self.fields = token, fields

    def call(self, interface, **fields):
        """Calls an interface with a JSON body."""
        body = json.dumps({**self.fields, **fields}).encode()
        return self.send(interface, body, "application/json")

    def send_chunk(self, number, content, tmp_path):
        """Sends a chunk as a form. The fields come first: file_info must be the form's last part."""
        boundary = uuid.uuid4().hex
        body = b""
        for name, value in {**self.fields, "chunk_num": number, "tmp_path": tmp_path}.items():
            body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        body += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file_info"; filename="chunk"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        body += content + f"\r\n--{boundary}--\r\n".encode()
        return self.send("file_chunk_upload", body, f"multipart/form-data; boundary={boundary}")

    def send(self, interface, body, content_type):
        """Sends a request until it is answered for good."""
        deadline = time.monotonic() + PATIENCE
        while True:
            pause, problem = 1, "no answer"
            try:
                status, answer, retry_after = self.exchange(interface, body, content_type)
                if status < 400:
                    return answer
                if status not in PASSING:
                    raise Refused(interface, status, answer)
                pause, problem = int(retry_after or 1), answer.get("msg", str(status))
            except (OSError, http.client.HTTPException) as error:
                problem = str(error)
            if time.monotonic() + pause > deadline:
                sys.exit(f"{interface}: gave up: {problem}")
            print(f"{interface}: {problem}; trying again in {pause} s", file=sys.stderr, flush=True)
            time.sleep(pause)

    def exchange(self, interface, body, content_type):
        secure = self.url.scheme == "https"
        connection = (http.client.HTTPSConnection if secure else http.client.HTTPConnection)(
            self.url.netloc, timeout=TIMEOUT
        )
        try:
            connection.request(
                "POST",
                f"{self.url.path.rstrip('/')}/{interface}",
                body,
                {"Authorization": f"Bearer {self.token}", "Content-Type": content_type},
            )
            response = connection.getresponse()
            text = response.read()
            try:
                answer = json.loads(text)
            except ValueError:
                answer = {"msg": text.decode(errors="replace")}
            return response.status, answer, response.getheader("Retry-After")
        finally:
            connection.close()


def hash_of(file):
    """The file's SHA-256, in the form that Ferry proves before the file appears."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return f"sha-256:{digest.hexdigest()}"


def upload(client, file, size, options):
    # 1. May it be uploaded? A path that is free is taken for us; our own interrupted upload is found again.
    wanted = {"hash_code": hash_of(file), "chunk_size": options.chunk_size}
    if options.overwrite:
        wanted["overwrite"] = "replace"
    try:
        if client.call("get_file_upload_status", **wanted)["code"] == 2:
            sys.exit("somebody else is uploading this file")
    except Refused as refused:
        # Chunks that a damaged disk lost can be sent again, like those that never came.
        if refused.problem != "parts-missing":
            raise

    # 2. What is there already?
    directory = client.call("get_file_dir_info", hash_code=wanted["hash_code"])["data"]
    tmp_path, chunk_size = directory["path"], directory["chunk_size"]
    count = (size + chunk_size - 1) // chunk_size
    stored = set(directory["chunk_list"])
    print(f"{len(stored)} of {count} chunks are there", flush=True)

    # 3. The rest.
    for number in range(1, count + 1):
        if number in stored:
            continue
        print(f"sending chunk {number}", flush=True)
        file.seek((number - 1) * chunk_size)
        client.send_chunk(number, file.read(chunk_size), tmp_path)
        print(f"stored chunk {number}", flush=True)

    # 4. Compare, then merge, and ask again until it is done.
    directory = client.call("get_file_dir_info", tmp_path=tmp_path)["data"]
    if directory["num"] != count:
        sys.exit(f"{directory['num']} chunks are there instead of {count}")
    deadline = time.monotonic() + options.wait
    while True:
        answer = client.call("bigfile_merge", chunk_num=count, tmp_path=directory["path"])
        if answer["state"] == "done":
            print("merged", flush=True)
            return
        if time.monotonic() > deadline:
            sys.exit(f"the file is not merged yet ({answer['state']}); nothing needs to be sent again")
        time.sleep(0.5)


def main():
    parser = argparse.ArgumentParser(description="Uploads a file through Ferry's compatibility interfaces.")
    parser.add_argument("file")
    parser.add_argument("host_id", help="the target")
    parser.add_argument("full_path", help="the file's absolute path on the target")
    parser.add_argument("person_id", help="the owner that the token stands for")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    parser.add_argument("--chunk-size", type=int, default=CHUNK_SIZE)
    parser.add_argument("--wait", type=int, default=3600, metavar="SECONDS", help="for the merge")
    options = parser.parse_args()
    url, token = os.environ.get("FERRY_URL"), os.environ.get("FERRY_TOKEN")
    if not url or not token:
        parser.error("FERRY_URL and FERRY_TOKEN must be set")
    fields = {"host_id": options.host_id, "full_path": options.full_path, "person_id": options.person_id}
    try:
        with open(options.file, "rb") as file:
            upload(Client(url, token, fields), file, os.path.getsize(options.file), options)
    except Refused as refused:
        sys.exit(str(refused))
    except OSError as error:
        print(f"{options.file}: {error}", file=sys.stderr)
        sys.exit(2)


main()
