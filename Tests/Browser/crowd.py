"""A crowd of uploads on their way, the events of the many workers that would move them, and uploads that stand still."""
import contextlib
import json
import os
import threading
import time
import urllib.request

import pika

from stack import until

PART_BYTES = 4096
PARTS = 100


def write(stack, path):
    """A file on the target that Ferry did not put there."""
    final = os.path.join(stack.root, path)
    os.makedirs(os.path.dirname(final), exist_ok=True)
    with open(final, "w", encoding="utf-8") as file:
        file.write("what was there\n")
    return final


def dead_letter(stack, path, token="FERRY_TOKEN"):
    """An upload that stands still, for a file is there since that must not be replaced. Answers that file."""
    status, upload = stack.ask("POST", "/v1/uploads", {"target": stack.target, "path": path, "size": PART_BYTES}, token)
    if status != 201:
        raise AssertionError(f"{path}: {status} {upload}")
    stack.put_part(upload["id"], 1, bytes(PART_BYTES), token)
    final = write(stack, path)
    stack.ask("POST", f"/v1/uploads/{upload['id']}/complete", token=token)
    until(f"{path} stands still", lambda: stack.ask("GET", f"/v1/uploads/{upload['id']}", token=token)[1]["state"] == "failed")
    return final


class Crowd:
    """Uploads that were created and of which nothing was sent; they are given up with `end`."""

    def __init__(self, environment, directory="crowd"):
        self._environment = environment
        self._directory = directory
        self._ids = {}
        self.published = 0

    def make(self, count):
        """Creates so many uploads, by four at a time."""

        def some(first):
            for number in range(first, count, 4):
                answer = self._ask("POST", "/v1/uploads", "FERRY_TOKEN", {
                    "target": self._environment["STACK_TARGET"], "path": self._path(number), "size": PARTS * PART_BYTES,
                    "partSize": PART_BYTES})
                self._ids[number] = answer["id"]

        threads = [threading.Thread(target=some, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if len(self._ids) != count:
            raise AssertionError(f"{len(self._ids)} of {count} uploads were created")

    def end(self):
        for identifier in self._ids.values():
            self._ask("DELETE", f"/v1/uploads/{identifier}", "FERRY_TOKEN_OPS")

    @contextlib.contextmanager
    def publishing(self, rate):
        """Sends so many events a second to `ferry.events` meanwhile, as workers and API send them."""
        stop = threading.Event()
        errors = []

        def publish():
            try:
                self._publish(rate, stop)
            except Exception as error:  # told by whoever waits
                errors.append(error)

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        if errors:
            raise errors[0]

    def _publish(self, rate, stop):
        connection = pika.BlockingConnection(pika.URLParameters(self._environment["FERRY_AMQP_URL"]))
        channel = connection.channel()
        began = time.monotonic()
        sent = 0
        while not stop.is_set():
            number = sent % len(self._ids)
            event = {
                "v": 1, "type": "part.received", "upload": self._ids[number], "owner": "alice",
                "target": self._environment["STACK_TARGET"], "path": self._path(number), "state": "receiving",
                "size": PARTS * PART_BYTES, "receivedBytes": (sent // len(self._ids) + 1) % PARTS * PART_BYTES,
                "shippedBytes": 0, "mergedBytes": 0, "error": None,
                "at": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())}
            channel.basic_publish("ferry.events", "", json.dumps(event).encode(),
                                  pika.BasicProperties(type=event["type"], content_type="application/json"))
            sent += 1
            self.published += 1
            connection.process_data_events(0)
            time.sleep(max(0, began + sent / rate - time.monotonic()))
        connection.close()

    def _path(self, number):
        return f"{self._directory}/{number:04}.bin"

    def _ask(self, method, path, token, document=None):
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self._environment["FERRY_URL"] + path, body, method=method, headers={
            "Authorization": f"Bearer {self._environment[token]}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")
