# SPDX-License-Identifier: MIT
"""Containers, made by hand: namespaces, roots, capabilities, seccomp, memory limits.

From outside as root, and from inside with the one file copied in.
"""

import fcntl
import json
import os
import signal

import pytest

import cgroup
import probe
import pythons
import unharmed
from box import Box, BoxedInit, BoxedLedger
from facts import Obedient
from target import Ledger
from waiting import wait_until

REFUSED = 6
DOCKER = ("--profile", "--capabilities")
BOXES = {
    "mount": dict(namespaces=()),
    "net": dict(namespaces=("pid", "net", "ipc", "uts")),
    "user": dict(namespaces=("user", "pid")),
    "another user's": dict(user=100000),
    "chroot": dict(has=("proc", "writable")),
    "no /proc": dict(has=("writable", "pivot")),
    "chroot, no /proc": dict(namespaces=(), has=("writable",)),
    "chroot, no /proc, a user": dict(namespaces=(), has=("writable",), confined=("--user", "1000")),
    "another user's, no /proc": dict(user=100000, has=("writable", "pivot")),
    "read-only": dict(has=("proc", "pivot", "read-only")),
    "read-only, no /proc, writable /tmp": dict(has=("pivot", "read-only", "writable")),
    "noexec": dict(has=("proc", "writable", "pivot", "noexec")),
    "Docker": dict(namespaces=("pid", "net", "ipc", "uts"), confined=DOCKER),
    "Docker, a user": dict(confined=(*DOCKER, "--user", "1000")),
}


def left_files(pid):
    """Files of ours in the target's root."""
    found = []
    for folder in ("dev/shm", "run", "tmp", "var/tmp", "."):
        path = "/proc/%d/root/%s" % (pid, folder)
        if os.path.isdir(path):
            found += [name for name in os.listdir(path) if "memattach" in name]
    return found


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_from_outside(memattach, start, box):
    ledger = start(BoxedLedger, **box)
    unharmed.whole_round(memattach, ledger)
    assert left_files(ledger.pid) == []
    assert ledger.quit(3) == 3


@pytest.mark.parametrize("has", [("pivot", "read-only"), ("pivot", "writable", "noexec")],
                         ids=["read-only", "noexec"])
def test_no_proc_and_no_place_for_a_file(memattach, start, has):
    ledger = start(BoxedLedger, has=has)
    ledger.ask("ping")
    before = probe.state(ledger.pid)
    result = memattach.run("attach", ledger.pid)
    assert result.code == REFUSED, result
    for word in ("/proc", "writable", "nsenter --target %d" % ledger.pid):
        assert word in result.notices, result
    report = memattach.run("doctor", ledger.pid)
    assert report.code == REFUSED and "/proc inside" in report.text.split("\n")[-2], report
    unharmed.untouched(ledger.pid, before)
    assert ledger.quit(0) == 0


@pytest.mark.parametrize("has", [("writable",), ("read-only",)], ids=["writable", "read-only"])
def test_proc_of_another_namespace(memattach, start, has):
    """A process with a /proc that does not show it: /proc/self is nothing there."""
    other = start(BoxedInit, has=("proc", "pivot", *has))
    python = pythons.Python("3.0", command=["nsenter", "--target", str(other.pid), "--mount",
                                            "/usr/bin/python3"])
    python.path = lambda path: path.replace(pythons.TARGETS, "/tests")
    ledger = start(Ledger, python)
    assert not os.path.exists("/proc/%d/root/proc/%d" % (ledger.pid, ledger.pid))
    if "writable" in has:
        unharmed.whole_round(memattach, ledger)
    else:
        before = probe.state(ledger.pid)
        result = memattach.run("attach", ledger.pid)
        assert result.code == REFUSED and "/proc" in result.notices, result
        unharmed.untouched(ledger.pid, before)
    assert left_files(ledger.pid) == []
    assert ledger.quit(3) == 3


HANG_IN_VFORK = """
import os
os.mkfifo("/tmp/gate")
os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 9, "/tmp/gate",
                                                         os.O_RDONLY, 0)])
"""


class BoxedObedient(Box, Obedient):
    """tests/targets/obedient.py in a box."""

    def __init__(self, **box):
        Box.__init__(self, ["/usr/bin/python3", "-B", "/tests/obedient.py"], **box)
        assert json.loads(self.read_line()) == "ready"
        self.find()


