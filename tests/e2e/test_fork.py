# SPDX-License-Identifier: MIT
"""Children forked while attached: switched off, unharmed, and not counted as their parent."""

import probe
from snapshot_reader import ALLOC_SPACE, INUSE_SPACE
from target import Ledger


def test_child_is_unaffected(memattach, start, every_python):
    ledger = start(Ledger, every_python)
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    before = memattach.snapshot(ledger.pid)
    # The child allocates at a marked line, imports, and ends with its own code.
    for code in (0, 7, 3):
        assert ledger.ask("fork", code)["exit"] == code
    after = memattach.snapshot(ledger.pid)
    for snapshot in (before, after):
        assert snapshot.by_line(ALLOC_SPACE).get(ledger.where("medium"), 0) == 0, \
            "what the child allocated is counted in its parent"
    ledger.ask("grow")
    assert memattach.snapshot(ledger.pid).by_line(INUSE_SPACE).get(ledger.where("medium"), 0) > 0
    assert ledger.quit(0) == 0


def test_detach_says_that_children_keep_slots(memattach, start, every_python):
    ledger = start(Ledger, every_python)
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    child = ledger.ask("fork_and_stay")["child"]
    result = memattach.ok("detach", ledger.pid)
    assert "child" in (result.text + result.notices).lower(), result
    assert probe.is_alive(child)
    assert ledger.ask("end_child")["exit"] == 0
    assert ledger.quit(0) == 0
