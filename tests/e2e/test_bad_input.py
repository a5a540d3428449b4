# SPDX-License-Identifier: MIT
"""Bad input gets a clear answer and the exit code that stands for it, and nothing is harmed."""

import glob
import os
import pty
import shutil
import signal
import subprocess
import sys

import pytest

import probe
import program
import snapshot_reader
from snapshot_reader import INUSE_SPACE
from target import Ledger
from waiting import wait_until

FAILED, USAGE, PERMISSION, NOT_PYTHON, NO_PROCESS, UNSAFE = 1, 2, 3, 4, 5, 6
NOBODY = 65534
PR_SET_DUMPABLE = 4
PTRACE_SEIZE = 0x4206

# What would do something to a process; doctor and status look only.
ATTACHING = [("attach",), ("--wait", "0"), ("dump", "--wait", "0")]


def refuses(result, code, *words):
    """The exit code, nothing on stdout, and a message on stderr that holds all the words."""
    assert result.code == code, result
    assert result.out == b"", result
    message = result.notices.lower()
    assert message.strip(), result
    for word in words:
        assert str(word).lower() in message, "no %r in: %r" % (word, result)
    return result


class Program:
    """A process that is not ours to understand: starts it, ends it."""

    def __init__(self, *command, **popen):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, **popen)
        self.pid = self.process.pid

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def untouched(pid, before):
    """The process is as it was, mappings included."""
    after = probe.state(pid)
    assert probe.differences(before, after) == []
    assert probe.map_changes(before["maps"], after["maps"])[0] == 0
    assert probe.our_maps(pid) == []


# No such process, no Python.

@pytest.mark.parametrize("command", ATTACHING + [("status",), ("detach",), ("doctor",)])
def test_no_such_process(memattach, command):
    with open("/proc/sys/kernel/pid_max", encoding="ascii") as file:
        unused = int(file.read()) - 1
    assert not os.path.exists("/proc/%d" % unused)
    result = memattach.run(*command, unused)
    assert result.code == NO_PROCESS, result
    assert str(unused) in result.notices + result.text, result


def in_call(pid):
    """The number of the system call that it waits in, as text; before that it may still be loading."""
    with open("/proc/%d/syscall" % pid, encoding="ascii") as file:
        return file.read().split()[0]


CLOCK_NANOSLEEP = "230"


@pytest.mark.parametrize("command", ATTACHING)
def test_not_python(memattach, start, command):
    sleeper = start(Program, "/bin/sleep", "600")
    wait_until(lambda: in_call(sleeper.pid) == CLOCK_NANOSLEEP, what="sleep to sleep")
    before = probe.state(sleeper.pid)
    refuses(memattach.run(*command, sleeper.pid), NOT_PYTHON, sleeper.pid, "python", "sleep")
    untouched(sleeper.pid, before)


def old_python(version):
    found = glob.glob(os.path.expanduser("~/.pyenv/versions/%s.*/bin/python" % version))
    if not found:
        pytest.skip("no Python %s under ~/.pyenv/versions" % version)
    return found[0]


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.7"])
def test_old_python(memattach, start, version):
    target = start(Program, old_python(version), "-u", "-c",
                   "import sys; print('up'); sys.stdin.read()")
    assert target.process.stdout.readline() == b"up\n"
    before = probe.state(target.pid)
    refuses(memattach.run("attach", target.pid), NOT_PYTHON, target.pid, version)
    untouched(target.pid, before)


def test_pypy(memattach, start):
    pypy = shutil.which("pypy3") or shutil.which("pypy")
    if not pypy:
        pytest.skip("PyPy is not installed")
    target = start(Program, pypy, "-u", "-c", "import sys; print('up'); sys.stdin.read()")
    assert target.process.stdout.readline() == b"up\n"
    before = probe.state(target.pid)
    refuses(memattach.run("attach", target.pid), NOT_PYTHON, target.pid, "pypy")
    untouched(target.pid, before)


@pytest.mark.parametrize("name,words", [("ma_static_program", ["static"]),
                                        ("ma_dynamic_program", ["python"])])
def test_other_programs(memattach, start, name, words):
    path = os.path.join(program.BUILD, "targets", name)
    target = start(Program, path)
    assert target.process.stdout.readline() == b"ready\n"
    before = probe.state(target.pid)
    refuses(memattach.run("attach", target.pid), NOT_PYTHON, target.pid, *words)
    untouched(target.pid, before)


ASM_32 = """
.globl _start
_start: mov $29, %eax
        int $0x80
        jmp _start
"""


