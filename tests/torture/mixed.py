# SPDX-License-Identifier: MIT
"""A target that does everything at once: Python threads, native malloc loops, vector registers, the
red zone, imports, dlopen and dlclose, sleepers, forks.

    mixed.py WEAR_LIBRARY PROGRESS_FILE [threads=N] [kinds=py,native,...]

Every thread counts its rounds in the progress file, eight bytes each; the last word but one is the
number of threads. Ends with status 66 when something was found broken.
"""
import ctypes
import importlib
import mmap
import os
import struct
import sys
import threading
import time

WORDS = 512
wear = ctypes.CDLL(sys.argv[1])
for function in (wear.wear_malloc, wear.wear_vectors, wear.wear_red_zone):
    function.restype = ctypes.c_uint64
wear.wear_malloc.argtypes = [ctypes.c_uint64, ctypes.c_uint64]
wear.wear_vectors.argtypes = wear.wear_red_zone.argtypes = [ctypes.c_uint64]
libc = ctypes.CDLL(None)
libc.dlopen.restype = ctypes.c_void_p
libc.dlopen.argtypes = [ctypes.c_char_p, ctypes.c_int]
libc.dlclose.argtypes = [ctypes.c_void_p]

with open(sys.argv[2], "wb") as file:
    file.write(bytes(WORDS * 8))
progress = mmap.mmap(os.open(sys.argv[2], os.O_RDWR), WORDS * 8)
settings = dict(argument.split("=", 1) for argument in sys.argv[3:])


def put(index, value):
    progress[index * 8:index * 8 + 8] = struct.pack("<Q", value)


def broken(what, count):
    print("broken:", what, count, file=sys.stderr, flush=True)
    os._exit(66)


def python_objects(seed):
    kept = [bytes(700 + i) for i in range(50)]
    table = {i: str(i) * 30 for i in range(100)}
    return len(kept) + len(table)


def native(seed):
    count = wear.wear_malloc(20000, seed)
    if count:
        broken("malloc", count)


def vectors(seed):
    count = wear.wear_vectors(100) + wear.wear_red_zone(100)
    if count:
        broken("registers", count)


def imports(seed):
    for name in (b"libz.so.1", b"libexpat.so.1", b"libbz2.so.1.0", b"libcrypt.so.1"):
        handle = libc.dlopen(name, 2)
        if handle:
            libc.dlclose(handle)
    for name in ("_bisect", "_json", "zlib", "_csv", "_random", "_heapq", "decimal"):
        sys.modules.pop(name, None)
        try:
            importlib.import_module(name)
        except ImportError:
            pass


def sleeper(seed):
    time.sleep(0.01)


def threads(seed):
    thread = threading.Thread(target=python_objects, args=(seed,))
    thread.start()
    thread.join()


def forks(seed):
    pid = os.fork()
    if pid == 0:
        import xml.parsers.expat
        xml.parsers.expat.ParserCreate().Parse("<a/>")
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status:
        broken("child", status)
    time.sleep(0.005)


KINDS = {"py": python_objects, "native": native, "vectors": vectors, "imports": imports,
         "sleep": sleeper, "threads": threads, "forks": forks}


def loop(index, work):
    rounds = 0
    while True:
        work(index * 77 + rounds)
        rounds += 1
        put(index, rounds)


chosen = settings.get("kinds", "py,py,py,py,native,native,vectors,imports,sleep").split(",")
chosen *= int(settings.get("times", "1"))
if settings.get("threads") == "0":
    put(WORDS - 2, 1)
    loop(0, KINDS[chosen[0]])
for number, kind in enumerate(chosen):
    threading.Thread(target=loop, args=(number, KINDS[kind]), daemon=True).start()
put(WORDS - 2, len(chosen))
while True:
    time.sleep(1)
