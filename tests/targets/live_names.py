#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A program to look at: functions that hold known amounts, some under names that no terminal should
obey, in threads of its own.

    live_names.py        prints a line of JSON when it is up: {"lines": {name: line}, "tids": [...]}
    stdin  grow NAME MIB    that function holds so many more MiB
           drop NAME        and lets go of them
           sites COUNT      as many lines as that allocate 64 bytes each, once
           work             counts until the next line comes; answers {"turns": how many a second}
           quit             ends
"""

import ctypes
import json
import os
import sys
import threading
import time

CHUNK = 64 << 10
HELD = {}

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31mevil\x1b[0m"
WIDE = "\u65e5\u672c\u8a9e\u306e\u95a2\u6570"
COMBINING = "e\u0301\u0323a\u0308"


def hold_large(mib):
    held = []
    while len(held) < mib * 16:
        held.append(bytearray(CHUNK))
    return held


def hold_small(mib):
    held = []
    while len(held) < mib * 16:
        held.append(bytearray(CHUNK))
    return held


def outer(mib):
    return middle(mib)


def middle(mib):
    return inner(mib)


def inner(mib):
    held = []
    while len(held) < mib * 16:
        held.append(bytearray(CHUNK))
    return held


def named(name, file, line):
    """A function of that name, said to be in that file."""
    source = "\n" * (line - 1) + ("def made(mib):\n    held = []\n    while len(held) < mib * 16:\n"
                                  "        held.append(bytearray(%d))\n    return held\n" % CHUNK)
    space = {}
    exec(compile(source, file, "exec"), space)
    made = space["made"]

    def rename(code):
        inside = tuple(rename(c) if hasattr(c, "co_code") else c for c in code.co_consts)
        words = {"co_consts": inside, "co_name": name}
        if hasattr(code, "co_qualname"):
            words["co_qualname"] = name
        return code.replace(**words)

    made.__code__ = rename(made.__code__)
    return made


FUNCTIONS = {
    "large": hold_large,
    "small": hold_small,
    "deep": outer,
    "escapes": named(ESCAPES, "/srv/" + ESCAPES + "/\x9b31m.py", 7),
    "wide": named(WIDE, "/srv/\u30d5\u30a1\u30a4\u30eb.py", 11),
    "combining": named(COMBINING, "/srv/plain.py", 13),
}


def set_name(name):
    """The kernel's name of this thread."""
    ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)


class Worker(threading.Thread):
    """Allocates what it is told to, under a name of its own."""

    def __init__(self, name):
        super().__init__(daemon=True)
        self.label = name
        self.jobs = []
        self.wake = threading.Condition()
        self.start()

    def run(self):
        set_name(self.label)
        while True:
            with self.wake:
                while not self.jobs:
                    self.wake.wait()
                job = self.jobs[0]
            job()
            with self.wake:
                self.jobs.pop(0)
                self.wake.notify_all()

    def do(self, job):
        with self.wake:
            self.jobs.append(job)
            self.wake.notify_all()
            while self.jobs:
                self.wake.wait()


def make_sites(count):
    """Each line of a generated program allocates once."""
    lines, part = [], 2000
    for start in range(0, count, part):
        source = "".join("h.append(bytearray(64))\n" for _ in range(min(part, count - start)))
        code = compile("\n" * start + source, "/srv/many_%d.py" % start, "exec")
        exec(code, {"h": lines})
    return lines


def work():
    """Allocates and frees until the next line comes."""
    stop = threading.Event()
    turns = [0]

    def turn():
        while not stop.is_set():
            for _ in range(100):
                bytearray(3000)
            turns[0] += 100

    thread = threading.Thread(target=turn)
    began = time.monotonic()
    thread.start()
    sys.stdin.readline()
    stop.set()
    thread.join()
    return turns[0] / (time.monotonic() - began)


def main():
    workers = {"small": Worker("worker-one"), "deep": Worker("w\u00f6rk\x1b[31m")}
    first = {name: function.__code__.co_firstlineno for name, function in FUNCTIONS.items()}
    print(json.dumps({"lines": first, "pid": os.getpid()}), flush=True)
    for text in iter(sys.stdin.readline, ""):
        words = text.split()
        answer = {}
        if words[0] == "grow":
            def job():
                HELD.setdefault(words[1], []).append(FUNCTIONS[words[1]](int(words[2])))
            workers[words[1]].do(job) if words[1] in workers else job()
        elif words[0] == "drop":
            HELD.pop(words[1], None)
        elif words[0] == "sites":
            HELD["sites"] = make_sites(int(words[1]))
        elif words[0] == "work":
            answer["turns"] = work()
        elif words[0] == "quit":
            return 0
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
