# SPDX-License-Identifier: MIT
"""What the tests of the live view share: a target with known sites, and the view in a terminal."""

import json
import os
import re
import subprocess
import tempfile

import pytest

import program
from pythons import TARGETS
from target import Target
from terminal import Terminal, is_there

needs_tmux = pytest.mark.skipif(not is_there(), reason="tmux is not installed")


class Named(Target):
    """tests/targets/live_names.py."""

    def __init__(self, python):
        errors = tempfile.TemporaryFile()
        process = python.start([python.path(os.path.join(TARGETS, "live_names.py"))],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        super().__init__(process, errors)
        self.lines = json.loads(self.read_line())["lines"]

    def say(self, *words):
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.process.stdin.flush()

    def ask(self, *words, seconds=60):
        self.say(*words)
        return json.loads(self.read_line(seconds))


class View(Terminal):
    """`memattach live PID` in a terminal. A row has figures, then names."""

    HEADS = r"LIVE\S* +\S+95%"

    def heads(self):
        """Row of the headings, and the titles with the column behind their last sign."""
        number, match = self.wait_for(self.HEADS)
        return number

    def rows(self):
        """Lines of the body: below the headings, above the last row, blank ones left out."""
        lines = self.lines()
        heads = next((n for n, line in enumerate(lines) if self.find_in(line)), None)
        if heads is None:
            return []
        return [line for line in lines[heads + 1:-2] if line.strip()]

    def find_in(self, line):
        return re.search(self.HEADS, line)

    def picked(self):
        """The row that is picked, by its ground (256 colours)."""
        for line in self.raw().split("\n"):
            if "48;5;237" in line:
                return re.sub(r"\x1b\[[\d;]*m", "", line)
        return ""

    def live(self, name):
        """The LIVE figure of the row with that text in it, in bytes; None: no such row."""
        for row in self.rows():
            if name in row:
                return size_of(row.split()[0])
        return None

    def wait_live(self, name, bytes, seconds=30):
        """Waits until a row's LIVE is within 20 % of that."""
        self.wait(lambda: abs((self.live(name) or 0) - bytes) <= 0.2 * bytes, seconds,
                  "%s with %d bytes" % (name, bytes))


def size_of(figure):
    """Bytes of "1.84G"."""
    units = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    figure = figure.lstrip("+")
    if figure[-1:] in units:
        return float(figure[:-1]) * units[figure[-1]]
    return float(figure)


def open_view(memattach, pid, *arguments, ready=r"RSS ", **terminal):
    env = {"MEMATTACH_RUNTIME_DIR": memattach.runtime, "NO_COLOR": None, "COLORTERM": None}
    env.update(terminal.pop("env", {}))
    view = View([program.PROGRAM, "live", pid, "--interval", "100ms", *arguments], env=env,
                **terminal)
    if ready:
        try:
            view.wait_for(ready)
        except AssertionError:
            view.close()
            raise
    return view


@pytest.fixture
def look(memattach):
    """look(PID, ...) opens a view, which is closed at the end."""
    opened = []

    def opener(pid, *arguments, **terminal):
        view = open_view(memattach, pid, *arguments, **terminal)
        opened.append(view)
        return view

    yield opener
    for view in opened:
        view.close()


@pytest.fixture
def named(start, python, memattach):
    """An attached target whose functions hold 12, 4 and 6 MiB."""
    target = start(Named, python)
    memattach.ok("attach", target.pid, "--sample", "exact")
    target.ask("grow", "large", 12)
    target.ask("grow", "small", 4)
    target.ask("grow", "deep", 6)
    return target
