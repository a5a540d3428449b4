# SPDX-License-Identifier: MIT
"""Thousands of names to be looked up at once: the daemon takes in and answers meanwhile."""

import json
import os
import re
import shutil
import subprocess
import tempfile

import pytest

import pythons
from target import SECONDS, Target
from waiting import wait_until

FUNCTIONS = 10000
# What the functions ask for is larger than the interval, so that most of them are sampled.
BLOCK_BYTES = 600000
INTERVAL = "512KiB"

FUNCTION = """.type f{0},@function
f{0}:
.cfi_startproc
subq $8,%rsp
.cfi_def_cfa_offset 16
movl ${1},%edi
call malloc@PLT
movq %rax,%rdi
call free@PLT
addq $8,%rsp
.cfi_def_cfa_offset 8
ret
.cfi_endproc
.size f{0},.-f{0}
"""
ALL = """.globl call_all
.type call_all,@function
call_all:
.cfi_startproc
subq $8,%rsp
.cfi_def_cfa_offset 16
{0}
addq $8,%rsp
.cfi_def_cfa_offset 8
ret
.cfi_endproc
.size call_all,.-call_all
.section .note.GNU-stack,"",@progbits
"""


@pytest.fixture
def library(tmp_path):
    if not shutil.which("gcc"):
        pytest.skip("there is no gcc here")
    source = tmp_path / "many.s"
    calls = "\n".join("call f%d" % at for at in range(FUNCTIONS))
    source.write_text(".text\n" + "".join(FUNCTION.format(at, BLOCK_BYTES)
                                          for at in range(FUNCTIONS)) + ALL.format(calls))
    path = str(tmp_path / "libmany.so")
    subprocess.run(["gcc", "-shared", "-o", path, str(source)], check=True, timeout=300)
    return path


def test_ingest_goes_on(memattach, start, python, library):
    process = python.start([python.path(os.path.join(pythons.TARGETS, "many_functions.py")),
                            python.path(library)], [os.path.dirname(library)],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    target = start(Target, process, tempfile.TemporaryFile())
    assert target.read_line() == "up"
    memattach.ok("attach", "--sample", INTERVAL, "--native", target.pid)

    def session():
        return json.loads(memattach.ok("status", "--json", target.pid).text)["sessions"][0]

    # Until the tables are there, stacks have no native frames and there is nothing to look up.
    def busy():
        target.process.stdin.write(b"\n")
        target.process.stdin.flush()
        assert target.read_line() == "done"
        return session()["names_pending"] > 500
    wait_until(busy, SECONDS, "names to look up")
    target.process.stdin.close()
    looks = [session()]
    while looks[-1]["names_pending"]:
        looks.append(session())
    during = looks[:-1]
    assert len(during) >= 3, "looked up too quickly to see anything"
    assert during[-1]["samples"] > during[0]["samples"], "nothing was taken in meanwhile"
    assert looks[-1]["drops"] == looks[0]["drops"]

    snapshot = memattach.snapshot(target.pid)
    names = {site.all_frames[0][0] for site in snapshot.sites if site.all_frames
             and site.all_frames[0][3] and "libmany" in site.all_frames[0][3]}
    assert len(names) > FUNCTIONS / 10
    assert all(re.fullmatch(r"f\d+", name) for name in names), names
    memattach.ok("detach", target.pid)
