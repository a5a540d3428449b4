# SPDX-License-Identifier: MIT
"""Attach, look, detach: and the target is as it was.

The state is looked at from outside (probe.py) before the attach, while attached, and after the
detach. A check that an attached process would pass as well proves nothing, so the words that lead
to us are counted while attached, too.
"""

import probe
from snapshot_reader import INUSE_SPACE

LEFT_BYTES = 8192
MIB = 1 << 20
ARENA_BYTES = 64 * MIB


def without_arena(before, after):
    """The maps `after` without one malloc arena that was not there before.

    glibc gives each new thread an arena of address space, 64 MiB at a multiple of that, of which
    a few pages are in use (malloc/arena.c, new_heap). The short-lived thread that loads the hook
    into a process with threads leaves one to the process, as the program says.
    """
    known = {area.start for area in before}
    for index, area in enumerate(after[:-1]):
        rest = after[index + 1]
        if area.start % ARENA_BYTES == 0 and area.start not in known \
                and rest.end - area.start == ARENA_BYTES \
                and [area.kind, rest.kind] == [("rw-p", ""), ("---p", "")]:
            return after[:index] + after[index + 2:]
    return after


def as_before(pid, before, left=LEFT_BYTES):
    """After a detach: at most the thunk page is left, and no word of a loaded object leads to it."""
    assert probe.differences(before, probe.state(pid)) == []
    ours = probe.our_maps(pid)
    assert sum(area.bytes for area in ours) <= left, ours
    assert probe.words_into(pid, ours) == [], "words of loaded objects still lead to us"
    after = probe.maps(pid)
    if len(before["threads"]) > 1 and left:
        after = without_arena(before["maps"], after)
    changed, words = probe.map_changes(before["maps"], after)
    assert changed <= left, "mapped differently: %d bytes\n%s" % (changed, "\n".join(words))


def untouched(pid, before):
    """After a refusal: nothing at all."""
    as_before(pid, before, left=0)


def whole_round(memattach, ledger, *options):
    """Attached and detached it is as it was; attached again, its figures are right."""
    for _ in range(2):
        tables = ledger.ask("tables")["tables"]
        ledger.ask("ping")
    before = probe.state(ledger.pid)
    memattach.ok("attach", "--sample", "64KiB", *options, ledger.pid)
    assert probe.differences(before, probe.state(ledger.pid)) == []
    assert probe.words_into(ledger.pid, probe.our_maps(ledger.pid)), "no slot leads to us"
    ledger.ask("ping")
    memattach.ok("detach", ledger.pid)
    as_before(ledger.pid, before)

    memattach.ok("attach", "--sample", "exact", *options, ledger.pid)
    figures(memattach, ledger)
    memattach.ok("detach", ledger.pid)
    assert probe.differences(before, probe.state(ledger.pid)) == []
    assert ledger.ask("tables")["tables"] == tables
    ledger.ask("clear")


def figures(memattach, ledger):
    """What an attached ledger allocates is seen, by its line."""
    was = memattach.snapshot(ledger.pid, "--wait", "0").by_line(INUSE_SPACE).get(ledger.where("leak"), 0)
    ledger.ask("leak", 20, MIB // 4)
    now = memattach.snapshot(ledger.pid, "--wait", "0").by_line(INUSE_SPACE).get(ledger.where("leak"), 0)
    assert 5 * MIB <= now - was <= 1.02 * 5 * MIB, (was, now)
