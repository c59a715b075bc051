"""Proves of the benchmark itself: verdicts, the kept table, and the delay proxy."""
from __future__ import annotations

import contextlib
import io
import os
import socket
import tempfile
import threading
import time
from dataclasses import replace

from . import delay, stack
from .contest import OURS, Attempt, Side, contest, ratio, side
from .place import BenchError, Place, Sizes
from .report import Demand, Line, versus
from .results import update_results

HALF = [Demand(0.5, ("slow", "fast"))]


def run(root: str) -> None:
    """All of it; raises what does not hold."""
    with contextlib.redirect_stderr(io.StringIO()):
        _medians()
        _verdicts(Place(root, Sizes(False, 5), None))
        _table()
        _settings()
        _proxy()


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise BenchError(f"self-test: {what}")


def _medians() -> None:
    seconds = iter([9.0, 1.0, 2.0, 4.0])
    sides = contest(8, Sizes(False, 3), {OURS: lambda: Attempt(next(seconds), 4.0, 7)})
    _expect(sides[OURS].rates == (8.0, 4.0, 2.0), "the warm-up counts, or a round does not")
    _expect(sides[OURS].rate == 4.0 and sides[OURS].cpu_per_unit == 0.5, "no median, or no time for a unit")
    spread = ratio(side([Attempt(1, 1), Attempt(2, 1)], 4), side([Attempt(2, 1), Attempt(2, 1)], 4))
    _expect((spread.lowest, spread.highest, spread.median) == (1.0, 2.0, 1.5), "the spread of ratios is wrong")


def _verdicts(place: Place) -> None:
    def line(where: Place, **rates: float) -> Line:
        sides = {name: Side((rate,), 1.0, 0) for name, rate in rates.items()}
        return versus(where, "row", "", sides, HALF, "")

    _expect(line(place, ours=5, slow=2, fast=10).verdict == "met", "half of the best is not enough")
    _expect(line(place, ours=4.9, slow=2, fast=10).verdict == "below", "a row is held against the slower peer")
    _expect(line(place, ours=5).verdict == "below", "a row without its peer is met")
    place.sizes = replace(place.sizes, is_disk=True)
    _expect(line(place, ours=1, fast=10).verdict == "shown", "something is demanded on disk")


def _table() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "Benchmarks", "RESULTS.md")
        os.mkdir(os.path.dirname(path))
        first, second = Line("a-1", "", "1", "met", "one"), Line("b disk", "", "2", "shown", "two")
        update_results(path, [second], ["a-1", "b"])
        update_results(path, [first], ["a-1", "b"])
        with open(path, encoding="utf-8") as file:
            text = file.read()
        _expect(0 < text.find("| `a-1` |") < text.find("| `b disk` |"), "a row was lost, or is in the wrong place")
        _expect("- `a-1`: one\n- `b disk`: two\n" in text, "a note was lost")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("Machine: ", "Machine: another "))
        update_results(path, [first], ["a-1", "b"])
        with open(path, encoding="utf-8") as file:
            _expect("b disk" not in file.read(), "a row of another machine was kept")


def _settings() -> None:
    written = "staging: { fsync: true }\ntargets:\n    port: 1\n    sessions: 4\n"
    changed = stack.written_with(written, stack.Settings(target_port=7, sessions=1, fsync=False))
    _expect("fsync: false" in changed and "    port: 7\n    sessions: 1\n" in changed, "a setting was not written")
    try:
        stack.written_with("nothing", stack.Settings())
    except BenchError:
        return
    raise BenchError("self-test: a configuration without the settings was accepted")


def _proxy() -> None:
    """Bytes come unchanged, in order, and late; the end of a direction passes."""
    data = os.urandom(3 << 20)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as door:
        target = server.getsockname()[1]
        threading.Thread(target=_serve, args=(door, target), daemon=True).start()
        began = time.monotonic()
        with socket.create_connection(door.getsockname(), 5) as client:
            client.settimeout(10)
            threading.Thread(target=_send_all, args=(client, data), daemon=True).start()
            server.settimeout(5)
            accepted, _ = server.accept()
            with accepted:
                accepted.settimeout(10)
                came = bytearray()
                while piece := accepted.recv(1 << 16):
                    came += piece
                seconds = time.monotonic() - began
                accepted.sendall(b"!")
            _expect(bytes(came) == data, "the delay proxy changed something")
            _expect(seconds >= 0.05, f"the delay proxy was {seconds:.3f} s late, not 0.05 s")
            _expect(client.recv(2) == b"!", "the delay proxy lost the answer after the end of the other direction")


def _serve(door: socket.socket, target: int) -> None:
    # It ends with its door.
    with contextlib.suppress(OSError, ValueError):
        delay.serve(door, target, 0.05)


def _send_all(client: socket.socket, data: bytes) -> None:
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
