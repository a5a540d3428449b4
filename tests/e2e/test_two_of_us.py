# SPDX-License-Identifier: MIT
"""Two of us at one process: another user's daemon, a second daemon, another version, a child of an
attached process. Each works, or says why not."""

import json
import os
import re
import signal
import socket
import struct
import threading
import zlib

import pytest

import ordinary
import probe
import program
import unharmed
from snapshot_reader import INUSE_SPACE
from target import Ledger
from waiting import wait_until

UNSAFE = 6
OTHER_RELEASE = b"9.9.9"


@pytest.fixture
def second():
    """The same program with another runtime directory, so with a daemon of its own."""
    runner = program.Memattach()
    yield runner
    runner.close()


@pytest.fixture
def user():
    runner = ordinary.Ordinary()
    yield runner
    runner.close()


def serves(runner, ledger):
    """What the target allocates, this one's daemon sees."""
    was = runner.snapshot(ledger.pid, "--wait", "0").by_line(INUSE_SPACE).get(ledger.where("leak"), 0)
    ledger.ask("leak", 10, 100000)
    now = runner.snapshot(ledger.pid, "--wait", "0").by_line(INUSE_SPACE).get(ledger.where("leak"), 0)
    return 1000000 <= now - was <= 1020000


def is_refused_while_served(runner, ledger, knows_it=False):
    """knows_it: this one has the last state of a session of its own, and shows that."""
    before = probe.state(ledger.pid)
    commands = [("attach",), ("--wait", "0"), ("dump", "--wait", "0")]
    for command in commands[:1] if knows_it else commands:
        result = runner.run(*command, ledger.pid)
        assert result.code == UNSAFE, result
        for word in ("another memattach daemon", "--force", "memattach detach %d" % ledger.pid):
            assert word in result.notices, result
    assert probe.differences(before, probe.state(ledger.pid)) == []
    assert probe.map_changes(before["maps"], probe.maps(ledger.pid))[0] == 0
    shown = runner.run("status", ledger.pid)
    assert ("ended" if knows_it else "no daemon of yours") in shown.notices + shown.text, shown


# Two daemons.

def test_two_daemons(memattach, second, start, python):
    """The one who came first keeps it; the other may take over, and the first notices."""
    ledger = start(Ledger, python)
    tables = ledger.ask("tables")["tables"]
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    is_refused_while_served(second, ledger)
    assert serves(memattach, ledger)

    result = second.ok("attach", "--sample", "exact", "--force", ledger.pid)
    assert "took over" in result.notices, result
    assert serves(second, ledger)
    wait_until(lambda: "taken over" in memattach.ok("status", ledger.pid).text, 20,
               "word of the take-over")
    is_refused_while_served(memattach, ledger, knows_it=True)

    # Whoever asks for it: a detach is a detach.
    memattach.ok("detach", ledger.pid)
    wait_until(lambda: "detached" in second.ok("status", ledger.pid).text, 20, "word of the detach")
    assert ledger.ask("tables")["tables"] == tables
    assert probe.words_into(ledger.pid, probe.our_maps(ledger.pid)) == []
    assert ledger.quit(1) == 1


def test_killed_daemon_is_not_one_that_serves(memattach, second, start, python):
    """Its lease runs on for half a minute, but nobody renews it: any other takes over at once."""
    ledger = start(Ledger, python)
    memattach.ok("attach", ledger.pid)
    memattach.kill_daemon()
    result = second.ok("attach", "--sample", "exact", ledger.pid)
    assert "took over" in result.notices, result
    assert serves(second, ledger)
    assert ledger.quit(2) == 2


def test_two_attaches_with_two_daemons_at_once(memattach, second, start, python):
    ledger = start(Ledger, python)
    tables = ledger.ask("tables")["tables"]
    for _ in range(4):
        processes = [runner.start("attach", "--sample", "exact", ledger.pid)
                     for runner in (memattach, second)]
        results = [memattach.finish(process) for process in processes]
        codes = sorted(result.code for result in results)
        assert codes == [0, UNSAFE], results
        winner = memattach if results[0].code == 0 else second
        assert serves(winner, ledger)
        winner.ok("detach", ledger.pid)
        assert ledger.ask("tables")["tables"] == tables
    assert ledger.quit(3) == 3


# Root's and the user's.

