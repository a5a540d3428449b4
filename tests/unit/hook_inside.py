# SPDX-License-Identifier: MIT
"""Runs hook_inside_target.py with every Python of this machine, both builds of the hook, both modes.

Usage: hook_inside.py SHIM HOOK,HOOK LIBRARY... One line a run; exit 1 when one failed, 77 when there
is no Python at all.
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import pythons  # noqa: E402 (found by the line above)


def run(python, mode, files):
    """True when all went well; prints what the target says. files: the shim, the hook, libraries."""
    shim, hook, libraries = files[0], files[1], files[2:]
    arguments = ["-B", os.path.join(HERE, "hook_inside_target.py"), shim, hook, mode] + libraries
    arguments[1:4] = [python.path(path) for path in arguments[1:4]]
    arguments[5:] = [python.path(path) for path in arguments[5:]]
    folders = sorted({HERE} | {os.path.dirname(path) for path in files})
    child = python.start(arguments, folders=folders, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        text = child.communicate(timeout=100)[0]
    except subprocess.TimeoutExpired:
        child.kill()
        text = child.communicate()[0] + "\nstill running after 100 s"
    print("%s %s %s: %s" % (python.label, os.path.basename(hook), mode, text.strip()), flush=True)
    if child.returncode < 0:
        print("ended by signal %d" % -child.returncode)
    return child.returncode == 0


def main():
    shim, hooks, libraries = sys.argv[1], sys.argv[2].split(","), sys.argv[3:]
    failed, ran = [], 0
    for python in pythons.every():
        if python.skip:
            print("%s: skipped: %s" % (python.label, python.skip))
            continue
        for hook in hooks:
            for mode in ("sampled", "exact"):
                ran += 1
                if not run(python, mode, [shim, hook] + libraries):
                    failed.append("%s %s %s" % (python.label, os.path.basename(hook), mode))
    if failed:
        sys.exit("failed: " + ", ".join(failed))
    if not ran:
        print("no supported Python is installed")
        sys.exit(77)


if __name__ == "__main__":
    main()
