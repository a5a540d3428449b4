# SPDX-License-Identifier: MIT
"""Allocates through native code, round by round, one for each line that it reads."""

import ctypes
import sqlite3
import sys
import zlib

library = ctypes.CDLL(sys.argv[1])
library.fill_shelf.argtypes = library.fill_cellar.argtypes = [ctypes.c_int, ctypes.c_size_t]
database = sqlite3.connect(":memory:")
database.execute("create table kept (name, text)")
held = []


def fill_shelf():
    library.fill_shelf(4, 100000)


def fill_cellar():
    library.fill_cellar(4, 100000)


def insert_rows():
    for number in range(40):
        database.execute("insert into kept values (?, ?)", (number, "x" * 20000))


def make_compressors():
    for _ in range(4):
        held.append(zlib.compressobj(9))


def make_lists():
    held.append([bytes(3000) for _ in range(400)])


print("up", flush=True)
for _ in sys.stdin:
    fill_shelf()
    fill_cellar()
    insert_rows()
    make_compressors()
    make_lists()
    print("done", flush=True)
