#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every C file is laid out as clang-format lays it out, by the .clang-format in the root.

The layout is that of clang-format 14; other releases differ in details, so with another one the
check is skipped (exit 77) and says so. Set CLANG_FORMAT to name the program.
"""

import os
import re
import shutil
import subprocess
import sys

import lint_common

PINNED = "14"
SKIP = 77


def find():
    """(program, its major release), preferring the pinned one."""
    names = [os.environ.get("CLANG_FORMAT"), "clang-format-" + PINNED, "clang-format"]
    for name in names:
        if name and shutil.which(name):
            version = subprocess.run([name, "--version"], capture_output=True, text=True,
                                     check=True).stdout
            match = re.search(r"version (\d+)", version)
            return name, match.group(1) if match else "?"
    return None, None


def main():
    program, release = find()
    if program is None:
        print("skipped: clang-format is not installed (scripts/setup --test installs it)")
        sys.exit(SKIP)
    if release != PINNED:
        print("skipped: the layout is clang-format %s's, this is %s" % (PINNED, release))
        sys.exit(SKIP)
    names = lint_common.files(".c", ".h")
    wrong = subprocess.run([program, "--style=file", "-"], input="int  x ;\n", text=True,
                           capture_output=True, cwd=lint_common.ROOT, check=True).stdout
    if wrong != "int x;\n":
        sys.exit("self-test: clang-format did not repair 'int  x ;'")
    findings = []
    for name in names:
        run = subprocess.run([program, "--style=file", "--dry-run", "-Werror", name],
                             capture_output=True, text=True, cwd=lint_common.ROOT)
        if run.returncode:
            first = run.stderr.strip().split("\n")[0] if run.stderr else "differs"
            findings.append("%s   (%d places; clang-format -i %s)"
                            % (first, run.stderr.count("error:"), name))
    lint_common.finish(findings, len(names))


if __name__ == "__main__":
    main()
