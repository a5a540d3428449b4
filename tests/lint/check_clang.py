#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The tree compiles with clang too, without a warning.

    check_clang.py BUILD_DIR    where that second build goes; it is kept for the next run
"""

import os
import shutil
import subprocess
import sys

import lint_common

SKIP = 77


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        lines = done.stdout.split("\n")
        print("\n".join(lines[-60:]))
        print("failed: " + " ".join(command))
        sys.exit(1)
    return done.stdout


def main():
    build = os.path.abspath(sys.argv[1])
    if not shutil.which("clang"):
        print("skipped: clang is not installed (scripts/setup --test installs it)")
        sys.exit(SKIP)
    run("cmake", "-S", lint_common.ROOT, "-B", build, "-G", "Ninja", "-DCMAKE_C_COMPILER=clang",
        "-DCMAKE_ASM_COMPILER=clang", "-DMA_WERROR=ON")
    run("ninja", "-C", build)
    version = run(os.path.join(build, "memattach"), "--version")
    print("clang builds it without a warning: " + version.strip())


if __name__ == "__main__":
    main()
