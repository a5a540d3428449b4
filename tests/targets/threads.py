# SPDX-License-Identifier: MIT
"""Threads that each wait in a way of its own, for looking at their stacks.

Prints one line of JSON when all of them are about to be where they stay: {"threads": [name],
"lines": {mark: line}, "depth": N}. A thread's name is its name in the kernel. Each line on standard
input is answered by {"returned": [name]}, the threads that have come back from where they should
wait for ever. Ends when standard input does, with exit code 0.

    threads.py [spin] [hash] [bare]    also one that computes in Python, in C without the GIL,
                                       that waits below code without unwind tables
"""

import ctypes
import hashlib
import json
import mmap
import os
import select
import sys
import threading
import time

DEPTH = 120
LIBC = ctypes.CDLL(None)
LIBC.prctl.argtypes = [ctypes.c_int, ctypes.c_char_p]
PR_SET_NAME = 15

lock = threading.Lock()
ready = []
returned = []
counted = [0]


def wait_for_lock():
    with lock:  # at: lock
        pass


def wait_for_time():
    time.sleep(1000)  # at: sleep


def wait_for_input(read_end):
    select.select([read_end], [], [])  # at: select


def wait_for_events(read_end):
    poll = select.epoll()
    poll.register(read_end, select.EPOLLIN)
    while True:
        poll.poll()  # at: epoll


def recurse(depth):
    if depth:
        return recurse(depth - 1)  # at: recurse
    time.sleep(1000)  # at: bottom


class Key:
    """Compared by C code, which calls back into Python."""

    def __init__(self, value):
        self.value = value

    def __lt__(self, other):
        time.sleep(1000)  # at: compare
        return False


def wait_in_sort():
    sorted([Key(2), Key(1)])  # at: sort


def produce():
    time.sleep(1000)  # at: generator
    yield 1


def wait_in_generator():
    for _ in produce():  # at: consume
        pass


def wait_in_c(read_end):
    """A caller that knows nothing of EINTR."""
    poll = select.epoll()
    poll.register(read_end, select.EPOLLIN)
    event = ctypes.create_string_buffer(64)
    LIBC.epoll_wait(poll.fileno(), event, 1, -1)  # at: c


def compute():
    while True:
        hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 1 << 30)  # at: hash


def wait_below_bare_code():
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    # push %rbp; mov %rsp,%rbp; call *%rdi; pop %rbp; ret
    code.write(bytes.fromhex("554889e5ffd75dc3"))
    call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(
        ctypes.addressof(ctypes.c_char.from_buffer(code)))
    call(ctypes.cast(LIBC.pause, ctypes.c_void_p))  # at: bare


def spin():
    while True:
        counted[0] += 1  # at: spin


def start(name, work, *arguments):
    def run():
        LIBC.prctl(PR_SET_NAME, name.encode())
        ready.append(name)
        work(*arguments)
        returned.append(name)

    threading.Thread(target=run, name=name, daemon=True).start()


def main():
    read_end, _ = os.pipe()
    lock.acquire()
    start("lock", wait_for_lock)
    start("sleep", wait_for_time)
    start("select", wait_for_input, read_end)
    start("epoll", wait_for_events, read_end)
    start("recurse", recurse, DEPTH)
    start("sort", wait_in_sort)
    start("generator", wait_in_generator)
    start("c", wait_in_c, read_end)
    if "spin" in sys.argv:
        start("spin", spin)
    if "hash" in sys.argv:
        start("hash", compute)
    if "bare" in sys.argv:
        start("bare", wait_below_bare_code)
    with open(__file__, encoding="utf-8") as source:
        marks = [(line.rstrip().rsplit("  # at: ", 1), number)
                 for number, line in enumerate(source, 1)]
    lines = {parts[1]: number for parts, number in marks if len(parts) == 2 and parts[1].isalpha()}
    while len(ready) < threading.active_count() - 1:
        time.sleep(0.01)
    print(json.dumps({"threads": ready, "lines": lines, "depth": DEPTH}), flush=True)
    while sys.stdin.readline():  # at: main
        print(json.dumps({"returned": returned}), flush=True)
    os._exit(0)


main()
