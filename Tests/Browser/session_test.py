"""Signing in and out, languages, keyboards, small screens, and what a page must not do."""
import re

from playwright.sync_api import expect

from browser import BrowserCase
from stack import until


class SessionTest(BrowserCase):
    def test_signing_in_and_out(self):
        page = self.visitor()
        expect(page.get_by_role("dialog", name="Sign in to Ferry")).to_be_visible()
        self.check_axe(page, "signing in")
        self.shot(page, "sign-in")
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_visible()
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
        # The same browser, another origin: the same machine by its other name.
        other = page.context.new_page()
        other.goto(self.wire.url.replace("127.0.0.1", "localhost") + "/page/ferry.svg")
        status = other.evaluate("""async (url) => {
            try { await fetch(url, {credentials: 'include', method: 'DELETE'}); return 'done'; } catch (error) { return error.name; }
        }""", self.wire.url + "/v1/session")
        self.assertEqual(status, "TypeError")
        other.close()
        page.reload()
        expect(page.locator("#owner")).to_have_text("alice")

    def test_chinese_by_the_browsers_language(self):
        page = self.person(locale="zh-CN")
        expect(page.locator("h1").first).to_have_text("上传文件")
        self.assertEqual(page.evaluate("document.documentElement.lang"), "zh-Hans")
        self.choose(page, self.stack.file("年度报告.pdf", 5000), directory="数据")
        self.expect_phase(page, "年度报告.pdf", "done")
        expect(self.row(page, "年度报告.pdf")).to_contain_text("已校验并就位")
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

        def tab_to(selector):
            for _ in range(40):
                page.keyboard.press("Tab")
                if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                    return
            self.fail(f"Tab does not reach {selector}")

        page.evaluate("document.body.focus()")
        tab_to(".skip")
        page.keyboard.press("Enter")
        tab_to("#directory")
        page.keyboard.type("keys")
        tab_to("#pick-files")
        sources = [self.stack.file(f"keys/{name}.bin", 24 << 20) for name in ("first", "second", "third")]
        self.wire.rate = 3 << 20
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("Enter")
        chooser.value.set_files(sources)
        expect(page.locator("#rows .row")).to_have_count(3)
        tab_to("#rows .row")
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
