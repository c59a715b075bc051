"""Signing in and out, languages, keyboards, small screens, and what a page must not do."""
import contextlib
import http.server
import json
import os
import re
import threading
from urllib.parse import urlsplit

from playwright.sync_api import expect

from browser import BrowserCase
from stack import ROOT, until


def tab_to(page, selector, key="Tab"):
    """Goes on by Tab until the focus is there."""
    for _ in range(40):
        page.keyboard.press(key)
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{key} does not reach {selector}")


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """An empty page of somebody else's, whose policy forbids it nothing."""

    def do_GET(self):
        page = b"<!doctype html><title>Elsewhere</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_):
        pass

    @classmethod
    @contextlib.contextmanager
    def served(cls):
        """Answers the port."""
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), cls) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield server.server_address[1]
            finally:
                server.shutdown()
                thread.join()


class SessionTest(BrowserCase):
    def test_signing_in_and_out(self):
        page = self.visitor()
        expect(page.get_by_role("dialog", name="Sign in to Ferry")).to_be_visible()
        self.check_axe(page, "signing in")
        self.shot(page, "sign-in")
        self.check_escape_closes_nothing(page)
        page.fill("#token", "not a token")
        page.keyboard.press("Enter")
        expect(page.locator("#sign-in-error")).to_contain_text("not known")
        page.fill("#token", self.stack.env["FERRY_TOKEN"])
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("#owner")).to_have_text("alice")
        expect(page.locator("#to-ops")).to_be_hidden()
        self.check_axe(page, "nothing chosen yet")
        # Neither token nor secret is where a script could read it.
        kept = page.evaluate("JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}])")
        self.assertNotIn(self.stack.env["FERRY_TOKEN"], kept)
        self.assertEqual(page.evaluate("document.cookie"), "")
        cookie = page.context.cookies()[0]
        self.assertTrue(cookie["httpOnly"] and cookie["sameSite"] == "Strict" and not cookie["secure"])
        page.reload()
        expect(page.locator("#owner")).to_have_text("alice")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("dialog", name="Sign in to Ferry")).to_be_visible()
        self.assertEqual(page.context.cookies(), [])
        # The old secret opens nothing any more.
        page.context.add_cookies([{**cookie}])
        page.reload()
        expect(page.get_by_role("dialog", name="Sign in to Ferry")).to_be_visible()

    def check_escape_closes_nothing(self, page):
        # The browser lets nobody prevent it twice in a row.
        for _ in range(3):
            page.keyboard.press("Escape")
            page.wait_for_timeout(300)
            expect(page.get_by_role("dialog", name="Sign in to Ferry")).to_be_visible()
        expect(page.locator("#token")).to_be_focused()

    def test_signing_out_that_does_not_work_says_so(self):
        page = self.person()
        page.route("**/v1/session", lambda route: route.fulfill(
            status=503, content_type="application/problem+json", body='{"type": "/problems/unavailable"}'))
        page.get_by_role("button", name="Sign out").click()
        dialog = page.get_by_role("dialog", name="Signing out did not work")
        expect(dialog).to_contain_text("The session may still be open.")
        self.check_axe(page, "signing out did not work")
        dialog.get_by_role("button", name="Back").click()
        expect(dialog).to_be_hidden()
        expect(page.locator("#owner")).to_have_text("alice")
        page.get_by_role("button", name="Sign out").click()
        page.unroute("**/v1/session")
        dialog.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("dialog", name="Sign in to Ferry")).to_be_visible()
        self.assertEqual(page.context.cookies(), [])

    def test_a_server_that_is_away_at_the_beginning_is_told_and_waited_for(self):
        page = self.visitor("/page/ferry.svg")
        page.route("**/v1/session", lambda route: route.fulfill(
            status=503, content_type="application/problem+json", body='{"type": "/problems/unavailable"}'))
        for path, heading in (("/", "Send files"), ("/ops", "Operations")):
            page.goto(self.wire.url + path)
            expect(page.get_by_role("heading", name=heading)).to_be_visible()
            expect(page.locator("#away")).to_contain_text("The server is not reached")
            expect(page.locator("#page")).to_be_hidden()
            self.check_axe(page, f"away at the beginning, {path}")
        page.unroute("**/v1/session")
        self.sign_in(page, "FERRY_TOKEN_OPS")
        expect(page.locator("#away")).to_be_hidden()

    def test_a_session_that_ends_in_the_middle_is_renewed_without_a_byte_lost(self):
        source = self.stack.file("session.bin", 40 << 20)
        self.wire.rate = 4 << 20
        page = self.person()
        self.choose(page, source, directory="session")
        self.expect_phase(page, "session.bin", "sending")
        other = page.context.new_page()
        other.goto(self.wire.url)
        other.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("dialog", name="Sign in to Ferry")).to_be_visible(timeout=60_000)
        other.close()
        self.check_escape_closes_nothing(page)
        self.wire.rate = None
        page.fill("#token", self.stack.env["FERRY_TOKEN"])
        page.keyboard.press("Enter")
        self.expect_phase(page, "session.bin", "done", seconds=60)
        self.assertTrue(self.stack.arrived("session/session.bin", source))

    def test_each_page_is_for_its_role(self):
        alice = self.person()
        alice.goto(self.wire.url + "/ops")
        expect(alice.locator("#not-yours")).to_be_visible()
        expect(alice.locator("#page")).to_be_hidden()
        self.check_axe(alice, "not an operator")
        operator = self.visitor("/")
        operator.fill("#token", self.stack.env["FERRY_TOKEN_OPS"])
        operator.keyboard.press("Enter")
        expect(operator.locator("#not-yours")).to_be_visible()
        operator.get_by_role("link", name="Operations").click()
        expect(operator.locator("#page")).to_be_visible()

    def test_another_sites_page_gets_nothing(self):
        page = self.person()
        cookies = page.context.cookies()
        wish = json.dumps({"target": self.stack.target, "path": "elsewhere.bin", "size": 0})
        with Elsewhere.served() as port:
            # Another origin of the same site, to which the cookie goes along; and another site, to which it does not.
            for host, refusal in (("127.0.0.1", 403), ("localhost", 401)):
                with self.subTest(host):
                    self.check_gets_nothing(page.context.new_page(), f"http://{host}:{port}/", wish, refusal)
        self.assertIsNone(self.stack.upload("elsewhere.bin"))
        self.assertEqual(page.context.cookies(), cookies)
        page.reload()
        expect(page.locator("#owner")).to_have_text("alice")

    def check_gets_nothing(self, other, address, wish, refusal):
        """Whatever a browser lets another page send reaches the server, and is refused there."""
        answers = []
        other.on("response", lambda answer: answers.append(
            (answer.request.method, urlsplit(answer.url).path, answer.status)))
        other.goto(address)
        answers.clear()
        read = other.evaluate("""async ([server, wish, token]) => {
            const ask = (path, options) => fetch(
              server + path, { credentials: 'include', signal: AbortSignal.timeout(20_000), ...options },
            ).then((answer) => answer.status, () => 0);
            return [
              await ask('/v1/uploads', { mode: 'no-cors' }),
              await ask('/v1/uploads', { mode: 'no-cors', method: 'POST', body: wish }),
              await ask('/v1/session', { mode: 'no-cors', method: 'POST', body: token }),
              await ask('/v1/uploads'),
              await ask('/v1/session', { method: 'DELETE' }),
            ];
        }""", [self.wire.url, wish, json.dumps({"token": self.stack.env["FERRY_TOKEN_2"]})])
        # The page learns nothing, not even a status.
        self.assertEqual(read, [0] * 5)
        # A form that leads away from the page.
        with other.expect_response("**/v1/uploads"):
            other.evaluate("""([server, wish]) => {
                const form = document.createElement('form'), field = document.createElement('input');
                Object.assign(form, { method: 'post', enctype: 'text/plain', action: server + '/v1/uploads' });
                // What is sent is `name=value`.
                field.name = wish.slice(0, -1) + ', "x": "';
                field.value = '"}';
                form.append(field);
                document.body.append(form);
                form.submit();
            }""", [self.wire.url, wish])
        # A page that is closed while another document takes its place may never say that it is gone.
        other.wait_for_url("**/v1/uploads")
        # The other two the browser itself keeps from the page: the answer of the one, and the sending of the other.
        self.assertEqual([answer for answer in answers if answer[0] != "OPTIONS"], [
            ("GET", "/v1/uploads", refusal), ("POST", "/v1/uploads", refusal), ("POST", "/v1/session", 403),
            ("POST", "/v1/uploads", refusal)])
        other.close()

    def test_chinese_by_the_browsers_language(self):
        page = self.person(locale="zh-CN")
        expect(page.locator("h1").first).to_have_text("上传文件")
        self.assertEqual(page.evaluate("document.documentElement.lang"), "zh-Hans")
        self.choose(page, self.stack.file("年度报告.pdf", 5000), directory="数据")
        self.expect_phase(page, "年度报告.pdf", "done")
        expect(self.row(page, "年度报告.pdf")).to_contain_text("已校验并就位")
        # Whatever a problem is called, it has words.
        with open(os.path.join(ROOT, "Sources/API/Problems/ProblemType.swift"), encoding="utf-8") as file:
            cases = re.findall(r"^    case (\w+)(?: = \"([\w-]+)\")?$", file.read(), re.MULTILINE)
        reasons = [f"reason.{value or name}" for name, value in cases]
        self.assertGreater(len(reasons), 30)
        for language in ("en", "zh"):
            texts = page.evaluate("(language) => import('/page/texts.js').then(({ TEXTS }) => TEXTS[language])", language)
            self.assertEqual([reason for reason in reasons if reason not in texts], [], language)
        text = page.locator("main").inner_text() + page.title()
        self.assertIsNone(re.search(r"\b(file|Pause|Sent|target|Choose)\b", text), text)
        self.check_axe(page, "Chinese")
        self.shot(page, "upload-zh")
        operator = self.person("FERRY_TOKEN_OPS", "/ops", locale="zh-CN")
        expect(operator.get_by_role("tab").first).to_contain_text("上传")
        self.check_axe(operator, "Chinese operations")
        german = self.person(locale="de-DE")
        self.choose(german, self.stack.file("groß.bin", 1_234_567), directory="de")
        expect(self.row(german, "groß.bin")).to_contain_text("1,23")

    def test_the_keyboard_alone_suffices(self):
        page = self.visitor()
        # The driver catches the chooser only some time after somebody first asks for it, and does not wait for that.
        page.on("filechooser", lambda _: None)
        expect(page.locator("#token")).to_be_focused()
        page.keyboard.type(self.stack.env["FERRY_TOKEN"])
        page.keyboard.press("Enter")
        expect(page.locator("#page")).to_be_visible()

        page.evaluate("document.body.focus()")
        tab_to(page, ".skip")
        page.keyboard.press("Enter")
        tab_to(page, "#directory")
        page.keyboard.type("keys")
        tab_to(page, "#pick-files")
        sources = [self.stack.file(f"keys/{name}.bin", 24 << 20) for name in ("first", "second", "third")]
        self.wire.rate = 3 << 20
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("Enter")
        chooser.value.set_files(sources)
        expect(page.locator("#rows .row")).to_have_count(3)
        tab_to(page, "#rows .row")
        # Arrow keys go from row to row, Tab into the row.
        page.keyboard.press("ArrowDown")
        self.assertEqual(page.evaluate("document.activeElement.querySelector('.name').textContent"), "second.bin")
        page.keyboard.press("Tab")
        self.assertEqual(page.evaluate("document.activeElement.getAttribute('aria-label')"), "Pause second.bin")
        page.keyboard.press("Enter")
        self.expect_phase(page, "second.bin", "paused")
        # The button became another one, and the focus is still there.
        self.assertEqual(page.evaluate("document.activeElement.getAttribute('aria-label')"), "Resume second.bin")
        page.keyboard.press("Enter")
        page.keyboard.press("End")
        self.assertEqual(page.evaluate("document.activeElement.closest('.row').querySelector('.name').textContent"), "third.bin")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        self.assertEqual(page.evaluate("document.activeElement.getAttribute('aria-label')"), "Cancel third.bin")
        page.keyboard.press("Enter")
        self.expect_phase(page, "third.bin", "cancelled")
        self.wire.rate = None
        for name in ("first.bin", "second.bin"):
            self.expect_phase(page, name, "done", seconds=60)
        # Whoever does not see it is told.
        until("it is told", lambda: "is in place" in page.locator("#live").inner_text())

    def test_small_screens_and_large_letters(self):
        page = self.person()
        self.choose(page, self.stack.file("a long name, longer than any small screen is wide, of a file.bin", 3000), directory="small")
        page.set_viewport_size({"width": 360, "height": 740})
        self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), 360)
        self.check_axe(page, "small")
        self.shot(page, "upload-small")
        page.set_viewport_size({"width": 320, "height": 256})
        self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), 320)

    def test_the_first_paint_waits_for_nothing_but_the_style(self):
        page = self.visitor()
        blocking = page.evaluate("""performance.getEntriesByType('resource')
            .filter((entry) => entry.renderBlockingStatus === 'blocking').map((entry) => new URL(entry.name).pathname)""")
        self.assertEqual(blocking, ["/page/page.css"])
        hosts = page.evaluate("[...new Set(performance.getEntriesByType('resource').map((entry) => new URL(entry.name).origin))]")
        self.assertEqual(hosts, [self.wire.url])
