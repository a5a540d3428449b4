# SPDX-License-Identifier: MIT
"""Every command that the help lists does real work, and its --json holds what it printed."""

import json
import os
import re
import signal

import pytest

import probe
import program
import snapshot_reader
from snapshot_reader import INUSE_SPACE
from target import Ledger
from waiting import wait_until


@pytest.fixture
def attached(memattach, start, python):
    ledger = start(Ledger, python)
    memattach.ok("attach", "--sample", "64KiB", ledger.pid)
    ledger.ask("grow")
    return ledger


def json_of(result):
    """One document, whole, and nothing else."""
    return json.loads(result.out)


def find(document, wanted):
    """Any value in the document that equals `wanted`, however deep."""
    if document == wanted:
        return True
    if isinstance(document, dict):
        return any(find(value, wanted) for value in document.values())
    if isinstance(document, list):
        return any(find(value, wanted) for value in document)
    return False


def work_summary(memattach, ledger):
    result = memattach.ok("--wait", "0", ledger.pid)
    text = result.text
    assert str(ledger.pid) in text and "ledger.py:%d" % ledger.lines["large"] in text, result
    for word in ("RSS", "LIVE", "PEAK", "SITE", "NOT SEEN", "memattach detach %d" % ledger.pid):
        assert word in text, "%r is not on the first screen\n%s" % (word, text)
    # How much was there before we came is said, and that it has no sites.
    assert "BEFORE" in text, text
    document = json_of(memattach.ok("--wait", "0", "--json", ledger.pid))
    assert find(document, ledger.pid)


def work_ps(memattach, ledger):
    for arguments in ((), ("ps",)):
        lines = memattach.ok(*arguments).text.split("\n")
        mine = [line for line in lines if re.match(r"\s*%d\b" % ledger.pid, line)]
        assert len(mine) == 1 and ledger.python.version in mine[0], lines
    assert find(json_of(memattach.ok("ps", "--json")), ledger.pid)


def work_attach(memattach, ledger):
    memattach.ok("detach", ledger.pid)
    assert probe.words_into(ledger.pid, probe.our_maps(ledger.pid)) == []
    memattach.ok("attach", ledger.pid)
    assert probe.words_into(ledger.pid, probe.our_maps(ledger.pid))
    document = json_of(memattach.ok("attach", "--json", ledger.pid))
    assert find(document, ledger.pid)


def work_detach(memattach, ledger):
    memattach.ok("detach", ledger.pid)
    assert probe.words_into(ledger.pid, probe.our_maps(ledger.pid)) == []
    memattach.ok("attach", ledger.pid)
    assert find(json_of(memattach.ok("detach", "--json", ledger.pid)), ledger.pid)


def work_status(memattach, ledger):
    for arguments in (("status",), ("status", ledger.pid)):
        assert str(ledger.pid) in memattach.ok(*arguments).text
    assert find(json_of(memattach.ok("status", "--json")), ledger.pid)


def work_dump(memattach, ledger):
    first = memattach.snapshot(ledger.pid)
    assert first.by_line(INUSE_SPACE)[ledger.where("large")] > 0
    path = os.path.join(memattach.folder, "snapshot.bin")
    result = memattach.ok("dump", "-o", path, ledger.pid)
    assert result.out == b""
    with open(path, "rb") as file:
        second = snapshot_reader.Snapshot(file.read())
    assert second.by_line(INUSE_SPACE)[ledger.where("large")] == first.by_line(INUSE_SPACE)[ledger.where("large")]
    # Written whole under another name first: nothing else may be left in the folder.
    assert [name for name in os.listdir(memattach.folder) if "snapshot" in name] == ["snapshot.bin"]


def work_doctor(memattach, ledger):
    for arguments in (("doctor",), ("doctor", ledger.pid)):
        result = memattach.ok(*arguments)
        assert "ptrace" in result.text.lower(), result
    assert json_of(memattach.ok("doctor", "--json", ledger.pid))


def work_stacks(memattach, ledger):
    text = memattach.ok("stacks", ledger.pid).text
    assert "thread %d" % ledger.pid in text and "ledger.py:" in text, text
    document = json_of(memattach.ok("stacks", "--json", ledger.pid))
    assert any((frame["file"] or "").endswith("ledger.py")
               for frame in document["threads"][0]["frames"]), document


def work_live(memattach, ledger):
    # On no terminal: a table or a line of JSON every now and then.
    limits = ("--interval", "200ms", "--duration", "1s")
    text = memattach.ok("live", *limits, ledger.pid).text
    assert str(ledger.pid) in text and "ledger.py:" in text, text
    lines = memattach.ok("--live", "--json", *limits, ledger.pid).out.splitlines()
    assert len(lines) >= 2
    for line in lines:
        assert json.loads(line)["pid"] == ledger.pid, line


