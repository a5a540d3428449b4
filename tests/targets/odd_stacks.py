# SPDX-License-Identifier: MIT
"""A target that allocates from odd stacks (odd_stacks.c) in several threads. Argument: the library.

Says "ready" when it is at work; ends by itself, with "done", when its standard input does.
"""
import ctypes
import sys
import threading

run = ctypes.CDLL(sys.argv[1]).odd_stacks_run
ending = threading.Event()


def work():
    while not ending.is_set():
        run(ctypes.c_size_t(6000))


threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
print("ready", flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), ending.set())).start()
work()
for thread in threads:
    thread.join()
print("done", flush=True)
