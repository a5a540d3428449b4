# SPDX-License-Identifier: MIT
"""Debug files from a server: with --debuginfod, in the dynamic build, and nowhere else."""

import ctypes
import http.server
import json
import os
import re
import socket
import subprocess
import threading

import pytest

import native_module
import program
import terminal
from waiting import wait_until

DYNAMIC = os.path.join(program.BUILD, "tests", "e2e", "memattach_dynamic")
USAGE = 2


class Server:
    """What a debuginfod server does for one file: GET /buildid/ID/debuginfo."""

    def __init__(self):
        self.files = {}
        self.asked = []
        self.gate = threading.Event()
        self.gate.set()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.asked.append(self.path)
                server.gate.wait(60)
                found = server.files.get(self.path)
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(found or b"")))
                self.end_headers()
                self.wfile.write(found or b"")

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.http.server_address[1]
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.gate.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


@pytest.fixture
def memattach(server, tmp_path):
    try:
        ctypes.CDLL("libdebuginfod.so.1")
    except OSError as error:
        pytest.skip("libdebuginfod cannot be loaded: %s" % error)
    runner = program.Memattach(program=DYNAMIC)
    runner.env.update(DEBUGINFOD_URLS=server.url, DEBUGINFOD_CACHE_PATH=str(tmp_path / "cache"),
                      no_proxy="127.0.0.1")
    yield runner
    runner.close()


@pytest.fixture
def stripped(server, tmp_path):
    """A library without debug information, which only the server has."""
    library = native_module.build(tmp_path)
    note = subprocess.run(["readelf", "-n", library], capture_output=True, text=True,
                          check=True).stdout
    build_id = re.search(r"Build ID: ([0-9a-f]+)", note)[1]
    debug = str(tmp_path / "only.debug")
    subprocess.run(["objcopy", "--only-keep-debug", library, debug], check=True)
    subprocess.run(["strip", library], check=True)
    with open(debug, "rb") as file:
        server.files["/buildid/%s/debuginfo" % build_id] = file.read()
    os.unlink(debug)
    return library


def innermost(memattach, target):
    return {stack[0][0]: stack[0] for stack in native_module.call_until_seen(memattach, target)}


def test_line_from_the_server(memattach, start, python, server, stripped, tmp_path):
    target = start(native_module.Caller, python, stripped)
    memattach.ok("attach", "--sample", "16KiB", target.pid)
    names = innermost(memattach, target)
    assert all(re.fullmatch(r"libstock\.so\+0x[0-9a-f]+", name) for name in names), names
    assert server.asked == [], "a server was asked without --debuginfod"
    assert "debuginfod" in memattach.ok("attach", "--debuginfod", target.pid).notices
    memattach.ok("detach", target.pid)

    memattach.ok("attach", "--sample", "16KiB", "--debuginfod", target.pid)
    wait_until(lambda: "fill_row" in innermost(memattach, target), 60, "the name")
    name, file, line, _ = innermost(memattach, target)["fill_row"]
    assert os.path.basename(file) == "fill_row.c"
    assert line == native_module.line_of("fill_row", tmp_path)
    wanted, = server.files
    assert server.asked.count(wanted) == 1
    assert "debuginfod failed" not in memattach.ok("status", target.pid).text
    memattach.ok("detach", target.pid)


@pytest.mark.skipif(not terminal.is_there(), reason="tmux is not installed")
def test_a_slow_server(memattach, start, python, server, stripped):
    """The command shows that names are on the way, and events are taken in meanwhile."""
    server.gate.clear()
    target = start(native_module.Caller, python, stripped)
    memattach.ok("attach", "--sample", "16KiB", "--debuginfod", target.pid)

    def session():
        return json.loads(memattach.ok("status", "--json", target.pid).text)["sessions"][0]

    def asked():
        target.call()
        return server.asked
    wait_until(asked, 60, "a question to the server")
    before = session()
    assert before["names_pending"] > 0
    screen = terminal.Terminal([DYNAMIC, "--wait", "0", target.pid], 120, env=memattach.env)
    try:
        screen.wait_for(r"reading names \[.*\d+ native functions to go")
        target.call()
        wait_until(lambda: session()["samples"] > before["samples"], what="more samples")
        assert session()["drops"] == 0
        server.gate.set()
        assert screen.wait_end() == 0
        assert "fill_row" in screen.text() and "reading names" not in screen.text()
    finally:
        screen.close()


def test_a_server_that_is_not_there(memattach, start, python, stripped):
    """Names are what the files say, and a notice counts what failed."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        memattach.env["DEBUGINFOD_URLS"] = "http://127.0.0.1:%d" % closed.getsockname()[1]
        target = start(native_module.Caller, python, stripped)
        memattach.ok("attach", "--sample", "16KiB", "--debuginfod", target.pid)
        names = innermost(memattach, target)
        assert all(re.fullmatch(r"libstock\.so\+0x[0-9a-f]+", name) for name in names), names
        notice = wait_until(lambda: re.search(
            r"debuginfod failed for (\d+) of (\d+) debug files",
            memattach.ok("--wait", "0", target.pid).text.replace("\n          ", " ")), 60,
            "the notice")
        assert 0 < int(notice[1]) <= int(notice[2])
        memattach.ok("detach", target.pid)


def test_refused_without_servers(memattach):
    for servers in (None, ""):
        memattach.env.pop("DEBUGINFOD_URLS", None)
        if servers is not None:
            memattach.env["DEBUGINFOD_URLS"] = servers
        result = memattach.run("attach", "--debuginfod", os.getpid())
        assert result.code == USAGE and "DEBUGINFOD_URLS is not set" in result.notices, result


def test_refused_by_the_static_build():
    headers = subprocess.run(["readelf", "-lW", program.PROGRAM], capture_output=True, text=True,
                             check=True).stdout
    if "INTERP" in headers:
        pytest.skip("this build is dynamic")
    runner = program.Memattach()
    runner.env["DEBUGINFOD_URLS"] = "http://127.0.0.1:1"
    result = runner.run("attach", "--debuginfod", os.getpid())
    runner.close()
    assert result.code == USAGE, result
    assert "static build" in result.notices and "-DMA_DYNAMIC=ON" in result.notices, result
