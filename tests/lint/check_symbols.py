#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""No two of our libraries define the same global symbol.

    check_symbols.py BUILD_DIRECTORY

A static link would take one of them without a word, and half of the program would run with the
other's function.
"""

import collections
import os
import subprocess
import sys

import lint_common

LIBRARIES = ("proto/libma_proto.a", "inject/libma_inject.a", "daemon/libma_daemon.a",
             "cli/libma_cli.a")


def main():
    owners = collections.defaultdict(set)
    for library in LIBRARIES:
        path = os.path.join(sys.argv[1], library)
        listing = subprocess.run(["nm", "-g", "--defined-only", path], capture_output=True,
                                 text=True, check=True).stdout
        for line in listing.splitlines():
            words = line.split()
            if len(words) == 3 and words[1] in "TDBR":
                owners[words[2]].add(library)
    findings = ["%s is defined in %s" % (symbol, " and ".join(sorted(where)))
                for symbol, where in sorted(owners.items()) if len(where) > 1]
    lint_common.finish(findings, len(LIBRARIES) if owners else 0)


if __name__ == "__main__":
    main()
