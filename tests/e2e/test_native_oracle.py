# SPDX-License-Identifier: MIT
"""The hook's native stacks are libdw's, pc by pc, at the same samples (native_oracle.c)."""

import itertools
import os
import re
import shutil
import subprocess
import tempfile

import pythons
import unwind_area
from program import BUILD
from target import Target
from waiting import wait_until

ORACLE = os.path.join(BUILD, "tests", "e2e", "ma_native_oracle")
HOOK = os.path.join(BUILD, "inject", "hook", "hook_ie.so")
STACKS = 1000
WARM = 60


def offset_of_walk():
    """Where the walk begins in the hook."""
    table = subprocess.run(["nm", HOOK], check=True, stdout=subprocess.PIPE, text=True).stdout
    return "0x" + re.search(r"^([0-9a-f]+) t ma_unwind_walk$", table, re.M)[1]


class Watched(Target):
    def __init__(self, python, libraries=()):
        errors = tempfile.TemporaryFile()
        script = python.path(os.path.join(pythons.TARGETS, "native_stacks.py"))
        process = python.start([script, *libraries], stdout=subprocess.PIPE, stderr=errors)
        super().__init__(process, errors)
        assert self.read_line() == "ready"

    def compare(self, stacks, seconds):
        """What the oracle says: counts by name, and its remarks."""
        done = subprocess.run([ORACLE, str(self.pid), offset_of_walk(), str(stacks), str(seconds)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=seconds + 60)
        assert done.returncode == 0, "%s (the target: %s, %s)" % (
            done.stderr, self.process.poll(), self.error_text())
        last = done.stdout.strip().split("\n")[-1].split()
        return dict(zip(last[::2], map(int, last[1::2]))), done.stdout


def judge(target, program):
    """Waits until the tables are there, then holds a thousand stacks against the oracle."""
    program.ok("attach", target.pid, "--sample", "16KiB")
    assert unwind_area.head(target.pid)[1], "the daemon does not fill the unwind area"

    def is_warm():
        found, _ = target.compare(WARM, 30)
        return found["stacks"] >= WARM and not found["differing"]
    wait_until(is_warm, seconds=120, what="a run without a difference")
    found, remarks = target.compare(STACKS, 120)
    assert found["stacks"] >= STACKS, remarks
    assert found["frames"] > 8 * STACKS, remarks
    # Deeper than our oracle sees, or through code that was loaded just then: few, or it is blind.
    assert found["unjudged"] <= STACKS // 100, remarks
    assert found["differing"] <= STACKS // 1000, remarks
    assert target.process.poll() is None, target.error_text()
    program.ok("detach", target.pid)


def test_every_python(every_python, memattach, start):
    judge(start(Watched, every_python), memattach)


def builds():
    """(name, command) of every way to build the library that this machine can."""
    for compiler in ("gcc", "clang"):
        if not shutil.which(compiler):
            continue
        for level, pointer in itertools.product("0123", ("", "no-")):
            yield ("%s-O%s-%sfp" % (compiler, level, pointer.replace("no-", "with-") or "no-"),
                   [compiler, "-O" + level, "-f%somit-frame-pointer" % pointer])
        yield compiler + "-lto", [compiler, "-O2", "-flto"]


def test_every_compiler(python, memattach, start, tmp_path):
    made = []
    for name, command in builds():
        path = str(tmp_path / ("layers-%s.so" % name))
        subprocess.run(command + ["-shared", "-fPIC", "-o", path,
                                  os.path.join(pythons.TARGETS, "native_layers.c")], check=True)
        made.append(path)
    assert len(made) >= 9
    judge(start(Watched, python, made), memattach)
