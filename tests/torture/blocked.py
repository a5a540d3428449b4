# SPDX-License-Identifier: MIT
"""A target whose threads wait in system calls: blocked.py BLOCKED_LIBRARY REPORT_FILE

Rewrites the report ten times a second: one line for each call that returned although nothing
happened, with its number, how often, and the last errno. Ends when its standard input does.
"""
import ctypes
import os
import select
import sys

blocked = ctypes.CDLL(sys.argv[1])
blocked.blocked_returns.restype = ctypes.c_uint32
failed = blocked.blocked_start()
if failed:
    sys.exit(os.strerror(failed))
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.1)[0]:
    lines = [f"{call} {blocked.blocked_returns(call)} {blocked.blocked_error(call)}\n"
             for call in range(blocked.blocked_calls()) if blocked.blocked_returns(call)]
    with open(sys.argv[2] + ".new", "w") as file:
        file.writelines(lines)
    os.replace(sys.argv[2] + ".new", sys.argv[2])
blocked.blocked_end()
os._exit(0)
