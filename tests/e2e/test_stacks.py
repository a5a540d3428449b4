# SPDX-License-Identifier: MIT
"""memattach stacks: what every thread does, on every Python, and the target is left as it was."""

import ctypes
import json
import os
import signal
import subprocess
import tempfile

import pytest

import probe
from pythons import TARGETS
from target import SECONDS, Target
from waiting import wait_until

# The marks of tests/targets/threads.py that each thread stands at, innermost first.
PLACES = {
    "lock": ["lock"],
    "sleep": ["sleep"],
    "select": ["select"],
    "epoll": ["epoll"],
    "sort": ["compare", "sort"],
    "generator": ["generator", "consume"],
    "c": ["c"],
}
# Functions of libc that one of must be the innermost ones of a thread.
WAITING = {
    "lock": ("futex", "sem_"),
    "sleep": ("nanosleep", "select"),
    "select": ("select",),
    "epoll": ("epoll_wait",),
    "sort": ("nanosleep", "select"),
    "c": ("epoll_wait",),
}
REFUSED, NOT_PYTHON, NO_PROCESS = 6, 4, 5


class Threads(Target):
    """tests/targets/threads.py."""

    def __init__(self, python, *arguments):
        errors = tempfile.TemporaryFile()
        script = python.path(os.path.join(TARGETS, "threads.py"))
        process = python.start([script, *arguments], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=errors)
        super().__init__(process, errors)
        self.python = python
        said = json.loads(self.read_line())
        self.names, self.lines, self.depth = said["threads"], said["lines"], said["depth"]

    def returned(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        return json.loads(self.read_line())["returned"]

    def quit(self):
        self.process.stdin.close()
        code = self.process.wait(SECONDS)
        self.process.stdin = None
        return code


class Picture:
    """One document of memattach stacks --json."""

    def __init__(self, document):
        assert document["schema"] == "memattach.stacks/1"
        self.document = document
        self.threads = {thread["name"]: thread for thread in document["threads"]}

    def python(self, name):
        return [frame for frame in self.threads[name]["frames"] if frame["kind"] == "python"]

    def lines(self, name):
        """Lines of the target's own file, innermost first."""
        return [frame["line"] for frame in self.python(name)
                if frame["file"].endswith("threads.py")]

    def natives_above(self, name):
        """Names of the native frames that the innermost Python frame called, innermost first."""
        names = []
        for frame in self.threads[name]["frames"]:
            if frame["kind"] == "python":
                break
            names.append(frame["function"] or "")
        return names


def take(memattach, target, *options):
    return Picture(json.loads(memattach.ok("stacks", "--json", *options, target.pid).out))


def all_wait(picture):
    return all(thread["state"] == "S" for name, thread in picture.threads.items()
               if name not in ("spin", "hash"))


def settled(memattach, target, *options):
    """A picture in which everybody has come to where they stay."""
    def look():
        picture = take(memattach, target, *options)
        places = {name: [target.lines[mark] for mark in marks] for name, marks in PLACES.items()}
        there = all_wait(picture) and all(
            picture.lines(name)[:len(lines)] == lines for name, lines in places.items())
        return picture if there else None
    return wait_until(look, 30, "every thread at its place")


def check_python(picture, target):
    for name in PLACES:
        frames = picture.python(name)
        assert picture.threads[name]["python"] and not picture.threads[name]["main"], name
        functions = [frame["function"].split(".")[-1] for frame in frames]
        assert functions[-3:] == ["run", "_bootstrap_inner", "_bootstrap"], functions
        assert all(frame["line"] > 0 for frame in frames), frames
    deep = picture.lines("recurse")
    assert deep[0] == target.lines["bottom"]
    assert deep[1:target.depth + 1] == [target.lines["recurse"]] * target.depth
    assert deep[target.depth + 1:] and target.lines["recurse"] not in deep[target.depth + 1:]
    main = [thread for thread in picture.threads.values() if thread["main"]]
    assert len(main) == 1 and main[0]["tid"] == picture.document["pid"]
    assert picture.lines(main[0]["name"])[0] == target.lines["main"]


def check_native(picture):
    for name, words in WAITING.items():
        above = picture.natives_above(name)
        # A libc without symbols names only what it exports: the rest is said by address.
        innermost = picture.threads[name]["frames"][0]
        assert any(word in function for word in words for function in above[:3]) or (
            not innermost["function"] and "libc" in innermost["module"]), (name, above)
    for name, thread in picture.threads.items():
        assert thread["read"] == "read" and thread["complete"] and thread["exact"], (name, thread)
        assert thread["folded"] > 0, name
        functions = [frame["function"] for frame in thread["frames"] if frame["function"]]
        assert not any(function.startswith("_PyEval_EvalFrame") for function in functions), thread
        # The thread's start is native: libc called the interpreter.
        assert thread["frames"][-1]["kind"] == "native", thread
        for frame in thread["frames"]:
            if frame["kind"] == "native" and not frame["function"]:
                assert frame["module"] and frame["offset"], frame
        # Inlined functions are lines of their own, before the one that they are in.
        for frame, outer in zip(thread["frames"], thread["frames"][1:]):
            if frame.get("inlined"):
                assert outer["address"] == frame["address"] and frame["function"], thread


@pytest.mark.parametrize("attached", [False, True], ids=["bare", "attached"])
def test_every_thread(memattach, start, every_python, attached):
    target = start(Threads, every_python)
    settled(memattach, target)
    if attached:
        memattach.ok("attach", target.pid)
    before = probe.state(target.pid)
    picture = settled(memattach, target)
    assert set(PLACES) | {"recurse"} <= set(picture.threads)
    assert len(picture.threads) == len(target.names) + 1
    check_python(picture, target)
    check_native(picture)
    assert 0 < picture.document["pause_us"] < 1000000
    assert not [name for name, thread in picture.threads.items() if thread["holds_gil"]]
    assert probe.differences(before, probe.state(target.pid)) == []
    if not attached:
        assert probe.our_maps(target.pid) == []
    assert target.returned() == []
    assert target.quit() == 0
    assert target.error_text() == ""


def test_c_code_between_python_frames(memattach, start, every_python):
    """sorted() calls __lt__: its C functions stand between the two, where they have names."""
    target = start(Threads, every_python)
    frames = settled(memattach, target).threads["sort"]["frames"]
    at = [i for i, frame in enumerate(frames) if frame["kind"] == "python"][:2]
    between = [frame["function"] for frame in frames[at[0] + 1:at[1]]]
    assert all(between), "frames of the interpreter without a name are left out there"
    if not any(frame["function"] in ("thread_run", "t_bootstrap") for frame in frames):
        return  # a stripped interpreter
    assert any("sort" in function for function in between), between


def test_holder_of_the_gil(memattach, start, every_python):
    target = start(Threads, every_python, "spin")
    settled(memattach, target)
    wait_until(lambda: take(memattach, target).threads["spin"]["holds_gil"], 20,
               "the computing thread with the GIL")
    for _ in range(5):
        picture = take(memattach, target, "--no-native")
        assert set(name for name, thread in picture.threads.items()
                   if thread["holds_gil"]) <= {"spin"}
    assert take(memattach, target).lines("spin")[0] in range(target.lines["spin"] - 1,
                                                            target.lines["spin"] + 1)
    assert target.returned() == []


def test_busy_in_c(memattach, start, every_python):
    target = start(Threads, every_python, "hash")
    picture = wait_until(lambda: (lambda picture: picture.lines("hash")[:1] ==
                                  [target.lines["hash"]] and picture)(take(memattach, target)),
                         20, "the hashing thread at its place")
    thread = picture.threads["hash"]
    assert thread["python"] and not thread["holds_gil"]
    assert picture.natives_above("hash"), thread


def test_code_without_tables(memattach, start, every_python):
    """libunwind finds the way through what has no unwind tables, on a thread that stands still."""
    if every_python.root:
        pytest.skip("libunwind finds no files in another root")
    target = start(Threads, every_python, "bare")

    def look():
        picture = take(memattach, target)
        return picture.lines("bare")[:1] == [target.lines["bare"]] and picture
    thread = wait_until(look, 20, "the thread at its place").threads["bare"]
    assert thread["stopped_again"] and thread["complete"] and thread["exact"], thread
    bare = [frame for frame in thread["frames"] if frame["kind"] == "native" and not frame["module"]]
    assert len(bare) == 1 and bare[0]["function"] is None, thread


def test_stopped_stays_stopped(memattach, start, python):
    target = start(Threads, python)
    settled(memattach, target)
    os.kill(target.pid, signal.SIGSTOP)
    wait_until(lambda: probe.status(target.pid)["State"].strip().startswith("T"))
    picture = take(memattach, target)
    check_python(picture, target)
    assert all(thread["state"] == "T" for thread in picture.threads.values())
    for tid in probe.threads(target.pid):
        assert probe.status(target.pid, tid)["State"].strip().startswith("T")
        assert probe.status(target.pid, tid)["TracerPid"].strip() == "0"
    os.kill(target.pid, signal.SIGCONT)
    assert target.returned() == []


def test_options(memattach, start, python):
    target = start(Threads, python)
    settled(memattach, target)
    bare = take(memattach, target, "--no-native")
    check_python(bare, target)
    assert all(frame["kind"] == "python" for thread in bare.threads.values()
               for frame in thread["frames"])
    lines = memattach.ok("stacks", "--json", "--repeat", "3", "--interval", "10ms", "-p",
                         target.pid).text.strip().split("\n")
    pictures = [Picture(json.loads(line)) for line in lines]
    assert len(pictures) == 3
    assert pictures[0].document["time"] < pictures[2].document["time"]
    text = memattach.ok("stacks", target.pid).text
    for word in ("stood still for", "threads.py:%d" % target.lines["lock"], "recurse", "main",
                 "%d more of the same" % (target.depth - 1)):
        assert word in text, text
    assert memattach.run("stacks").code == 2
    assert memattach.run("stacks", "--interval", "1s", target.pid).code == 2
    assert memattach.run("stacks", target.pid, target.pid + 1).code == 2


def test_refusals(memattach, start, python):
    target = start(Threads, python)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    seize, interrupt, detach = 0x4206, 0x4207, 17
    assert libc.ptrace(seize, target.pid, None, None) == 0
    try:
        result = memattach.run("stacks", target.pid)
        assert result.code == REFUSED and str(os.getpid()) in result.notices, result
        document = json.loads(memattach.run("stacks", "--json", target.pid).out)
        assert document["threads"] == [] and document["errors"][0]["exit"] == REFUSED, document
    finally:
        libc.ptrace(interrupt, target.pid, None, None)
        os.waitpid(target.pid, 0x40000000)
        assert libc.ptrace(detach, target.pid, None, None) == 0
    take(memattach, target)
    assert memattach.run("stacks", 1 << 22).code == NO_PROCESS
    sleeper = subprocess.Popen(["/bin/sleep", "600"])
    try:
        wait_until(lambda: "sleep" in os.readlink("/proc/%d/exe" % sleeper.pid) and
                   probe.read("/proc/%d/syscall" % sleeper.pid).startswith("230 "))
        assert memattach.run("stacks", sleeper.pid).code == NOT_PYTHON
    finally:
        sleeper.kill()
        sleeper.wait()
