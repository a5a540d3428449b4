# SPDX-License-Identifier: MIT
"""Modules that are no longer where they were, or lie in another root, or say nonsense of themselves;
and names that take long."""

import json
import os
import re
import shutil
import signal
import struct
import subprocess

import pytest

import native_module
import probe
import program
import terminal
import unharmed
from box import Box
from waiting import wait_until


def names_of(memattach, target):
    """Names of the library's innermost functions, once none of them is on its way."""
    native_module.call_until_seen(memattach, target)

    def settled():
        sessions = json.loads(memattach.ok("status", "--json", target.pid).text)["sessions"]
        return not sessions[0]["names_pending"]
    wait_until(settled, 60, "all names")
    return {stack[0][0] for stack in native_module.stacks_of(memattach.snapshot(target.pid))}


def other_library(folder):
    """Of the same layout with another name: whoever opens the wrong file shows it."""
    folder.mkdir()
    return native_module.build(folder, "not_a_row")


@pytest.mark.skipif(os.geteuid() != 0, reason="/proc/PID/map_files is for root")
@pytest.mark.parametrize("moment", ["before the attach", "after it"])
@pytest.mark.parametrize("fate", ["replaced", "deleted"])
def test_gone_from_its_path(memattach, start, python, tmp_path, fate, moment):
    library = native_module.build(tmp_path)
    other = other_library(tmp_path / "other")
    target = start(native_module.Caller, python, library)

    def befall():
        os.unlink(library)
        if fate == "replaced":
            shutil.copy(other, library)
    if moment == "before the attach":
        befall()
    memattach.ok("attach", "--sample", "16KiB", target.pid)
    if moment == "after it":
        befall()
    assert names_of(memattach, target) == {"fill_row"}
    memattach.ok("detach", target.pid)


class BoxedCaller(Box, native_module.Caller):
    """tests/targets/many_functions.py in a box, with a library that is put there first."""

    def __init__(self, library, path, **box):
        Box.__init__(self, ["sh", "-c", "echo inside; read go; exec /usr/bin/python3 -B "
                                        "/tests/many_functions.py " + path], **box)
        assert self.read_line() == "inside"
        self.find()
        inside = "/proc/%d/root%s" % (self.pid, path)
        os.makedirs(os.path.dirname(inside))
        shutil.copy(library, inside)
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        assert self.read_line() == "up"


@pytest.mark.parametrize("box", [
    dict(namespaces=()), dict(), dict(namespaces=(), has=("proc", "writable"))],
    ids=["mount namespace", "and PIDs", "chroot"])
def test_of_another_root(memattach, start, tmp_path, box):
    """Where the target has its library, we have another one under the same name."""
    library = native_module.build(tmp_path)
    other = other_library(tmp_path / "other")
    target = start(BoxedCaller, library, other, **box)
    assert os.path.exists(other)
    memattach.ok("attach", "--sample", "16KiB", target.pid)
    assert names_of(memattach, target) == {"fill_row"}
    memattach.ok("detach", target.pid)


# Hostile files. The loader looks at segments alone, so each of them loads.

SECTION = "<IIQQQQIIQQ"
NAME, FLAGS, OFFSET, SIZE = 0, 2, 4, 5
COMPRESSED = 0x800


