"""Runs the tests in the browser: python Tests/Browser [NAME...], with FERRY_PROGRAMS the directory of the programs."""
import os
import signal
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from browser import World  # noqa: E402

# Whoever ends it ends the stack and the browser with it.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
loader = unittest.TestLoader()
loader.testNamePatterns = [f"*{name}*" for name in sys.argv[1:]] or None
try:
    result = unittest.TextTestRunner(verbosity=2).run(loader.discover(HERE, pattern="*_test.py"))
finally:
    World.end()
print(f"{result.testsRun - len(result.failures) - len(result.errors)} passed, "
      f"{len(result.failures) + len(result.errors)} failed")
sys.exit(0 if result.wasSuccessful() and result.testsRun > 0 else 1)