@pytest.mark.parametrize("cleaner", ["attach", "detach"])
def test_file_of_a_killed_tracer(memattach, start, cleaner):
    """It stays in the target's root until the next attach or detach; one that is in use is left
    alone."""
    target = start(BoxedObedient, namespaces=(), has=("writable",))
    target.send(HANG_IN_VFORK)  # nobody can be stopped there: the tracer waits, its file is out
    attaching = memattach.start("attach", target.pid)
    wait_until(lambda: left_files(target.pid), what="the file")
    tracer, = [pid for pid in probe.children(attaching.pid)
               if probe.read("/proc/%d/comm" % pid).strip() == "memattach-guard"]
    os.kill(tracer, signal.SIGKILL)
    assert memattach.finish(attaching).code == 1
    assert len(left_files(target.pid)) == 1
    with open("/proc/%d/root/dev/shm/.memattach-5" % target.pid, "w") as in_use:
        fcntl.flock(in_use, fcntl.LOCK_EX)
        with open("/proc/%d/root/tmp/gate" % target.pid, "w"):
            target.receive()
        if cleaner == "attach":
            memattach.ok("attach", target.pid)
            assert left_files(target.pid) == [".memattach-5"]
        memattach.ok("detach", target.pid)
        assert left_files(target.pid) == [".memattach-5"]
    assert target.tell("answer = 6 * 7") == 42


def test_links_in_the_root_lead_nowhere(memattach, start, tmp_path):
    """Where we look for a place for the file, a target may have links. They would lead us to files
    of our root, not of its own."""
    ledger = start(BoxedLedger, namespaces=(), has=("writable",))
    root = "/proc/%d/root/" % ledger.pid
    os.makedirs(str(tmp_path / "shm"))
    for name in ("run", "dev"):
        os.rename(root + name, root + name + ".was")
        os.symlink(str(tmp_path), root + name)
    times = [os.stat(str(path)).st_mtime_ns for path in (tmp_path, tmp_path / "shm")]
    memattach.ok("attach", ledger.pid)
    memattach.ok("detach", ledger.pid)
    assert times == [os.stat(str(path)).st_mtime_ns for path in (tmp_path, tmp_path / "shm")], \
        "a file was made outside the target's root"
    assert ledger.quit(0) == 0


@pytest.mark.parametrize("tree", ["bullseye", "sid"])
def test_another_distribution_inside(memattach, start, tree):
    tree = os.path.join("/var/cache/memattach", tree)
    if not os.access(tree + "/usr/bin/python3", os.X_OK):
        pytest.skip("there is no Python in %s (scripts/pythons --install makes it)" % tree)
    ledger = start(BoxedLedger, tree=tree, init=True, namespaces=("pid", "net"), confined=DOCKER,
                   has=("proc", "writable", "pivot", "file"))
    unharmed.whole_round(memattach, ledger)
    # And with the one file in there, where no library of ours is.
    result = ledger.run_inside("--wait", "0", "--once", "--trust-seccomp", ledger.pid_inside,
                               confined=DOCKER)
    assert result.code == 0 and "Python 3." in result.text, result
    assert ledger.quit(3) == 3


# From inside.

INSIDE = ("proc", "writable", "pivot", "file")


def test_inside_with_an_init(start):
    """An init adopts the daemon, which stays; nothing of it is the program's child."""
    ledger = start(BoxedLedger, init=True, has=INSIDE)
    tables = ledger.ask("tables")["tables"]
    before = probe.state(ledger.pid)
    result = ledger.run_inside("attach", "--sample", "exact", ledger.pid_inside)
    assert result.code == 0, result
    ledger.ask("leak", 20, 500000)
    shown = ledger.run_inside("--wait", "0", "--json", ledger.pid_inside)
    assert shown.code == 0 and "ledger.py" in shown.text, shown
    assert probe.differences(before, probe.state(ledger.pid)) == []
    assert ledger.run_inside("detach", ledger.pid_inside).code == 0
    assert probe.differences(before, probe.state(ledger.pid)) == []
    assert ledger.ask("tables")["tables"] == tables
    assert ledger.quit(5) == 5


@pytest.mark.parametrize("box", [dict(), dict(user=65534), dict(confined=DOCKER),
                                 dict(confined=(*DOCKER, "--user", "1000"))],
                         ids=["plain", "rootless", "Docker", "Docker, a user"])
