# SPDX-License-Identifier: MIT
"""Starting storm.py with any Python and any allocator, and judging what it tells."""

import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

from target import Target  # noqa: E402

BUILD = os.environ.get("MEMATTACH_BUILD", os.path.join(os.path.dirname(os.path.dirname(HERE)),
                                                       "build"))
LIBRARIES = os.path.join(BUILD, "tests", "torture")
HOST_LIBRARIES = "/usr/lib/x86_64-linux-gnu"
ALLOCATORS = {"glibc": None, "jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc_minimal.so.4"}


def missing_allocator(name):
    """Why targets cannot be started with this allocator, or None."""
    library = ALLOCATORS[name]
    if library and not os.path.exists(os.path.join(HOST_LIBRARIES, library)):
        return "there is no %s (scripts/setup --test installs it)" % library
    return None


class Storm(Target):
    def __init__(self, python, allocator="glibc", log=None):
        self.errors_path = log
        errors = open(log, "w+b") if log else open(os.devnull, "w+b")
        command = list(python.command)
        if ALLOCATORS[allocator]:
            library = python.path(os.path.join(HOST_LIBRARIES, ALLOCATORS[allocator]))
            command[-1:] = ["/usr/bin/env", "LD_PRELOAD=" + library, command[-1]]
        arguments = ["-W", "ignore", python.path(os.path.join(HERE, "storm.py")),
                     python.path(LIBRARIES)]
        folders = [HERE, LIBRARIES, HOST_LIBRARIES]
        starter = type(python)(python.label, python.version, command, python.root)
        process = starter.start(arguments, folders, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=errors)
        super().__init__(process, errors)
        self.python = python
        self.allocator = allocator

    def ask(self, command, seconds=90):
        try:
            self.process.stdin.write(command.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise AssertionError("the target ended (%s); its errors:\n%s"
                                 % (self.process.wait(60), self.error_text()))
        return json.loads(self.read_line(seconds))

    def go(self):
        self.ask("go")

    def quiet(self):
        busy = self.ask("quiet")["still busy"]
        assert not busy, "workers that do not come to rest: %s" % ", ".join(busy)

    def leave(self):
        """Ends it in its own way; returns the exit status."""
        self.process.stdin.write(b"exit\n")
        self.process.stdin.flush()
        return self.process.wait(30)


def findings(report):
    """What is broken by the target's own account, as sentences."""
    found = []
    for worker in report["workers"]:
        if worker["broken"]:
            found.append("%s: broken %d times, last: %s" % (worker["name"], worker["broken"],
                                                            "; ".join(worker["words"])))
    for name, asleep in report["sleepers"].items():
        for fault in ("wrong", "early", "late"):
            if asleep[fault]:
                found.append("sleeper in %s: %s %d times in %d, errno %d, worst %d ms behind" % (
                    name, fault, asleep[fault], asleep["rounds"], asleep["last_errno"],
                    asleep["worst_ns"] // 1000000))
    signals = report["signals"]
    for fault in ("disordered", "spoiled"):
        if signals[fault]:
            found.append("signals: %d %s" % (signals[fault], fault))
    if signals["received"] > signals["sent"] + 1:
        found.append("signals: %(received)d received, %(sent)d sent" % signals)
    if abs(signals["expired"] - signals["due"]) > 5 + signals["due"] // 100:
        found.append("timer: %(expired)d signals, %(due)d were due" % signals)
    return found


def standstill(before, after):
    """Who has not moved between two reports."""
    found = [worker["name"] for worker, now in zip(before["workers"], after["workers"])
             if now["rounds"] == worker["rounds"]]
    found += ["sleeper in " + name for name, asleep in before["sleepers"].items()
              if after["sleepers"][name]["rounds"] == asleep["rounds"]]
    if after["signals"]["received"] == before["signals"]["received"]:
        found.append("queued signals")
    return ["no progress: " + name for name in found]
