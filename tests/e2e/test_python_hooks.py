# SPDX-License-Identifier: MIT
"""Other things that touch the same places: modules loaded later, tracemalloc, other tools' allocator
hooks and call slots, exec."""

import os
import struct
import subprocess
import tempfile

import pytest

import probe
import program
from facts import Obedient
from odd_target import Odd, held, sees
from snapshot_reader import INUSE_SPACE
from target import Ledger, Target
from waiting import wait_until

SMALL = 5000 * 133
EXTENSIONS = os.path.join(program.BUILD, "targets")


def test_extension_loaded_after_the_attach(memattach, start, every_python):
    """Its very first call of malloc is seen, and so is each free: no phantom leaks."""
    ledger = start(Ledger, every_python, folders=[EXTENSIONS])
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    assert not any("hold_module" in area.name for area in probe.maps(ledger.pid))
    ledger.ask("load", every_python.path(EXTENSIONS), "hold_module")
    for size in (100, 3000, 1 << 20):
        for _ in range(5):
            ledger.ask("hold", "hold_module", size)
    held = memattach.snapshot(ledger.pid).by_line(INUSE_SPACE).get(ledger.where("extension"), 0)
    assert held == 5 * (100 + 3000 + (1 << 20))
    ledger.ask("release", "hold_module")
    held = memattach.snapshot(ledger.pid).by_line(INUSE_SPACE).get(ledger.where("extension"), 0)
    assert held == 0, "frees of the extension were not seen"
    memattach.ok("detach", ledger.pid)
    assert probe.words_into(ledger.pid, probe.our_maps(ledger.pid)) == []
    ledger.ask("hold", "hold_module", 5000)
    ledger.ask("release", "hold_module")
    assert ledger.quit(12) == 12


def test_extension_loaded_before_the_attach(memattach, start, every_python):
    ledger = start(Ledger, every_python, folders=[EXTENSIONS])
    ledger.ask("load", every_python.path(EXTENSIONS), "hold_module")
    ledger.ask("hold", "hold_module", 7000)
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    ledger.ask("hold", "hold_module", 9000)
    assert memattach.snapshot(ledger.pid).by_line(INUSE_SPACE).get(ledger.where("extension"), 0) == 9000
    # Freeing what was there before us is nobody's business and does no harm.
    ledger.ask("release", "hold_module")
    assert memattach.snapshot(ledger.pid).by_line(INUSE_SPACE).get(ledger.where("extension"), 0) == 0
    assert ledger.quit(0) == 0


def python_tables(ledger):
    """The tables that tracemalloc swaps; the arena allocator's is none of them."""
    tables = ledger.ask("tables")["tables"]
    return {domain: tables[domain] for domain in ("raw", "mem", "object")}


def test_tracemalloc_while_attached(memattach, start, every_python):
    """Started and stopped after the attach, it puts back the tables of before: reported as lost."""
    ledger = start(Ledger, every_python)
    before = python_tables(ledger)
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    ours = ledger.ask("tables")["tables"]
    assert ledger.ask("tracemalloc", "start")["tracing"]
    ledger.ask("leak", 10, 100000)
    assert memattach.snapshot(ledger.pid).by_line(INUSE_SPACE)[ledger.where("leak")] >= 1000000
    assert not ledger.ask("tracemalloc", "stop")["tracing"]
    assert ledger.ask("tables")["tables"]["object"] == ours["object"]
    memattach.ok("detach", ledger.pid)
    # tracemalloc keeps a copy of what it found, for ever; what counts is the tables.
    assert python_tables(ledger) == before
    ledger.ask("grow")
    assert ledger.quit(9) == 9