def test_inside_beside_the_first_process(start, box):
    """The program is PID 1: it sees no child that it did not make, and no SIGCHLD for one."""
    target = start(BoxedInit, has=INSIDE, **box)
    confined = box.get("confined", ())
    trust = ["--trust-seccomp"] if confined else []
    target.ask("fork", 7)
    seen = target.ask("children")
    assert [code for _, code in seen["children"]] == [7] and seen["signals"] == 1
    before = probe.state(target.pid)

    for arguments in (["--wait", "1s", *trust, "1"], ["--wait", "0", "--once", *trust, "1"],
                      ["dump", "--wait", "0", "-o", "/tmp/snapshot.bin", *trust, "1"],
                      ["doctor"], ["ps"], ["status"]):
        result = target.run_inside(*arguments, confined=confined)
        assert result.code == 0, result
        if "1" in arguments:
            assert "PID 1" in result.notices and "ends with this command" in result.notices, result

    # `attach` stays in the foreground, because nobody could adopt a daemon.
    attach = target.start_inside("attach", *trust, "1", confined=confined)
    wait_until(lambda: probe.words_into(target.pid, probe.our_maps(target.pid)), what="the attach")
    # nsenter waits for it in our PID namespace.
    inner = wait_until(lambda: probe.children(attach.pid), what="memattach inside")[0]
    os.kill(inner, signal.SIGINT)
    out, err = attach.communicate(timeout=60)
    assert attach.returncode in (0, 130) and b"detached" in out + err, (out, err)

    assert target.ask("children") == seen
    unharmed.as_before(target.pid, before)
    assert target.ask("fork", 9)["signals"] == 2
    target.process.stdin.close()
    assert target.process.wait(20) == 0


def test_outside_beside_the_first_process(memattach, start):
    target = start(BoxedInit)
    target.ask("hold", 100)
    before = probe.state(target.pid)
    seen = target.ask("children")
    memattach.ok("attach", target.pid)
    memattach.ok("detach", target.pid)
    attaching = memattach.start("--wait", "60s", target.pid)
    wait_until(lambda: probe.words_into(target.pid, probe.our_maps(target.pid)), what="the attach")
    attaching.kill()
    attaching.wait()
    memattach.ok("detach", target.pid)
    assert target.ask("children") == seen == {"children": [], "signals": 0}
    unharmed.as_before(target.pid, before)
    target.process.stdin.close()
    assert target.process.wait(20) == 0


def test_seccomp_inside_is_not_taken_on_trust(start):
    """Under Docker's profile nobody may read a filter: refused, unless told."""
    target = start(BoxedInit, has=INSIDE, confined=DOCKER)
    before = probe.state(target.pid)
    result = target.run_inside("attach", "1", confined=DOCKER)
    assert result.code == REFUSED, result
    assert "seccomp" in result.notices and "--trust-seccomp" in result.notices, result
    report = target.run_inside("doctor", "1", confined=DOCKER)
    assert report.code == REFUSED and "memattach --trust-seccomp 1" in report.text, report
    unharmed.untouched(target.pid, before)
    assert target.ask("children") == {"children": [], "signals": 0}


# Memory limits.

def test_at_its_memory_limit(memattach, start, python):
    """99 % of the limit: refused with the figures, alive; with room, or by force, it works."""
    limit, block = 40 << 20, 512
    with cgroup.limited(limit) as group:
        ledger = start(Ledger, python, preexec_fn=lambda: group.take_in(os.getpid()))
        try:
            while group.used() < 0.985 * limit:
                ledger.ask("leak", 200, block - 33)
            before = probe.state(ledger.pid)
            result = memattach.run("attach", ledger.pid)
            assert result.code == REFUSED, result
            assert "cgroup" in result.notices and "of 40.0 MiB" in result.notices, result
            assert "--force" in result.notices, result
            unharmed.untouched(ledger.pid, before)
            report = memattach.run("doctor", ledger.pid)
            assert report.code == REFUSED and "memory limit" in report.text.split("\n")[-2], report

            group.set_limit(2 * limit)
            memattach.ok("attach", ledger.pid)
            memattach.ok("detach", ledger.pid)
            # Less than we might need: by force only. What we do need is less than that.
            group.set_limit(group.used() + (8 << 20))
            assert memattach.run("attach", ledger.pid).code == REFUSED
            memattach.ok("attach", "--force", ledger.pid)
            assert ledger.ask("ping")["pong"]
            memattach.ok("detach", ledger.pid)
            assert ledger.quit(4) == 4
        finally:
            ledger.end()
