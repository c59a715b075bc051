"""The operations page: what is on its way, what stands still, and what an operator does about it."""
import os
import re

from playwright.sync_api import expect

from browser import BrowserCase, Busy
from crowd import Crowd, dead_letter, write
from heap import heap_bytes
from session_test import tab_to
from stack import until

PART = 4096


class OperationsTest(BrowserCase):
    def operator(self, tab="live", **options):
        page = self.person("FERRY_TOKEN_OPS", f"/ops#{tab}", **options)
        expect(page.locator("#service")).not_to_have_text("–")
        return page

    def create(self, path, size=PART, token="FERRY_TOKEN", part=PART):
        status, upload = self.stack.ask("POST", "/v1/uploads", {
            "target": self.stack.target, "path": path, "size": size, "partSize": part}, token)
        self.assertEqual(status, 201, upload)
        return upload

    def test_a_full_disk_is_seen_replayed_and_gone(self):
        self.assertTrue(self.stack.is_small, "a small file system for the target is mounted by root, or by sudo -n")
        operator = self.operator("dead")
        expect(operator.locator("#dead-none")).to_be_visible()
        self.check_axe(operator, "nothing dead")
        self.stack.fill_target()
        try:
            page = self.person()
            sources = [self.stack.file(f"full/{name}.bin", 20 << 20) for name in ("one", "two", "three", "four")]
            self.choose(page, *sources, directory="full")
            for name in ("one", "two", "three", "four"):
                self.expect_phase(page, f"{name}.bin", "failed", seconds=120)
            expect(self.row(page, "one.bin")).to_contain_text("The target has no room")
        finally:
            self.stack.empty_target()
        # It came by itself, without a reload.
        expect(operator.locator("#dead-rows .row")).to_have_count(4)
        expect(operator.locator("#dead-badge")).to_have_text("4")
        self.check_axe(operator, "dead letters")
        self.shot(operator, "operations-dead-light")
        row = operator.locator("#dead-rows .row", has_text="full/one.bin")
        expect(row).to_contain_text("The target has no room")
        row.focus()
        operator.keyboard.press("Enter")
        detail = operator.locator("#detail")
        expect(detail).to_contain_text("History")
        expect(detail.locator(".timeline li").first).to_contain_text("Created")
        expect(detail.locator(".timeline li").last).to_contain_text("Failed")
        self.check_axe(operator, "an upload's history")
        self.shot(operator, "operations-history-light")
        detail.get_by_role("button", name="Close").click()
        # One.
        row.get_by_role("button", name="Replay full/one.bin").click()
        self.expect_phase(page, "one.bin", "done", seconds=60)
        expect(operator.locator("#dead-rows .row")).to_have_count(3)
        # Those that are selected.
        operator.locator("#dead-rows .row", has_text="full/four.bin").get_by_role("checkbox").check()
        operator.get_by_role("button", name="Replay selected").click()
        self.expect_phase(page, "four.bin", "done", seconds=60)
        expect(operator.locator("#dead-rows .row")).to_have_count(2)
        # Discarding asks first.
        operator.locator("#dead-rows .row", has_text="full/two.bin").get_by_role("checkbox").check()
        operator.get_by_role("button", name="Discard selected").click()
        self.check_axe(operator, "discarding")
        operator.get_by_role("dialog").get_by_role("button", name="Back").click()
        expect(operator.locator("#dead-rows .row")).to_have_count(2)
        operator.get_by_role("button", name="Discard selected").click()
        operator.get_by_role("dialog").get_by_role("button", name="Discard").click()
        expect(operator.locator("#dead-rows .row")).to_have_count(1)
        self.expect_phase(page, "two.bin", "cancelled")
        # All that match: counted first, then at a pace.
        operator.select_option("#dead-reason", "disk-full")
        expect(operator.locator("#dead-rows .row")).to_have_count(1)
        operator.get_by_role("button", name="Replay all matching").click()
        dialog = operator.locator("#replay")
        dialog.get_by_role("button", name="Count only").click()
        expect(dialog).to_contain_text("1 dead letter matches.")
        self.check_axe(operator, "replaying all")
        dialog.get_by_label("Pace, uploads a second").fill("5")
        dialog.get_by_role("button", name="Replay", exact=True).click()
        self.expect_phase(page, "three.bin", "done", seconds=60)
        expect(operator.locator("#dead-rows .row")).to_have_count(0)
        expect(operator.locator("#dead-none")).to_be_visible()
        for name in ("one", "three", "four"):
            self.assertTrue(self.stack.arrived(f"full/{name}.bin", os.path.join(self.stack.files, f"full/{name}.bin")))
        self.assertFalse(os.path.exists(os.path.join(self.stack.root, "full/two.bin")))

    def test_it_is_live_and_right_again_after_a_restart(self):
        operator = self.operator()
        operator.fill("#live-search", "lively/")
        expect(operator.locator("#live-none")).to_be_visible()
        self.check_axe(operator, "nothing on its way")
        upload = self.create("lively/first.bin", 2 * PART)
        expect(operator.locator("#live-rows .row")).to_have_count(1)
        self.stack.script("kill", "api-1")
        expect(operator.locator("#away")).to_be_visible(timeout=30_000)
        self.check_axe(operator, "away")
        self.stack.script("start", "api-1")
        # What happened while nobody listened is there, too.
        self.stack.ask("DELETE", f"/v1/uploads/{upload['id']}")
        self.create("lively/second.bin")
        expect(operator.locator("#away")).to_be_hidden(timeout=60_000)
        expect(operator.locator("#live-rows .row", has_text="lively/second.bin")).to_have_count(1)
        expect(operator.locator("#live-rows .row", has_text="lively/first.bin")).to_have_count(0, timeout=30_000)
        operator.select_option("#live-state", "shipping")
        expect(operator.locator("#live-rows .row")).to_have_count(0)
        operator.select_option("#live-state", "")
        operator.fill("#live-search", "SECOND")
        expect(operator.locator("#live-rows .row")).to_have_count(1)
        # An operator may end any upload, once asked.
        operator.locator("#live-rows .row").get_by_role("button").click()
        operator.locator("#detail").get_by_role("button", name="Cancel upload").click()
        operator.get_by_role("dialog", name="Cancel this upload?").get_by_role("button", name="Cancel upload").click()
        until("it is cancelled", lambda: self.stack.upload("lively/second.bin")["state"] == "cancelled")

    def test_what_begins_while_the_list_is_read_stays(self):
        operator = self.visitor("/ops#live")
        held = []
        operator.route(re.compile(r"/v1/uploads\?state=failed"), lambda route: held.append(route))
        self.sign_in(operator, "FERRY_TOKEN_OPS")
        operator.fill("#live-search", "meanwhile/")
        while not held:
            operator.wait_for_timeout(20)
        # The list of those that are being received has been read already.
        self.create("meanwhile/new.bin")
        expect(operator.locator("#live-rows .row")).to_have_count(1)
        with operator.expect_response(re.compile("state=failed")):
            held[0].continue_()
        operator.wait_for_timeout(1_000)
        expect(operator.locator("#live-rows .row")).to_have_count(1)

    def test_what_ends_while_the_list_is_read_does_not_come_back(self):
        upload = self.create("meanwhile/old.bin")
        other = self.create("meanwhile/other.bin")
        operator = self.visitor("/ops#live")
        held = []
        operator.route(re.compile(r"/v1/uploads\?state=failed"), lambda route: held.append(route))
        with operator.expect_response(re.compile("state=receiving")):
            self.sign_in(operator, "FERRY_TOKEN_OPS")
        operator.fill("#live-search", "meanwhile/")
        while not held:
            operator.wait_for_timeout(20)
        # Among those that are being received it has been read already.
        self.stack.ask("DELETE", f"/v1/uploads/{upload['id']}")
        operator.wait_for_timeout(1_000)
        with operator.expect_response(re.compile("state=failed")):
            held[0].continue_()
        row = operator.locator("#live-rows .row")
        expect(row).to_have_count(1)
        expect(row).to_contain_text("meanwhile/other.bin")
        self.stack.ask("DELETE", f"/v1/uploads/{other['id']}")
        expect(row).to_have_count(0)

    def test_dead_letters_are_shown_while_more_fail(self):
        operator = self.operator("dead")
        held = []
        operator.route(re.compile(r"/v1/dead-letters\?"),
                       lambda route: held.append(route) if len(held) < 2 else route.continue_())
        while not held:
            operator.wait_for_timeout(20)
        finals = [dead_letter(self.stack, f"many/{name}.bin") for name in ("one", "two", "three")]
        operator.wait_for_timeout(2_000)
        # One question at a time, and its answer counts though there is news.
        self.assertEqual(len(held), 1)
        held[0].continue_()
        expect(operator.locator("#dead-rows .row", has_text="many/")).to_have_count(3)
        # What failed meanwhile is asked for once more.
        until("it is asked again", lambda: operator.wait_for_timeout(20) or len(held) == 2, seconds=3)
        held[1].continue_()
        for final in finals:
            os.remove(final)

    def test_the_keyboard_alone_suffices(self):
        finals = {name: dead_letter(self.stack, f"keys/{name}.bin") for name in ("one", "two", "three")}
        self.create("keys/live.bin")
        self.create("elsewhere/live.bin")
        operator = self.visitor("/ops")
        expect(operator.locator("#token")).to_be_focused()
        press, type_text = operator.keyboard.press, operator.keyboard.type
        type_text(self.stack.env["FERRY_TOKEN_OPS"])
        press("Enter")
        expect(operator.locator("#page")).to_be_visible()
        live, dead = operator.locator("#live-rows .row"), operator.locator("#dead-rows .row")
        expect(live).not_to_have_count(0)

        # Filters, rows and the story of one.
        tab_to(operator, "#live-search")
        type_text("keys/")
        expect(live).to_have_count(4)
        tab_to(operator, "#live-state")
        press("ArrowDown")
        expect(operator.locator("#live-state")).to_have_value("receiving")
        expect(live).to_have_count(1)
        tab_to(operator, "#live-rows .row")
        press("Enter")
        expect(operator.locator("#detail")).to_contain_text("keys/live.bin")
        expect(operator.get_by_role("button", name="Close")).to_be_focused()
        press("Escape")
        expect(operator.locator("#detail")).to_be_hidden()
        expect(live).to_be_focused()

        # The tabs, by arrow keys; selecting by search, and replaying what is selected.
        tab_to(operator, "#tab-live", "Shift+Tab")
        press("ArrowRight")
        expect(operator.locator("#tab-dead")).to_be_focused()
        tab_to(operator, "#dead-search")
        type_text("keys/")
        expect(dead).to_have_count(3)
        # All that match would be more than what the search shows.
        expect(operator.locator("#dead-matching")).to_be_disabled()
        expect(operator.locator("#dead-selected")).to_contain_text("select what to replay")
        tab_to(operator, "#dead-all")
        press("Space")
        expect(operator.locator("#dead-selected")).to_have_text("3 selected")
        press("Space")
        tab_to(operator, "#dead-rows .row")
        press("ArrowDown")
        press("Tab")
        name = re.fullmatch(r"Select keys/(\w+)\.bin", self.label(operator))[1]
        press("Space")
        expect(operator.locator("#dead-selected")).to_have_text("1 selected")
        os.remove(finals.pop(name))
        tab_to(operator, "#dead-replay", "Shift+Tab")
        press("Enter")
        expect(dead).to_have_count(2)
        until("it is in place", lambda: self.stack.upload(f"keys/{name}.bin")["state"] == "done")

        # One by its own buttons: given up, once asked.
        tab_to(operator, "#dead-rows .row")
        for _ in range(3):
            press("Tab")
        name = re.fullmatch(r"Discard keys/(\w+)\.bin", self.label(operator))[1]
        press("Enter")
        expect(operator.get_by_role("dialog").get_by_role("button", name="Back")).to_be_focused()
        press("Tab")
        press("Enter")
        expect(dead).to_have_count(1)
        self.assertEqual(self.stack.upload(f"keys/{name}.bin")["state"], "cancelled")
        os.remove(finals.pop(name))

        # All that match the reason: counted, then sent on their way.
        tab_to(operator, "#dead-search", "Shift+Tab")
        press("Control+A")
        press("Delete")
        tab_to(operator, "#dead-reason")
        press("ArrowDown")
        expect(operator.locator("#dead-reason")).to_have_value("target-exists")
        expect(dead).to_have_count(1)
        os.remove(finals.popitem()[1])
        tab_to(operator, "#dead-matching")
        press("Enter")
        expect(operator.locator("#replay-pace")).to_be_focused()
        tab_to(operator, "#replay-dry")
        press("Enter")
        expect(operator.locator("#replay-result")).to_have_text("1 dead letter matches.")
        press("Tab")
        press("Enter")
        expect(operator.locator("#replay")).to_be_hidden()
        expect(dead).to_have_count(0)
        # Whoever does not see it is told.
        until("it is told", lambda: "1 on their way" in operator.locator("#live").inner_text())

    @staticmethod
    def label(page):
        return page.evaluate("document.activeElement.getAttribute('aria-label')")

    def test_targets_workers_and_the_last_hour(self):
        page = self.person()
        self.choose(page, self.stack.file("hour.bin", 5 << 20), directory="hour")
        self.expect_phase(page, "hour.bin", "done")
        operator = self.operator("fleet")
        target = operator.locator("#targets .card")
        expect(target).to_contain_text("Reachable", timeout=60_000)
        for text in (self.stack.target, "in-place", "OpenSSH", "Free space", "Circuit breaker", "Sessions", "Waiting jobs (ship)"):
            expect(target).to_contain_text(text)
        expect(operator.locator("#workers .card")).to_contain_text("worker-1")
        expect(operator.locator("#worker-count")).to_have_text("1")
        picture = operator.get_by_role("img", name="Over the last hour")
        expect(picture).to_be_visible()
        self.assertNotIn("0 bytes were received", picture.get_attribute("aria-label"))
        self.check_axe(operator, "targets and workers")
        self.shot(operator, "operations-fleet-light")
        # The tabs by keyboard.
        operator.get_by_role("tab", name="Targets and workers").focus()
        operator.keyboard.press("ArrowRight")
        expect(operator.get_by_role("tab", name="Uploads")).to_be_focused()
        expect(operator.locator("#live-panel")).to_be_visible()
        self.stack.script("stop", "worker-1")
        try:
            expect(operator.locator("#worker-count")).to_have_text("0", timeout=40_000)
        finally:
            self.stack.script("start", "worker-1")
        expect(operator.locator("#worker-count")).to_have_text("1", timeout=40_000)

    def test_a_thousand_uploads_and_a_hundred_events_a_second(self):
        crowd = Crowd(self.stack.env)
        crowd.make(1000)
        operator = self.operator()
        expect(operator.locator("#live-shown")).to_contain_text("1,0", timeout=60_000)
        debugger = operator.context.new_cdp_session(operator)
        debugger.send("Performance.enable")
        with crowd.publishing(100):
            operator.wait_for_timeout(8_000)
            before = heap_bytes(debugger.send)
            with Busy(operator) as busy:
                for _ in range(15):
                    operator.mouse.wheel(0, 3000)
                    operator.wait_for_timeout(2_000)
            after = heap_bytes(debugger.send)
        self.assertGreater(crowd.published, 2_000, "events while it was looked at")
        self.check_never_blocked(busy)
        self.assertLess(after, before * 1.15 + (2 << 20), "memory stays as it is")
        crowd.end()

    def test_pictures_for_the_documentation(self):
        files = {"harbour tour.mp4": 120 << 20, "survey 2026.laz": 60 << 20, "annual report.pdf": 3 << 20, "年度报告.pdf": 2 << 20}
        sources = [self.stack.file(f"shots/{name}", size) for name, size in files.items()]
        self.stack.show_an_hour()
        for scheme in ("light", "dark"):
            write(self.stack, "videos/2026/annual report.pdf")
            # Somebody else's: one on its way, and one that needs a person.
            other = self.create("renders/reel 07.mov", 64 << 20, "FERRY_TOKEN_2", 8 << 20)
            for number in range(1, 6):
                self.stack.put_part(other["id"], number, os.urandom(8 << 20), "FERRY_TOKEN_2")
            standing = dead_letter(self.stack, "renders/title card.png", "FERRY_TOKEN_2")
            page = self.person(color_scheme=scheme)
            page.set_viewport_size({"width": 1280, "height": 1000})
            operator = self.operator(color_scheme=scheme)
            operator.set_viewport_size({"width": 1280, "height": 1000})
            self.wire.rate = 5 << 20
            self.choose(page, *sources, directory="videos/2026")
            self.expect_phase(page, "年度报告.pdf", "done", seconds=60)
            self.expect_phase(page, "annual report.pdf", "exists")
            for name in ("harbour tour.mp4", "survey 2026.laz"):
                path = f"videos/2026/{name}"
                until("some of it is there", lambda: (self.stack.upload(path) or {}).get("shippedBytes"), seconds=60)
            expect(operator.locator("#dead-badge")).to_have_text("1")
            report = operator.locator("#live-rows .row", has_text="年度报告.pdf")
            expect(report.filter(has_text="Shipping")).to_have_count(0)
            for each, name in ((page, "upload"), (operator, "operations")):
                each.evaluate("document.activeElement.blur()")
                self.shot(each, f"{name}-{scheme}")
                self.check_axe(each, f"{name}, {scheme}")
            self.wire.rate = None
            page.get_by_role("button", name="Cancel all").click()
            page.get_by_role("dialog").get_by_role("button", name="Cancel all").click()
            expect(page.get_by_role("button", name="Cancel all")).to_be_hidden()
            self.stack.give_up_all()
            for name in files:
                final = os.path.join(self.stack.root, "videos/2026", name)
                if os.path.exists(final):
                    os.remove(final)
            os.remove(standing)
