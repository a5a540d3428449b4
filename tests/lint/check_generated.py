#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checked-in files that a script generates are what the script generates.

A generator answers `--check` with 0 (current), 1 (differs, says where) or 77 (what it generates from
is not on this machine; the reason is its last line).
"""

import os
import subprocess
import sys

import lint_common

GENERATORS = ["scripts/gen-layouts", "scripts/gen-log-table", "scripts/gen-linetable-vectors"]
SKIP = 77


def main():
    worst = 0
    for generator in GENERATORS:
        path = os.path.join(lint_common.ROOT, generator)
        if not os.access(path, os.X_OK):
            print("%s is missing or not executable" % generator)
            worst = 1
            continue
        code = subprocess.run([path, "--check"], cwd=lint_common.ROOT).returncode
        print("%s --check: %d" % (generator, code))
        if code == SKIP:
            worst = worst or SKIP
        elif code:
            worst = 1
    sys.exit(worst)


if __name__ == "__main__":
    main()
