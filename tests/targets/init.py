#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PID 1 of a container without an init: waits for every child, as a shell or a pre-fork master does.

Commands on standard input, one a line, answers as JSON on standard output:

    children     what it has seen so far: children by waitpid(-1), and SIGCHLD
    fork CODE    has a child that ends with this code; it will be among the children seen
    hold BYTES   holds a block of that size, at the line marked HOLD
    quit CODE    ends
"""

import json
import os
import signal
import sys

HELD = []
SEEN = []
SIGNALS = []


def on_child(_number, _frame):
    SIGNALS.append(1)


def reap():
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        SEEN.append([pid, os.WEXITSTATUS(status)])


def hold(size):
    HELD.append(bytes(size))  # HOLD


def serve():
    signal.signal(signal.SIGCHLD, on_child)
    print(json.dumps({"ready": os.getpid()}), flush=True)
    for line in sys.stdin:
        word, *arguments = line.split()
        if word == "quit":
            return int(arguments[0])
        if word == "fork":
            child = os.fork()
            if not child:
                os._exit(int(arguments[0]))
            while child not in [pid for pid, _ in SEEN]:
                reap()
        if word == "hold":
            hold(int(arguments[0]))
        reap()
        print(json.dumps({"children": SEEN, "signals": len(SIGNALS)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(serve())