def test_tracemalloc_stopped_while_attached(memattach, start, every_python):
    """Started before the attach and stopped after it: our hook is gone, and that is said."""
    ledger = start(Ledger, every_python)
    before = python_tables(ledger)
    ledger.ask("tracemalloc", "start")
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    ledger.ask("tracemalloc", "stop")
    assert python_tables(ledger) == before

    def said():
        return "table of domain object was replaced" in " ".join(
            memattach.ok("status", ledger.pid).text.split())

    wait_until(said, 30, "a word about the tables")
    ledger.ask("grow")
    memattach.ok("detach", ledger.pid)
    assert python_tables(ledger) == before
    assert ledger.quit(9) == 9


def test_tracemalloc_left_in_place(memattach, start, python):
    """Started after the attach and still on at the detach: its words stay, ours do not."""
    ledger = start(Ledger, python)
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    ledger.ask("tracemalloc", "start")
    tables = python_tables(ledger)
    result = memattach.ok("detach", ledger.pid)
    assert "table" in (result.text + result.notices).lower(), result
    assert python_tables(ledger) == tables
    ledger.ask("grow")
    ledger.ask("tracemalloc", "stop")
    ledger.ask("clear")
    ledger.ask("grow")
    assert ledger.quit(9) == 9


class Wrapped(Odd):
    """With tests/targets/wrappers.c, allocator hooks as ddtrace, memray and others install them."""

    def __init__(self, python):
        super().__init__(python, folders=[EXTENSIONS])

    def wrappers(self, what):
        return self.ask("library", self.python.path(os.path.join(EXTENSIONS, "wrappers.so")),
                        "wrappers_" + what)["result"]

    def install(self):
        assert self.wrappers("install") == 0

    def is_wrapped(self):
        before = self.wrappers("calls")
        self.ask("hold", 50, 100)
        return self.wrappers("calls") >= before + 50


def hold_small(memattach, target):
    """How much of 5,000 small blocks is seen, and of the list that holds them."""
    was = held(memattach, target.pid)
    target.ask("hold", 5000, 100)
    return held(memattach, target.pid) - was


def sees_small(memattach, target):
    """Once, not twice; a leaf of pymalloc's map of 128 KiB may be among it."""
    assert SMALL <= hold_small(memattach, target) <= 1.3 * SMALL + 132000


def seen_or_told(memattach, target):
    """Small blocks go through Python's tables. Either they are seen, or it is said that not."""
    if hold_small(memattach, target) >= SMALL:
        return

    def told():
        text = " ".join(memattach.ok("status", target.pid).text.split())
        return "table of domain object was replaced" in text or \
            "allocator tables could not be hooked" in text
    wait_until(told, 30, "a word about the tables")


def test_allocator_hooks_before_the_attach(memattach, start, every_python):
    target = start(Wrapped, every_python)
    target.install()
    memattach.ok("attach", "--sample", "exact", target.pid)
    sees(memattach, target)
    sees_small(memattach, target)
    assert target.is_wrapped()
    memattach.ok("detach", target.pid)
    assert target.is_wrapped()
    target.wrappers("remove")
    assert not target.is_wrapped()
    assert target.quit(31) == 31


def test_allocator_hooks_removed_while_attached(memattach, start, every_python):
    """They put back the tables of before them, and us with them."""
    target = start(Wrapped, every_python)
    target.install()
    memattach.ok("attach", "--sample", "exact", target.pid)
    target.wrappers("remove")
    sees(memattach, target)
    seen_or_told(memattach, target)
    memattach.ok("detach", target.pid)
    # Who was there may still have our thunk behind his functions: it is not put in twice.
    memattach.ok("attach", "--sample", "exact", target.pid)
    sees(memattach, target)
    seen_or_told(memattach, target)
    memattach.ok("detach", target.pid)
    assert target.quit(32) == 32