def test_32_bit_program(memattach, start, tmp_path):
    source, made, path = (str(tmp_path / name) for name in ("pause.s", "pause.o", "pause32"))
    with open(source, "w", encoding="ascii") as file:
        file.write(ASM_32)
    subprocess.run(["as", "--32", "-o", made, source], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-o", path, made], check=True)
    try:
        target = start(Program, path)
    except OSError as error:
        pytest.skip("this kernel runs no 32-bit programs: %s" % error)
    wait_until(lambda: os.readlink("/proc/%d/exe" % target.pid) == path)
    refuses(memattach.run("attach", target.pid), NOT_PYTHON, target.pid, "32-bit")
    assert probe.is_alive(target.pid)


def test_zombie(memattach):
    child = subprocess.Popen(["/bin/true"])
    wait_until(lambda: probe.status(child.pid)["State"].split()[0] == "Z")
    result = memattach.run("attach", child.pid)
    assert result.code == NO_PROCESS, result
    assert "zombie" in result.notices.lower() or "ended" in result.notices.lower(), result
    assert child.wait() == 0


# Not permitted, or not now: and it says which thing is in the way.

TRACER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
print(libc.ptrace(%d, int(sys.argv[1]), 0, 0), flush=True)
sys.stdin.read()
""" % PTRACE_SEIZE


def test_other_tracer(memattach, start, python):
    ledger = start(Ledger, python)
    tracer = start(Program, sys.executable, "-c", TRACER, str(ledger.pid))
    assert tracer.process.stdout.readline() == b"0\n"
    refuses(memattach.run("attach", ledger.pid), UNSAFE, ledger.pid, tracer.pid, "trace")
    tracer.end()
    assert ledger.ask("ping")["pong"]
    memattach.ok("attach", ledger.pid)
    assert ledger.quit(2) == 2


def as_nobody(memattach, *arguments):
    """Runs the program as a user without rights, with a runtime directory of that user."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    runtime = os.path.join(memattach.folder, "nobody")
    if not os.path.isdir(runtime):
        os.mkdir(runtime, 0o700)
        os.chown(runtime, NOBODY, NOBODY)
    os.chmod(memattach.folder, 0o755)
    copy = os.path.join(memattach.folder, "memattach")
    if not os.path.exists(copy):
        shutil.copy(program.PROGRAM, copy)
        os.chmod(copy, 0o755)
    env = dict(memattach.env, MEMATTACH_RUNTIME_DIR=runtime)
    run = subprocess.run([copy, *map(str, arguments)], env=env, capture_output=True,
                         stdin=subprocess.DEVNULL, timeout=60, user=NOBODY, group=NOBODY,
                         extra_groups=[], cwd="/")
    return program.Result(["(as nobody) memattach", *map(str, arguments)], run.returncode,
                          run.stdout, run.stderr)


def test_other_user(memattach, start, python):
    ledger = start(Ledger, python)
    before = probe.state(ledger.pid)
    refuses(as_nobody(memattach, "attach", ledger.pid), PERMISSION, ledger.pid, "user")
    untouched(ledger.pid, before)
    # doctor names the same, with a line to paste.
    report = as_nobody(memattach, "doctor", ledger.pid)
    assert report.code == PERMISSION, report
    assert "sudo" in report.text or "SYS_PTRACE" in report.text, report


NOT_DUMPABLE = """
import ctypes, sys
assert ctypes.CDLL(None).prctl(%d, 0, 0, 0, 0) == 0
print("up", flush=True)
sys.stdin.read()
""" % PR_SET_DUMPABLE


def test_not_dumpable(memattach, start):
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    target = start(Program, "/usr/bin/python3", "-c", NOT_DUMPABLE, user=NOBODY, group=NOBODY,
                   extra_groups=[], cwd="/")
    assert target.process.stdout.readline() == b"up\n"
    refuses(as_nobody(memattach, "attach", target.pid), PERMISSION, target.pid, "dumpable")
    assert probe.is_alive(target.pid)


def test_yama(memattach, start):
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope", encoding="ascii") as file:
            scope = int(file.read())
    except OSError:
        pytest.skip("this kernel has no Yama")
    if scope == 0 or os.geteuid() != 0:
        pytest.skip("Yama does not restrict ptrace here, or the tests do not run as root")
    target = start(Program, "/usr/bin/python3", "-c", "print('up', flush=True); input()",
                   user=NOBODY, group=NOBODY, extra_groups=[], cwd="/")
    assert target.process.stdout.readline() == b"up\n"
    refuses(as_nobody(memattach, "attach", target.pid), PERMISSION, target.pid, "yama",
            "ptrace_scope")


# Attached already, two at once, ends in the middle.

def test_already_attached(memattach, start, python):
    ledger = start(Ledger, python)
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    ledger.ask("grow")
    before = memattach.snapshot(ledger.pid)
    result = memattach.ok("attach", ledger.pid)
    assert "already" in (result.text + result.notices).lower(), result
    after = memattach.snapshot(ledger.pid)
    assert after.heap["attach_time_nanos"] == before.heap["attach_time_nanos"]
    assert after.by_line(INUSE_SPACE)[ledger.where("small")] == before.by_line(INUSE_SPACE)[ledger.where("small")] > 0


def test_two_attaches_at_once(memattach, start, python):
    ledger = start(Ledger, python)
    tables = ledger.ask("tables")["tables"]
    both = [memattach.start("attach", "--sample", "exact", ledger.pid) for _ in range(2)]
    results = [memattach.finish(process) for process in both]
    assert 0 in [result.code for result in results], results
    for result in results:
        assert result.code in (0, UNSAFE), result
        if result.code:
            assert "attach" in result.notices.lower(), result
    ledger.ask("grow")
    assert memattach.snapshot(ledger.pid).by_line(INUSE_SPACE)[ledger.where("small")] > 0
    memattach.ok("detach", ledger.pid)
    assert ledger.ask("tables")["tables"] == tables
    assert probe.words_into(ledger.pid, probe.our_maps(ledger.pid)) == []
    assert ledger.quit(4) == 4


def test_target_ends_during_the_wait(memattach, start, python):
    ledger = start(Ledger, python)
    watching = memattach.start("--wait", "60s", ledger.pid)
    wait_until(lambda: probe.words_into(ledger.pid, probe.our_maps(ledger.pid)) or None,
               what="the attach")
    ledger.ask("grow")
    os.kill(ledger.pid, signal.SIGKILL)
    ledger.process.wait()
    result = memattach.finish(watching, 30)
    assert result.code == NO_PROCESS, result
    assert "SIGKILL" in result.text + result.notices, result
    assert "ledger.py" in result.text, result


def test_target_ends_during_dump(memattach, start, python):
    ledger = start(Ledger, python)
    watching = memattach.start("dump", "--wait", "60s", ledger.pid)
    wait_until(lambda: probe.words_into(ledger.pid, probe.our_maps(ledger.pid)) or None,
               what="the attach")
    ledger.ask("grow")
    assert ledger.quit(7) == 7
    result = memattach.finish(watching, 30)
    snapshot = snapshot_reader.Snapshot(result.out)
    assert (snapshot.end["how"], snapshot.end["code"]) == (1, 7), snapshot.end
    assert result.code in (0, NO_PROCESS), result
    assert "ended" in result.notices or "exit" in result.notices, result


def test_target_ends_during_attach(memattach, python):
    """Killed at many different moments: always an answer, within seconds, with exit 0 or 5."""
    codes = set()
    for delay in range(0, 24, 2):
        ledger = Ledger(python)
        try:
            attach = memattach.start("attach", ledger.pid)
            try:
                attach.wait(delay / 1000)
            except subprocess.TimeoutExpired:
                pass
            os.kill(ledger.pid, signal.SIGKILL)
            ledger.process.wait()
            result = memattach.finish(attach, 30)
            assert result.code in (0, NO_PROCESS), result
            if result.code:
                assert str(ledger.pid) in result.notices, result
            codes.add(result.code)
        finally:
            ledger.end()
    assert codes, "nothing was tried"


# Output.

def test_dump_to_a_terminal(memattach, start, python):
    ledger = start(Ledger, python)
    memattach.ok("attach", ledger.pid)
    master, slave = pty.openpty()
    try:
        dump = memattach.start("dump", "--wait", "0", ledger.pid, stdout=slave)
        result = memattach.finish(dump)
        os.close(slave)
        slave = None
        assert result.code == USAGE, result
        assert "terminal" in result.notices and ">" in result.notices, result
        os.set_blocking(master, False)
        try:
            assert os.read(master, 100) == b""
        except OSError:
            pass
    finally:
        os.close(master)
        if slave is not None:
            os.close(slave)


def test_unwritable_output(memattach, start, python, tmp_path):
    ledger = start(Ledger, python)
    memattach.ok("attach", ledger.pid)
    missing = str(tmp_path / "no-such-folder" / "snapshot.bin")
    refuses(memattach.run("dump", "--wait", "0", "-o", missing, ledger.pid), FAILED, missing)
    assert not os.path.exists(missing)
    with open("/dev/full", "wb") as full:
        result = memattach.run("dump", "--wait", "0", ledger.pid, stdout=full)
    assert result.code == FAILED and "space" in result.notices.lower(), result
    with open("/dev/full", "wb") as full:
        result = memattach.run("ps", stdout=full)
    assert result.code == FAILED and "space" in result.notices.lower(), result


def test_full_disk_leaves_no_half_file(memattach, start, python, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    ledger = start(Ledger, python)
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    ledger.ask("grow")
    size = len(memattach.ok("dump", ledger.pid).out)
    # Room for less than half of the snapshot: whole pages.
    room = max(4096, size // 2 // 4096 * 4096)
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d" % room, "small", str(tmp_path)],
                           capture_output=True, text=True)
    if mount.returncode:
        pytest.skip("cannot mount a tmpfs here: " + mount.stderr.strip())
    try:
        old = tmp_path / "snapshot.bin"
        result = memattach.run("dump", "-o", str(old), ledger.pid)
        if size <= room:
            pytest.fail("the snapshot is too small for this test: %d bytes" % size)
        refuses(result, FAILED, "space")
        assert os.listdir(str(tmp_path)) == [], "a half file was left"
        # A file that was there before keeps its content.
        old.write_bytes(b"before")
        refuses(memattach.run("dump", "-o", str(old), ledger.pid), FAILED, "space")
        assert old.read_bytes() == b"before" and os.listdir(str(tmp_path)) == ["snapshot.bin"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("command", [("ps",), ("--help",), ("status",), ("ps", "--json")])
def test_closed_pipe(memattach, command):
    read_end, write_end = os.pipe()
    os.close(read_end)
    result = memattach.run(*command, stdout=write_end)
    os.close(write_end)
    assert result.code == 0, result
    assert result.notices.strip() == "", result


def test_dump_into_a_closed_pipe(memattach, start, python):
    ledger = start(Ledger, python)
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    ledger.ask("grow")
    read_end, write_end = os.pipe()
    os.close(read_end)
    result = memattach.run("dump", ledger.pid, stdout=write_end)
    os.close(write_end)
    assert result.code == 0, result
    assert ledger.ask("ping")["pong"]


# The runtime directory.

@pytest.mark.parametrize("mode", [0o777, 0o755, 0o770])
def test_socket_directory_with_wrong_mode(memattach, start, python, mode):
    ledger = start(Ledger, python)
    os.mkdir(memattach.runtime)
    os.chmod(memattach.runtime, mode)
    before = probe.state(ledger.pid)
    refuses(memattach.run("attach", ledger.pid), UNSAFE, memattach.runtime)
    assert os.listdir(memattach.runtime) == []
    untouched(ledger.pid, before)
    os.chmod(memattach.runtime, 0o700)
    memattach.ok("attach", ledger.pid)


def test_socket_directory_of_somebody_else(memattach, start, python):
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    ledger = start(Ledger, python)
    os.mkdir(memattach.runtime, 0o700)
    os.chown(memattach.runtime, NOBODY, NOBODY)
    before = probe.state(ledger.pid)
    refuses(memattach.run("attach", ledger.pid), UNSAFE, memattach.runtime)
    untouched(ledger.pid, before)


# Nonsense on the command line.

NONSENSE = [
    ("--sample", "0", "1"), ("--sample", "-5", "1"), ("--sample", "lots", "1"), ("--sample", "", "1"),
    ("--sample", "1KiB", "1"), ("--sample", "1TiB", "1"), ("--sample",),
    ("--wait", "-1", "1"), ("--wait", "soon", "1"), ("--wait", "1e99", "1"), ("--wait", "nan", "1"),
    ("--duration", "-1s", "1"), ("--overhead", "-2%", "1"), ("--overhead", "x", "1"),
    ("--overhead", "nan", "1"), ("--top", "-1", "1"), ("--top", "x", "1"),
    ("--color", "sometimes", "ps"), ("--no-such-option",), ("-Z",), ("no-such-command",),
    ("attach",), ("attach", "0"), ("attach", "-5"), ("attach", "12x"), ("attach", ""),
    ("attach", "99999999999999999999"), ("attach", "0x10"), ("attach", "1.5"),
    ("dump",), ("dump", "1", "2"), ("dump", "-o"), ("dump", "-o", "", "1"), ("detach",),
    ("detach", "--all", "1"), ("ps", "1"), ("daemon", "1"), ("-p",), ("-p", "x"),
]


@pytest.mark.parametrize("arguments", NONSENSE, ids=lambda words: " ".join(words) or "(empty)")
def test_nonsense(memattach, arguments):
    result = refuses(memattach.run(*arguments), USAGE)
    bad = [word for word in arguments if word and word not in ("1", "2")]
    assert any(word.lstrip("-") in result.notices for word in bad), result
    assert memattach.daemon_pid() is None, "nonsense started a daemon"

