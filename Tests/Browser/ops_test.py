"""The operations page: what is on its way, what stands still, and what an operator does about it."""
import os
import re

from playwright.sync_api import expect

from browser import BrowserCase, Busy, heap_bytes
from crowd import Crowd
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
        if not self.stack.is_small:
            self.skipTest("this user may not mount a small file system")
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
            before = heap_bytes(debugger)
            with Busy(operator) as busy:
                for _ in range(15):
                    operator.mouse.wheel(0, 3000)
                    operator.wait_for_timeout(2_000)
            after = heap_bytes(debugger)
        self.assertGreater(crowd.published, 2_000, "events while it was looked at")
        self.check_never_blocked(busy)
        self.assertLess(after, before * 1.15 + (2 << 20), "memory stays as it is")
        crowd.end()

    def test_pictures_for_the_documentation(self):
        files = {"harbour tour.mp4": 120 << 20, "survey 2026.laz": 60 << 20, "annual report.pdf": 3 << 20, "年度报告.pdf": 2 << 20}
        sources = [self.stack.file(f"shots/{name}", size) for name, size in files.items()]
        self.stack.show_an_hour()
        for scheme in ("light", "dark"):
            self.write("videos/2026/annual report.pdf")
            # Somebody else's: one on its way, and one that needs a person.
            other = self.create("renders/reel 07.mov", 64 << 20, "FERRY_TOKEN_2", 8 << 20)
            for number in range(1, 6):
                self.stack.put_part(other["id"], number, os.urandom(8 << 20), "FERRY_TOKEN_2")
            failed = self.create("renders/title card.png", 4096, "FERRY_TOKEN_2")
            self.stack.put_part(failed["id"], 1, bytes(4096), "FERRY_TOKEN_2")
            self.write("renders/title card.png")
            self.stack.ask("POST", f"/v1/uploads/{failed['id']}/complete", token="FERRY_TOKEN_2")
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
            os.remove(os.path.join(self.stack.root, "renders/title card.png"))

    def write(self, path):
        """A file on the target that Ferry did not put there."""
        final = os.path.join(self.stack.root, path)
        os.makedirs(os.path.dirname(final), exist_ok=True)
        with open(final, "w", encoding="utf-8") as file:
            file.write("what was there\n")
