# SPDX-License-Identifier: MIT
"""kill -9 of the daemon at random instants, while a target works and commands are under way.

No target notices, no command hangs, and what is told afterwards is the state of then: nothing is
said to be tracked that nobody serves, and figures are those since the new attach. MEMATTACH_LONG=1
(scripts/test-long) makes it a hundred kills.
"""

import json
import os
import random
import signal
import subprocess

import probe
from snapshot_reader import INUSE_SPACE, Snapshot
from target import Ledger
from waiting import wait_until

KILLS = 100 if os.environ.get("MEMATTACH_LONG") else 5
LATEST_S = 0.4
LEAK = 20 * 100000
# What may be under way: each of them may find the daemon gone, or start another.
COMMANDS = [("attach", "--sample", "exact"), ("attach",), ("dump", "--wait", "0"), ("status", "--json"),
            ("--wait", "0"), ("--wait", "10s"), ("--wait", "0", "--sample", "4KiB"), ("detach",)]
ANSWERS = (0, 1, 5, 6)  # worked; the daemon went away; detached meanwhile; somebody else is at it


def kill_the_daemon(memattach):
    """Whichever runs now, or the one that a command is about to start."""
    pid = wait_until(memattach.daemon_pid, 20, "a daemon")
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    wait_until(lambda: not probe.is_alive(pid), what="the end of daemon %d" % pid)
    return True


def under_way(memattach, chance, pid):
    return [memattach.start(*words, pid) for words in chance.sample(COMMANDS, 3)]


def all_ended(memattach, commands):
    for process in commands:
        result = memattach.finish(process, 60)
        assert result.code in ANSWERS, result
        assert result.code == 0 or result.notices.strip(), "silent: %r" % result
        if result.code == 0 and "dump" in process.args:
            Snapshot(result.out)  # whole, or none at all


def is_honest(memattach, ledger):
    """What is said without a daemon, and what after the next attach."""
    if memattach.daemon_pid() is None:
        told = json.loads(memattach.run("status", "--json", ledger.pid).out)
        assert told["sessions"] == [] and told["daemon_release"] is None, told
    memattach.run("detach", ledger.pid)
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    told = json.loads(memattach.ok("status", "--json", ledger.pid).out)
    assert [one["state"] for one in told["sessions"]] == ["tracking"], told
    ledger.ask("leak", 20, 100000)
    found = memattach.snapshot(ledger.pid, "--wait", "0").by_line(INUSE_SPACE)[ledger.where("leak")]
    assert LEAK <= found <= 1.02 * 20 * 100033, found


def test_kills_at_random_instants(memattach, start, python):
    chance = random.Random(20)
    ledger = start(Ledger, python)
    tables = ledger.ask("tables")["tables"]
    ledger.ask("burn", "churn", 2)
    before = probe.state(ledger.pid)
    memattach.ok("attach", ledger.pid)
    kills = 0
    while kills < KILLS:
        commands = under_way(memattach, chance, ledger.pid)
        try:
            commands[chance.randrange(len(commands))].wait(chance.uniform(0, LATEST_S))
        except subprocess.TimeoutExpired:
            pass  # still under way
        kills += kill_the_daemon(memattach)
        all_ended(memattach, commands)
        assert ledger.ask("ping")["pong"]
        is_honest(memattach, ledger)
    memattach.ok("detach", ledger.pid)
    assert probe.differences(before, probe.state(ledger.pid)) == []
    assert all(rounds > 0 for rounds in ledger.ask("rest")["rounds"])
    assert probe.words_into(ledger.pid, probe.our_maps(ledger.pid)) == []
    assert ledger.ask("tables")["tables"] == tables
    assert ledger.quit(21) == 21
