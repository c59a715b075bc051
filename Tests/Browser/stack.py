"""A whole Ferry for the tests in the browser: scripts/stack, with the target on a small file system of its own."""
import json
import math
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request

from wire import Wire

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
# The target's room, which is to be filled up once.
MEBIBYTES = 900


def as_root(*words):
    """Runs a command as root; false where this user may not."""
    command = list(words) if os.geteuid() == 0 else ["sudo", "-n", *words]
    try:
        return subprocess.run(command, capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def until(what, condition, seconds=30, every=0.1):
    """Asks until something is true; answers it."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(every)


class Stack:
    def __init__(self, programs):
        self.directory = os.path.join(ROOT, ".stack-tests", f"{os.getpid()}-stack-browser")
        self.files = os.path.join(self.directory, "files")
        self.mount = os.path.join(self.directory, "mount")
        self.sweep()
        os.makedirs(self.files)
        os.makedirs(self.mount)
        options = f"size={MEBIBYTES}m,mode=0755,uid={os.geteuid()},gid={os.getegid()}"
        self.is_small = as_root("mount", "-t", "tmpfs", "-o", options, "ferry-browser", self.mount)
        self._programs = programs
        self._environment = {
            **os.environ, "STACK_DIR": self.directory, "STACK_ROOT": os.path.join(self.mount, "root"),
            "STACK_PROGRAMS": programs, "WORKERS": "1",
        }
        self.wire = None
        try:
            self._script("up")
            self.env = {}
            with open(os.path.join(self.directory, "env"), encoding="utf-8") as file:
                for line in file:
                    name, _, value = line.removeprefix("export ").strip().partition("=")
                    self.env[name] = value
            self.target = self.env["STACK_TARGET"]
            self.root = os.path.join(self.mount, "root")
            self.port = int(self.env["FERRY_URL"].rsplit(":", 1)[1])
            self.wire = Wire(self.port)
        except BaseException:
            self.close()
            raise

    def close(self):
        if self.wire:
            self.wire.close()
        self.remove(self.directory)

    @staticmethod
    def remove(directory):
        script = os.path.join(ROOT, "scripts", "stack")
        subprocess.run([script, "wipe"], env={**os.environ, "STACK_DIR": directory}, capture_output=True, timeout=180)
        as_root("umount", "-l", os.path.join(directory, "mount"))
        shutil.rmtree(directory, ignore_errors=True)

    @classmethod
    def sweep(cls):
        """What runs that were killed left behind."""
        place = os.path.join(ROOT, ".stack-tests")
        for name in os.listdir(place) if os.path.isdir(place) else []:
            if name.endswith("-stack-browser") and not os.path.exists(f"/proc/{name.split('-')[0]}"):
                cls.remove(os.path.join(place, name))

    def script(self, *words):
        """Acts on one process: `kill`, `start`, `stop`, `restart` and its name."""
        self._script(*words)

    def _script(self, *words, check=True):
        script = os.path.join(ROOT, "scripts", "stack")
        done = subprocess.run([script, *words], env=self._environment, capture_output=True, text=True, timeout=180)
        if check and done.returncode != 0:
            raise AssertionError(f"scripts/stack {' '.join(words)}: {done.stderr}")

    def ask(self, method, path, document=None, token="FERRY_TOKEN"):
        """A request past the browser; answers status and document."""
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self.env["FERRY_URL"] + path, body, method=method, headers={
            "Authorization": f"Bearer {self.env[token]}", "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")

    def put_part(self, upload, number, content, token="FERRY_TOKEN"):
        request = urllib.request.Request(f"{self.env['FERRY_URL']}/v1/uploads/{upload}/parts/{number}", content, method="PUT",
                                         headers={"Authorization": f"Bearer {self.env[token]}"})
        urllib.request.urlopen(request, timeout=60).close()

    def show_an_hour(self):
        """Puts an hour's traffic where the index counts it, for pictures."""
        minute = int(time.time()) // 60
        words = []
        for at in range(minute - 62, minute + 1):
            for kind, late in (("received", 0), ("shipped", 1)):
                wave = 5 + 3 * math.sin((at - late) / 9) + math.sin((at - late) / 2.3) + 0.6 * math.sin((at - late) * 1.7)
                words += [f"{kind}:{at % 64}", f"{at} {int(wave * 9e7)}"]
        subprocess.run(["redis-cli", "-u", self.env["FERRY_REDIS_URL"], "HSET", "ferry:moved", *words],
                       check=True, capture_output=True, timeout=30)

    def upload(self, path, token="FERRY_TOKEN_OPS"):
        """The newest upload to a path."""
        _, page = self.ask("GET", "/v1/uploads?limit=1000", token=token)
        return next((upload for upload in page["uploads"] if upload["path"] == path), None)

    def give_up_all(self):
        """Whatever a test left unfinished, so that the next one's list is its own."""
        for state in ("receiving", "shipping", "merging", "failed"):
            _, page = self.ask("GET", f"/v1/uploads?state={state}&limit=1000", token="FERRY_TOKEN_OPS")
            for upload in page["uploads"]:
                self.ask("DELETE", f"/v1/uploads/{upload['id']}", token="FERRY_TOKEN_OPS")

    def file(self, name, size, seed=0):
        """A file to choose: like no other of its name, size and seed."""
        path = os.path.join(self.files, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        block = os.urandom(min(size, 1 << 20))
        with open(path, "wb") as file:
            for begin in range(0, size, 1 << 20):
                file.write(begin.to_bytes(8, "big")[: size - begin] + block[8: max(8, size - begin)])
        return path

    def arrived(self, path, source):
        """Whether the file is on the target, whole."""
        final = os.path.join(self.root, path)
        return os.path.exists(final) and subprocess.run(["cmp", "-s", source, final], timeout=120).returncode == 0

    def fill_target(self):
        """Takes all the room that the target has, but for two mebibytes."""
        self.ballast = os.path.join(self.mount, "ballast")
        free = os.statvfs(self.mount)
        subprocess.run(["fallocate", "-l", str(free.f_bavail * free.f_frsize - (2 << 20)), self.ballast], check=True)

    def empty_target(self):
        os.remove(self.ballast)
