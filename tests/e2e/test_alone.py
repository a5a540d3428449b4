# SPDX-License-Identifier: MIT
"""What concerns every process there is: run in a PID namespace of its own (alone.sh)."""

import os
import subprocess
import tempfile

import pytest

import probe
import program
from snapshot_reader import INUSE_SPACE, Snapshot
from target import Ledger, Target
from waiting import wait_until

pytestmark = pytest.mark.skipif(os.environ.get("MEMATTACH_ALONE") != "yes",
                                reason="no PID namespace can be made here")


def test_detach_all(memattach, start, every_python):
    ledgers = [start(Ledger, every_python) for _ in range(3)]
    memattach.ok("attach", *[ledger.pid for ledger in ledgers[:2]])
    result = memattach.ok("detach", "--all")
    for ledger in ledgers:
        assert probe.words_into(ledger.pid, probe.our_maps(ledger.pid)) == []
        assert (str(ledger.pid) in result.text) == (ledger in ledgers[:2]), result
        assert ledger.quit(6) == 6
    # Nothing to do is nothing wrong.
    assert memattach.ok("detach", "--all").code == 0


def test_list_of_processes(memattach, start, every_python):
    """Every Python process, and nothing else."""
    ledgers = [start(Ledger, every_python) for _ in range(2)]
    text = memattach.ok("ps").text
    for ledger in ledgers:
        rows = [line for line in text.split("\n") if line.split()[:1] == [str(ledger.pid)]]
        assert len(rows) == 1 and every_python.version in rows[0], text
    assert not [line for line in text.split("\n") if line.split()[:1] == ["1"]], text


AS_PID_1 = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


class Container(Target):
    """A ledger that is PID 1 of its own PID namespace, as the program of a container is."""

    def __init__(self, python):
        errors = tempfile.TemporaryFile()
        script = os.path.join(program.ROOT, "tests", "targets", "ledger.py")
        process = subprocess.Popen(AS_PID_1 + python.command + [script], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=errors)
        super().__init__(process, errors)
        self.read_line()
        self.inner = wait_until(lambda: probe.children(process.pid))[0]

    ask = Ledger.ask


def inside(container, *arguments):
    """A command line that runs the program within the container."""
    return ["nsenter", "--target", str(container.inner), "--pid", "--mount", program.PROGRAM,
            *arguments]


def test_program_is_pid_1(memattach, start, python):
    """Nobody adopts orphans there, so no daemon is left behind, and leaving detaches."""
    container = start(Container, python)
    before = probe.state(container.inner)
    run = subprocess.run(inside(container, "--wait", "1s", "1"), env=memattach.env,
                         capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    assert run.returncode == 0, run
    assert b"ledger.py" in run.stdout, run
    assert probe.children(container.inner) == []
    assert container.ask("children") == {"reaped": None}
    assert probe.differences(before, probe.state(container.inner)) == []
    assert probe.words_into(container.inner, probe.our_maps(container.inner)) == []
    assert memattach.daemon_pid() is None

    dump = subprocess.run(inside(container, "dump", "--wait", "1s", "1"), env=memattach.env,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    assert dump.returncode == 0, dump
    assert Snapshot(dump.stdout).total(INUSE_SPACE) >= 0
    assert container.ask("children") == {"reaped": None}


def test_from_outside_of_the_container(memattach, start, python):
    container = start(Container, python)
    memattach.ok("attach", "--sample", "exact", container.inner)
    container.ask("leak", 30, 100000)
    leaked = memattach.snapshot(container.inner).by_line(INUSE_SPACE)
    assert max(leaked.values()) >= 3000000
    memattach.ok("detach", container.inner)
    assert probe.words_into(container.inner, probe.our_maps(container.inner)) == []
    assert container.ask("children") == {"reaped": None}
