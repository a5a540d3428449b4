# SPDX-License-Identifier: MIT
"""Targets that are idle, blocked, stopped, large, or do odd things while attached.

Each works, or is refused with the reason; afterwards it is as it was.
"""

import os
import signal
import socket
import subprocess
import tempfile

import pytest

import probe
import program
import pythons
import unharmed
from odd_target import Odd, held, sees
from snapshot_reader import INUSE_SPACE
from target import SECONDS, Target
from waiting import wait_until

LIBRARIES = os.path.join(program.BUILD, "targets")
NOT_PYTHON, NO_PROCESS, UNSAFE = 4, 5, 6
MIB = 1 << 20
NOBODY = 65534


# Idle and blocked.

def system_call(pid):
    """Number and arguments of the call that a process sleeps in, or None while it runs."""
    words = probe.read("/proc/%d/syscall" % pid).split()
    return words[:7] if words[0] not in ("running", "-1") else None


def test_asleep(memattach, start, every_python):
    idle(memattach, start, every_python, "sleep")


@pytest.mark.parametrize("how", ["accept", "loop"])
def test_blocked(memattach, start, python, how):
    idle(memattach, start, python, how)


def idle(memattach, start, python, how):
    """Nothing needs to happen in it for the hook to get in and out; it goes on as it was."""
    target = start(Odd, python, how)
    if how != "loop":
        call = wait_until(lambda: system_call(target.pid), what="the call to block")
    before = probe.state(target.pid)
    memattach.ok("attach", target.pid)
    assert probe.words_into(target.pid, probe.our_maps(target.pid))
    memattach.ok("detach", target.pid)
    unharmed.as_before(target.pid, before)
    if how == "loop":
        assert probe.status(target.pid)["State"].split()[0] == "R"
        os.kill(target.pid, signal.SIGTERM)
        assert target.process.wait(SECONDS) == -signal.SIGTERM
        return
    again = wait_until(lambda: system_call(target.pid), what="the call to block again")
    if how == "sleep":
        # clock_nanosleep: the same absolute time; select (3.8 to 3.10): the rest of it.
        assert again[0] == call[0] or again[0] == "0xdb" or call[0] == "0xdb"
        os.kill(target.pid, signal.SIGINT)
        assert target.process.wait(SECONDS) in (130, -signal.SIGINT)
    else:
        assert again == call
        with socket.create_connection(("127.0.0.1", target.ready["port"]), 20) as connection:
            assert connection.recv(100) == b"accepted"
        assert target.process.wait(SECONDS) == 0


@pytest.mark.parametrize("threads", [0, 3])
def test_stopped(memattach, start, python, threads):
    """SIGSTOP, Ctrl-Z: attached and detached while it stays stopped."""
    target = start(Odd, python)
    target.ask("threads", threads)
    before = probe.state(target.pid)
    os.kill(target.pid, signal.SIGSTOP)
    wait_until(lambda: probe.status(target.pid)["State"].split()[0] == "T", what="the stop")
    memattach.ok("attach", "--sample", "exact", target.pid)
    assert probe.words_into(target.pid, probe.our_maps(target.pid))
    assert all(probe.status(target.pid, task)["State"].split()[0] == "T"
               for task in probe.threads(target.pid)), "it no longer stands still"
    memattach.ok("detach", target.pid)
    assert probe.status(target.pid)["State"].split()[0] == "T"
    memattach.ok("attach", "--sample", "exact", target.pid)
    os.kill(target.pid, signal.SIGCONT)
    sees(memattach, target)
    memattach.ok("detach", target.pid)
    assert probe.differences(before, probe.state(target.pid)) == []
    assert target.quit(11) == 11


def test_many_threads(memattach, start, python):
    target = start(Odd, python)
    target.ask("threads", 256)
    before = probe.state(target.pid)
    assert len(before["threads"]) == 257
    memattach.ok("attach", target.pid)
    assert target.ask("ping")["pong"]
    memattach.ok("detach", target.pid)
    unharmed.as_before(target.pid, before)
    memattach.ok("attach", target.pid)
    target.ask("end_threads")
    memattach.ok("detach", target.pid)
    assert target.quit(12) == 12