class Sections:
    """The section headers of an ELF file, to be changed in place."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            self.data = bytearray(file.read())
        self.at, = struct.unpack_from("<Q", self.data, 40)
        count, names = struct.unpack_from("<HH", self.data, 60)
        self.headers = [list(struct.unpack_from(SECTION, self.data, self.at + 64 * i))
                        for i in range(count)]
        start = self.headers[names][OFFSET]
        self.index = {self.data[start + header[NAME]:self.data.index(0, start + header[NAME])]
                      .decode(): i for i, header in enumerate(self.headers)}

    def change(self, name, field, value):
        header = self.headers[self.index[name]]
        header[field] = value
        struct.pack_into(SECTION, self.data, self.at + 64 * self.index[name], *header)

    def fill(self, name, record):
        """Replaces what is in a section by records."""
        header = self.headers[self.index[name]]
        start, size = header[OFFSET], header[SIZE]
        self.data[start:start + size] = (record * size)[:size]

    def save(self):
        os.unlink(self.path)
        with open(self.path, "wb") as file:
            file.write(self.data)


def break_off(sections):
    sections.change(".eh_frame", SIZE, len(sections.data))


def make_gigantic(sections):
    sections.change(".eh_frame", SIZE, 1 << 40)


def make_loop(sections):
    # A record of 12 bytes whose CIE is itself, again and again.
    sections.fill(".eh_frame", struct.pack("<IIQ", 12, 4, 0))


def unpack_to_much(sections):
    header = sections.headers[sections.index[".eh_frame"]]
    struct.pack_into("<IIQQ", sections.data, header[OFFSET], 1, 0, 1 << 40, 1)
    sections.change(".eh_frame", FLAGS, header[FLAGS] | COMPRESSED)


def lose_section_headers(sections):
    struct.pack_into("<Q", sections.data, 40, 1 << 50)


@pytest.mark.parametrize("spoil", [break_off, make_gigantic, make_loop, unpack_to_much,
                                   lose_section_headers])
def test_hostile_unwind_information(memattach, start, python, tmp_path, spoil):
    """Attached, Python's lines shown, a notice that names the file, and the target as it was."""
    memattach.env["MEMATTACH_CACHE_DIR"] = str(tmp_path / "cache")
    library = native_module.build(tmp_path)
    sections = Sections(library)
    spoil(sections)
    sections.save()
    target = start(native_module.Caller, python, library)
    for _ in range(3):
        target.call()  # what it holds has its place now
    before = probe.state(target.pid)
    memattach.ok("attach", "--sample", "16KiB", target.pid)

    def noticed():
        target.call()
        session, = json.loads(memattach.ok("status", "--json", target.pid).text)["sessions"]
        return [notice for notice in session["notice"].split("\n")
                if "Native stacks end in " + library in notice]
    assert len(wait_until(noticed, 60, "the notice")) == 1
    # What the hostile module asks for is under the line that called it, as ever.
    lines = {(frame[1], frame[2]) for site in memattach.snapshot(target.pid).sites
             for frame in site.frames}
    assert any(os.path.basename(file) == "many_functions.py" for file, _ in lines), lines
    memattach.ok("detach", target.pid)
    unharmed.as_before(target.pid, before)
    target.call()
    assert target.quit() == -signal.SIGTERM


@pytest.mark.skipif(not terminal.is_there(), reason="tmux is not installed")
def test_names_that_take_long(memattach, start, python, tmp_path):
    """The command says how many are on their way, and shows them when they have come."""
    first = start(native_module.Caller, python, native_module.build(tmp_path))
    memattach.ok("attach", "--sample", "16KiB", first.pid)
    assert names_of(memattach, first) == {"fill_row"}

    def readers():
        return [pid for pid in probe.children(memattach.daemon_pid())
                if probe.read("/proc/%d/comm" % pid).strip() == "memattach-names"]

    def hold():
        """Whoever looks up names stands still. One that does for long is replaced."""
        for pid in readers():
            os.kill(pid, signal.SIGSTOP)
        return True
    assert readers()
    folder = tmp_path / "second"
    folder.mkdir()
    second = start(native_module.Caller, python, native_module.build(folder, "fill_column"))
    memattach.ok("attach", "--sample", "16KiB", second.pid)
    hold()

    def pending():
        second.call()
        sessions = json.loads(memattach.ok("status", "--json", second.pid).text)["sessions"]
        # Nothing but the library's two functions is new.
        return hold() and sessions[0]["names_pending"] >= 2
    wait_until(pending, 60, "names on their way")
    screen = terminal.Terminal([program.PROGRAM, "--wait", "0", second.pid], 120,
                               env=memattach.env)
    try:
        screen.wait(lambda: hold() and
                    screen.find(r"reading names \[.*\] .* of 30 s +\d+ native functions to go"))
        for pid in readers():
            os.kill(pid, signal.SIGCONT)
        assert screen.wait_end() == 0
        assert "fill_column" in screen.text() and "reading names" not in screen.text()
    finally:
        screen.close()