@pytest.mark.parametrize("removed", ["before", "after"])
def test_allocator_hooks_while_attached(memattach, start, every_python, removed):
    """Installed over ours, and removed before or after the detach."""
    target = start(Wrapped, every_python)
    memattach.ok("attach", "--sample", "exact", target.pid)
    target.install()
    sees(memattach, target)
    seen_or_told(memattach, target)
    assert target.is_wrapped()
    if removed == "before":
        target.wrappers("remove")
        sees_small(memattach, target)
    result = memattach.ok("detach", target.pid)
    assert ("table" in (result.text + result.notices)) == (removed == "after"), result
    assert target.is_wrapped() == (removed == "after")
    if removed == "after":
        target.wrappers("remove")  # they put back our thunks, which lead on
    target.ask("hold", 1000, 100)
    memattach.ok("attach", "--sample", "exact", target.pid)
    sees(memattach, target)
    seen_or_told(memattach, target)
    memattach.ok("detach", target.pid)
    assert target.quit(33) == 33


def test_allocator_hooks_after_the_detach(memattach, start, every_python):
    target = start(Wrapped, every_python)
    memattach.ok("attach", "--sample", "exact", target.pid)
    memattach.ok("detach", target.pid)
    target.install()
    assert target.is_wrapped()
    memattach.ok("attach", "--sample", "exact", target.pid)
    sees_small(memattach, target)
    memattach.ok("detach", target.pid)
    target.wrappers("remove")
    assert target.quit(34) == 34


# Of struct ma_thunk_data (inject/hook/config.h): the definitions behind the thunks; a thunk's size.
NEXT_OFFSET, THUNK_BYTES = 88 + 25 * 8, 16

OVERWRITE = """
import ctypes
for address, value in %r:
    ctypes.CDLL(None).mprotect(ctypes.c_void_p(address & ~4095), ctypes.c_size_t(4096), 3)
    ctypes.c_uint64.from_address(address).value = value
"""


def test_call_slots_taken_over(memattach, start, python):
    """memray overwrites call slots and then puts back what was there before us: that is told."""
    target = start(Obedient, python)
    memattach.ok("attach", "--sample", "exact", target.pid)
    code, data = probe.our_maps(target.pid)[-2:]
    slots = probe.words_into(target.pid, probe.our_maps(target.pid))
    assert "thunks" in code.name and "thunks" in data.name and len(slots) > 10
    values = []
    for slot in slots:
        word, = struct.unpack("<Q", probe.read_memory(target.pid, slot, 8))
        number = (word - code.start) // THUNK_BYTES
        values += struct.unpack("<Q", probe.read_memory(
            target.pid, data.start + NEXT_OFFSET + 8 * number, 8))
    target.tell(OVERWRITE % (list(zip(slots, values)),))

    def told():
        text = " ".join(memattach.ok("status", target.pid).text.split())
        return "call slots of malloc and its relatives were changed" in text
    wait_until(told, 30, "a word about the call slots")
    memattach.ok("detach", target.pid)
    memattach.ok("attach", "--sample", "exact", target.pid)
    target.tell("held = [bytes(50000) for _ in range(100)]")
    sites = memattach.snapshot(target.pid, "--wait", "0").sites
    assert sum(site.values[INUSE_SPACE] for site in sites) >= 100 * 50000
    memattach.ok("detach", target.pid)


EXEC = """
import os, sys
print("up", flush=True)
sys.stdin.readline()
os.execv(%r, [%r, "-c", "import sys; print('second', flush=True); sys.stdin.readline()"])
"""


def test_exec_while_attached(memattach, start, python):
    """The process becomes another program: said, and the other program is left alone."""
    program_path = python.command[-1]
    process = subprocess.Popen([program_path, "-c", EXEC % (program_path, program_path)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    target = start(lambda: Target(process, tempfile.TemporaryFile()))
    assert target.read_line() == "up"
    memattach.ok("attach", target.pid)
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert target.read_line() == "second"
    wait_until(lambda: memattach.snapshot(target.pid).end, 30, "word of the exec")
    end = memattach.snapshot(target.pid).end
    assert end["how"] == 4, end
    assert probe.our_maps(target.pid) == []
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert process.wait(30) == 0
