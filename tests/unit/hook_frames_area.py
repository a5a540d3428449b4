# SPDX-License-Identifier: MIT
"""What hook_frames_target.py compares: stacks as the area holds them, and stacks as sys._getframe
shows them. Written for every Python from 3.8 on.
"""
import ctypes
import dis
import struct
import sys

VERSION = sys.version_info[:2]
QUALIFIED = VERSION >= (3, 11)
COUNTERS = ("samples sample_frees implicit_frees dropped_allocs dropped_frees dropped_maps reentered "
            "stacks_truncated stacks_broken frames_unknown tables_full tables_busy slow_cycles "
            "passes slots_patched objects_seen fault").split()


class Tables:
    """Reads the area as the daemon does, with the offsets that the test's builder printed."""

    def __init__(self, base, offsets):
        self.base, self.offsets = base, offsets

    def at(self, name, index, form):
        address = self.base + self.offsets[name] + index
        return struct.unpack(form, ctypes.string_at(address, struct.calcsize(form)))

    def counter(self, name):
        return self.at("counters", 8 * COUNTERS.index(name), "<Q")[0]

    def site(self, site):
        return self.at("sites", 8 * site, "<IBBH")

    def stack(self, stack):
        count, flags, _ = self.at("stack_log", 8 * stack, "<IIQ")
        words = self.at("stack_log", 8 * stack + 16, "<%dQ" % count)
        return flags, [(word & 0xffffffff, word >> 32 & 0x3fffffff) for word in words]

    def code(self, code):
        """(name, file name, first line, line table, cut, total bytes of the line table)."""
        (_, _, _, words, line, total, lines, name, filename, name_kind, filename_kind, cut,
         _) = self.at("code_log", 8 * code, "<QQQIiIIHHBBBB")
        assert words * 8 >= 48 + name + filename + lines > words * 8 - 8
        data = ctypes.string_at(self.base + self.offsets["code_log"] + 8 * code + 48,
                                name + filename + lines)
        coding = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}
        return (data[:name].decode(coding[name_kind], "surrogatepass"),
                data[name:name + filename].decode(coding[filename_kind], "surrogatepass"), line,
                data[name + filename:], cut, total)

    def used(self, name):
        return self.at(name, 0, "<Q")[0]

    def site_count(self):
        return self.at("site_count", 0, "<I")[0]


def line_table(code):
    return code.co_linetable if VERSION >= (3, 10) else code.co_lnotab


def name_of(code):
    return code.co_qualname if QUALIFIED else code.co_name


def line_of(code, offset):
    """The line of a byte offset, as the code object itself tells it."""
    if VERSION >= (3, 10):
        for start, end, line in code.co_lines():
            if start <= offset < end:
                return line
        return None
    found = code.co_firstlineno
    for start, line in dis.findlinestarts(code):
        if start > offset:
            break
        found = line
    return found


def expected(frame):
    """The walk of sys._getframe: (code, offset, line) from the innermost frame on."""
    found = []
    while frame is not None:
        # A frame that has not begun is at its first instruction for the walk.
        begun = frame.f_lasti >= 0
        found.append((frame.f_code, frame.f_lasti if begun else 0,
                      frame.f_lineno if begun else line_of(frame.f_code, 0)))
        frame = frame.f_back
    return found
