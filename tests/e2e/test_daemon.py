# SPDX-License-Identifier: MIT
"""The daemon: killed or restarted, it harms no target, and the next attach takes over."""

import os
import signal
import threading

import probe
import program
import pytest
from snapshot_reader import INUSE_SPACE
from target import Ledger, Load, Service
from waiting import wait_until


def test_killed_daemon_harms_nobody_and_the_next_attach_takes_over(memattach, start, every_python):
    ledger = start(Ledger, every_python)
    tables = ledger.ask("tables")["tables"]
    before = probe.state(ledger.pid)
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    first = memattach.kill_daemon()
    # Nobody reads any more; the target goes on, through its whole work.
    ledger.ask("grow")
    ledger.ask("clear")
    assert probe.differences(before, probe.state(ledger.pid)) == []

    result = memattach.ok("attach", "--sample", "exact", ledger.pid)
    assert memattach.daemon_pid() not in (None, first)
    assert "took over" in (result.text + result.notices).lower(), result
    ledger.ask("leak", 20, 500000)
    leaked = memattach.snapshot(ledger.pid).by_line(INUSE_SPACE)[ledger.where("leak")]
    assert 20 * 500000 <= leaked <= 1.001 * 20 * 500033
    memattach.ok("detach", ledger.pid)
    assert ledger.ask("tables")["tables"] == tables
    assert probe.differences(before, probe.state(ledger.pid)) == []
    assert probe.words_into(ledger.pid, probe.our_maps(ledger.pid)) == []
    assert sum(area.bytes for area in probe.our_maps(ledger.pid)) <= 8192
    assert ledger.quit(8) == 8


def test_detach_without_a_daemon(memattach, start, python):
    ledger = start(Ledger, python)
    tables = ledger.ask("tables")["tables"]
    memattach.ok("attach", ledger.pid)
    memattach.kill_daemon()
    memattach.ok("detach", ledger.pid)
    assert ledger.ask("tables")["tables"] == tables
    assert probe.words_into(ledger.pid, probe.our_maps(ledger.pid)) == []
    assert ledger.quit(3) == 3


def test_daemon_gone_in_the_middle(memattach, start, python):
    """While the program waits: a clear message, not a hang, and the target goes on."""
    ledger = start(Ledger, python)
    watching = memattach.start("--wait", "60s", ledger.pid)
    wait_until(lambda: probe.words_into(ledger.pid, probe.our_maps(ledger.pid)), what="the attach")
    wait_until(lambda: str(ledger.pid) in memattach.run("status").text, what="the session")
    memattach.kill_daemon()
    result = memattach.finish(watching, 30)
    assert result.code == 1, result
    assert "daemon" in result.notices and str(ledger.pid) in result.notices, result
    assert ledger.ask("ping")["pong"]
    memattach.ok("detach", ledger.pid)
    assert ledger.quit(0) == 0


def test_stopped_daemon_in_the_middle_of_queries(memattach, start, python):
    """`daemon --stop`: sessions end, targets go on, the next command starts a new one."""
    ledger = start(Ledger, python)
    memattach.ok("attach", ledger.pid)
    pid = memattach.daemon_pid()
    memattach.ok("daemon", "--stop")
    wait_until(lambda: not probe.is_alive(pid), what="the end of the daemon")
    assert ledger.ask("ping")["pong"]
    memattach.ok("attach", ledger.pid)
    ledger.ask("leak", 20, 500000)
    assert memattach.snapshot(ledger.pid).by_line(INUSE_SPACE)[ledger.where("leak")] > 0


def test_one_daemon_for_all(memattach, start, python):
    """Started on demand, once, however many ask at the same time."""
    ledgers = [start(Ledger, python) for _ in range(4)]
    attaches = [memattach.start("attach", ledger.pid) for ledger in ledgers]
    for process in attaches:
        result = memattach.finish(process)
        assert result.code == 0, result
    text = memattach.ok("status").text
    assert all(str(ledger.pid) in text for ledger in ledgers), text
    daemons = {pid for pid in probe.children(1) + own_descendants() if is_our_daemon(pid, memattach)}
    assert len(daemons) == 1, daemons


def own_descendants():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def is_our_daemon(pid, memattach):
    try:
        environment = probe.read("/proc/%d/environ" % pid)
        return os.path.samefile("/proc/%d/exe" % pid, program.PROGRAM) \
            and "MEMATTACH_RUNTIME_DIR=" + memattach.runtime in environment.split("\0") \
            and probe.is_alive(pid)
    except (OSError, KeyError):
        return False


def test_daemon_is_nobody_s_burden(memattach, start, python):
    """First to go when memory is short; holds on to no terminal, no output, no folder of ours."""
    ledger = start(Ledger, python)
    memattach.ok("attach", ledger.pid)
    pid = memattach.daemon_pid()
    assert int(probe.read("/proc/%d/oom_score_adj" % pid)) == 1000
    assert os.readlink("/proc/%d/cwd" % pid) == "/"
    assert not [path for path in probe.descriptors(pid).values()
                if path.startswith(("/dev/pts", "/dev/tty"))]
    assert pid not in probe.children(ledger.pid)
    assert ledger.quit(0) == 0


def test_dump_under_load_without_a_failed_request(memattach, start, every_python):
    """The demo service under load: attach, dumps, detach, and not one request fails."""
    service = start(Service, every_python)
    load = start(Load, service.port, rate=100)
    memattach.ok("attach", "--sample", "64KiB", service.pid)

    def leaked():
        snapshot = memattach.snapshot(service.pid)
        sites = sorted(snapshot.sites, key=lambda site: -site.values[INUSE_SPACE])
        return snapshot if sites and sites[0].values[INUSE_SPACE] > 3_000_000 else None

    snapshot = wait_until(leaked, 60, "three megabytes of leak")
    functions = {}
    for site in snapshot.sites:
        name = site.frames[0][0] if site.frames else ""
        functions[name] = functions.get(name, 0) + site.values[INUSE_SPACE]
    top = max(functions, key=functions.get)
    assert top.split(".")[-1] == "put", functions
    callers = {frame[0].split(".")[-1] for site in snapshot.sites
               if site.frames and site.frames[0][0] == top for frame in site.frames}
    assert {"search", "do_GET", "answer"} & callers and "process_request_thread" in callers
    memattach.ok("detach", service.pid)
    told = load.finish()
    assert told["failed"] == 0 and told["requests"] > 100, told
    os.kill(service.pid, signal.SIGTERM)
    assert service.process.wait(30) == 0


@pytest.mark.parametrize("rounds", [6])
def test_queries_from_many_at_once(memattach, start, python, rounds):
    ledger = start(Ledger, python)
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    ledger.ask("grow")
    failures = []

    def query():
        for _ in range(rounds):
            try:
                assert memattach.snapshot(ledger.pid).by_line(INUSE_SPACE)[ledger.where("large")] > 0
            except AssertionError as error:
                failures.append(error)

    threads = [threading.Thread(target=query) for _ in range(4)]
    for thread in threads:
        thread.start()
    ledger.ask("shrink")
    for thread in threads:
        thread.join()
    assert failures == []
