"""What the tests in the browser share: one stack and one Chromium, people who sign in, and what is asked of a page."""
import json
import os
import re
import shutil
import unittest

import axe_playwright_python
from playwright.sync_api import expect, sync_playwright

from stack import ROOT, Stack

AXE = os.path.join(os.path.dirname(axe_playwright_python.__file__), "axe.min.js")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SHOTS = os.path.join(ROOT, ".build-browser", "shots")
expect.set_options(timeout=20_000)


def launch(playwright):
    """Debian's Chromium, without a window."""
    # Its own sandbox does not run as root.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)


class Busy:
    """A context that tells what a page's own thread was busy with: `tasks`, each with its processor time in milliseconds.

    What a clock says of a task (PerformanceObserver's `longtask`) holds the time that other programs took the processor
    away as well. On a machine of its own the two are the same; Benchmarks/run measures by the clock.
    """

    MARK = "a mark that tells which thread is the page's"

    def __init__(self, page):
        self.page = page

    def __enter__(self):
        World.browser.start_tracing(categories=["toplevel", "v8", "devtools.timeline", "blink.user_timing"])
        self.page.evaluate("(mark) => performance.mark(mark)", self.MARK)
        return self

    def __exit__(self, *_):
        # The task that answered last may not have ended when its answer is here, and then the trace has no time for it.
        self.page.evaluate("() => new Promise((resolve) => setTimeout(resolve))")
        events = json.loads(World.browser.stop_tracing())["traceEvents"]
        thread = next((event["pid"], event["tid"]) for event in events if event["name"] == self.MARK)
        own = [event for event in events if (event["pid"], event["tid"]) == thread and "tdur" in event]
        self.tasks = [(event["tdur"] / 1000, self.within(event, own)) for event in own
                      if event["name"] == "ThreadControllerImpl::RunTask"]

    @staticmethod
    def within(task, events):
        """What the greater part of a long task was."""
        if task["tdur"] < 50_000:
            return []
        ends = task["ts"] + task["dur"]
        inner = [event for event in events if task["ts"] <= event["ts"] and event["ts"] + event["dur"] <= ends]
        inner.sort(key=lambda event: -event["tdur"])
        return [f"{event['name']} {event['tdur'] / 1000:.0f}" for event in inner[1:8]]


class World:
    """Begun with the first test and ended after the last."""

    stack = None
    browser = None

    @classmethod
    def begin(cls):
        if cls.stack:
            return
        os.makedirs(SHOTS, exist_ok=True)
        cls.stack = Stack(os.environ["FERRY_PROGRAMS"])
        try:
            cls.playwright = sync_playwright().start()
            cls.browser = launch(cls.playwright)
        except BaseException:
            cls.stack.close()
            raise

    @classmethod
    def end(cls):
        if cls.browser:
            cls.browser.close()
            cls.playwright.stop()
        if cls.stack:
            cls.stack.close()


class BrowserCase(unittest.TestCase):
    def setUp(self):
        World.begin()
        self.stack = World.stack
        self.wire = self.stack.wire
        self.wire.mend()
        self.wire.rate = None
        self.stack.give_up_all()

    def person(self, token="FERRY_TOKEN", path="/", **options):
        """Somebody with a browser of their own, signed in and on a page."""
        page = self.visitor(path, **options)
        self.sign_in(page, token)
        return page

    def sign_in(self, page, token):
        page.fill("#token", self.stack.env[token])
        page.keyboard.press("Enter")
        expect(page.locator("#page")).to_be_visible()

    def visitor(self, path="/", **options):
        context = World.browser.new_context(viewport={"width": 1280, "height": 860}, **options)
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda message: self.hear(page, message))
        self.addCleanup(self.leave, page)
        page.goto(self.wire.url + path)
        return page

    @staticmethod
    def hear(page, message):
        # Refusals are answers, and the browser writes each one down.
        if message.type == "error" and "Failed to load resource" not in message.text:
            page.faults.append(message.text)

    def leave(self, page):
        try:
            self.assertEqual(page.faults, [])
        finally:
            page.context.close()

    def choose(self, page, *paths, directory=None):
        """Chooses files, or one folder."""
        if directory is not None:
            page.fill("#directory", directory)
        if len(paths) == 1 and os.path.isdir(paths[0]):
            page.set_input_files("#folder", paths[0])
        else:
            page.set_input_files("#files", list(paths))

    @staticmethod
    def asked_on_leaving(page):
        """Loads the page anew; what the person was asked before that."""
        asked = []

        def answer(dialog):
            asked.append(dialog.type)
            dialog.accept()

        page.on("dialog", answer)
        # Nobody is asked who has not touched the page.
        page.locator("#directory").click()
        page.reload()
        page.remove_listener("dialog", answer)
        return asked

    @staticmethod
    def row(page, name):
        text = name.replace("\\", "\\\\").replace('"', '\\"')
        return page.locator("#rows .row", has=page.locator(f'.name:text-is("{text}")'))

    def expect_phase(self, page, name, phase, seconds=30):
        expect(self.row(page, name)).to_have_attribute("data-phase", re.compile(f"^({phase})$"), timeout=seconds * 1000)

    def check_axe(self, page, what):
        """No violation of the accessibility rules in the state that the page is in, neither light nor dark."""
        # The page's own policy allows no such script; the debugger's is not the page's.
        with open(AXE, encoding="utf-8") as file:
            page.evaluate(file.read())
        is_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        # Last as it was.
        for scheme in ("light", "dark") if is_dark else ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            # No colour on its way to another one.
            page.evaluate("""Promise.race([
                Promise.allSettled(document.getAnimations()
                    .filter((each) => each.effect.getComputedTiming().endTime !== Infinity).map((each) => each.finished)),
                new Promise((resolve) => setTimeout(resolve, 1000))])""")
            found = page.evaluate(f"axe.run({{runOnly: {{type: 'tag', values: {RULES}}}}})")
            told = [f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}" for each in found["violations"]]
            self.assertEqual(told, [], f"{what}, {scheme}")
            self.assertGreater(len(found["passes"]), 10, f"{what}, {scheme}")

    def check_never_blocked(self, busy):
        """No task of the page's thread took over 50 ms, of the many that there were."""
        self.assertGreater(len(busy.tasks), 200)
        self.assertEqual([each for each in busy.tasks if each[0] > 50], [], "tasks in milliseconds")

    @staticmethod
    def shot(page, name):
        page.mouse.move(0, 0)
        page.screenshot(path=os.path.join(SHOTS, f"{name}.png"), animations="disabled")
