# SPDX-License-Identifier: MIT
"""Facts about the kernel: each fails the simple way, and not with us."""

import os
import struct
import subprocess

import pytest

import cgroup
import probe
from box import BoxedInit
from facts import TORTURE, Obedient, simple_way
from waiting import wait_until

REFUSED = 6
MIB = 1 << 20
ORPHAN = "import os; os.fork() or (os.fork() or os._exit(5)) and os._exit(0)"
SLEEPERS = """
import ctypes
class Report(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char * 24)] + [
        (name, ctypes.c_uint64) for name in ("rounds", "wrong", "early", "late", "worst_ns")] + [
        ("last_errno", ctypes.c_int64)]
sleepers = ctypes.CDLL(%r)
def asleep():
    found = {}
    for index in range(sleepers.sleepers_count()):
        report = Report()
        sleepers.sleepers_report(index, ctypes.byref(report))
        found[report.name.decode()] = [getattr(report, name) for name in
                                       ("rounds", "wrong", "early", "late", "last_errno")]
    return found
answer = sleepers.sleepers_start()
"""


def sleeping(start, python):
    """A target with a thread in each of 17 blocking calls; all of them have been through a few."""
    target = start(Obedient, python)
    assert target.tell(SLEEPERS % target.library("sleepers.so", TORTURE)) == 0
    wait_until(lambda: all(found[0] >= 2 for found in target.tell("answer = asleep()").values()),
               what="the sleepers")
    return target


def disturbed(target):
    """{call: [rounds, wrong, early, late, errno]} of those that did not end as they should."""
    return {name: found for name, found in target.tell("answer = asleep()").items()
            if any(found[1:4])}


def test_interrupted_calls(memattach, start, python):
    """A stop ends some calls with EINTR, or makes them start over: a program that never expected a
    signal sees that. With us it does not."""
    target = sleeping(start, python)
    assert int(simple_way("stop_once", target.pid, 3)[0]) >= 3 * 17
    broken = wait_until(lambda: disturbed(target), what="an interrupted call")
    assert any(found[4] == 4 for found in broken.values()), "nobody saw EINTR: nothing is tested"
    target.tell("sleepers.sleepers_end()")

    target = sleeping(start, python)
    for _ in range(12):
        memattach.ok("attach", target.pid)
        memattach.ok("detach", target.pid)
    rounds = {name: found[0] for name, found in target.tell("answer = asleep()").items()}
    wait_until(lambda: all(found[0] > rounds[name] for name, found in
                           target.tell("answer = asleep()").items()), what="the sleepers")
    assert disturbed(target) == {}
    target.tell("sleepers.sleepers_end()")


LITTERED = """
import ctypes
littered = ctypes.CDLL(%r)
littered.littered_start.argtypes = [ctypes.c_uint64]
littered.littered_rounds.restype = littered.littered_broken.restype = ctypes.c_uint64
word = ctypes.cast(ctypes.pythonapi.Py_Initialize, ctypes.c_void_p).value
answer = [littered.littered_start(word), word]
"""


def frames_with(target, word):
    """How many threads asleep in a system call have this word between the top of their stack and the
    return address into their library."""
    code = [area for area in probe.maps(target.pid)
            if "littered" in area.name and "x" in area.perms]
    found = 0
    with open("/proc/%d/mem" % target.pid, "rb") as memory:
        for tid in os.listdir("/proc/%d/task" % target.pid):
            with open("/proc/%d/task/%s/syscall" % (target.pid, tid)) as file:
                fields = file.read().split()
            if len(fields) < 9:
                continue
            memory.seek(int(fields[7], 16))
            words = struct.unpack("48Q", memory.read(48 * 8))
            inside = [number for number, value in enumerate(words)
                      if any(area.start <= value < area.end for area in code)]
            found += bool(inside) and word in words[:inside[0]]
    return found


