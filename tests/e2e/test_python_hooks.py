# SPDX-License-Identifier: MIT
"""Other things that touch the same places: modules loaded later, tracemalloc, exec."""

import os
import subprocess
import tempfile

import probe
import program
from snapshot_reader import INUSE_SPACE
from target import Ledger, Target
from waiting import wait_until

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
