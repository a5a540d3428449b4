#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A target that makes small objects without pause, at sites that know what they allocated and hold.

    windowed.py SEED

"warm SECONDS" makes objects on a line of its own, "run SECONDS" on those of the sites, in turns that the
seed decides: some sites a few objects at a time, others thousands. "sites" tells what is true of each.
Commands come from standard input, one a line, and are answered with one line of JSON.

A site is a function in a file of its own, made with compile(), whose only allocation is unit * n: n + 33
bytes, asked of the word `malloc` of the OBJ table, which is looked at in windows (bytes(n) asks for
zeroed memory, which is always looked at). Each site holds the objects that it made last.

Runs unmodified on CPython 3.8 to 3.15, without third-party packages.
"""

import gc
import itertools
import json
import os
import random
import sys
import time

BYTES_HEAD = 33
LARGEST = 512  # that pymalloc serves
SITES = 40
SOURCE = """
def allocate(slots, places, unit, size):
    for place in places:
        slots[place] = unit * size
"""
LINE = 4
HELD = [1000, 8000, 80000]
TURNS = [20, 200, 1000]    # objects of a turn
SHARES = [100, 30, 10, 3]  # of the objects, in relation to each other
PAUSE = 25                 # steps of a loop that does nothing, for each object


class Site:
    def __init__(self, number, choose):
        self.file = "site_%03d.py" % number
        self.size = 2 + int(choose() * (LARGEST - BYTES_HEAD - 2))
        self.slots = [None] * HELD[number % len(HELD)]
        self.turn = TURNS[number // len(HELD) % len(TURNS)]
        self.share = SHARES[number // (len(HELD) * len(TURNS)) % len(SHARES)]
        self.made = 0
        names = {}
        exec(compile(SOURCE, self.file, "exec"), names)
        self.allocate = names["allocate"]

    def take_turn(self):
        # All HELD are multiples of all TURNS.
        first = self.made % len(self.slots)
        self.allocate(self.slots, range(first, first + self.turn), b"x", self.size)
        self.made += self.turn

    def truth(self):
        size = self.size + BYTES_HEAD
        held = sum(slot is not None for slot in self.slots)
        return {"file": self.file, "line": LINE,
                "allocated_bytes": size * self.made, "allocated_count": self.made,
                "live_bytes": size * held, "live_count": held,
                "smallest": size, "largest": size}


def work(sites, seconds, choose):
    # Each site as often as its share of the objects demands.
    wheel = [site for site in sites for _ in range(site.share * max(TURNS) // site.turn)]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        site = wheel[int(choose() * len(wheel))]
        site.take_turn()
        for _ in itertools.repeat(None, PAUSE * site.turn):
            pass
        bytearray(2000)  # of malloc: when that is freed, the hook turns to the next window


def main():
    # random() alone is the same on every version of Python.
    choose = random.Random(int(sys.argv[1])).random
    sites = [Site(number, choose) for number in range(SITES)]
    warm = [Site(SITES, choose)]
    # pymalloc's own books grow now, not on a line that is measured.
    for site in sites:
        for _ in range(1 + len(site.slots) // site.turn):
            site.take_turn()
        site.slots[:] = [None] * len(site.slots)
        site.made = 0
    gc.disable()
    print(json.dumps({"ready": os.getpid()}), flush=True)
    for line in sys.stdin:
        word, *rest = line.split()
        answer = {"done": word}
        if word == "quit":
            return 0
        if word in ("warm", "run"):
            work(warm if word == "warm" else sites, float(rest[0]), choose)
        if word == "sites":
            answer["sites"] = [site.truth() for site in sites]
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
