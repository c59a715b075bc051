"""A real Chromium that does what it is told: a JSON command a line on the input, an answer a line on the output.

Runs with the packages of the pages' tests (scripts/browser-python), and takes from those tests what it shares with
them. The environment says where Ferry is, as .stack/env does.
"""
from __future__ import annotations

import json
import os
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "Tests", "Browser"))

from browser import heap_bytes, launch  # noqa: E402
from crowd import Crowd  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

# What PerformanceObserver says of the page's thread.
LONG_TASKS = """
globalThis.longTasks = [];
new PerformanceObserver((list) => { for (const entry of list.getEntries()) longTasks.push(Math.round(entry.duration)); })
  .observe({ type: 'longtask', buffered: true });
"""
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


class Person:
    """Somebody who is signed in on a page; a context."""

    def __init__(self, browser, token, path):
        self._context = browser.new_context(viewport={"width": 1280, "height": 860})
        self._context.set_default_timeout(60_000)
        self._context.add_init_script(LONG_TASKS)
        self.page = self._context.new_page()
        self.page.goto(os.environ["FERRY_URL"] + path)
        self.page.fill("#token", os.environ[token])
        self.page.keyboard.press("Enter")
        self.page.locator("#page").wait_for()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._context.close()

    def tasks(self):
        """Milliseconds of each task of the page's own thread that was longer than 50, since the last question."""
        return self.page.evaluate("longTasks.splice(0)")


def send(browser, command):
    """Sends a file by the upload page."""
    with Person(browser, "FERRY_TOKEN", "/") as person:
        page = person.page
        page.fill("#directory", command["directory"])
        page.evaluate(WATCH)
        person.tasks()
        page.set_input_files("#files", command["file"])
        milliseconds = page.evaluate("whole")
        return {"seconds": milliseconds / 1000, "tasks": person.tasks()}


def rows(browser, command):
    """Sends many small files at once, and scrolls through their rows."""
    with Person(browser, "FERRY_TOKEN", "/") as person:
        page = person.page
        page.fill("#directory", "page-rows")
        page.evaluate("""(count) => {
            const files = new DataTransfer();
            for (let number = 0; number < count; number++) {
              files.items.add(new File([new Uint8Array(5000)], `row ${number}.bin`, { lastModified: 1 }));
            }
            document.getElementById('files').files = files.files;
        }""", command["count"])
        person.tasks()
        page.evaluate("document.getElementById('files').dispatchEvent(new Event('change'))")
        ends = time.monotonic() + command["seconds"]
        while time.monotonic() < ends:
            page.mouse.move(600, 700)
            page.mouse.wheel(0, 9_000)
            page.wait_for_timeout(250)
        return {"tasks": person.tasks()}


def watch(browser, command):
    """Looks at the operations page, with many uploads and their events."""
    crowd = Crowd(os.environ)
    crowd.make(command["uploads"])
    heaps, tasks = [], []
    with Person(browser, "FERRY_TOKEN_OPS", "/ops") as person:
        page = person.page
        page.locator("#live-rows .row").first.wait_for()
        debugger = page.context.new_cdp_session(page)
        debugger.send("Performance.enable")
        with crowd.publishing(command["rate"]):
            page.wait_for_timeout(1000 * min(10, command["seconds"]))
            person.tasks()
            began, before = time.monotonic(), crowd.published
            while time.monotonic() - began < command["seconds"]:
                page.mouse.move(600, 700)
                page.mouse.wheel(0, 3_000)
                page.wait_for_timeout(1000 * command["every"])
                tasks += person.tasks()
                # To collect the garbage takes the page's thread: that is not the page's doing.
                heaps.append(heap_bytes(debugger))
                person.tasks()
            rate = (crowd.published - before) / (time.monotonic() - began)
    crowd.end()
    return {"tasks": tasks, "heaps": heaps, "rate": rate}


def main():
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for line in sys.stdin:
            command = json.loads(line)
            answer = {"send": send, "rows": rows, "watch": watch}[command["do"]](browser, command)
            print(json.dumps(answer), flush=True)
        browser.close()


main()
