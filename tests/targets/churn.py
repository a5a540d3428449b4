#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Allocates as told, and keeps a ledger of what it did: one command a line, one answer in JSON.

    work SECONDS [MIB_PER_SECOND]   blocks of 1 to 5 KB in a sliding window, 20 calls deep: as fast as it
                                    goes, or at that rate: {"blocks", "bytes", "cpu", "wall"} of this command
    live                            {"bytes", "line"}: what is in the window, and the line that made it
    quit

A bytearray is two requests, its object and one byte more than its length; "bytes" counts both.
"""

import collections
import inspect
import json
import sys
import time

WINDOW = 2000
DEPTH = 20
BATCH = 500
EXTRA = bytearray.__basicsize__ + 1


class Churn:
    def __init__(self):
        self.window = collections.deque(maxlen=WINDOW)
        self.blocks = self.bytes = 0

    def batch(self, depth=DEPTH):
        if depth:
            self.batch(depth - 1)
            return
        for i in range(self.blocks, self.blocks + BATCH):
            size = 1024 + i * 37 % 4096
            self.window.append(bytearray(size))
            self.bytes += size + EXTRA
        self.blocks += BATCH

    def work(self, seconds, mib_per_second="0"):
        rate = float(mib_per_second) * (1 << 20)
        blocks, done = self.blocks, self.bytes
        wall, cpu = time.monotonic(), time.process_time()
        end = wall + float(seconds)
        while time.monotonic() < end:
            if rate and self.bytes - done > rate * (time.monotonic() - wall):
                time.sleep(0.001)
            else:
                self.batch()
        return {"blocks": self.blocks - blocks, "bytes": self.bytes - done,
                "cpu": time.process_time() - cpu, "wall": time.monotonic() - wall}

    def live(self):
        lines, first = inspect.getsourcelines(Churn.batch)
        line = first + next(i for i, text in enumerate(lines) if "bytearray(" in text)
        return {"bytes": sum(len(block) + EXTRA for block in self.window), "line": line}


def main():
    churn = Churn()
    print("up", flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "quit":
            return 0
        print(json.dumps({"work": churn.work, "live": churn.live}[words[0]](*words[1:])),
              flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
