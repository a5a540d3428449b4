# SPDX-License-Identifier: MIT
"""Runs hook_frames_target.py with every Python of this machine.

Usage: hook_frames.py SHIM [--bench]. One line a Python; exit 1 when one failed, 77 when there is
none at all.
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import pythons  # noqa: E402 (found by the line above)


def run(python, shim, arguments):
    """True when all went well in this Python; prints what it says."""
    folder = os.path.dirname(shim)
    command = ["-B", python.path(os.path.join(HERE, "hook_frames_target.py")), python.path(shim)]
    child = python.start(command + arguments, folders=[HERE, folder], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        text = child.communicate(timeout=200)[0]
    except subprocess.TimeoutExpired:
        child.kill()
        text = child.communicate()[0] + "\nstill running after 200 s"
    print("%s: %s" % (python.label, text.strip()), flush=True)
    return child.returncode == 0


def main():
    shim, arguments = os.path.abspath(sys.argv[1]), sys.argv[2:]
    failed, ran = [], 0
    for python in pythons.every():
        if python.skip:
            print("%s: skipped: %s" % (python.label, python.skip))
            continue
        ran += 1
        if not run(python, shim, arguments):
            failed.append(python.label)
    if failed:
        sys.exit("failed in " + ", ".join(failed))
    if not ran:
        print("no supported Python is installed")
        sys.exit(77)


if __name__ == "__main__":
    main()
