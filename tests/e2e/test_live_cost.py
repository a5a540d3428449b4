# SPDX-License-Identifier: MIT
"""What looking costs: with a hundred thousand sites a frame is cheap and a key is answered at once;
a viewer that is stopped or killed is nobody's burden."""

import fcntl
import os
import pty
import re
import select
import signal
import statistics
import struct
import subprocess
import termios
import time

import pytest

import probe
import program
from live_fixtures import Named, look, named, needs_tmux  # noqa: F401
from waiting import wait_until

SITES = 100000
WATCH_SECONDS = 8
CORE_SHARE = 0.05
KEY_SECONDS = 0.05

MIB = 1 << 20


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Pty:
    """The view on a bare pseudo-terminal: bytes in, bytes out, with their times."""

    def __init__(self, memattach, *arguments, columns=160, rows=50):
        self.fd, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        env = dict(memattach.env, TERM="xterm-256color", LC_ALL="C.UTF-8")
        self.process = subprocess.Popen([program.PROGRAM, *map(str, arguments)], stdin=slave,
                                        stdout=slave, stderr=subprocess.DEVNULL, env=env,
                                        start_new_session=True)
        os.close(slave)
        self.seen = b""

    def read_until(self, pattern, seconds=30):
        """Reads until the pattern has come; returns when that was."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.seen):
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            assert ready, "no /%r/ within %g s; the last was %r" % (pattern, seconds,
                                                                    self.seen[-300:])
            self.seen += os.read(self.fd, 65536)
        return time.monotonic()

    def picture(self, pattern, seconds=30):
        """Draws the screen anew until the pattern is on it: what changes is sent in pieces else."""
        end = time.monotonic() + seconds
        while True:
            self.press(b"\x0c")
            self.drain(0.3, keep=True)
            if re.search(pattern, self.seen):
                return self.seen
            assert time.monotonic() < end, "no /%r/ within %g s: %r" % (pattern, seconds, self.seen)

    def drain(self, seconds, keep=False):
        """Reads for a while, so that the view is never kept from writing."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                self.seen = (self.seen if keep else b"") + os.read(self.fd, 65536)

    def press(self, key):
        self.seen = b""
        os.write(self.fd, key)
        return time.monotonic()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.fd)


@pytest.fixture
def many(start, python, memattach):
    target = start(Named, python)
    memattach.ok("attach", target.pid, "--sample", "exact")
    target.ask("sites", SITES, seconds=120)
    return target


# What only the picture of a view has, when its rows are there.
VIEWS = {"sites": (b"1", rb"many_\d+\.py"), "tree": (b"2", rb"\xe2\x96[\xb8\xbe] "),
         "flame": (b"3", rb"everything"), "threads": (b"4", rb"THREAD")}


def settle(view, name):
    """Shows a view and waits until what is done once, the index of all sites, is done."""
    key, pattern = VIEWS[name]
    view.press(key)
    view.picture(rb"(?s)\A(?!.*reading).*all threads.*" + pattern, 120)


def test_many_sites_are_cheap(many, memattach):
    """At two frames a second, viewer and daemon together: at most 5 % of a core, in every view."""
    view = Pty(memattach, "live", many.pid, "--interval", "500ms")
    try:
        view.read_until(rb"many_\d+\.py:\d+")
        pids = [memattach.daemon_pid(), view.process.pid]
        shares = {}
        for name in VIEWS:
            settle(view, name)
            before = sum(map(cpu_seconds, pids))
            began = time.monotonic()
            view.drain(WATCH_SECONDS)
            shares[name] = (sum(map(cpu_seconds, pids)) - before) / (time.monotonic() - began)
        print("share of a core:", shares)
        assert max(shares.values()) <= CORE_SHARE, shares
    finally:
        view.close()