def test_words_left_on_the_stack(memattach, start, python):
    """CPython is left to deal with its own EINTR, everybody else's calls start over. Who called is
    not to be told from words of the stack: libc's wrappers have slots that they never write, and
    there lies what was left by an earlier call, an address in the interpreter for one."""
    target = start(Obedient, python)
    started, word = target.tell(LITTERED % target.library("littered.so"))
    assert started == 0
    wait_until(lambda: frames_with(target, word), what="a frame with a word that was left")
    broken = "answer = littered.littered_broken()"

    def rounds():
        return target.tell("answer = littered.littered_rounds()")

    def all_went_on():
        """Every call that was under way has ended, and another one."""
        before = rounds()
        wait_until(lambda: rounds() >= before + 2, what="the calls' end")

    simple_way("stop_once", target.pid, 1)
    all_went_on()
    before = target.tell(broken)
    assert before, "nobody saw EINTR: nothing is tested"
    wait_until(lambda: frames_with(target, word), what="a frame with a word that was left")
    for _ in range(4):
        memattach.ok("stacks", target.pid)
        memattach.ok("attach", target.pid)
        memattach.ok("detach", target.pid)
    all_went_on()
    assert target.tell(broken) == before


def test_orphans(start):
    """A helper that forks twice, as daemons do, becomes a child of the first process of a PID
    namespace, which sees it. What runs beside it is test_namespaces' subject: it leaves nobody."""
    target = start(BoxedInit)
    assert target.ask("children") == {"children": [], "signals": 0}
    subprocess.run(["nsenter", "--target", str(target.pid), "--all", "--root", "--wd=/",
                    "/usr/bin/python3", "-c", ORPHAN], check=True, timeout=60)
    wait_until(lambda: target.ask("children")["children"], what="the orphan")


def test_charged_pages(memattach, start, python):
    """Pages of shared memory are charged to whoever touches them first. Ours are touched by the
    tracer and the daemon, in the cgroup that they are in."""
    with cgroup.limited(512 * MIB) as group:
        target = start(Obedient, python, preexec_fn=lambda: group.take_in(os.getpid()))
        before = group.used()
        target.tell("""
import mmap, os
fd = os.memfd_create("simple")
os.ftruncate(fd, 32 << 20)
pages = mmap.mmap(fd, 32 << 20)
for at in range(0, 32 << 20, 4096): pages[at] = 1
""")
        simple = group.used() - before
        assert simple >= 32 * MIB, "touching is free: nothing is tested"
        target.tell("pages.close(); os.close(fd)")
        wait_until(lambda: group.used() < before + 4 * MIB, what="the pages' end")
        before = group.used()
        memattach.ok("attach", target.pid)
        target.tell("for _ in range(300000): bytes(1000)")
        assert group.used() - before < 6 * MIB
        memattach.ok("detach", target.pid)
        target.end()


def kill_on(number):
    """Code that installs a filter which kills the process on this call."""
    action = 0x80000000  # SECCOMP_RET_KILL_PROCESS
    return """
import ctypes, struct
code = b"".join(struct.pack("<HBBI", *line) for line in (
    (0x20, 0, 0, 0), (0x15, 0, 1, %d), (0x06, 0, 0, %d), (0x06, 0, 0, 0x7fff0000)))
kept = ctypes.create_string_buffer(code)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
answer = libc.syscall(317, 1, 0, ctypes.byref(Program(4, ctypes.cast(kept, ctypes.c_void_p))))
""" % (number, action)


@pytest.mark.parametrize("name, number", [("memfd_create", 319), ("set_robust_list", 273)])
def test_seccomp_and_the_new_thread(memattach, start, python, name, number):
    """A tracer can suspend the filter for a thread that it traces, but not for one that this makes:
    that dies. We look at the filter first, with the calls of the new thread among ours, and refuse."""
    seen = simple_way("seccomp_thread")
    if seen[0] == "not":
        pytest.skip("suspending a filter takes a capability that we do not have")
    assert seen == ["survived", "killed"]
    target = start(Obedient, python)
    target.tell("import threading, time\n"
                "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()")
    assert target.tell(kill_on(number)) == 0
    before = probe.state(target.pid)
    result = memattach.run("attach", target.pid)
    assert result.code == REFUSED and name in result.notices, result
    assert target.tell("answer = 6 * 7") == 42
    assert probe.differences(before, probe.state(target.pid)) == []