def test_large_heap(memattach, start, python):
    """1 GiB of objects from before the attach costs nothing and is told apart."""
    target = start(Odd, python)
    target.ask("heap", 1024)
    before = probe.state(target.pid)
    memattach.ok("attach", "--sample", "exact", target.pid)
    sees(memattach, target)
    shown = memattach.ok("--wait", "0", target.pid)
    assert "GiB was there before" in shown.text, shown
    memattach.ok("detach", target.pid)
    assert probe.differences(before, probe.state(target.pid)) == []
    assert target.quit(13) == 13


# What a target may do to itself while attached.

@pytest.mark.parametrize("what", [["close_fds"], ["chroot", "/var/empty-of-memattach"],
                                  ["become", NOBODY], ["undumpable"]], ids=lambda what: what[0])
def test_does_to_itself(memattach, start, python, tmp_path, what):
    """Closes every descriptor, changes its root, drops its privileges, becomes undumpable."""
    if what[0] in ("chroot", "become") and os.geteuid() != 0:
        pytest.skip("only root can do that to itself")
    if what[0] == "chroot":
        what = ["chroot", str(tmp_path)]
    target = start(Odd, python)
    memattach.ok("attach", "--sample", "exact", target.pid)
    target.ask(*what)
    before = probe.state(target.pid)
    sees(memattach, target)
    memattach.ok("detach", target.pid)
    assert probe.differences(before, probe.state(target.pid)) == []
    assert probe.words_into(target.pid, probe.our_maps(target.pid)) == []
    # And in again, as it is now.
    memattach.ok("attach", "--sample", "exact", target.pid)
    sees(memattach, target)
    memattach.ok("detach", target.pid)
    assert target.quit(14) == 14


# Ends, forks, execs.

ENDS = {"_exit": 21, "raise": 22, "error": 1, "term": -signal.SIGTERM, "thread": 23, "return": 24,
        "atexit": 24, "abort": -signal.SIGABRT}


@pytest.mark.parametrize("how", ENDS)
def test_ends_while_hooks_are_active(memattach, start, python, how):
    target = start(Odd, python, "end", how)
    memattach.ok("attach", "--sample", "exact", target.pid)
    target.tell("now")
    assert target.process.wait(SECONDS) == ENDS[how]
    errors = target.error_text()
    assert errors.count("Traceback") == (how == "error"), errors
    shown = memattach.ok("--wait", "0", target.pid).text
    assert "ended" in shown or "exit" in shown or "SIG" in shown, shown


@pytest.mark.parametrize("sample", ["4KiB", "exact"])
def test_finalizes_while_sampled(memattach, start, every_python, sample):
    """The interpreter goes away under threads that allocate, and with a hook that allocates."""
    for how in ("return", "atexit"):
        target = start(Odd, every_python, "end", how)
        memattach.ok("attach", "--sample", sample, target.pid)
        target.tell("now")
        assert target.process.wait(SECONDS) == ENDS[how], target.error_text()


def test_forks_while_sampled(memattach, start, every_python):
    target = start(Odd, every_python)
    memattach.ok("attach", "--sample", "4KiB", target.pid)
    assert target.ask("fork_often", 25)["wrong"] == []
    memattach.ok("detach", target.pid)
    assert target.ask("fork_often", 10)["wrong"] == []
    assert target.quit(15) == 15


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(memattach, start, python, method):
    target = start(Odd, python)
    alone = target.ask("processes", method, 3)
    memattach.ok("attach", "--sample", "4KiB", target.pid)
    assert target.ask("processes", method, 3)["sums"] == alone["sums"]
    memattach.ok("detach", target.pid)
    assert target.ask("processes", method, 3)["sums"] == alone["sums"]
    assert target.quit(16) == 16


