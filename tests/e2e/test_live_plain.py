# SPDX-License-Identifier: MIT
"""The live view where there is no screen: a table at every interval, or lines of JSON."""

import json
import os
import re
import signal
import subprocess

import pytest

import probe
import program
from live_fixtures import look, named, needs_tmux  # noqa: F401
from waiting import wait_until

MIB = 1 << 20


def test_table(named, memattach):
    result = memattach.ok("live", named.pid, "--interval", "200ms", "--duration", "1s")
    blocks = [block for block in result.text.split("\n\n") if block.strip()]
    assert 4 <= len(blocks) <= 7, result
    for block in blocks:
        head, titles, *rows = block.strip("\n").split("\n")
        assert re.match(r"\d\d:\d\d:\d\d  %d  RSS \S+ .*live 22\.\dM" % named.pid, head), block
        assert titles.split()[0] == "LIVE"
        assert re.match(r" *12\.0M .*hold_large +\S*live_names\.py:%d"
                        % (named.lines["large"] + 3), rows[0]), block
    assert "\x1b" not in result.text


def test_top(named, memattach):
    result = memattach.ok("live", named.pid, "--top", "2", "--duration", "1ms")
    assert len(re.findall(r"live_names\.py", result.text)) == 2
    assert re.search(r"and \d+ more", result.text)


@pytest.mark.parametrize("words", [["live", "PID"], ["--live", "PID"], ["PID", "--live"]])
def test_both_spellings(named, memattach, words):
    words = [named.pid if word == "PID" else word for word in words]
    result = memattach.ok(*words, "--duration", "1ms")
    assert "hold_large" in result.text


def test_json_lines(named, memattach):
    process = memattach.start("live", named.pid, "--json", "--interval", "100ms")
    first = json.loads(process.stdout.readline())
    named.ask("grow", "small", 8)
    lines = {line["function"]: line for line in first["lines"]}
    assert first["schema"] == "memattach.live/1" and first["pid"] == named.pid
    assert first["state"] == "tracking" and first["mode"] == "exact"
    assert abs(lines["hold_large"]["live"]["bytes"] - 12 * MIB) < MIB
    assert lines["hold_large"]["live"]["low_bytes"] == lines["hold_large"]["live"]["high_bytes"]
    assert lines["hold_large"]["file"].endswith("live_names.py")

    def grown():
        lines = {line["function"]: line for line in
                 json.loads(process.stdout.readline())["lines"]}
        return abs(lines["hold_small"]["change_bytes"] - 8 * MIB) < MIB

    wait_until(grown)
    os.kill(process.pid, signal.SIGINT)
    rest = memattach.finish(process)
    assert rest.code == 0
    for line in rest.text.splitlines():
        json.loads(line)


def test_names_are_escaped(named, memattach):
    named.ask("grow", "escapes", 20)
    result = memattach.ok("live", named.pid, "--duration", "1ms")
    assert "\x1b" not in result.text and "\x9b" not in result.text
    assert r"\x1b]0;owned\x07" in result.text
    result = memattach.ok("live", named.pid, "--duration", "1ms", "--json")
    assert "\x1b" not in result.text
    assert json.loads(result.text)["lines"][0]["function"].startswith("\x1b]0;owned\x07")


def test_a_reader_that_leaves(named, memattach):
    command = "%s live %d --interval 50ms | head -n 1; echo ${PIPESTATUS[0]}" % (
        program.PROGRAM, named.pid)
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60,
                         env=memattach.env)
    assert run.stdout.split("\n")[-2] == "0", run


def test_the_target_ends(named, memattach):
    process = memattach.start("live", named.pid, "--interval", "100ms")
    assert process.stdout.readline()
    named.process.kill()
    result = memattach.finish(process)
    assert result.code == 5
    assert "ended: killed by SIGKILL" in result.text and "hold_large" in result.text.split("ended:")[1]
    assert "%d ended while it was watched" % named.pid in result.notices
    # Of a process that has ended already the last state is what there is.
    again = memattach.ok("live", named.pid)
    assert "hold_large" in again.text and "this is the last state" in again.text


def test_the_daemon_ends(named, memattach):
    process = memattach.start("live", named.pid, "--interval", "100ms")
    assert process.stdout.readline()
    memattach.kill_daemon()
    result = memattach.finish(process)
    assert result.code == 1
    assert probe.is_alive(named.pid)


@needs_tmux
def test_a_dumb_terminal_gets_the_table(named, look):
    view = look(named.pid, term="dumb", ready="LIVE", columns=160)
    view.wait_for(r"12\.0M .*hold_large")
    view.keys("C-c")
    assert view.wait_end() == 0


@pytest.mark.parametrize("arguments, words", [
    (["live"], "which process?"), (["--live"], "which process?"), (["live", 1, 2], "one process"),
    (["live", "1", "--interval", "0"], "must be more than 0"),
    (["live", "1", "--interval", "x"], "not a duration"),
    (["live", "1", "--children"], "no such option"), (["ps", "--live"], "no such option")])
def test_usage(memattach, arguments, words):
    result = memattach.run(*arguments)
    assert result.code == 2 and words in result.notices and not result.text


def test_no_such_process(memattach):
    result = memattach.run("live", 2 ** 22 - 1)
    assert result.code == 5
