# SPDX-License-Identifier: MIT
"""What a process looks like from outside, for comparing before and after.

Everything is read from /proc, and from memory by process_vm_readv; nothing is stopped.
"""

import ctypes
import os
import re
import struct

PAGE = 4096
STATUS_FIELDS = ["Threads", "TracerPid", "Seccomp", "NoNewPrivs", "Uid", "Gid", "CapEff", "Groups",
                 "Umask"]
SIGNAL_FIELDS = ["SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"]
OURS = re.compile(r"^/memfd:(memattach|ma[-_])")


class Map:
    def __init__(self, line):
        match = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) (\S+) (\d+)\s*(.*)", line)
        self.start, self.end = int(match[1], 16), int(match[2], 16)
        self.perms, self.offset = match[3], int(match[4], 16)
        self.inode, self.name = int(match[6]), match[7]

    @property
    def bytes(self):
        return self.end - self.start

    @property
    def kind(self):
        return (self.perms, self.name)

    def __repr__(self):
        return "%x-%x %s %s (%d KiB)" % (self.start, self.end, self.perms, self.name or "anonymous",
                                         self.bytes // 1024)


def read(path):
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def status(pid, task=None):
    path = "/proc/%d/status" % pid if task is None else "/proc/%d/task/%d/status" % (pid, task)
    return dict(line.split(":", 1) for line in read(path).split("\n") if ":" in line)


def maps(pid):
    return [Map(line) for line in read("/proc/%d/maps" % pid).split("\n") if line]


def threads(pid):
    return sorted(int(name) for name in os.listdir("/proc/%d/task" % pid))


def descriptors(pid):
    """{number: what it refers to}"""
    found = {}
    for name in os.listdir("/proc/%d/fd" % pid):
        try:
            found[int(name)] = os.readlink("/proc/%d/fd/%s" % (pid, name))
        except FileNotFoundError:
            continue
    return found


def children(pid):
    """Its children, zombies included."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = read("/proc/%s/stat" % name)
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(stat.rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(name))
    return sorted(found)


def state(pid):
    """Everything that an attach followed by a detach must leave as it was."""
    head = status(pid)
    return {
        "status": {field: head.get(field, "").strip() for field in STATUS_FIELDS},
        "threads": threads(pid),
        "signals": {task: {field: status(pid, task)[field].strip() for field in SIGNAL_FIELDS}
                    for task in threads(pid)},
        "descriptors": descriptors(pid),
        "children": children(pid),
        "limits": read("/proc/%d/limits" % pid),
        "oom_score_adj": read("/proc/%d/oom_score_adj" % pid),
        "environment": read("/proc/%d/environ" % pid),
        "cwd": os.readlink("/proc/%d/cwd" % pid),
        "coredump_filter": read("/proc/%d/coredump_filter" % pid),
        "maps": maps(pid),
    }


def map_changes(before, after):
    """(bytes, [description]) of address space that is mapped differently, page by page.

    The kernel may merge or split neighbours; what counts is what each page is.
    """
    edges = sorted({edge for area in before + after for edge in (area.start, area.end)})

    def label(areas, starts, start):
        import bisect
        index = bisect.bisect_right(starts, start) - 1
        if index >= 0 and areas[index].end > start:
            return areas[index].kind
        return None

    starts_before = [area.start for area in before]
    starts_after = [area.start for area in after]
    changed, words = 0, []
    for start, end in zip(edges, edges[1:]):
        was, now = label(before, starts_before, start), label(after, starts_after, start)
        if was != now:
            changed += end - start
            words.append("%x-%x (%d KiB): %s -> %s" % (start, end, (end - start) // 1024, was, now))
    return changed, words


def differences(before, after):
    """Everything but the maps that differs, as sentences."""
    found = []
    for key in before:
        if key != "maps" and before[key] != after[key]:
            found.append("%s: %r -> %r" % (key, before[key], after[key]))
    return found


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("bytes", ctypes.c_size_t)]


LIBC = ctypes.CDLL(None, use_errno=True)


def read_memory(pid, address, size):
    """size bytes of another process, or fewer where it is not readable."""
    buffer = ctypes.create_string_buffer(size)
    here = Iovec(ctypes.cast(buffer, ctypes.c_void_p), size)
    there = Iovec(address, size)
    got = LIBC.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    return buffer.raw[:got] if got > 0 else b""


def our_maps(pid):
    """Mappings that memattach made, by their names."""
    return [area for area in maps(pid) if OURS.search(area.name)]


def words_into(pid, areas):
    """Addresses of 8-byte words in the data of loaded objects (GOT, RELRO, .data) that point into
    one of the areas.

    The dynamic loader remembers where its first memory ends (alloc_end of its minimal malloc), and the
    kernel may put an area of ours right there: that is no word into it.
    """
    # The upper five bytes of a word say in which 16 MiB it points, the upper four in which 4 GiB;
    # what holds them is looked at closely.
    low = 3 if sum(area.bytes for area in areas) < 1 << 28 else 4
    block = 1 << 8 * low
    heads = {struct.pack("<Q", start)[low:] for area in areas
             for start in range(area.start // block * block, area.end, block)}
    found = []
    for area in maps(pid):
        if not area.name.startswith("/") or "x" in area.perms or OURS.search(area.name):
            continue
        if area.perms[3] != "p" or area.name.startswith("/memfd:"):
            continue
        data = read_memory(pid, area.start, area.bytes)
        ends = os.path.basename(area.name).startswith("ld-")
        for head in heads:
            at = data.find(head)
            while at >= 0:
                if at % 8 == low:
                    word, = struct.unpack_from("<Q", data, at - low)
                    if any(ours.start + ends <= word < ours.end for ours in areas):
                        found.append(area.start + at - low)
                at = data.find(head, at + 1)
    return sorted(found)


def is_alive(pid):
    try:
        return status(pid)["State"].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