def test_keys_are_answered_at_once(many, memattach):
    """From key to screen with all those sites: a median of at most 50 ms. A picture of another view
    is drawn when its rows are there."""
    view = Pty(memattach, "live", many.pid, "--interval", "500ms")
    try:
        view.read_until(rb"many_\d+\.py:\d+")
        settle(view, "tree")
        arrow = rb"\xe2\x86[\x91\x93]"
        keys = [(b"1", rb"\[1 sites\]"), (b"s", arrow), (b"S", arrow), (b"2", rb"\[2 tree\]"),
                (b"S", arrow), (b"3", rb"\[3 flame\]"), (b"4", rb"\[4 threads\]")]
        times = []
        for _ in range(5):
            for key, pattern in keys:
                view.drain(0.1)
                pressed = view.press(key)
                times.append(view.read_until(pattern) - pressed)
        print("key to screen, ms: median %.1f, most %.1f" % (1e3 * statistics.median(times),
                                                             1e3 * max(times)))
        assert statistics.median(times) <= KEY_SECONDS, times
    finally:
        view.close()


def turns_of(target, seconds, during=lambda: None):
    """How many turns a second the target makes while something else happens."""
    target.say("work")
    end = time.monotonic() + seconds
    during()
    wait_until(lambda: time.monotonic() > end, seconds + 5)
    return target.ask("")["turns"]


def test_a_stopped_viewer_slows_nobody(named, memattach):
    """Its answer is never read; target and daemon go on as if it were not there."""
    alone = max(turns_of(named, 1.5) for _ in range(2))
    view = Pty(memattach, "live", named.pid, "--interval", "50ms")
    try:
        view.read_until(b"hold_large")
        os.kill(view.process.pid, signal.SIGSTOP)
        beside = max(turns_of(named, 1.5) for _ in range(3))
        assert beside > 0.7 * alone, (alone, beside)
        daemon = memattach.daemon_pid()
        before = cpu_seconds(daemon)
        began = time.monotonic()
        for _ in range(5):
            memattach.ok("status", named.pid)
            assert memattach.ok("dump", named.pid).out
        assert time.monotonic() - began < 10
        wait_until(lambda: time.monotonic() > began + 2)
        assert cpu_seconds(daemon) - before < 1.0
        os.kill(view.process.pid, signal.SIGCONT)
        named.ask("grow", "large", 9)
        view.picture(rb"21\.\dM")
    finally:
        view.close()


def test_a_terminal_that_takes_nothing_slows_nobody(named, memattach):
    """The viewer hangs in a write; the others do not."""
    view = Pty(memattach, "live", named.pid, "--interval", "50ms", columns=300, rows=80)
    try:
        view.read_until(b"hold_large")
        for key in b"12345" * 40:
            os.write(view.fd, bytes([key]))
        began = time.monotonic()
        for _ in range(5):
            memattach.ok("status", named.pid)
        assert time.monotonic() - began < 10
        assert named.ask("grow", "small", 1) == {}
    finally:
        view.close()


def test_a_killed_viewer_leaves_nothing(named, memattach):
    daemon = None
    for _ in range(5):
        view = Pty(memattach, "live", named.pid, "--interval", "50ms")
        try:
            view.read_until(b"hold_large")
            daemon = daemon or memattach.daemon_pid()
            descriptors = len(os.listdir("/proc/%d/fd" % daemon))
            view.process.kill()
            view.process.wait()
            wait_until(lambda: len(os.listdir("/proc/%d/fd" % daemon)) < descriptors)
        finally:
            view.close()
    assert memattach.daemon_pid() == daemon
    assert "tracking" in memattach.ok("status", named.pid).text
    assert probe.is_alive(named.pid) and named.ask("grow", "small", 1) == {}


def test_two_viewers(named, memattach):
    """Each has its own filter, order and reference point."""
    first = Pty(memattach, "live", named.pid, "--interval", "100ms")
    second = Pty(memattach, "live", named.pid, "--interval", "100ms")
    try:
        first.read_until(b"hold_large")
        second.read_until(b"hold_large")
        first.press(b"/small\r")
        second.press(b"/large\r")
        first.drain(0.5)
        second.drain(0.5)
        assert b"hold_large" not in first.picture(b"hold_small")
        assert b"hold_small" not in second.picture(b"hold_large")
    finally:
        first.close()
        second.close()