def work_daemon(memattach, ledger):
    other = program.Memattach()
    try:
        process = other.start("daemon")
        assert wait_until(other.daemon_pid) == process.pid
        result = other.ok("daemon", "--stop")
        assert result.code == 0
        assert other.finish(process, 20).code == 0
        assert other.daemon_pid() is None
        # A service manager sends SIGTERM.
        process = other.start("daemon")
        assert wait_until(other.daemon_pid) == process.pid
        process.send_signal(signal.SIGTERM)
        assert other.finish(process, 20).code == 0
    finally:
        other.close()


WORK = {"": work_summary, "ps": work_ps, "attach": work_attach, "detach": work_detach,
        "status": work_status, "dump": work_dump, "live": work_live, "stacks": work_stacks,
        "doctor": work_doctor, "daemon": work_daemon}


def commands_in_help(text):
    """Names of the commands in the usage lines; "" is the one without a name."""
    usage = text.split("Usage:")[1].split("\n\n")[0]
    found = set()
    for line in usage.strip().split("\n"):
        match = re.match(r"\s*memattach(?:\s+([a-z]+))?(\s|$)", line)
        if match:
            found.add(match[1] or "")
    return found


def test_help_lists_what_is_tested_here(memattach):
    listed = commands_in_help(memattach.ok("--help").text)
    assert listed == set(WORK), "the help and this test disagree"


@pytest.mark.parametrize("command", sorted(WORK), ids=lambda name: name or "summary")
def test_command_works(memattach, attached, command):
    WORK[command](memattach, attached)
    assert attached.ask("ping")["pong"]


@pytest.mark.parametrize("command", sorted(set(WORK) - {""}))
def test_help_of_each(memattach, command):
    text = memattach.ok(command, "--help").text
    assert "Usage" in text and "memattach " + command in text
    assert memattach.ok("--help", command).text == text


def test_version(memattach):
    text = memattach.ok("--version").text
    assert re.fullmatch(r"memattach \d+\.\d+\.\d+\n", text), text


def test_top_limits_the_sites(memattach, attached):
    def sites(*options):
        text = memattach.ok("--wait", "0", *options, attached.pid).text
        return len(re.findall(r"ledger\.py:\d+", text))
    assert sites("--top", "1") < sites("--top", "100")


def test_once_detaches(memattach, start, python):
    ledger = start(Ledger, python)
    result = memattach.ok("--once", "--wait", "100ms", ledger.pid)
    assert str(ledger.pid) in result.text
    assert probe.words_into(ledger.pid, probe.our_maps(ledger.pid)) == []


def test_duration_detaches(memattach, start, python):
    ledger = start(Ledger, python)
    memattach.ok("attach", "--duration", "500ms", ledger.pid)
    wait_until(lambda: not probe.words_into(ledger.pid, probe.our_maps(ledger.pid)),
               what="the detach after --duration")


def test_interrupt_prints_what_is_known(memattach, start, python):
    """Ctrl-C while watching means: now."""
    ledger = start(Ledger, python)
    watching = memattach.start("--wait", "10m", "--sample", "exact", ledger.pid)
    wait_until(lambda: probe.words_into(ledger.pid, probe.our_maps(ledger.pid)), what="the attach")
    ledger.ask("grow")
    watching.send_signal(signal.SIGINT)
    result = memattach.finish(watching, 30)
    assert result.code == 0, result
    assert "ledger.py:" in result.text, result
    assert ledger.ask("ping")["pong"]


def test_quiet(memattach, attached):
    result = memattach.ok("-q", "--wait", "0", attached.pid)
    assert result.notices == "", result


def test_color(memattach, attached):
    plain = memattach.ok("--wait", "0", attached.pid)
    assert b"\x1b" not in plain.out + plain.err
    coloured = memattach.ok("--wait", "0", "--color", "always", attached.pid)
    assert b"\x1b[" in coloured.out
    assert b"\x1b" not in memattach.ok("--wait", "0", "--color", "never", attached.pid).out


def test_several_targets(memattach, start, python):
    ledgers = [start(Ledger, python) for _ in range(3)]
    memattach.ok("attach", *[ledger.pid for ledger in ledgers])
    ledgers[1].ask("leak", 100, 100000)
    for number, ledger in enumerate(ledgers):
        live = memattach.snapshot(ledger.pid).by_line(INUSE_SPACE).get(ledger.where("leak"), 0)
        assert (live > 5_000_000) == (number == 1), (number, live)
    text = memattach.ok("status").text
    assert all(str(ledger.pid) in text for ledger in ledgers)
    memattach.ok("detach", *[ledger.pid for ledger in ledgers])
    for ledger in ledgers:
        assert probe.words_into(ledger.pid, probe.our_maps(ledger.pid)) == []
        assert ledger.quit(6) == 6
