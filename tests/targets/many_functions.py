# SPDX-License-Identifier: MIT
"""Calls a library of many functions that allocate, once for each line that it reads; at the end of
the input it allocates and frees for ever."""

import ctypes
import sys

library = ctypes.CDLL(sys.argv[1])
print("up", flush=True)
for _ in sys.stdin:
    library.call_all()
    print("done", flush=True)
held = [None] * 1000
at = 0
while True:
    at += 1
    held[at % 1000] = bytearray(3000 + at % 2000)
