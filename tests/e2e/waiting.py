# SPDX-License-Identifier: MIT
"""Waiting for a condition, the only kind of waiting that the tests know."""

import threading
import time


def wait_until(condition, seconds=20.0, what="the condition"):
    """Calls condition() until it returns something true, and returns that."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError("%s did not come about within %g s" % (what, seconds))
        pause.wait(0.02)
