# SPDX-License-Identifier: MIT
"""Detach leaves the process as it was, on every Python and in every state that it may be in.

The state is looked at from outside (probe.py) before the attach, while attached, and after the
detach. Where a check could not fail, because an attached process looks the same, the test says so by
checking that it does differ while attached.
"""

import pytest

import probe
from target import Ledger

LEFT_BYTES = 8192
# A heap of glibc's malloc: HEAP_MAX_SIZE (malloc/arena.c) on a 64-bit machine.
ARENA_BYTES = 64 << 20


def settle(ledger):
    """The same command twice, so that what the target itself does is done."""
    ledger.ask("tables")
    ledger.ask("ping")


def check_as_before(ledger, before, tables):
    after = probe.state(ledger.pid)
    assert probe.differences(before, after) == []
    ours = probe.our_maps(ledger.pid)
    assert sum(area.bytes for area in ours) <= LEFT_BYTES, ours
    assert probe.words_into(ledger.pid, ours) == [], "words of loaded objects still lead to us"
    changed, words = probe.map_changes(before["maps"], after["maps"])
    assert changed <= LEFT_BYTES, "mapped differently: %d bytes\n%s" % (changed, "\n".join(words))
    assert ledger.ask("tables")["tables"] == tables


def attach_and_detach(memattach, ledger, *options):
    settle(ledger)
    tables = ledger.ask("tables")["tables"]
    before = probe.state(ledger.pid)
    memattach.ok("attach", *options, ledger.pid)

    # While attached: no thread, no descriptor, no signal and no child of ours.
    attached = probe.state(ledger.pid)
    assert probe.differences(before, attached) == []
    assert probe.our_maps(ledger.pid), "nothing of ours is mapped: what was attached?"
    assert probe.words_into(ledger.pid, probe.our_maps(ledger.pid)), "no slot leads to us"
    inside = ledger.ask("tables")["tables"]
    assert inside["object"] != tables["object"] and inside["mem"] != tables["mem"]
    assert inside["raw"] == tables["raw"]

    ledger.ask("ping")
    memattach.ok("detach", ledger.pid)
    return before, tables


@pytest.mark.parametrize("sample", ["64KiB", "exact"])
def test_detach_leaves_it_as_it_was(memattach, start, every_python, sample):
    ledger = start(Ledger, every_python)
    before, tables = attach_and_detach(memattach, ledger, "--sample", sample)
    check_as_before(ledger, before, tables)
    # And once more: the page that stayed is used again, nothing adds up.
    memattach.ok("attach", "--sample", sample, ledger.pid)
    ledger.ask("ping")
    memattach.ok("detach", ledger.pid)
    check_as_before(ledger, before, tables)
    ledger.ask("grow")
    ledger.ask("clear")
    assert ledger.quit(41) == 41


def test_memory_from_while_attached_is_freed_after_detach(memattach, start, every_python):
    """Blocks that were made through the hook live on, and are freed without it."""
    ledger = start(Ledger, every_python)
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    ledger.ask("grow")
    memattach.ok("detach", ledger.pid)
    ledger.ask("shrink")
    ledger.ask("clear")
    ledger.ask("grow")
    assert probe.words_into(ledger.pid, probe.our_maps(ledger.pid)) == []
    assert ledger.quit(0) == 0


def test_arena_is_reported(memattach, start, python):
    """Where no arena is to spare, a thread of ours leaves one: 64 MiB of address space, said so."""
    ledger = start(Ledger, python, arguments=["--no-spare-arena"])
    settle(ledger)
    before = probe.state(ledger.pid)
    result = memattach.ok("attach", ledger.pid)
    memattach.ok("detach", ledger.pid)
    after = probe.state(ledger.pid)
    assert probe.differences(before, after) == []
    changed, words = probe.map_changes(before["maps"], after["maps"])
    assert changed <= ARENA_BYTES + LEFT_BYTES, words
    if changed > LEFT_BYTES:
        assert "arena" in result.text + result.notices, result
    # It is there once: the next attach uses it again.
    memattach.ok("attach", ledger.pid)
    memattach.ok("detach", ledger.pid)
    assert probe.map_changes(after["maps"], probe.maps(ledger.pid))[0] == 0


@pytest.mark.parametrize("mode", ["churn", "spin"])
def test_busy_target(memattach, start, every_python, mode):
    """Attach and detach, again and again, while threads allocate or compute without a pause."""
    ledger = start(Ledger, every_python)
    tables = ledger.ask("tables")["tables"]
    ledger.ask("burn", mode, 3)
    threads = len(probe.threads(ledger.pid))
    for sample in ("64KiB", "exact", "64KiB"):
        memattach.ok("attach", "--sample", sample, ledger.pid)
        assert ledger.ask("ping")["pong"]
        memattach.ok("detach", ledger.pid)
        assert ledger.ask("ping")["pong"]
        assert len(probe.threads(ledger.pid)) == threads
    assert all(rounds > 0 for rounds in ledger.ask("rest")["rounds"])
    assert probe.words_into(ledger.pid, probe.our_maps(ledger.pid)) == []
    assert ledger.ask("tables")["tables"] == tables
    assert ledger.quit(5) == 5


def test_exit_while_attached(memattach, start, every_python):
    """A target that ends by itself while attached ends with its own exit code."""
    ledger = start(Ledger, every_python)
    memattach.ok("attach", ledger.pid)
    ledger.ask("grow")
    assert ledger.quit(91) == 91
    assert ledger.error_text() == "" or "DeprecationWarning" in ledger.error_text()
