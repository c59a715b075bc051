"""ferry.js as anybody's page uses it, and its parts alone."""
import hashlib
import os

from playwright.sync_api import expect

from browser import BrowserCase, Busy


class ModuleTest(BrowserCase):
    def module(self, script, argument=None, page=None):
        """Runs a script in a page of the server's, with its modules at hand."""
        page = page or self.visitor("/page/ferry.svg")
        return page.evaluate(f"async (argument) => {{ {script} }}", argument)

    def test_the_digest_is_sha_256(self):
        page = self.visitor("/page/ferry.svg")
        for size in (0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 100_001):
            text = self.module("""
                const { Sha256 } = await import('/page/ferry-sha256.js');
                const bytes = Uint8Array.from({ length: argument }, (_, index) => index * 7 % 251);
                const sha = new Sha256();
                for (let at = 0; at < bytes.length; at += 1 + at % 97) sha.update(bytes.subarray(at, at + 1 + at % 97));
                return sha.hex();""", size, page)
            whole = bytes(index * 7 % 251 for index in range(size))
            self.assertEqual(text, hashlib.sha256(whole).hexdigest(), size)

    def test_event_streams_are_taken_apart_wherever_they_are_cut(self):
        found = self.module("""
            const { EventParser } = await import('/page/ferry-events.js');
            const text = ': hello\\n\\nevent: one\\nid: 7\\ndata: {"a":1}\\n\\ndata:b\\r\\ndata: c\\r\\n\\r\\nevent: empty\\n\\ndata\\n\\nevent: last\\ndata: d\\n\\n';
            const results = new Set();
            for (let cut = 0; cut <= text.length; cut++) {
              const parser = new EventParser();
              results.add(JSON.stringify([...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut))]));
            }
            return [...results];""")
        self.assertEqual(found, [
            '[{"type":"one","data":"{\\"a\\":1}"},{"type":"message","data":"b\\nc"},{"type":"message","data":""},'
            '{"type":"last","data":"d"}]'])

    def test_part_numbers_fingerprints_and_lanes(self):
        found = self.module("""
            const { partNumbers, fingerprint } = await import('/page/ferry.js');
            const { Climber, Meter } = await import('/page/ferry-lanes.js');
            const file = (name) => new File(['abc'], name, { lastModified: 42 });
            const climber = new Climber(4);
            // As fast as there are lanes, up to three of them.
            const limits = Array.from({ length: 12 }, () => climber.measured(Math.min(climber.limit, 3) * 100));
            const meter = new Meter();
            for (let at = 0; at < 20_000; at += 100) meter.add(1000, at);
            return {
              numbers: [partNumbers(''), partNumbers('3'), partNumbers('1-3,5,7-8')],
              short: fingerprint(file('a b.txt')), long: fingerprint(file('数'.repeat(400))).length,
              limits, rate: meter.rate(20_000), none: new Meter().rate(),
            };""")
        self.assertEqual(found["numbers"], [[], [3], [1, 2, 3, 5, 7, 8]])
        self.assertEqual(found["short"], "a b.txt 3 42")
        self.assertLess(found["long"], 200)
        self.assertTrue(all(1 <= limit <= 4 for limit in found["limits"]), found)
        self.assertGreaterEqual(max(found["limits"]), 3)
        self.assertAlmostEqual(found["rate"], 10_000, delta=1500)
        self.assertEqual(found["none"], 0)

    def test_waiting_obeys_the_server_and_never_all_at_once(self):
        delays = self.module("""
            const { Patience } = await import('/page/ferry-request.js');
            return [0, 1, 2, 20].map((failures) => Array.from({ length: 50 }, () => Patience.delay(failures, 2000)));""")
        for some in delays:
            self.assertGreater(min(some), 2000)
            self.assertLessEqual(max(some), 32_000)
            self.assertGreater(len({round(each) for each in some}), 10)
        self.assertGreater(min(delays[3]), max(delays[0]))

    def test_what_the_server_asks_to_wait_is_waited(self):
        ends = self.module("""
            const { Patience } = await import('/page/ferry-request.js');
            const patience = new Patience(), begin = performance.now();
            const ends = Array.from({ length: 21 }, (_, index) => patience.wait(1500, undefined, index === 0)
              .then(() => performance.now() - begin));
            patience.wake();
            return Promise.all(ends);""")
        self.assertGreater(ends[0], 1490)
        self.assertLess(max(ends[1:]), 1000)
        self.assertGreater(max(ends[1:]) - min(ends[1:]), 100, "not all at one instant")

    def test_a_stream_that_ends_at_once_is_opened_ever_less_often(self):
        opened = self.module("""
            const { EventStream } = await import('/page/ferry-events.js');
            let opened = 0;
            const stream = new EventStream(async () => { opened++; return new Response(': hello\\n\\n'); });
            const end = stream.listen(() => {});
            await new Promise((resolve) => setTimeout(resolve, 4000));
            end();
            return opened;""")
        self.assertTrue(3 <= opened <= 5, opened)

    def test_a_part_that_has_left_is_given_minutes_for_its_answer(self):
        waits = self.module("""
            // The worker's script on the page's own thread, with a request and a clock of the test's.
            let request, wait;
            globalThis.XMLHttpRequest = class {
              upload = {};
              constructor() { request = this; }
              open() {} setRequestHeader() {} send() {} abort() {}
            };
            globalThis.setTimeout = (_, milliseconds) => { wait = milliseconds; };
            globalThis.clearTimeout = globalThis.postMessage = () => {};
            await import('/page/ferry-worker.js');
            const waits = [];
            for (const failures of [0, 1, 9]) {
              request = null;
              self.onmessage({ data: { id: failures, put: { url: '/', blob: new Blob(['ab']), headers: {}, failures } } });
              while (!request?.upload.onprogress) await new Blob([]).text();
              for (const loaded of [1, 2]) {
                request.upload.onprogress({ loaded, total: 2 });
                waits.push(wait / 60_000);
              }
            }
            return waits;""")
        self.assertEqual(waits, [1, 3, 1, 6, 1, 12])

    def test_from_another_origin_its_worker_starts_too(self):
        page = self.visitor("/page/ferry.svg")

        def allow(route):
            answer = route.fetch()
            route.fulfill(response=answer, headers={**answer.headers, "access-control-allow-origin": "*"})

        elsewhere = self.wire.url.replace("127.0.0.1", "localhost") + "/elsewhere"
        page.context.route(elsewhere, lambda route: route.fulfill(content_type="text/html", body="<title>e</title>"))
        page.context.route("**/page/ferry*.js", allow)
        page.goto(elsewhere)
        hex = page.evaluate("""async (url) => {
            const { FerryClient } = await import(`${url}/page/ferry.js`);
            return new FerryClient({ url, token: 'none' }).lanes.digest(new Blob(['abc']), new AbortController().signal);
        }""", self.wire.url)
        self.assertEqual(hex, hashlib.sha256(b"abc").hexdigest())

    def test_both_languages_say_the_same(self):
        found = self.module("""
            const { TEXTS } = await import('/page/texts.js');
            const marks = (text) => [text].flat().map((each) => [...new Set(each.match(/\\{\\w+\\}/g) ?? [])].sort().join()).at(-1);
            return Object.values(TEXTS).map((texts) => Object.entries(texts).map(([key, text]) => [key, marks(text)]));""")
        self.assertEqual(len(found), 2)
        english, chinese = ({key: marks for key, marks in texts} for texts in found)
        self.assertGreater(len(english), 200)
        self.assertEqual(english, chinese)

    def test_ten_lines_send_a_file_with_its_digest(self):
        page = self.visitor("/page/ferry.svg")
        token = self.stack.env["FERRY_TOKEN"]
        said = self.module("""
            const { FerryClient } = await import('/page/ferry.js');
            const ferry = new FerryClient({ token: argument.token });
            const bytes = new Uint8Array(25_000_000).map((_, index) => index % 253);
            const states = [];
            const upload = ferry.upload(new File([bytes], 'module.bin', { lastModified: 1 }), {
              target: argument.target, path: 'module/whole.bin', digest: true,
              onProgress: ({ state }) => { if (states.at(-1) !== state) states.push(state); },
            });
            await upload.sent;
            await upload.done;
            return { states, upload: await ferry.status(upload.id) };""", {"token": token, "target": self.stack.target}, page)
        whole = bytes(index % 253 for index in range(25_000_000))
        self.assertEqual(said["states"][:2], ["waiting", "sending"])
        self.assertEqual(said["states"][-1], "done")
        self.assertEqual(said["upload"]["digest"]["sha-256"], hashlib.sha256(whole).hexdigest())
        with open(os.path.join(self.stack.root, "module/whole.bin"), "rb") as file:
            self.assertEqual(file.read(), whole)

    def test_cancelling_and_the_signal(self):
        said = self.module("""
            const { FerryClient, isAbort } = await import('/page/ferry.js');
            const ferry = new FerryClient({ token: argument.token });
            const file = (name) => new File([new Uint8Array(30_000_000)], name, { lastModified: 1 });
            const first = ferry.upload(file('a'), { target: argument.target, path: 'module/cancelled.bin' });
            while (first.receivedBytes === 0) await new Promise((resolve) => setTimeout(resolve, 20));
            await first.cancel();
            const why = await first.done.catch((error) => isAbort(error));
            const stop = new AbortController();
            const second = ferry.upload(file('b'), { target: argument.target, path: 'module/left.bin', signal: stop.signal });
            while (!second.id) await new Promise((resolve) => setTimeout(resolve, 20));
            stop.abort();
            const whyToo = await second.done.catch((error) => isAbort(error));
            const wrong = await ferry.upload(file('c'), { target: 'nowhere', path: 'x' }).done.catch((error) => error.problem);
            const states = [(await ferry.status(first.id)).state, (await ferry.status(second.id)).state];
            await ferry.cancel(second.id);
            return { why, whyToo, wrong, states, first: first.state };""",
            {"token": self.stack.env["FERRY_TOKEN"], "target": self.stack.target})
        self.assertEqual(said, {"why": True, "whyToo": True, "wrong": "target-unknown",
                                "states": ["cancelled", "receiving"], "first": "cancelled"})

    def test_cancelling_while_it_is_created_or_once_it_is_there(self):
        said = self.module("""
            const { FerryClient } = await import('/page/ferry.js');
            const ferry = new FerryClient({ token: argument.token });
            const soon = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
            const file = (name) => new File([new Uint8Array(3000)], name, { lastModified: 1 });
            const ids = [], real = fetch, said = [];
            let loses = false;
            // The answer of a creation comes late, or not at all.
            globalThis.fetch = async (url, options) => {
              const response = await real(url, options);
              if (options?.method !== 'POST' || !url.endsWith('/v1/uploads')) return response;
              ids.push((await response.clone().json()).id);
              await soon(600);
              if (loses) { loses = false; throw new TypeError('lost'); }
              return response;
            };
            for (const path of ['late', 'lost']) {
              loses = path === 'lost';
              const known = ids.length;
              const upload = ferry.upload(file(path), { target: argument.target, path: `module/${path}.bin` });
              while (ids.length === known) await soon(20);
              await upload.cancel();
              said.push(upload.state, (await ferry.status(ids.at(-1))).state);
            }
            said.push(new Set(ids).size);
            globalThis.fetch = real;
            // One that is paused meanwhile, and goes on.
            const paused = ferry.upload(file('paused'), { target: argument.target, path: 'module/paused.bin' });
            await soon(0);
            paused.pause();
            await soon(300);
            said.push(paused.state);
            paused.resume();
            await paused.done;
            // Too late: it is in place before the server is asked to give it up.
            const arrived = ferry.upload(file('arrived'), { target: argument.target, path: 'module/arrived.bin' });
            await arrived.sent;
            const cancel = ferry.cancel.bind(ferry);
            ferry.cancel = async (id) => {
              while ((await ferry.status(id)).state !== 'done') await soon(50);
              return cancel(id);
            };
            await arrived.cancel();
            await arrived.done;
            said.push(arrived.state);
            return said;""", {"token": self.stack.env["FERRY_TOKEN"], "target": self.stack.target})
        self.assertEqual(said, ["cancelled"] * 4 + [2, "paused", "done"])

    def test_only_the_uploads_own_events_count_and_one_file_is_sent_once(self):
        self.wire.rate = 8 << 20
        said = self.module("""
            const { FerryClient } = await import('/page/ferry.js');
            const ferry = new FerryClient({ token: argument.token });
            const file = new File([new Uint8Array(30_000_000)], 'once', { lastModified: 1 });
            const options = { target: argument.target, path: 'module/once.bin' };
            const upload = ferry.upload(file, options);
            while (upload.receivedBytes === 0) await new Promise((resolve) => setTimeout(resolve, 20));
            const twice = await ferry.upload(file, options).sent.catch(({ problem }) => problem);
            await upload.sent;
            upload.heard({ type: 'upload.cancelled', upload: '0'.repeat(32), state: 'cancelled' });
            await upload.done;
            return [upload.id, twice, upload.state];""",
            {"token": self.stack.env["FERRY_TOKEN"], "target": self.stack.target})
        self.assertEqual(said[1:], ["upload-in-progress", "done"])
        parts = [number for id, number in self.wire.puts if id == said[0]]
        self.assertEqual(len(set(parts)), len(parts), "each part once")

    def test_a_thread_that_is_blocked_is_told(self):
        page = self.visitor("/page/ferry.svg")
        with Busy(page) as busy:
            page.evaluate("() => { for (const end = performance.now() + 500; performance.now() < end;); }")
        self.assertGreater(max(busy.tasks)[0], 50)

    def test_two_thousand_rows_do_not_block_the_page(self):
        page = self.person()
        # Files that are only in the browser; the wire is so slow that none of them ends.
        self.wire.rate = 20_000
        page.evaluate("""() => {
            const files = new DataTransfer();
            for (let number = 0; number < 2000; number++) {
              files.items.add(new File([new Uint8Array(5000)], `row ${number}.bin`, { lastModified: 1 }));
            }
            document.getElementById('files').files = files.files;
        }""")
        with Busy(page) as busy:
            page.evaluate("document.getElementById('files').dispatchEvent(new Event('change'))")
            expect(page.locator(".chip", has_text="All")).to_contain_text("2,000", timeout=60_000)
            for _ in range(12):
                page.mouse.move(600, 700)
                page.mouse.wheel(0, 20_000)
                page.wait_for_timeout(400)
        self.check_never_blocked(busy)
        self.assertLess(page.locator("#rows .row").count(), 40)
        page.get_by_role("button", name="Cancel all").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel all").click()
        self.wire.rate = None
        expect(page.get_by_role("button", name="Cancel all")).to_be_hidden(timeout=60_000)
