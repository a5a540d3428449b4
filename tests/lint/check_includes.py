#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who may include whom: the arrows between the rooms never run back.

A quoted include names a file from the root of the tree, or one beside the file itself. For every
room the table lists the rooms (or single headers) that it may look into; system headers in angle
brackets are limited for the hook only, which has no libc.
"""

import posixpath
import re
import sys

import lint_common

# The longest matching room counts. "proto/" means everything below it, a name with .h that file.
ROOMS = {
    "proto/": ["proto/"],
    "inject/": ["proto/", "inject/"],
    "inject/hook/": ["proto/area.h", "proto/unwind.h", "inject/hook/"],
    "daemon/": ["proto/", "daemon/"],
    "cli/": ["proto/", "cli/", "inject/attach.h", "inject/stacks.h", "daemon/daemon.h"],
    "tests/": [""],
}

# Generated headers, by the room that may include them.
GENERATED = re.compile(r"^proto/[a-z_]+\.pb-c\.h$")

# Rooms without a libc: only headers that the compiler itself brings, and those that are constants.
FREESTANDING = {
    "inject/hook/": {"stdint.h", "stddef.h", "stdbool.h", "stdarg.h", "limits.h", "stdatomic.h",
                     "elf.h", "link.h", "cpuid.h", "immintrin.h", "x86intrin.h"},
}

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.M)


def room_of(name):
    rooms = [room for room in ROOMS if name.startswith(room)]
    return max(rooms, key=len) if rooms else None


def hook_headers_only(name, target):
    """inject/ itself may see the hook's headers, not its sources."""
    return not target.endswith(".c")


def check(name, text, exists):
    """Findings of one file. exists(path) tells whether the tree has it."""
    room = room_of(name)
    if room is None:
        return ["%s: lies in no room; the rooms are %s" % (name, ", ".join(sorted(ROOMS)))]
    findings = []
    for match in INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        where = "%s:%d: " % (name, line)
        quote, target = match.groups()
        if quote == "<":
            allowed = FREESTANDING.get(room)
            if allowed is not None and target not in allowed:
                findings.append(where + "<%s> is not for code without a libc" % target)
            continue
        beside = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        if not exists(target) and not GENERATED.match(target):
            if exists(beside):
                target = beside
            elif room != "tests/":
                findings.append(where + '"%s" is no file of this tree' % target)
                continue
        if not any(target.startswith(seen) for seen in ROOMS[room]):
            findings.append(where + '%s may not include "%s" (it may: %s)'
                            % (room, target, ", ".join(ROOMS[room])))
        elif not hook_headers_only(name, target) and room != "tests/":
            findings.append(where + 'includes a source file, "%s"' % target)
    return findings


def self_test():
    """The check must see what it is there for."""
    tree = {"proto/area.h", "proto/unwind.h", "proto/ring.h", "inject/attach.h", "inject/maps.h", "daemon/heap.h",
            "inject/hook/config.h"}
    wrong = [
        ("proto/a.c", '#include "inject/attach.h"\n'),
        ("daemon/a.c", '#include "inject/attach.h"\n'),
        ("daemon/a.c", '#include "inject/hook/config.h"\n'),
        ("inject/a.c", '#include "daemon/heap.h"\n'),
        ("inject/hook/a.c", '#include "inject/maps.h"\n'),
        ("inject/hook/a.c", '#include "proto/ring.h"\n'),
        ("inject/hook/a.c", "#include <stdio.h>\n"),
        ("inject/hook/cpython/a.c", '#include "../../maps.h"\n'),
        ("cli/a.c", ' # include "inject/maps.h"\n'),
        ("cli/a.c", '#include "nowhere.h"\n'),
        ("elsewhere/a.c", ""),
    ]
    right = [
        ("proto/a.c", '#include "proto/ring.h"\n#include <stdio.h>\n'),
        ("proto/a.c", '#include "ring.h"\n#include "proto/control.pb-c.h"\n'),
        ("inject/a.c", '#include "inject/hook/config.h"\n#include "proto/ring.h"\n'),
        ("inject/hook/a.c", '#include "proto/area.h", "proto/unwind.h"\n#include <stdint.h>\n'),
        ("cli/a.c", '#include "inject/attach.h"\n'),
        ("tests/unit/a.c", '#include "inject/maps.h"\n#include "daemon/heap.h"\n'),
    ]
    for name, text in wrong:
        if not check(name, text, tree.__contains__):
            sys.exit("self-test: %r in %s was not found" % (text, name))
    for name, text in right:
        if check(name, text, tree.__contains__):
            sys.exit("self-test: %r in %s is fine, and was refused" % (text, name))


def main():
    self_test()
    every = set(lint_common.files())
    names = [name for name in sorted(every) if name.endswith((".c", ".h", ".S", ".inc"))]
    findings = []
    for name in names:
        findings += check(name, lint_common.read(name), every.__contains__)
    lint_common.finish(findings, len(names))


if __name__ == "__main__":
    main()
