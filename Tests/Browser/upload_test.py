"""The upload page on its good days: large files, whole folders, pausing, going on after a reload."""
import os
import re

from playwright.sync_api import expect

from browser import BrowserCase, Busy
from stack import until


class UploadTest(BrowserCase):
    def test_a_large_file_arrives_and_nothing_blocks_the_page(self):
        source = self.stack.file("large.bin", 300 << 20)
        digests, streams = self.wire.digests, self.wire.streams
        page = self.person()
        with Busy(page) as busy:
            self.choose(page, source, directory="")
            self.expect_phase(page, "large.bin", "sending")
            self.expect_phase(page, "large.bin", "done", seconds=240)
        self.check_never_blocked(busy)
        row = self.row(page, "large.bin")
        expect(row.locator(".state")).to_contain_text("Verified and in place")
        expect(row.locator("[role=progressbar]")).to_have_attribute("aria-valuetext", re.compile("Sent 100%"))
        self.assertTrue(self.stack.arrived("large.bin", source))
        upload = self.stack.upload("large.bin")
        self.assertEqual(upload["state"], "done")
        parts = [number for id, number in self.wire.puts if id == upload["id"]]
        self.assertEqual(sorted(parts), list(range(1, len(parts) + 1)), "each part once")
        self.assertEqual(self.wire.digests - digests, len(parts), "each part with its SHA-256")
        self.assertEqual(self.wire.streams - streams, 1, "one event stream for the page")
        self.check_axe(page, "done")
        os.remove(source)
        os.remove(os.path.join(self.stack.root, "large.bin"))

    def test_a_folder_of_small_files_keeps_its_shape(self):
        for number in range(500):
            self.stack.file(f"folder/{number % 7}/file {number}.txt", 1 + number * 3)
        page = self.person()
        self.choose(page, os.path.join(self.stack.files, "folder"), directory="many")
        expect(page.locator("#summary")).to_contain_text("500 of 500 files in place", timeout=120_000)
        for number in (0, 1, 250, 499):
            path = f"folder/{number % 7}/file {number}.txt"
            self.assertTrue(self.stack.arrived(f"many/{path}", os.path.join(self.stack.files, path)), path)
        # Of the many rows only those in sight exist.
        self.assertLess(page.locator("#rows .row").count(), 40)
        page.get_by_role("button", name="Clear finished").click()
        expect(page.locator("#sheet")).to_be_hidden()

    def test_a_dropped_folder_is_taken_whole(self):
        for name in ("a.txt", "deep/er/b.txt", "deep/c.txt"):
            os.utime(self.stack.file(f"dropped/{name}", 2000), (1_600_000_000, 1_600_000_000))
        page = self.person()
        page.fill("#directory", "from/drop")
        box = page.locator("#drop").bounding_box()
        debugger = page.context.new_cdp_session(page)
        for kind in ("dragEnter", "dragOver", "drop"):
            debugger.send("Input.dispatchDragEvent", {
                "type": kind, "x": box["x"] + 50, "y": box["y"] + 20,
                "data": {"items": [], "files": [os.path.join(self.stack.files, "dropped")], "dragOperationsMask": 1},
            })
        expect(page.locator("#summary")).to_contain_text("3 of 3 files in place", timeout=60_000)
        self.assertTrue(self.stack.arrived("from/drop/dropped/deep/er/b.txt",
                                           os.path.join(self.stack.files, "dropped/deep/er/b.txt")))
        # With the time of its last change.
        self.assertEqual(int(os.path.getmtime(os.path.join(self.stack.root, "from/drop/dropped/a.txt"))), 1_600_000_000)

    def test_pausing_holds_and_resuming_goes_on(self):
        source = self.stack.file("paused.bin", 80 << 20)
        self.wire.rate = 20 << 20
        page = self.person()
        self.choose(page, source, directory="pause")
        self.expect_phase(page, "paused.bin", "sending")
        row = self.row(page, "paused.bin")
        until("something is acknowledged", lambda: (self.stack.upload("pause/paused.bin") or {}).get("receivedBytes"))
        row.get_by_role("button", name="Pause paused.bin").click()
        self.expect_phase(page, "paused.bin", "paused")
        self.check_axe(page, "paused")
        page.wait_for_timeout(700)
        begun = len(self.wire.puts)
        has = self.stack.upload("pause/paused.bin")["receivedBytes"]
        page.wait_for_timeout(1500)
        self.assertEqual(len(self.wire.puts), begun, "nothing is sent while it is paused")
        self.assertEqual(self.stack.upload("pause/paused.bin")["receivedBytes"], has)
        self.wire.rate = None
        row.get_by_role("button", name="Resume paused.bin").click()
        self.expect_phase(page, "paused.bin", "done", seconds=60)
        self.assertTrue(self.stack.arrived("pause/paused.bin", source))

    def test_after_a_reload_one_pick_goes_on_and_no_part_is_sent_twice(self):
        names = ["tour.bin", "notes.bin"]
        sources = [self.stack.file(f"reload/{name}", 60 << 20) for name in names]
        # Slow enough that neither is whole before the page is left, however busy the machine is.
        self.wire.rate = 3 << 20
        page = self.person()
        self.choose(page, *sources, directory="again/here")

        def has_some():
            found = [self.stack.upload(f"again/here/{name}") for name in names]
            return all(upload and upload["receivedBytes"] > 0 for upload in found)

        until("both have parts", has_some, seconds=120)
        # Leaving asks first, as long as something travels.
        self.assertEqual(self.asked_on_leaving(page), ["beforeunload"])
        for name in names:
            self.expect_phase(page, name, "needed")
        expect(page.locator("#notices")).to_contain_text("2 files are unfinished")
        self.check_axe(page, "after a reload")
        has = {}
        for name in names:
            upload = self.stack.upload(f"again/here/{name}")
            _, whole = self.stack.ask("GET", f"/v1/uploads/{upload['id']}")
            has[upload["id"]] = whole["receivedParts"]
        begun = len(self.wire.puts)
        self.wire.rate = None
        # Whatever stands in the form now: the files go where they were going.
        self.choose(page, *reversed(sources), directory="elsewhere")
        for name in names:
            self.expect_phase(page, name, "done", seconds=60)
        for name, source in zip(names, sources):
            self.assertTrue(self.stack.arrived(f"again/here/{name}", source))
        for upload, number in self.wire.puts[begun:]:
            for part in has[upload].split(","):
                first, _, last = part.partition("-")
                self.assertFalse(int(first) <= number <= int(last or first), f"part {number} was there already")
        sent = self.wire.puts[begun:]
        self.assertEqual(len(set(sent)), len(sent), "each part once")
        expect(page.locator("#rows .row")).to_have_count(2)
        self.assertFalse(os.path.exists(os.path.join(self.stack.root, "elsewhere")))

    def test_a_pick_before_the_list_is_back_is_not_sent_twice(self):
        # Many parts: the first ones arrive together, and most are to be left then.
        source = self.stack.file("early/early.bin", 120 << 20)
        self.wire.rate = 3 << 20
        page = self.person()
        self.choose(page, source, directory="early/here")
        path = "early/here/early.bin"
        until("it has parts", lambda: (self.stack.upload(path) or {}).get("receivedBytes"), seconds=120)
        held, let_go = [], []
        page.route(re.compile(r"/v1/uploads\?"), lambda route: route.continue_() if let_go else held.append(route))
        page.reload()
        self.choose(page, source, directory="early/here")
        until("the list is asked for", lambda: page.wait_for_timeout(50) or held)
        page.wait_for_timeout(700)
        begun = len(self.wire.puts)
        page.wait_for_timeout(1500)
        expect(page.locator("#sheet")).to_be_hidden()
        self.assertEqual(len(self.wire.puts), begun)
        let_go.append(True)
        for route in held:
            route.continue_()
        # Impatient, and once more when it goes on.
        self.choose(page, source, directory="early/here")
        self.expect_phase(page, "early.bin", "sending")
        self.choose(page, source, directory="early/here")
        self.wire.rate = None
        self.expect_phase(page, "early.bin", "done", seconds=60)
        expect(page.locator("#rows .row")).to_have_count(1)
        sent = self.wire.puts[begun:]
        self.assertEqual(len(set(sent)), len(sent), "each part once")
        self.assertTrue(self.stack.arrived(path, source))

    def test_files_of_one_name_in_two_folders_keep_their_own_bytes(self):
        sources = [self.stack.file(f"twins/{folder}/same.txt", 3000) for folder in ("a", "b")]
        for source in sources:
            os.utime(source, (1_600_000_000, 1_600_000_000))
        # The first arrived before, the second did not; one of a third folder has the same mark.
        paths = ["twins/b/same.txt", "other/same.txt"]
        begun = [self.stack.ask("POST", "/v1/uploads", {
            "target": self.stack.target, "path": path, "size": 3000, "fingerprint": "same.txt 3000 1600000000000"})[1]
            for path in paths]
        page = self.person()
        expect(page.locator("#rows .row[data-phase=needed]")).to_have_count(2)
        self.choose(page, os.path.join(self.stack.files, "twins"), directory="")
        expect(page.locator("#summary")).to_contain_text("2 of 3 files in place", timeout=60_000)
        for folder, source in zip(("a", "b"), sources):
            self.assertTrue(self.stack.arrived(f"twins/{folder}/same.txt", source), folder)
        states = [self.stack.ask("GET", f"/v1/uploads/{upload['id']}")[1]["state"] for upload in begun]
        self.assertEqual(states, ["done", "receiving"])

    def test_the_same_files_chosen_twice_at_once_are_one_list(self):
        page = self.person()
        self.wire.rate = 20_000
        page.evaluate("""() => {
            const input = document.getElementById('files');
            const files = Array.from({ length: 900 }, (_, number) =>
              new File([new Uint8Array(5000)], `twice ${number}.bin`, { lastModified: 1 }));
            for (let time = 0; time < 2; time++) {
              const transfer = new DataTransfer();
              for (const file of files) transfer.items.add(file);
              input.files = transfer.files;
              input.dispatchEvent(new Event('change'));
            }
        }""")
        chip = page.locator(".chip", has_text="All")
        expect(chip).to_contain_text("900", timeout=60_000)
        page.wait_for_timeout(1500)
        expect(chip).to_contain_text("900")
        page.get_by_role("button", name="Cancel all").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel all").click()
        self.wire.rate = None
        expect(page.get_by_role("button", name="Cancel all")).to_be_hidden(timeout=60_000)

    def listed(self, page, *uploads):
        """Loads the page anew, and gives it a list of these uploads."""
        _, session = self.stack.ask("GET", "/v1/session")
        common = {"owner": session["owner"], "target": self.stack.target, "path": "listed/moving.bin", "size": 3000,
                  "receivedBytes": 3000, "shippedBytes": 0, "error": None, "createdAt": "2026-01-01T00:00:00Z"}

        def answer(route):
            state = re.search(r"state=(\w+)", route.request.url)[1]
            found = [{**common, **each} for each in uploads if each["state"] == state]
            route.fulfill(json={"uploads": found, "next": None})

        page.route(re.compile(r"/v1/uploads\?"), answer)
        page.reload()

    def test_an_upload_that_moves_on_while_the_list_is_read_is_one_row(self):
        page = self.person()
        self.listed(page, {"id": "1" * 32, "state": "shipping"}, {"id": "1" * 32, "state": "merging"})
        self.expect_phase(page, "moving.bin", "merging")
        expect(page.locator("#rows .row")).to_have_count(1)

    def test_a_row_whose_upload_has_ended_can_be_got_rid_of(self):
        _, upload = self.stack.ask("POST", "/v1/uploads", {
            "target": self.stack.target, "path": "ended/ended.bin", "size": 3000, "fingerprint": "ended"})
        page = self.person()
        self.expect_phase(page, "ended.bin", "needed")
        # Its end is not heard of.
        page.route("**/v1/events", lambda route: route.abort())
        page.reload()
        self.expect_phase(page, "ended.bin", "needed")
        self.stack.ask("DELETE", f"/v1/uploads/{upload['id']}")
        self.row(page, "ended.bin").get_by_role("button", name="Cancel ended.bin").click()
        self.expect_phase(page, "ended.bin", "cancelled")
        # One that the server does not know at all.
        self.listed(page, {"id": "2" * 32, "state": "receiving"})
        self.row(page, "moving.bin").get_by_role("button", name="Cancel moving.bin").click()
        self.expect_phase(page, "moving.bin", "expired")

    def test_what_staging_lost_after_all_was_sent_can_be_sent_again(self):
        page = self.person()
        id, posts = "3" * 32, []
        upload = {"id": id, "state": "shipping", "receivedBytes": 3000, "shippedBytes": 0, "error": None}

        def create(route):
            posts.append(route.request)
            route.fulfill(status=201, json=upload)

        page.route(re.compile(r"/v1/uploads$"), create)
        page.route(f"**/v1/uploads/{id}", lambda route: route.fulfill(json={
            **upload, "state": "failed", "receivedBytes": 0, "error": {"reason": "part-damaged", "detail": "part 1"}}))
        self.choose(page, self.stack.file("damaged.bin", 3000), directory="damaged")
        self.expect_phase(page, "damaged.bin", "failed")
        expect(page.get_by_role("button", name="Try all again")).to_be_visible()
        self.row(page, "damaged.bin").get_by_role("button", name="Try damaged.bin again").click()
        until("it is asked for again", lambda: page.wait_for_timeout(50) or len(posts) > 1)

    def test_all_at_once(self):
        sources = [self.stack.file(f"all/{number}.bin", 12 << 20) for number in range(6)]
        self.wire.rate = 1 << 20
        page = self.person()
        self.choose(page, *sources, directory="all")
        expect(page.locator("#rows .row")).to_have_count(6)
        page.get_by_role("button", name="Pause all").click()
        for number in range(6):
            self.expect_phase(page, f"{number}.bin", "paused")
        page.locator(".chip", has_text="Waiting").click()
        expect(page.locator("#rows .row")).to_have_count(6)
        page.locator(".chip", has_text="Finished").click()
        expect(page.locator("#none")).to_be_visible()
        page.locator(".chip", has_text="All").click()
        page.get_by_role("button", name="Resume all").click()
        expect(page.get_by_role("button", name="Resume all")).to_be_hidden()
        page.get_by_role("button", name="Cancel all").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("Cancel 6 files?")
        self.check_axe(page, "asking")
        dialog.get_by_role("button", name="Back").click()
        page.get_by_role("button", name="Cancel all").click()
        dialog.get_by_role("button", name="Cancel all").click()
        for number in range(6):
            self.expect_phase(page, f"{number}.bin", "cancelled")
        self.wire.rate = None
        until("nothing of them is on its way", lambda: not [
            upload for upload in self.stack.ask("GET", "/v1/uploads?state=receiving")[1]["uploads"]
            if upload["path"].startswith("all/")])
        self.assertFalse(os.path.exists(os.path.join(self.stack.root, "all/0.bin")))
