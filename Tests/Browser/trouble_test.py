"""The upload page on bad days: cut lines, a server that dies, files that exist, somebody else, hostile names."""
import os
import re

from playwright.sync_api import expect

from browser import BrowserCase
from crowd import dead_letter
from stack import until


class TroubleTest(BrowserCase):
    def begun(self, name, size, directory, rate=8 << 20):
        source = self.stack.file(name, size)
        self.wire.rate = rate
        page = self.person()
        self.choose(page, source, directory=directory)
        self.expect_phase(page, os.path.basename(name), "sending")
        path = f"{directory}/{os.path.basename(name)}"
        until("something is acknowledged", lambda: (self.stack.upload(path) or {}).get("receivedBytes"), seconds=60)
        return page, source

    def test_a_cut_line_is_waited_for(self):
        page, source = self.begun("cut.bin", 60 << 20, "cut")
        self.wire.cut()
        self.expect_phase(page, "cut.bin", "away")
        expect(page.locator("#away")).to_be_visible()
        expect(self.row(page, "cut.bin")).to_contain_text("No answer from the server")
        self.check_axe(page, "away")
        self.wire.rate = None
        self.wire.mend()
        self.expect_phase(page, "cut.bin", "done", seconds=90)
        expect(page.locator("#away")).to_be_hidden(timeout=40_000)
        self.assertTrue(self.stack.arrived("cut/cut.bin", source))

    def test_a_server_that_is_killed_and_comes_back(self):
        page, source = self.begun("killed.bin", 60 << 20, "killed")
        self.stack.script("kill", "api-1")
        self.expect_phase(page, "killed.bin", "away")
        self.stack.script("start", "api-1")
        self.wire.rate = None
        # Nobody signs in again: the session is not the process's.
        self.expect_phase(page, "killed.bin", "done", seconds=90)
        self.assertTrue(self.stack.arrived("killed/killed.bin", source))

    def test_files_that_exist_are_replaced_or_skipped(self):
        names = ["one.txt", "two.txt", "three.txt", "four.txt"]
        for name in names:
            os.makedirs(os.path.join(self.stack.root, "exists"), exist_ok=True)
            with open(os.path.join(self.stack.root, "exists", name), "w", encoding="utf-8") as file:
                file.write("what was there\n")
        sources = [self.stack.file(f"exists/{name}", 5000) for name in names]
        page = self.person()
        self.choose(page, *sources, directory="exists")
        for name in names:
            self.expect_phase(page, name, "exists")
        expect(page.locator("#notices")).to_contain_text("4 files exist on the target already.")
        self.check_axe(page, "existing")
        self.row(page, "one.txt").get_by_role("button", name="Replace one.txt").click()
        self.expect_phase(page, "one.txt", "done")
        self.row(page, "two.txt").get_by_role("button", name="Skip two.txt").click()
        self.expect_phase(page, "two.txt", "skipped")
        page.get_by_role("button", name="Replace all").click()
        for name in ("three.txt", "four.txt"):
            self.expect_phase(page, name, "done")
        for name, source in zip(names, sources):
            self.assertEqual(self.stack.arrived(f"exists/{name}", source), name != "two.txt", name)
        # Once more, and one answer for all that are still to come.
        page.reload()
        expect(page.locator("#page")).to_be_visible()
        more = [self.stack.file(f"more/{number}.txt", 3000) for number in range(30)]
        for number in range(30):
            with open(os.path.join(self.stack.root, "exists", f"{number}.txt"), "w", encoding="utf-8") as file:
                file.write("what was there\n")
        self.choose(page, *more, directory="exists")
        page.get_by_label("Do the same for files still to come").check()
        page.get_by_role("button", name="Skip all").click()
        expect(page.locator(".chip", has_text="Finished")).to_contain_text("30")
        with open(os.path.join(self.stack.root, "exists", "29.txt"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "what was there\n")
        # The answer was not for what is chosen later.
        with open(os.path.join(self.stack.root, "exists", "later.txt"), "w", encoding="utf-8") as file:
            file.write("what was there\n")
        later = self.stack.file("more/later.txt", 3000)
        self.choose(page, later, directory="exists")
        self.expect_phase(page, "later.txt", "exists")
        box = page.get_by_label("Do the same for files still to come")
        expect(box).not_to_be_checked()
        box.check()
        page.get_by_role("button", name="Replace all").click()
        self.expect_phase(page, "later.txt", "done")
        with open(os.path.join(self.stack.root, "exists", "last.txt"), "w", encoding="utf-8") as file:
            file.write("what was there\n")
        self.choose(page, self.stack.file("more/last.txt", 3000))
        self.expect_phase(page, "last.txt", "exists")
        # Only this page has it: leaving asks.
        self.assertEqual(self.asked_on_leaving(page), ["beforeunload"])
        with open(os.path.join(self.stack.root, "exists", "last.txt"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "what was there\n")

    def test_two_people_and_one_path(self):
        source = self.stack.file("shared.bin", 40 << 20)
        self.wire.rate = 2 << 20
        alice = self.person()
        self.choose(alice, source, directory="same")
        self.expect_phase(alice, "shared.bin", "sending")
        bob = self.person("FERRY_TOKEN_2")
        self.choose(bob, self.stack.file("bob/shared.bin", 9000), directory="same")
        self.expect_phase(bob, "shared.bin", "busy")
        expect(self.row(bob, "shared.bin")).to_contain_text("Somebody else is sending this file")
        self.assertNotIn("alice", bob.locator("#page").inner_text())
        self.check_axe(bob, "somebody else's")
        self.wire.rate = None
        self.expect_phase(alice, "shared.bin", "done", seconds=60)
        # Once the other's is there, it is a file like any other.
        self.row(bob, "shared.bin").get_by_role("button", name="Try shared.bin again").click()
        self.expect_phase(bob, "shared.bin", "exists")
        self.assertTrue(self.stack.arrived("same/shared.bin", source))

    def test_a_path_that_is_held_is_left_alone_for_a_while(self):
        status, _ = self.stack.ask("POST", "/v1/uploads", {
            "target": self.stack.target, "path": "held/held.txt", "size": 70_000, "fingerprint": "another one"},
            "FERRY_TOKEN_2")
        self.assertEqual(status, 201)
        page = self.person()
        asked = []
        page.on("request", lambda request: asked.append(request) if request.url.endswith("/v1/uploads") else None)
        self.choose(page, self.stack.file("held/held.txt", 4000), directory="held")
        for number in range(3):
            self.expect_phase(page, "held.txt", "busy")
            self.row(page, "held.txt").get_by_role("button", name="Try held.txt again").click()
            until("it was asked for again", lambda: page.wait_for_timeout(50) or len(asked) > number + 1)
        # However often it was tried by hand, by itself it is tried once in ten seconds at most.
        page.wait_for_timeout(13_000)
        self.assertLessEqual(len(asked), 1 + 3 + 1)
        self.expect_phase(page, "held.txt", "busy")
        self.assertEqual(self.asked_on_leaving(page), ["beforeunload"])

    def test_another_file_of_ones_own_makes_place_once_one_says_so(self):
        status, upload = self.stack.ask("POST", "/v1/uploads", {
            "target": self.stack.target, "path": "own/other.txt", "size": 70_000, "fingerprint": "another one"})
        self.assertEqual(status, 201)
        source = self.stack.file("own/other.txt", 4000)
        page = self.person()
        # It is in the list as one to be gone on with, and what is chosen is not it.
        self.expect_phase(page, "other.txt", "needed")
        self.choose(page, source, directory="own")
        self.expect_phase(page, "other.txt", "different")
        expect(self.row(page, "other.txt")).to_contain_text("Another file is on its way here")
        self.check_axe(page, "another file")
        self.row(page, "other.txt").get_by_role("button", name="Try other.txt again").click()
        self.expect_phase(page, "other.txt", "done")
        self.assertTrue(self.stack.arrived("own/other.txt", source))
        _, gone = self.stack.ask("GET", f"/v1/uploads/{upload['id']}")
        self.assertEqual(gone["state"], "cancelled")

    def test_hostile_names_are_text(self):
        names = [
            "<img src=x onerror=alert(1)>.txt", "<script>document.title='owned'<", "\"'&lt;b&gt;.txt",
            "evil\u202egnp.exe", "a\u200bb.txt", "a\u061cb\u00adc\U000e0041d.txt", "%2e%2e%2f.txt", "-rf $(id) `id`.txt", "数据 – Straße é.txt",
        ]
        sources = [self.stack.file(f"hostile/{name}", 1000) for name in names if "/" not in name]
        said = []
        page = self.person()
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        self.choose(page, *sources, directory="hostile")
        expect(page.locator("#summary")).to_contain_text(f"{len(sources)} of {len(sources)} files in place", timeout=60_000)
        shown = page.locator("#rows .name").all_inner_texts()
        self.assertIn("<img src=x onerror=alert(1)>.txt", shown)
        self.assertIn("evil\ufffdgnp.exe", shown)
        self.assertEqual(page.locator("#rows img, #rows script, #rows b").count(), 0)
        for source in sources:
            name = os.path.basename(source)
            self.assertTrue(self.stack.arrived(f"hostile/{name}", source), name)
        # Where an operator sees them: those on their way, those that stand still, and the story of each.
        for name in names:
            status, _ = self.stack.ask("POST", "/v1/uploads", {
                "target": self.stack.target, "path": f"hostile/live/{name}", "size": 9})
            self.assertEqual(status, 201, name)
            dead_letter(self.stack, f"hostile/dead/{name}")
        operator = self.person("FERRY_TOKEN_OPS", "/ops#live")
        # High enough for all of them: rows out of sight do not exist.
        operator.set_viewport_size({"width": 1280, "height": 1600})
        operator.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        for tab, kind in (("live", "live"), ("live", "dead"), ("dead", "dead")):
            operator.click(f"#tab-{tab}")
            operator.fill(f"#{tab}-search", f"hostile/{kind}/")
            rows = operator.locator(f"#{tab}-rows .row")
            expect(rows.filter(has_text=f"hostile/{kind}/")).to_have_count(len(names))
            expect(rows).to_have_count(len(names))
            expected = [re.sub("[\u202e\u200b\u061c\u00ad\U000e0041]", "\ufffd", f"hostile/{kind}/{name}") for name in names]
            self.assertEqual(sorted(rows.locator(".name").all_text_contents()), sorted(expected))
            for path in expected:
                rows.filter(has=operator.locator(".name").get_by_text(path, exact=True)).focus()
                operator.keyboard.press("Enter")
                detail = operator.locator("#detail")
                expect(detail.locator("h2")).to_have_text(path)
                self.assertEqual(detail.locator("img, script, b").count(), 0)
                operator.keyboard.press("Escape")
                expect(detail).to_be_hidden()
            self.assertEqual(operator.locator("#page img, #page script, #page b").count(), 0)
        self.assertEqual(said, [])
        self.assertEqual(page.title(), "Upload · Ferry")
        self.assertEqual(operator.title(), "Operations · Ferry")

    def test_names_that_the_server_refuses_say_so(self):
        page = self.person()
        self.choose(page, self.stack.file("back\\slash.txt", 10), directory="refused")
        self.expect_phase(page, "back\\slash.txt", "failed")
        expect(self.row(page, "back\\slash.txt")).to_contain_text("does not accept this name")
        self.check_axe(page, "failed")

    def test_a_file_that_changes_meanwhile_is_not_sent_as_the_same(self):
        # So large and so slow that most of it is still to be read.
        page, source = self.begun("changing.bin", 160 << 20, "changing", rate=5 << 20)
        with open(source, "r+b") as file:
            file.seek(0, os.SEEK_END)
            file.write(b"more")
        self.expect_phase(page, "changing.bin", "failed", seconds=60)
        expect(self.row(page, "changing.bin")).to_contain_text("Choose it again")
        # It is another file now than the one that the server has parts of.
        self.choose(page, source, directory="changing")
        self.expect_phase(page, "changing.bin", "different")
