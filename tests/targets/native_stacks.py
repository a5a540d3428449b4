# SPDX-License-Identifier: MIT
"""A target that allocates below stacks of many kinds, until it is ended.

Arguments: native_layers libraries to call. Says "ready" when it is at work.
"""
import ctypes
import functools
import itertools
import json
import re
import sqlite3
import sys
import threading
import zlib

sys.setrecursionlimit(5000)


def libraries():
    found = [ctypes.CDLL(path).layers_allocate for path in sys.argv[1:]]
    for depth in itertools.count():
        for allocate in found:
            allocate(ctypes.c_size_t(5000), depth % 40)


def modules():
    base = sqlite3.connect(":memory:")
    base.execute("create table t (a, b)")
    for number in itertools.count():
        kept = [json.loads(json.dumps({"a": [number] * 50, "b": "x" * 500})) for _ in range(5)]
        kept.append(zlib.decompress(zlib.compress(b"abc" * 3000)))
        kept.append(sorted([str(i) * 50 for i in range(100)], key=lambda text: text[::-1]))
        kept.append(re.sub("a+", lambda match: match.group(0) * 500, "baaab" * 20))
        base.execute("insert into t values (?, ?)", (number, "y" * 3000))
        if number % 50 == 49:
            base.execute("select a, group_concat(b) from t group by a % 3").fetchall()
            base.execute("delete from t")


def down(depth, leaf):
    return leaf() if depth == 0 else down(depth - 1, leaf)


def through_c(depth):
    if depth == 0:
        return bytes(3000)
    return functools.reduce(lambda one, other: through_c(depth - 1), (1, 2))


def generator(depth):
    if depth:
        yield from generator(depth - 1)
    else:
        yield bytearray(3000)


class Element:
    def __lt__(self, other):
        self.room = bytearray(3000)
        return False


def python():
    while True:
        down(900, lambda: bytes(3000))
        for _ in range(20):
            down(30, lambda: [bytes(3000) for _ in range(3)])
            through_c(12)
            list(generator(10))
            sorted((Element(), Element()))


for work in [python, modules] + [libraries] * bool(sys.argv[1:]):
    threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
modules()
