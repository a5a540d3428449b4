# SPDX-License-Identifier: MIT
"""Figures from repeated measurements, how they are printed, and what they were measured on."""

import datetime
import math
import platform
import subprocess
import sys


class Spread:
    """Smallest, median and largest of some measurements."""

    def __init__(self, values):
        self.values = sorted(values)

    @property
    def median(self):
        middle = len(self.values) // 2
        if len(self.values) % 2:
            return self.values[middle]
        return (self.values[middle - 1] + self.values[middle]) / 2

    def text(self, form="%.2f"):
        if not self.values:
            return "-"
        if len(self.values) == 1:
            return form % self.values[0]
        return "%s (%s–%s)" % (form % self.median, form % self.values[0], form % self.values[-1])

    def data(self):
        if not self.values:
            return None
        return {"min": self.values[0], "median": self.median, "max": self.values[-1],
                "count": len(self.values)}


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def percentile(values, share):
    """The smallest value that is not below `share` of them."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


class Table:
    """Rows of texts, printed as a table of Markdown whose columns are aligned."""

    def __init__(self, *head):
        self.rows = [head]

    def add(self, *cells):
        self.rows.append(tuple(map(str, cells)))

    def text(self):
        widths = [max(len(row[at]) for row in self.rows) for at in range(len(self.rows[0]))]
        lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
                 for row in self.rows]
        return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|",
                          *lines[1:]])


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return "%s, %d cores" % (names[0], len(names)) if names else platform.machine()


def first_line(*command):
    try:
        run = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except OSError:
        return None
    return (run.stdout.strip().split("\n") or [""])[0] or None


def machine(program):
    """What the figures depend on."""
    return {"time": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "kernel": platform.release(), "processor": processor(),
            "libc": " ".join(platform.libc_ver()),
            "memattach": first_line(program, "--version"),
            "revision": first_line("git", "describe", "--always", "--dirty"),
            "gdb": first_line("gdb", "--version")}


class Progress:
    """One line on a terminal that says what is being measured; nothing elsewhere."""

    def __init__(self):
        self.shown = sys.stderr.isatty()
        self.width = 0

    def say(self, text):
        if self.shown:
            sys.stderr.write("\r" + text[:100].ljust(self.width))
            sys.stderr.flush()
            self.width = min(len(text), 100)

    def clear(self):
        self.say("")
        if self.shown:
            sys.stderr.write("\r")
