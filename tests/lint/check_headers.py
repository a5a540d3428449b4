#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every header compiles alone: it includes what it needs.

    check_headers.py BUILD_DIR    where the generated headers are

Headers of code that runs without a libc are compiled freestanding as well.
"""

import concurrent.futures
import os
import subprocess
import sys
import tempfile

import lint_common

FREESTANDING = ("inject/hook/", "proto/area.h")
FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-DMA_RELEASE=\"0\"", "-fsyntax-only", "-Wall", "-Wextra",
         "-Wstrict-prototypes", "-Werror", "-x", "c"]


def compile_alone(name, build):
    flags = FLAGS + ["-I", lint_common.ROOT, "-I", build]
    if name.startswith(FREESTANDING):
        flags += ["-ffreestanding", "-mgeneral-regs-only"]
    # Included twice, so that a missing include guard shows too.
    with tempfile.NamedTemporaryFile("w", suffix=".c") as source:
        source.write('#include "%s"\n#include "%s"\nextern int ma_alone;\n' % (name, name))
        source.flush()
        run = subprocess.run([os.environ.get("CC", "gcc")] + flags + [source.name],
                             capture_output=True, text=True)
    if run.returncode == 0:
        return None
    errors = [line for line in run.stderr.split("\n") if "error" in line]
    return "%s does not compile alone: %s" % (name, errors[0] if errors else run.stderr[:200])


def main():
    build = os.path.abspath(sys.argv[1])
    names = lint_common.files(".h")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda name: compile_alone(name, build), names))
    lint_common.finish([result for result in results if result], len(names))


if __name__ == "__main__":
    main()
