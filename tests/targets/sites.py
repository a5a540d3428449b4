#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A target with many sites, each of which knows exactly what it allocated and holds.

    sites.py SEED

What every site will allocate follows from the seed and is printed, with its place in the program,
before anything is allocated: whoever measures can choose sites without having seen a sample. Then
the commands "run" (allocate, and free what is to be freed), "ping" and "quit" are taken from standard
input, one a line, and answered with one line of JSON.

A site is a function in a file of its own, made with compile(), whose only allocation is bytes(n): n +
33 bytes (see ledger.py). Some sites have blocks of one size, some of sizes that differ a thousandfold;
some hold almost nothing. A third of them run in threads that end.

Runs unmodified on CPython 3.8 to 3.15, without third-party packages.
"""

import gc
import json
import os
import random
import sys
import threading

BYTES_HEAD = 33
SITES = 60
NOTHING = None
SOURCE = """
def allocate(slots, first, sizes):
    for index, size in enumerate(sizes, first):
        slots[index] = bytes(size)
"""
LINE = 4

# (smallest, largest) request of a site, sizes between them each order of magnitude equally often.
RANGES = [(60, 60), (120, 400), (600, 600), (600, 3000), (4000, 9000), (16000, 17000),
          (50000, 60000), (150000, 150000), (60, 60000), (400, 200000)]
# What a site allocates in all, in bytes: from what is likely to be missed to some hundred samples.
VOLUMES = [4 << 10, 16 << 10, 48 << 10, 128 << 10, 384 << 10, 1 << 20, 2 << 20]


class Site:
    def __init__(self, number, choose):
        self.file = "site_%03d.py" % number
        low, high = RANGES[number % len(RANGES)]
        volume = VOLUMES[number // len(RANGES) % len(VOLUMES)] * (0.5 + choose())
        self.sizes = []
        while not self.sizes or sum(self.sizes) < volume:
            request = int(low * (high / low) ** choose())
            self.sizes.append(max(2, request - BYTES_HEAD))
        # A part is freed again, so that live and allocated differ.
        self.freed = [choose() < 0.3 for _ in self.sizes]
        self.in_thread = number % 3 == 2
        names = {}
        exec(compile(SOURCE, self.file, "exec"), names)
        self.allocate = names["allocate"]
        self.slots = [NOTHING] * len(self.sizes)

    def truth(self):
        allocated = [size + BYTES_HEAD for size in self.sizes]
        live = [size for size, freed in zip(allocated, self.freed) if not freed]
        return {"file": self.file, "line": LINE,
                "allocated_bytes": sum(allocated), "allocated_count": len(allocated),
                "live_bytes": sum(live), "live_count": len(live),
                "smallest": min(allocated), "largest": max(allocated)}

    def clear(self):
        for index in range(len(self.slots)):
            self.slots[index] = NOTHING


class Sites:
    def __init__(self, seed):
        # random() alone is the same on every version of Python.
        self.choose = random.Random(seed).random
        self.sites = [Site(number, self.choose) for number in range(SITES)]

    def portions(self):
        """All sites in turns, each some blocks at a time, in an order that the seed decides."""
        portions = []
        for site in self.sites:
            step = max(1, len(site.sizes) // 8)
            portions += [(self.choose(), site.file, site, first, site.sizes[first:first + step])
                         for first in range(0, len(site.sizes), step)]
        return sorted(portions, key=lambda portion: portion[:2] + portion[3:4])

    def run(self):
        for _, _, site, first, sizes in self.portions():
            if site.in_thread:
                thread = threading.Thread(target=site.allocate, args=(site.slots, first, sizes))
                thread.start()
                thread.join()
            else:
                site.allocate(site.slots, first, sizes)
        for site in self.sites:
            for index, freed in enumerate(site.freed):
                if freed:
                    site.slots[index] = NOTHING

    def clear(self):
        for site in self.sites:
            site.clear()
        gc.collect()


def main():
    sites = Sites(int(sys.argv[1]))
    # pymalloc's own books grow now, not on a line that is measured.
    sites.run()
    sites.clear()
    gc.disable()
    print(json.dumps({"ready": os.getpid(), "sites": [site.truth() for site in sites.sites]}),
          flush=True)
    for line in sys.stdin:
        if line.strip() == "quit":
            return 0
        if line.strip() == "run":
            sites.run()
        print(json.dumps({"done": line.strip()}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