def test_root_and_user(memattach, user, start, python):
    ledger = start(ordinary.ledger_of, python)
    user.ok("attach", "--sample", "exact", ledger.pid)
    is_refused_while_served(memattach, ledger)
    assert serves(user, ledger)
    memattach.ok("detach", ledger.pid)
    wait_until(lambda: "did not ask this daemon" in user.ok("status", ledger.pid).text, 20,
               "word of the detach")

    memattach.ok("attach", "--sample", "exact", ledger.pid)
    is_refused_while_served(user, ledger, knows_it=True)
    assert serves(memattach, ledger)
    user.ok("attach", "--sample", "exact", "--force", ledger.pid)
    assert serves(user, ledger)
    wait_until(lambda: "taken over" in memattach.ok("status", ledger.pid).text, 20,
               "word of the take-over")
    user.ok("detach", ledger.pid)
    assert probe.words_into(ledger.pid, probe.our_maps(ledger.pid)) == []
    assert ledger.quit(4) == 4


def test_nobody_talks_to_another_user_s_daemon(memattach, user, start, python):
    """Root's directory is closed to the user; the user's is closed to other users, open to root."""
    ledger = start(ordinary.ledger_of, python)
    memattach.ok("attach", ledger.pid)
    user.env["MEMATTACH_RUNTIME_DIR"] = memattach.runtime
    os.chmod(memattach.folder, 0o755)
    result = user.run("status", ledger.pid)
    assert result.code == UNSAFE and memattach.runtime in result.notices, result
    assert memattach.ok("status", ledger.pid)


# A child of an attached process.

def test_child_forked_after_the_attach(memattach, second, start, python):
    """It is no attached process, whatever its memory says; it can be attached itself, also by
    another daemon, and neither disturbs the other."""
    ledger = start(Ledger, python)
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    child = ledger.ask("fork_and_stay")["child"]
    report = memattach.run("doctor", child)
    assert "forked from an attached process" in report.text, report
    for runner in (memattach, second):
        before = probe.state(child)
        result = runner.ok("attach", "--sample", "exact", child)
        assert "took over" in result.notices or result.code == 0, result
        assert probe.differences(before, probe.state(child)) == []
        assert serves(memattach, ledger)
        assert json.loads(runner.ok("status", "--json", child).out)
        runner.ok("detach", child)
        assert probe.words_into(child, probe.our_maps(child)) == []
    memattach.ok("detach", ledger.pid)
    assert ledger.ask("end_child")["exit"] == 0
    assert ledger.quit(5) == 5


# Another version.

class OtherVersion(program.Memattach):
    """The same program under another release's name."""

    def __init__(self, was):
        super().__init__()
        self.program = os.path.join(self.folder, "memattach-" + OTHER_RELEASE.decode())
        with open(program.PROGRAM, "rb") as file:
            data = file.read()
        assert len(was) == len(OTHER_RELEASE) and data.count(was.encode()) >= 1
        with open(self.program, "wb") as file:
            file.write(data.replace(was.encode(), OTHER_RELEASE))
        os.chmod(self.program, 0o755)

    def start(self, *arguments, **popen):
        return super().start(*arguments, executable=self.program, **popen)


@pytest.fixture
def other(memattach):
    runner = OtherVersion(re.search(r"\d+\.\d+\.\d+", memattach.ok("--version").text)[0])
    assert OTHER_RELEASE.decode() in runner.ok("--version").text
    yield runner
    runner.close()


def test_hook_and_thunks_of_another_release(memattach, other, start, python):
    """Of the same ABI: what one left behind, the other uses or takes away."""
    ledger = start(Ledger, python)
    tables = ledger.ask("tables")["tables"]
    memattach.ok("attach", ledger.pid)
    memattach.ok("detach", ledger.pid)
    page = probe.our_maps(ledger.pid)
    other.ok("attach", "--sample", "exact", ledger.pid)
    assert [area.start for area in page] == [area.start for area in probe.our_maps(ledger.pid)
                                             if "thunks" in area.name], "a second page was made"
    assert serves(other, ledger)
    is_refused_while_served(memattach, ledger, knows_it=True)
    other.kill_daemon()
    assert "took over" in memattach.ok("attach", "--sample", "exact", ledger.pid).notices
    assert serves(memattach, ledger)
    other.ok("detach", ledger.pid)
    assert ledger.ask("tables")["tables"] == tables
    assert ledger.quit(6) == 6


