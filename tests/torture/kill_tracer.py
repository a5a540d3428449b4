# SPDX-License-Identifier: MIT
"""Kills the tracing process at random instants and looks whether the target minds.

    kill_tracer.py CYCLE_PROGRAM PID [--kills N] [--seed S]

Runs the cycle program again and again; its child, the guardian, gets SIGKILL after a random time.
Afterwards the target must be alive, with the signal masks that it had, and one more attach and detach
must leave nothing behind. Exit status 1 otherwise.
"""
import argparse
import os
import random
import re
import signal
import subprocess
import sys
import time


def guardian_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = file.read().split()
    except OSError:
        return None
    for child in children:
        try:
            with open(f"/proc/{child}/comm") as file:
                if file.read().strip() == "memattach-guard":
                    return int(child)
        except OSError:
            pass
    return None


def masks(pid):
    found = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{tid}/status") as file:
                found[tid] = re.search(r"SigBlk:\s*(\w+)", file.read()).group(1)
        except OSError:
            pass
    return found


def ours(pid):
    with open(f"/proc/{pid}/maps") as file:
        return [line for line in file if "memattach" in line]


def kill_once(program, pid, chance):
    run = subprocess.Popen([program, str(pid), "--cycles", "2", "--quiet", "--stay", "1"],
                           stdout=subprocess.DEVNULL)
    victim = None
    deadline = time.monotonic() + 5
    while victim is None and run.poll() is None and time.monotonic() < deadline:
        victim = guardian_of(run.pid)
    end = time.monotonic() + chance.uniform(0, 0.03)
    while time.monotonic() < end:
        pass
    # The same guardian, or the next one, whichever works now.
    victim = guardian_of(run.pid) or victim
    killed = False
    if victim:
        try:
            os.kill(victim, signal.SIGKILL)
            killed = True
        except ProcessLookupError:
            pass
    run.wait()
    return killed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("pid", type=int)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    before = masks(options.pid)
    kills = 0
    for number in range(options.kills):
        kills += kill_once(options.program, options.pid, chance)
        if not os.path.exists(f"/proc/{options.pid}/maps") or not ours_readable(options.pid):
            print(f"the target died after kill {number}")
            return 1
    last = subprocess.run([options.program, str(options.pid), "--cycles", "1", "--quiet"])
    after = masks(options.pid)
    changed = {tid for tid in before if tid in after and before[tid] != after[tid]}
    left = ours(options.pid)
    print(f"kills {kills}, changed masks {len(changed)}, mappings of ours left {len(left)}")
    for line in left:
        print("  ", line.strip())
    return 1 if last.returncode not in (0, 1) or changed or len(left) > 2 else 0


def ours_readable(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