def test_execs_during_attach(memattach, start, python):
    """It replaces itself all the time: an answer each time, and it goes through all its lives."""
    target = start(Odd, python, "exec", 0)
    target.quit(0)
    errors = tempfile.TemporaryFile()
    process = python.start(["-S", "-E", "-B", os.path.join(pythons.TARGETS, "odd.py"), "exec", "50"],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
    target = start(lambda: Target(process, errors))
    codes = []
    while not target.rest and len(codes) < 200:
        result = memattach.run("attach", "--sample", "exact", target.pid)
        codes.append(result.code)
        assert result.code in (0, 1, NOT_PYTHON, NO_PROCESS, UNSAFE), result
        assert result.code == 0 or str(target.pid) in result.notices, result
        try:
            target.read_line(0.001)
            break
        except AssertionError as silent:
            assert "is silent" in str(silent), silent
    assert 0 in codes, codes
    memattach.run("detach", target.pid)
    assert probe.is_alive(target.pid) and probe.words_into(target.pid, probe.our_maps(target.pid)) == []
    process.stdin.write(b"quit 17\n")
    process.stdin.flush()
    assert process.wait(SECONDS) == 17
    assert target.error_text() == ""


# Signal handlers.

@pytest.mark.parametrize("sample", ["4KiB", "exact"])
@pytest.mark.parametrize("function", ["compute", "allocate", "jump"])
def test_handlers_that_allocate(memattach, start, python, function, sample):
    """On the normal and on an alternate stack, and leaving by siglongjmp; other threads go on."""
    target = start(Odd, python, folders=[LIBRARIES])
    library = python.path(os.path.join(LIBRARIES, "handlers.so"))

    def work(signals):
        for alternate in (0, 1):
            answer = target.ask("library", library, "handlers_" + function, signals, alternate)
            assert answer["result"] == 0, answer
        assert target.ask("fork_often", 3)["wrong"] == []

    work(20)
    memattach.ok("attach", "--sample", sample, target.pid)
    work(1500)
    # Whatever a jump left behind, the hook sees what comes after.
    if sample == "exact":
        sees(memattach, target)
    else:
        target.ask("hold", 50, 100000)
        assert held(memattach, target.pid) > 4 * MIB
    assert probe.is_alive(memattach.daemon_pid())
    memattach.ok("detach", target.pid)
    work(200)
    assert target.quit(18) == 18


# Interpreters.

def test_sub_interpreters(memattach, start, every_python):
    """Made before and after the attach; their memory is seen."""
    target = start(Odd, every_python)
    first = target.ask("interpreter", 5, 1000)
    if "missing" in first:
        pytest.skip(first["missing"])
    assert not first["failed"], first
    memattach.ok("attach", "--sample", "exact", target.pid)
    was = memattach.snapshot(target.pid, "--wait", "0")
    assert not target.ask("interpreter", 30, 100000)["failed"]
    now = memattach.snapshot(target.pid, "--wait", "0")
    grown = sum(site.values[INUSE_SPACE] for site in now.sites) \
        - sum(site.values[INUSE_SPACE] for site in was.sites)
    assert 3_000_000 <= grown <= 8_000_000, grown
    target.ask("end_interpreter")
    sees(memattach, target)
    memattach.ok("detach", target.pid)
    target.ask("end_interpreter")
    assert not target.ask("interpreter", 5, 1000)["failed"]
    assert target.quit(19) == 19


def test_greenlets(memattach, start, python):
    target = start(Odd, python)
    if "missing" in target.ask("greenlets", 1, 10):
        pytest.skip("there is no greenlet for %s (scripts/setup --test)" % python.label)
    memattach.ok("attach", "--sample", "exact", target.pid)
    was = held(memattach, target.pid)
    assert target.ask("greenlets", 50, 20000)["done"]
    found = held(memattach, target.pid) - was
    assert 150 * 20000 <= found <= 1.02 * 150 * 20033, found
    memattach.ok("detach", target.pid)
    assert target.ask("greenlets", 50, 20000)["done"]
    assert target.quit(20) == 20


def shared_library(python):
    """libpython of a Python, or None."""
    name = "libpython3.%d.so" % python.minor
    for folder in (os.path.join(os.path.dirname(os.path.dirname(python.command[0])), "lib"),
                   "/usr/lib/x86_64-linux-gnu"):
        for path in (os.path.join(folder, name), os.path.join(folder, name + ".1.0")):
            if not python.root and os.path.exists(path):
                return path
    return None


class Embedding(Target):
    """tests/targets/embedding.c with the library of a Python."""

    def __init__(self, library, home):
        errors = tempfile.TemporaryFile()
        process = subprocess.Popen([os.path.join(LIBRARIES, "embedding"), library],
                                   env=dict(os.environ, PYTHONHOME=home), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=errors)
        super().__init__(process, errors)
        assert self.read_line() == "ok"

    def do(self, line):
        self.process.stdin.write((line + "\n").encode())
        self.process.stdin.flush()
        assert self.read_line() == "ok"


def test_embedded_interpreter_comes_and_goes(memattach, start, every_python):
    """Finalized while attached, and started again."""
    library = shared_library(every_python)
    if not library:
        pytest.skip("this Python has no shared library here")
    home = os.path.dirname(os.path.dirname(every_python.command[0]))
    target = start(Embedding, library, home)
    refused = memattach.run("attach", target.pid)
    target.do("start")
    target.do("held = [bytes(1000) for _ in range(100)]")
    memattach.ok("attach", "--sample", "exact", target.pid)
    target.do("held += [bytes(50000) for _ in range(100)]")
    seen = sum(site.values[INUSE_SPACE] for site in
               memattach.snapshot(target.pid, "--wait", "0").sites)
    assert seen >= 5_000_000
    target.do("finish")
    memattach.ok("status", target.pid)
    target.do("start")
    target.do("held = [bytes(50000) for _ in range(100)]")
    memattach.ok("detach", target.pid)
    target.do("held.clear()")
    target.do("finish")
    target.do("start")
    result = memattach.run("attach", target.pid)
    assert result.code == 0, result
    memattach.ok("detach", target.pid)
    target.process.stdin.close()
    assert target.process.wait(SECONDS) == 0
    assert refused.code in (0, NOT_PYTHON, UNSAFE), refused


UWSGI_APP = """
import os
HELD = []

def application(environ, start_response):
    HELD.append(bytes(100000))  # uwsgi holds
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


def uwsgi_request(port):
    """PID of the worker that answered, over uwsgi's own protocol: no HTTP router is needed."""
    variables = b"".join(len(word).to_bytes(2, "little") + word for word in (
        b"REQUEST_METHOD", b"GET", b"PATH_INFO", b"/", b"REQUEST_URI", b"/", b"QUERY_STRING", b"",
        b"SERVER_NAME", b"x", b"SERVER_PORT", b"1", b"SERVER_PROTOCOL", b"HTTP/1.1"))
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(b"\0" + len(variables).to_bytes(2, "little") + b"\0" + variables)
        answer = b""
        while True:
            data = connection.recv(65536)
            if not data:
                return int(answer.split(b"\r\n\r\n")[1])
            answer += data


def test_uwsgi(memattach, start, tmp_path):
    """The interpreter is a plugin of a C server, in a worker that the server forked."""
    plugins = "/usr/lib/uwsgi/plugins"
    if not os.path.exists("/usr/bin/uwsgi-core") or not os.path.exists(plugins + "/python3_plugin.so"):
        pytest.skip("uwsgi and its Python plugin are not installed (scripts/setup --test)")
    (tmp_path / "shop.py").write_text(UWSGI_APP)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    errors = tempfile.TemporaryFile()
    process = subprocess.Popen(
        ["/usr/bin/uwsgi-core", "--plugins-dir", plugins, "--plugin", "python3", "--socket",
         "127.0.0.1:%d" % port, "--wsgi-file", "shop.py", "--master", "--processes", "1",
         "--enable-threads", "--die-on-term"], cwd=str(tmp_path), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=errors)
    start(lambda: Target(process, errors))

    def worker():
        try:
            return uwsgi_request(port)
        except (OSError, IndexError, ValueError):
            assert process.poll() is None, errors.read()
            return None

    pid = wait_until(worker, 30, "an answer of uwsgi")
    assert pid != process.pid
    before = probe.state(pid)
    memattach.ok("attach", "--sample", "exact", pid)
    assert {uwsgi_request(port) for _ in range(20)} == {pid}
    found = held(memattach, pid, ("shop.py", 6))
    assert 20 * 100000 <= found <= 1.02 * 20 * 100033, found
    memattach.ok("detach", pid)
    assert uwsgi_request(port) == pid
    assert probe.differences(before, probe.state(pid)) == []
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(SECONDS) == 0