def write_memory(pid, address, data):
    with open("/proc/%d/mem" % pid, "r+b", buffering=0) as memory:
        memory.seek(address)
        memory.write(data)


# struct ma_thunk_data: magic (8), ABI (4), state (4), release (32), on the page's second half.
ABI_AT, RELEASE_AT = 8, 16


@pytest.mark.parametrize("attached", [False, True], ids=["thunks", "hook"])
def test_thunks_of_another_abi(memattach, start, python, attached):
    """Of another ABI: refused, with the name of the version that can."""
    ledger = start(Ledger, python)
    memattach.ok("attach", ledger.pid)
    if attached:
        memattach.kill_daemon()
    else:
        memattach.ok("detach", ledger.pid)
    data = [area for area in probe.our_maps(ledger.pid) if "thunks" in area.name][1].start
    abi = probe.read_memory(ledger.pid, data + ABI_AT, 4)
    name = probe.read_memory(ledger.pid, data + RELEASE_AT, 32)
    write_memory(ledger.pid, data + ABI_AT, struct.pack("<I", struct.unpack("<I", abi)[0] + 1))
    write_memory(ledger.pid, data + RELEASE_AT, OTHER_RELEASE + b"\0")
    before = probe.state(ledger.pid)
    for command in ("attach", "detach") if attached else ("attach",):
        result = memattach.run(command, ledger.pid)
        assert result.code == UNSAFE, result
        assert "memattach " + OTHER_RELEASE.decode() in result.notices, result
    assert probe.differences(before, probe.state(ledger.pid)) == []
    assert probe.map_changes(before["maps"], probe.maps(ledger.pid))[0] == 0
    assert ledger.ask("ping")["pong"]
    # As that version would find it.
    write_memory(ledger.pid, data + ABI_AT, abi)
    write_memory(ledger.pid, data + RELEASE_AT, name)
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    assert serves(memattach, ledger)
    memattach.ok("detach", ledger.pid)
    assert ledger.quit(7) == 7


def test_daemon_of_another_release(memattach, other, start, python):
    """Of the same protocol: it works, and doctor says it."""
    ledger = start(Ledger, python)
    other.env["MEMATTACH_RUNTIME_DIR"] = memattach.runtime
    other.runtime = memattach.runtime
    other.ok("attach", "--sample", "exact", ledger.pid)
    assert serves(memattach, ledger)
    report = memattach.run("doctor", ledger.pid)
    assert OTHER_RELEASE.decode() in report.text, report
    memattach.ok("detach", ledger.pid)
    assert ledger.quit(8) == 8


def frame(payload):
    return b"MAT1" + struct.pack("<II", len(payload), zlib.crc32(payload)) + payload


def text_field(number, text):
    return bytes([number << 3 | 2, len(text)]) + text


def test_daemon_of_another_protocol(memattach, start, python):
    """It answers, but not in our words: said with its release and what to do; nothing is attached."""
    ledger = start(Ledger, python)
    os.mkdir(memattach.runtime, 0o700)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.join(memattach.runtime, "daemon.sock"))
    listener.listen(8)
    reply = frame(bytes([8, 77]) + text_field(2, OTHER_RELEASE))

    def answer():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                if connection.recv(65536):
                    connection.sendall(reply)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        before = probe.state(ledger.pid)
        for command in (("attach", ledger.pid), ("status",), ("--wait", "0", ledger.pid)):
            result = memattach.run(*command)
            assert result.code == 1, result
            for word in (OTHER_RELEASE.decode(), "protocol 77", "daemon --stop"):
                assert word in result.notices, result
        unharmed.untouched(ledger.pid, before)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        os.unlink(os.path.join(memattach.runtime, "daemon.sock"))
    memattach.ok("attach", ledger.pid)
    assert ledger.quit(9) == 9


def test_client_of_another_protocol(memattach, start, python):
    ledger = start(Ledger, python)
    memattach.ok("attach", ledger.pid)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(os.path.join(memattach.runtime, "daemon.sock"))
        connection.sendall(frame(bytes([8, 77]) + text_field(2, OTHER_RELEASE)))
        answer = connection.recv(65536)
    assert answer[:4] == b"MAT1" and b"release" in answer, answer
    assert "tracking" in memattach.ok("status", ledger.pid).text
    assert probe.is_alive(memattach.daemon_pid())
    os.kill(ledger.pid, signal.SIGKILL)
