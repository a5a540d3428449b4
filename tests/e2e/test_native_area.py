# SPDX-License-Identifier: MIT
"""The unwind area: there when native stacks are wanted, gone afterwards, and never a burden."""

import json
import os
import resource
import subprocess
import tempfile

import pytest

import pythons
import unwind_area
from program import BUILD
from target import SECONDS, Ledger, Target
from waiting import wait_until


@pytest.mark.parametrize("options, areas", [
    ((), ["r--s"]),
    (("--no-native",), []),
    (("--sample", "exact"), []),
    (("--sample", "exact", "--native"), ["r--s"]),
], ids=lambda value: " ".join(value) or "default")
def test_area_comes_and_goes(options, areas, python, memattach, start):
    target = start(Ledger, python)
    memattach.ok("attach", target.pid, *options)
    assert unwind_area.protections(target.pid) == areas
    memattach.ok("detach", target.pid)
    assert unwind_area.protections(target.pid) == []
    assert target.quit() == 0


def test_little_address_space(python, memattach, start):
    """What a limited target has left is its own; it does without native stacks."""
    target = start(Ledger, python)
    with open("/proc/%d/statm" % target.pid, encoding="utf-8") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.prlimit(target.pid, resource.RLIMIT_AS, (used + (600 << 20),) * 2)
    attached = memattach.ok("attach", target.pid)
    assert "no native stacks" in attached.notices
    assert unwind_area.protections(target.pid) == []
    memattach.ok("detach", target.pid)
    assert target.quit() == 0


class OddStacks(Target):
    """tests/targets/odd_stacks.py."""

    def __init__(self, python):
        errors = tempfile.TemporaryFile()
        library = os.path.join(BUILD, "targets", "odd_stacks.so")
        script = python.path(os.path.join(pythons.TARGETS, "odd_stacks.py"))
        process = python.start([script, python.path(library)], [os.path.dirname(library)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        super().__init__(process, errors)
        assert self.read_line() == "ready"


def test_odd_stacks(every_python, memattach, start):
    """Whatever the walk meets, the target does not notice."""
    target = start(OddStacks, every_python)
    memattach.ok("attach", target.pid, "--sample", "4KiB")
    assert unwind_area.head(target.pid)[1], "the daemon does not fill the unwind area"

    def samples():
        session, = json.loads(memattach.ok("status", "--json", target.pid).text)["sessions"]
        return session["samples"]
    wait_until(lambda: unwind_area.head(target.pid)[0] or target.process.poll() is not None, SECONDS,
               "an index")
    before = samples()
    wait_until(lambda: target.process.poll() is not None or samples() > before + 20000, SECONDS,
               "20,000 samples")
    assert target.process.poll() is None, target.error_text()
    memattach.ok("detach", target.pid)
    target.process.stdin.close()
    assert target.read_line() == "done"
    assert target.process.wait(SECONDS) == 0
