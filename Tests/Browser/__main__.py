"""Runs the tests in the browser: python Tests/Browser [NAME...], with FERRY_PROGRAMS the directory of the programs."""
import os
import signal
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from browser import World  # noqa: E402


# Seconds; a page that hangs answers nothing for longer than any test waits.
LONGEST = 300


class Result(unittest.TextTestResult):
    """Says how long each test took, and lets none of them take for ever."""

    def startTest(self, test):
        self.began = time.monotonic()
        signal.alarm(LONGEST)
        super().startTest(test)

    def stopTest(self, test):
        signal.alarm(0)
        super().stopTest(test)

    def addSuccess(self, test):
        unittest.TestResult.addSuccess(self, test)
        self.stream.writeln(f"ok, {time.monotonic() - self.began:.0f} s")
        self.stream.flush()


def ended(*_):
    # The one thing that the runner does not take for a test's failure.
    raise KeyboardInterrupt


def late(*_):
    raise TimeoutError(f"the test did not end within {LONGEST} s")


signal.signal(signal.SIGALRM, late)
# Whoever ends it ends the stack and the browser with it.
signal.signal(signal.SIGTERM, ended)
loader = unittest.TestLoader()
loader.testNamePatterns = [f"*{name}*" for name in sys.argv[1:]] or None
try:
    result = unittest.TextTestRunner(verbosity=2, resultclass=Result).run(loader.discover(HERE, pattern="*_test.py"))
except KeyboardInterrupt:
    print("ended before the last test", file=sys.stderr)
    sys.exit(143)
finally:
    World.end()
failed, skipped = len(result.failures) + len(result.errors), len(result.skipped)
print(f"{result.testsRun - failed - skipped} passed, {failed} failed, {skipped} skipped")
sys.exit(0 if result.wasSuccessful() and result.testsRun > 0 else 1)
