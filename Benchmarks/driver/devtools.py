"""A Chromium without a window, told what to do over the pipe of its developer tools, which watch nothing meanwhile.

Tools that watch the network are handed a copy of each body that a page sends, and slow it down by that.
"""
from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import tempfile
import time

# Where Chromium reads commands and writes answers, each a JSON with a NUL behind it.
COMMANDS, ANSWERS = 3, 4
SIZE = (1280, 860)


class Refused(Exception):
    """A command that Chromium did not carry out."""


class Browser:
    """Debian's Chromium; a context."""

    def __init__(self) -> None:
        self._profile = tempfile.mkdtemp(prefix="ferry-chromium-")
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        # Out of the way of the numbers that they get.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (theirs_in, theirs_out)]
        command = [
            shutil.which("chromium") or "chromium",
            "--headless",
            "--remote-debugging-pipe",
            f"--user-data-dir={self._profile}",
            f"--window-size={SIZE[0]},{SIZE[1]}",
            "--no-first-run",
            "--no-default-browser-check",
            "--disable-component-update",
            "--log-level=3",
        ]
        # Its own sandbox does not run as root.
        command += ["--no-sandbox"] if os.geteuid() == 0 else []
        actions = [(os.POSIX_SPAWN_DUP2, end, number) for end, number in zip(ends, (COMMANDS, ANSWERS), strict=True)]
        null = os.open(os.devnull, os.O_RDWR)
        actions += [(os.POSIX_SPAWN_DUP2, null, number) for number in (0, 1)]
        self.pid = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
        for end in (theirs_in, theirs_out, null, *ends):
            os.close(end)
        self._commands, self._answers = ours_in, ours_out
        self._rest = b""
        self._number = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.ask("Browser.close")
        except Refused:
            os.kill(self.pid, signal.SIGKILL)
        os.close(self._commands)
        os.waitpid(self.pid, 0)
        os.close(self._answers)
        shutil.rmtree(self._profile, ignore_errors=True)

    def ask(self, method, session=None, **parameters):
        """Sends a command, and waits for its answer."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            command["sessionId"] = session
        text = json.dumps(command).encode() + b"\0"
        while text:
            text = text[os.write(self._commands, text):]
        while True:
            answer = json.loads(self._next())
            # Everything else is news that nobody asked for.
            if answer.get("id") == self._number:
                break
        if "error" in answer:
            raise Refused(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _next(self):
        while b"\0" not in self._rest:
            piece = os.read(self._answers, 1 << 20)
            if not piece:
                raise Refused("Chromium has ended")
            self._rest += piece
        text, _, self._rest = self._rest.partition(b"\0")
        return text


class Page:
    """A page of its own, with cookies of its own; a context."""

    def __init__(self, browser, url):
        self._browser = browser
        self._world = browser.ask("Target.createBrowserContext")["browserContextId"]
        self._target = browser.ask(
            "Target.createTarget", url=url, browserContextId=self._world, newWindow=True, width=SIZE[0], height=SIZE[1]
        )["targetId"]
        self._session = browser.ask("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._browser.ask("Target.disposeBrowserContext", browserContextId=self._world)

    def ask(self, method, **parameters):
        """A command about this page."""
        return self._browser.ask(method, self._session, **parameters)

    def run(self, script, *values):
        """What a script's function answers, once its promise is fulfilled."""
        words = ", ".join(json.dumps(value) for value in values)
        answer = self.ask(
            "Runtime.evaluate", expression=f"({script})({words})", awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise Refused(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def wait(self, condition, seconds=60):
        """Asks until an expression is true."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if self.run(f"() => Boolean({condition})"):
                    return
            except Refused:
                # A document that another took the place of.
                if time.monotonic() > deadline:
                    raise
            if time.monotonic() > deadline:
                raise Refused(f"not within {seconds} s: {condition}")
            time.sleep(0.05)

    def choose(self, selector, *paths):
        """Gives files to a field, as a person does."""
        field = self.ask("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")
        self.ask("DOM.setFileInputFiles", files=list(paths), objectId=field["result"]["objectId"])

    def scroll(self, pixels):
        """Turns the wheel in the middle of the page's lower part."""
        self.ask("Input.dispatchMouseEvent", type="mouseWheel", x=600, y=700, deltaX=0, deltaY=pixels)
