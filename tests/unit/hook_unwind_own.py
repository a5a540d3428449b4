# SPDX-License-Identifier: MIT
"""Runs hook_unwind_own with the libpython of every Python of this machine that has a shared one.

Usage: hook_unwind_own.py PROGRAM [--bench]. One line a Python; exit 1 when one failed, 77 when there
is none at all.
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import pythons  # noqa: E402 (found by the line above)

SCRIPT = r"""
import ctypes, functools, json, os, re, threading
libc = ctypes.CDLL(None)
probe = ctypes.PYFUNCTYPE(None, ctypes.c_int)(int(os.environ["PROBE"], 16))

def down(n, leaf):
    return leaf() if n == 0 else down(n - 1, leaf)

def through_c(n):
    if n == 0:
        return probe(5)
    return functools.reduce(lambda a, b: through_c(n - 1), [1, 2][:2])

class Place:
    def __lt__(self, other):
        probe(6)
        return False
    def __del__(self):
        probe(7)
    def __getattr__(self, name):
        probe(8)
        return 1

def generator(n):
    if n:
        yield from generator(n - 1)
    else:
        probe(9)
        yield 1

def places():
    probe(1)
    down(30, lambda: probe(2))
    down(900, lambda: probe(3))
    through_c(20)
    sorted([Place(), Place()])
    Place().anything
    list(generator(10))
    re.sub("a", lambda match: probe(10) or "b", "a")
    json.loads("[[1]]", parse_int=lambda text: probe(11))
    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(
        lambda a, b: probe(12) or 0)
    libc.qsort((ctypes.c_int * 2)(2, 1), 2, 4, callback)
    eval("[probe(13) for _ in range(1)]")

if os.environ["BENCH"] == "1":
    down(30, lambda: probe(2))
    through_c(8)
else:
    places()
    thread = threading.Thread(target=places)
    thread.start()
    thread.join()
"""


def library(python):
    """(libpython, prefix) of a Python; None when it has no shared one."""
    child = python.start(["-c", "import sys, sysconfig, os; v = sysconfig.get_config_var; "
                          "print(os.path.join(v('LIBDIR'), v('LDLIBRARY'))); print(sys.prefix)"],
                         stdout=subprocess.PIPE, text=True)
    path, prefix = child.communicate(timeout=60)[0].split("\n")[:2]
    return (path, prefix) if ".so" in path and os.path.exists(path) else None


def main():
    program, arguments = sys.argv[1], sys.argv[2:]
    failed, ran = [], 0
    for python in pythons.every():
        found = None if python.skip or python.root else library(python)
        if not found:
            print("%s: skipped: %s" % (python.label, python.skip or "no shared libpython here"))
            continue
        ran += 1
        child = subprocess.run([program, *found, SCRIPT] + arguments, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               timeout=200)
        print("%s: %s" % (python.label, child.stdout.strip()), flush=True)
        if child.returncode:
            failed.append(python.label)
    if failed:
        sys.exit("failed in " + ", ".join(failed))
    if not ran:
        print("no Python with a shared libpython is installed")
        sys.exit(77)


if __name__ == "__main__":
    main()
