# SPDX-License-Identifier: MIT
"""What a process has mapped of unwind areas (proto/unwind.h)."""

import struct


def protections(pid):
    with open("/proc/%d/maps" % pid, encoding="utf-8") as maps:
        return [line.split()[1] for line in maps if "memattach-unwind" in line]


def head(pid):
    """(current, used): the index in force, 0 = none yet; how much the daemon has filled."""
    with open("/proc/%d/maps" % pid, encoding="utf-8") as maps:
        start = next(int(line.split("-")[0], 16) for line in maps if "memattach-unwind" in line)
    with open("/proc/%d/mem" % pid, "rb") as memory:
        memory.seek(start)
        _, _, current, _, used = struct.unpack("<QIIQQ", memory.read(32))
    return current, used
