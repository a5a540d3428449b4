# SPDX-License-Identifier: MIT
"""Facts about the interpreter: each fails the simple way, and not with us."""

import math

from facts import Obedient
from snapshot_reader import INUSE_OBJECTS, INUSE_SPACE

BLOCKS = 1000


def test_realloc_across_layers(memattach, start, every_python):
    """A block of malloc's that shrinks below pymalloc's limit stays malloc's. Who goes by the size
    counts it for a layer that never served it."""
    target = start(Obedient, every_python)
    shrink = """
blocks = [bytearray(1000) for _ in range(%d)]
for block in blocks: del block[100:]
""" % BLOCKS
    claimed, wrong = target.tell("""
import ctypes
simple = ctypes.PyDLL(%r)
for name in ("simple_claimed", "simple_wrong"): getattr(simple, name).restype = ctypes.c_uint64
simple.simple_install()
%s
simple.simple_remove()
answer = [simple.simple_claimed(), simple.simple_wrong()]
blocks = None
""" % (target.library("simple_layers.so"), shrink))
    assert claimed >= wrong >= BLOCKS, "nothing was taken for what it is not: nothing is tested"
    memattach.ok("attach", "--sample", "exact", target.pid)
    target.tell("blocks = slot = None\n" + shrink)
    snapshot = memattach.snapshot(target.pid)
    held = [site for site in snapshot.sites if "told.py" in repr(site.frames) and
            100 <= site.values[INUSE_SPACE] / max(site.values[INUSE_OBJECTS], 1) <= 512 and
            site.values[INUSE_OBJECTS] >= BLOCKS / 2]
    assert sum(site.values[INUSE_OBJECTS] for site in held) == BLOCKS, held
    target.tell("blocks = None")
    snapshot = memattach.snapshot(target.pid)
    left = sum(site.values[INUSE_OBJECTS] for site in snapshot.sites
               if site.frames and repr(site.frames) in {repr(one.frames) for one in held})
    assert left < BLOCKS / 100, "freed, and still counted"


MAKE_FUNCTIONS = """
held, seen, reused, names = [], set(), 0, 200
for number in range(names):
    space = {}
    exec("def made_%d(size): return bytes(size)" % number, space)
    function = space["made_%d" % number]
    held.append(function(20000 + number))
    reused += id(function.__code__) in seen
    seen.add(id(function.__code__))
    space.clear()
    del function
answer = [names, reused]
"""


def made(memattach, target):
    """What each of those functions holds: {number: (blocks, bytes)}"""
    names, reused = target.tell(MAKE_FUNCTIONS)
    assert reused > names / 2, "addresses were not used again: nothing is tested"
    found = {}
    for site in memattach.snapshot(target.pid).sites:
        names_made = [name for name, _, _ in site.frames if "made_" in name]
        if names_made:
            number = int(names_made[0].split("made_")[1])
            count, size = found.get(number, (0, 0))
            found[number] = (count + site.values[INUSE_OBJECTS], size + site.values[INUSE_SPACE])
    return names, found


def test_code_objects_at_the_same_address(memattach, start, every_python):
    """A new code object takes the place of a dead one almost at once. Who remembers names by address
    gives one function's memory to another."""
    target = start(Obedient, every_python)
    memattach.ok("attach", "--sample", "exact", target.pid)
    names, found = made(memattach, target)
    assert found == {number: (1, 20000 + number + 33) for number in range(names)}


def test_code_objects_whose_frees_are_not_seen(memattach, start, every_python):
    """The same in sampled mode, where Python frees small blocks, such code objects among them, without
    passing us. Each size belongs to one function, so its weight tells whose block it was."""
    target = start(Obedient, every_python)
    memattach.ok("attach", "--sample", "4KiB", target.pid)
    names, found = made(memattach, target)
    assert len(found) > 0.9 * names, found
    for number, (_, size) in found.items():
        block = 20000 + number + 33
        assert abs(size - block / -math.expm1(-block / 4096)) < 0.6, (number, size)


def test_floating_point_traps(memattach, start, every_python):
    """Code in between that computes in floating point raises SIGFPE in a program that has opened
    traps, and leaves flags. The hook uses general registers only."""
    target = start(Obedient, every_python)
    call = """
import ctypes
trapping = ctypes.CDLL(%r)
trapping.trapping_allocate.argtypes = [ctypes.c_uint64, ctypes.c_int]
answer = [trapping.trapping_allocate(200000, simple) for simple in (%%s,)]
""" % target.library("trapping.so")
    assert target.tell(call % "0") == [0]
    assert target.tell(call % "1") != [0], "computing raised nothing: nothing is tested"
    for sample in ("4KiB", "exact"):
        memattach.ok("attach", "--sample", sample, target.pid)
        assert target.tell(call % "0") == [0]
        snapshot = memattach.snapshot(target.pid)
        assert sum(site.values[0] for site in snapshot.sites) > 1000, "nothing was sampled"
        memattach.ok("detach", target.pid)
