# SPDX-License-Identifier: MIT
"""A gunicorn master with workers: --children attaches to all, each with its own figures."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile

import pytest

import probe
from snapshot_reader import INUSE_SPACE
from target import Target
from virtual import interpreter_with
from waiting import wait_until

WORKERS = 3
APP = '''
import os
HELD = []

def hold(size):
    HELD.append(bytes(size))  # HOLD

def app(environ, start_response):
    path = environ["PATH_INFO"].strip("/")
    if path.isdigit():
        hold(int(path))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
'''


@pytest.fixture(scope="session")
def gunicorn():
    """A Python with gunicorn."""
    return interpreter_with(["/usr/bin/python3"], "gunicorn==23.0.0")


class Gunicorn(Target):
    """A master with synchronous workers that share one listening socket of ours."""

    def __init__(self, interpreter, folder):
        with open(os.path.join(folder, "shop.py"), "w", encoding="utf-8") as file:
            file.write(APP)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        self.port = listener.getsockname()[1]
        process = subprocess.Popen(
            [interpreter, "-m", "gunicorn", "--workers", str(WORKERS),
             "--bind", "fd://%d" % listener.fileno(), "shop:app"], cwd=folder,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=[listener.fileno()])
        listener.close()
        super().__init__(process, tempfile.TemporaryFile())
        wait_until(lambda: len(self.workers()) == WORKERS and len(self.answering()) == WORKERS, 60,
                   "the workers")

    def workers(self):
        return probe.children(self.pid)

    def get(self, path):
        """PID of the worker that answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            assert response.status == 200
            return int(response.read())
        finally:
            connection.close()

    def answering(self):
        return {self.get("/") for _ in range(30)}

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        super().end()


def line_of_hold():
    return ("shop.py", [number for number, line in enumerate(APP.split("\n"), 1)
                        if line.endswith("# HOLD")][0])


def test_children_each_with_its_own_figures(memattach, start, gunicorn, tmp_path):
    master = start(Gunicorn, gunicorn, str(tmp_path))
    workers = master.workers()
    text = memattach.ok("attach", "--children", "--sample", "exact", master.pid)
    status = memattach.ok("status").text
    for pid in [master.pid] + workers:
        assert str(pid) in status, (pid, status, text)
    held = dict.fromkeys(workers, 0)
    for number in range(60):
        size = 20000 + 100 * number
        held[master.get("/%d" % size)] += size + 33
    assert all(held.values()), held
    for pid in workers:
        snapshot = memattach.snapshot(pid)
        assert snapshot.heap["process"]["pid"] == pid
        # The list that holds the blocks grows on the same line.
        assert 0 <= snapshot.by_line(INUSE_SPACE)[line_of_hold()] - held[pid] < 2048
    assert line_of_hold() not in memattach.snapshot(master.pid).by_line(INUSE_SPACE)

    result = memattach.ok("--children", "--wait", "0", master.pid)
    for pid in [master.pid] + workers:
        assert str(pid) in result.text, result

    memattach.ok("detach", "--children", master.pid)
    for pid in [master.pid] + workers:
        assert probe.words_into(pid, probe.our_maps(pid)) == []
    wait_until(lambda: master.answering() == set(workers), what="answers of all workers")
    assert master.workers() == sorted(workers), "a worker was replaced"
    master.process.send_signal(signal.SIGTERM)
    assert master.process.wait(30) == 0


def test_workers_are_named_where_a_shell_is_meant(memattach, start):
    """The PID of a shell around Python: the message names the Python child."""
    process = subprocess.Popen(["/bin/sh", "-c", "%s -c 'print(1, flush=True); input()'; exit 0"
                                % sys.executable], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    shell = start(lambda: Target(process, tempfile.TemporaryFile()))
    assert shell.read_line() == "1"
    child = probe.children(shell.pid)[0]
    result = memattach.run("attach", shell.pid)
    assert result.code == 4, result
    assert str(child) in result.notices, result
    memattach.ok("attach", "--children", shell.pid)
    assert str(child) in memattach.ok("status").text
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert process.wait(20) == 0
