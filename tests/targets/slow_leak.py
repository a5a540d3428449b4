#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A slow leak under fast churn: a few KiB a second stay, hundreds of MiB a second come and go.

    slow_leak.py LEAK_MIB_PER_HOUR CHURN_MIB_PER_SECOND

Prints a line when it is up; ends when its standard input does.
"""

import sys
import threading
import time

LEAKED = []
SIZES = [200, 900, 3000, 12000, 50000]
LEAK_BLOCK = 700


def leak_one():
    LEAKED.append(bytes(LEAK_BLOCK))


def churn_some(count):
    for _ in range(count):
        for size in SIZES:
            block = bytes(size)
    return block


def main():
    leak_per_second = float(sys.argv[1]) * (1 << 20) / 3600
    churn_per_second = float(sys.argv[2]) * (1 << 20)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    print("up", flush=True)
    began = time.monotonic()
    leaked = churned = 0
    while not ended.is_set():
        passed = time.monotonic() - began
        while leaked < leak_per_second * passed:
            leak_one()
            leaked += LEAK_BLOCK
        if churned < churn_per_second * passed:
            churn_some(20)
            churned += 20 * sum(SIZES)
        else:
            ended.wait(0.001)
    print("leaked %d churned %d" % (leaked, churned), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
