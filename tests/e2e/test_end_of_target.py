# SPDX-License-Identifier: MIT
"""The last state of a target that ended stays, with how it ended."""

import os
import signal

import pytest

from snapshot_reader import INUSE_SPACE, PEAK_SPACE
from target import Ledger
from waiting import wait_until

EXITED, SIGNALED, DETACHED, EXECED = 1, 2, 3, 4


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_killed_outright(memattach, start, every_python, number):
    ledger = start(Ledger, every_python)
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    ledger.ask("grow")
    before = memattach.snapshot(ledger.pid)
    ledger.ask("leak", 50, 1000000)
    os.kill(ledger.pid, number)
    assert ledger.process.wait() == -number

    # The events of the last moments are in it, although nobody looked between them and the kill.
    last = memattach.snapshot(ledger.pid)
    assert last.end["how"] == SIGNALED and last.end["signal"] == number, last.end
    assert number.name in last.end["sentence"], last.end
    leaked = last.by_line(INUSE_SPACE)[ledger.where("leak")]
    assert 50 * 1000000 <= leaked <= 1.001 * 50 * 1000033
    for name in ("small", "large", "list_growth"):
        assert last.by_line(INUSE_SPACE)[ledger.where(name)] == before.by_line(INUSE_SPACE)[ledger.where(name)]
        assert last.by_line(PEAK_SPACE)[ledger.where(name)] > 0
    # The screen, which waits for nobody now, and the status say so too.
    for arguments in (("--top", "50", ledger.pid), ("status", ledger.pid)):
        result = memattach.run(*arguments, seconds=5)
        assert result.code in (0, 5), result
        assert number.name in result.text, result
    assert "ledger.py:%d" % ledger.lines["leak"] in memattach.run("--top", "50", ledger.pid).text


def test_exit_code(memattach, start, python):
    ledger = start(Ledger, python)
    memattach.ok("attach", ledger.pid)
    ledger.ask("leak", 10, 1000000)
    assert ledger.quit(23) == 23
    last = memattach.snapshot(ledger.pid)
    assert (last.end["how"], last.end["code"]) == (EXITED, 23), last.end
    # The interpreter frees what it held on its way out; the peak is from before that.
    assert last.by_line(PEAK_SPACE)[ledger.where("leak")] > 5000000
    assert "23" in memattach.run("status", ledger.pid).text


def test_detached_state_is_kept_too(memattach, start, python):
    ledger = start(Ledger, python)
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    ledger.ask("leak", 10, 1000000)
    memattach.ok("detach", ledger.pid)
    last = memattach.snapshot(ledger.pid)
    assert last.end["how"] == DETACHED, last.end
    assert last.by_line(INUSE_SPACE)[ledger.where("leak")] >= 10 * 1000033


def test_forgotten_on_request(memattach, start, python):
    ledger = start(Ledger, python)
    memattach.ok("attach", ledger.pid)
    assert ledger.quit(0) == 0
    wait_until(lambda: memattach.snapshot(ledger.pid).end)
    memattach.ok("detach", "--forget", ledger.pid)
    assert memattach.run("dump", ledger.pid).code == 5


def memory_cgroup():
    """A folder in which memory cgroups can be made, and the name of the limit's file."""
    if os.path.exists("/sys/fs/cgroup/cgroup.subtree_control"):
        with open("/sys/fs/cgroup/cgroup.subtree_control", encoding="ascii") as file:
            if "memory" in file.read().split():
                return "/sys/fs/cgroup", "memory.max"
    if os.path.exists("/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        return "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
    return None, None


def test_killed_for_memory(memattach, start, python):
    """The kernel's OOM killer: said as such, and with who held the memory."""
    folder, limit = memory_cgroup()
    if not folder or not os.access(folder, os.W_OK):
        pytest.skip("no memory cgroup can be made here")
    group = os.path.join(folder, "memattach-test-%d" % os.getpid())
    os.mkdir(group)
    ledger = start(Ledger, python)
    try:
        with open(os.path.join(group, limit), "w", encoding="ascii") as file:
            file.write(str(256 << 20))
        with open(os.path.join(group, "cgroup.procs"), "w", encoding="ascii") as file:
            file.write(str(ledger.pid))
        memattach.ok("attach", "--sample", "64KiB", ledger.pid)
        ledger.process.stdin.write(b"leak 10000 1000000\n")
        ledger.process.stdin.flush()
        assert ledger.process.wait(120) == -signal.SIGKILL
        last = memattach.snapshot(ledger.pid)
        assert last.end["oom_killed"], last.end
        assert last.by_line(INUSE_SPACE)[ledger.where("leak")] > 100 << 20
        assert "memory" in memattach.run(ledger.pid).text.lower()
    finally:
        ledger.end()
        wait_until(lambda: try_rmdir(group), what="the end of the cgroup")


def try_rmdir(path):
    try:
        os.rmdir(path)
        return True
    except OSError:
        return False
