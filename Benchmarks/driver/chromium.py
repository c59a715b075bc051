"""A real Chromium that does what it is told: a JSON command a line on the input, an answer a line on the output.

Runs with the packages of the pages' tests (scripts/browser-python), and takes from those tests the crowd of uploads. The
environment says where Ferry is, as .stack/env does.
"""
from __future__ import annotations

import json
import os
import sys
import time

from devtools import Browser, Page

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "Tests", "Browser"))

from crowd import Crowd  # noqa: E402
from heap import heap_bytes  # noqa: E402

# What PerformanceObserver says of the page's thread.
LONG_TASKS = """() => {
    globalThis.longTasks = [];
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) longTasks.push(Math.round(entry.duration));
    }).observe({ type: 'longtask' });
}"""
# From the answer that an upload was created to the answer that all of it is there, by the browser's own clock.
WATCH = """() => {
    let began;
    globalThis.whole = new Promise((resolve) => {
      new PerformanceObserver((list) => {
        for (const { name, responseEnd } of list.getEntries()) {
          if (name.endsWith('/v1/uploads')) began ??= responseEnd;
          if (name.endsWith('/complete')) resolve(responseEnd - began);
        }
      }).observe({ type: 'resource' });
    });
}"""
SIGN_IN = """(token) => {
    document.getElementById('token').value = token;
    document.querySelector('#sign-in form').requestSubmit();
}"""
FILL = "(text) => { document.getElementById('directory').value = text; }"


class Person(Page):
    """Somebody who is signed in on a page; a context."""

    def __init__(self, browser, token, path):
        super().__init__(browser, os.environ["FERRY_URL"] + path)
        self.wait("document.getElementById('sign-in')?.open")
        self.run(SIGN_IN, os.environ[token])
        self.wait("!document.getElementById('page').hidden")
        self.run(LONG_TASKS)

    def tasks(self):
        """Milliseconds of each task of the page's own thread that was longer than 50, since the last question."""
        return self.run("() => longTasks.splice(0)")


def send(browser, command):
    """Sends a file by the upload page."""
    with Person(browser, "FERRY_TOKEN", "/") as person:
        person.run(FILL, command["directory"])
        person.run(WATCH)
        person.tasks()
        person.choose("#files", command["file"])
        milliseconds = person.run("() => whole")
        return {"seconds": milliseconds / 1000, "tasks": person.tasks()}


def bare(browser, command):
    """Sends a file by a page that does nothing else."""
    with Page(browser, command["url"]) as page:
        page.wait("globalThis.send")
        page.choose("#file", command["file"])
        return {"seconds": page.run("send", command["lanes"], command["part"]) / 1000}


def rows(browser, command):
    """Sends many small files at once, and scrolls through their rows."""
    with Person(browser, "FERRY_TOKEN", "/") as person:
        person.run(FILL, "page-rows")
        person.run("""(count) => {
            const files = new DataTransfer();
            for (let number = 0; number < count; number++) {
              files.items.add(new File([new Uint8Array(5000)], `row ${number}.bin`, { lastModified: 1 }));
            }
            document.getElementById('files').files = files.files;
        }""", command["count"])
        person.tasks()
        person.run("() => { document.getElementById('files').dispatchEvent(new Event('change')); }")
        ends = time.monotonic() + command["seconds"]
        while time.monotonic() < ends:
            person.scroll(9_000)
            time.sleep(0.25)
        return {"tasks": person.tasks()}


def watch(browser, command):
    """Looks at the operations page, with many uploads and their events."""
    crowd = Crowd(os.environ)
    crowd.make(command["uploads"])
    heaps, tasks = [], []
    with Person(browser, "FERRY_TOKEN_OPS", "/ops") as person:
        person.wait("document.querySelector('#live-rows .row')")
        person.ask("Performance.enable")
        with crowd.publishing(command["rate"]):
            time.sleep(min(10, command["seconds"]))
            person.tasks()
            began, before = time.monotonic(), crowd.published
            while time.monotonic() - began < command["seconds"]:
                person.scroll(3_000)
                time.sleep(command["every"])
                tasks += person.tasks()
                # To collect the garbage takes the page's thread: that is not the page's doing.
                heaps.append(heap_bytes(person.ask))
                person.tasks()
            rate = (crowd.published - before) / (time.monotonic() - began)
    crowd.end()
    return {"tasks": tasks, "heaps": heaps, "rate": rate}


def main():
    with Browser() as browser:
        for line in sys.stdin:
            command = json.loads(line)
            answer = {"send": send, "bare": bare, "rows": rows, "watch": watch}[command["do"]](browser, command)
            print(json.dumps(answer), flush=True)


main()
