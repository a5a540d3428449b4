#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""build/memattach is one static file, and runs in an empty root.

    check_artifact.py PROGRAM

What lies inside it (the hook's symbols and needs) is checked by the tests of the hook.
"""

import os
import shutil
import subprocess
import sys
import tempfile

SKIP = 77


def main():
    program = os.path.abspath(sys.argv[1])
    headers = subprocess.run(["readelf", "-lW", program], capture_output=True, text=True,
                             check=True).stdout
    if "INTERP" in headers:
        print("skipped: a dynamic build (MA_STATIC=OFF)")
        sys.exit(SKIP)
    dynamic = subprocess.run(["readelf", "-dW", program], capture_output=True, text=True,
                             check=True).stdout
    if "(NEEDED)" in dynamic:
        print("has no interpreter, and yet needs libraries:\n" + dynamic)
        sys.exit(1)
    if os.getuid() != 0:
        print("static; only root can try it in an empty root")
        sys.exit(0)
    with tempfile.TemporaryDirectory() as root:
        shutil.copy(program, os.path.join(root, "memattach"))
        run = subprocess.run(["chroot", root, "/memattach", "--version"], capture_output=True,
                             text=True, timeout=60)
        if run.returncode or not run.stdout.startswith("memattach "):
            print("in an empty root: exit %d\n%s%s" % (run.returncode, run.stdout, run.stderr))
            sys.exit(1)
        left = os.listdir(root)
        if left != ["memattach"]:
            print("--version left files behind: %s" % left)
            sys.exit(1)
    print("static, and runs in an empty root: " + run.stdout.strip())


if __name__ == "__main__":
    main()
