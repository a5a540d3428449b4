# SPDX-License-Identifier: MIT
"""Small blocks that are sampled become blocks of malloc's, so that Python's frees need no hook: the
program sees the same contents and counts, frees are seen, and what is left after a detach is freed
as any block is."""

import probe
from facts import Obedient
from snapshot_reader import INUSE_OBJECTS, INUSE_SPACE
from target import Ledger

WORK = """
import gc, sys
def work():
    words = [("%d" % number) * 3 for number in range(60000)]
    pairs = [(word, [word]) for word in words]
    grown = []
    for number in range(3000):
        one = bytearray()
        for step in range(40):
            one += bytes([number % 251]) * 9
        grown.append(one)
    return words, pairs, grown
def right(held):
    words, pairs, grown = held
    return (words == [("%d" % number) * 3 for number in range(60000)]
            and all(pair == (word, [word]) for pair, word in zip(pairs, words))
            and grown == [bytes([number % 251]) * 360 for number in range(3000)])
def blocks():
    gc.collect()
    before = sys.getallocatedblocks()
    held = work()
    made = sys.getallocatedblocks() - before
    fine = right(held)
    held = None
    gc.collect()
    return [made, sys.getallocatedblocks() - before, fine]
"""
HELD = 60000 + 2 * 60000 + 60000 + 3000  # strings, tuples and lists, the lists' items, bytearrays
NOISE_BLOCKS = 200
SAMPLE_BYTES = 16384
LARGE_BYTES = 65536


def of_work(memattach, target, value):
    return sum(site.values[value] for site in memattach.snapshot(target.pid).sites
               if any(name == "work" for name, _, _ in site.frames))


def small_of_work(memattach, target):
    """What sites hold whose blocks are small on the average."""
    return sum(site.values[INUSE_SPACE] for site in memattach.snapshot(target.pid).sites
               if any(name == "work" for name, _, _ in site.frames)
               and site.values[INUSE_SPACE] < LARGE_BYTES * site.values[INUSE_OBJECTS])


def test_program_sees_no_difference(memattach, start, every_python):
    target = start(Obedient, every_python)
    target.tell(WORK)
    target.tell("answer = blocks()")
    bare = target.tell("answer = blocks()")
    assert bare[0] > HELD and abs(bare[1]) < NOISE_BLOCKS and bare[2], bare
    before = probe.state(target.pid)
    memattach.ok("attach", "--sample", SAMPLE_BYTES, target.pid)
    sampled = target.tell("answer = blocks()")
    assert sampled[2], "contents have changed"
    assert abs(sampled[0] - bare[0]) < NOISE_BLOCKS, (bare, sampled)
    assert abs(sampled[1]) < NOISE_BLOCKS, (bare, sampled)
    # All of it was freed, and the frees of what was sampled were seen; Python keeps a frame or two, and
    # 3.15 now and then makes itself a block of 128 KiB meanwhile.
    assert small_of_work(memattach, target) < 4 * SAMPLE_BYTES
    target.tell("held = work(); answer = None")
    seen = of_work(memattach, target, INUSE_OBJECTS)
    assert 0.8 * HELD < seen < 1.3 * HELD, seen
    # What is promoted stays malloc's when we are gone.
    memattach.ok("detach", target.pid)
    assert target.tell("answer = right(held)")
    assert target.tell("held = None; answer = blocks()")[2]
    assert probe.words_into(target.pid, probe.our_maps(target.pid)) == []
    assert probe.differences(before, probe.state(target.pid)) == []


def test_frees_are_left_alone(memattach, start, every_python):
    """In sampled mode the words of Python's tables that free are the interpreter's own; where somebody
    else's allocator is in between, or many blocks are recorded, they lead to us, as in exact mode."""
    ledger = start(Ledger, every_python)

    def frees():
        tables = ledger.ask("tables")["tables"]
        return [tables[domain][4] for domain in ("mem", "object")]

    before = frees()
    for sample in ("64KiB", "{1024: 0.01, 1048576: 1}"):
        memattach.ok("attach", "--sample", sample, ledger.pid)
        assert frees() == before, sample
        memattach.ok("detach", ledger.pid)
    for sample in ("exact", "{1024: 0.02, 1048576: 1}"):
        memattach.ok("attach", "--sample", sample, ledger.pid)
        assert not set(frees()) & set(before), sample
        memattach.ok("detach", ledger.pid)
    ledger.ask("tracemalloc", "start")
    theirs = frees()
    assert theirs != before
    memattach.ok("attach", "--sample", "4KiB", ledger.pid)
    assert not set(frees()) & set(theirs + before)
    ledger.ask("leak", 3000, 100)
    held = memattach.snapshot(ledger.pid).by_line(INUSE_SPACE)[ledger.where("leak")]
    assert 200000 < held < 800000, held
    ledger.ask("clear")
    # What tracemalloc keeps for itself may stay there.
    left = memattach.snapshot(ledger.pid).by_line(INUSE_SPACE).get(ledger.where("leak"), 0)
    assert left < held / 10, (left, held)
    memattach.ok("detach", ledger.pid)
    assert frees() == theirs
    ledger.ask("tracemalloc", "stop")
    assert frees() == before
    assert ledger.quit(3) == 3
