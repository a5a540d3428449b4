# SPDX-License-Identifier: MIT
"""What the lint checks share: which files are ours, and how a finding is printed."""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def files(*endings):
    """Paths below the root, relative to it, of every file of the project that ends so.

    Asks git, files not yet added included; in a tree without git, walks the folders instead.
    """
    try:
        listing = subprocess.run(
            ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True, capture_output=True).stdout.decode("utf-8", "surrogateescape")
        names = [name for name in listing.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = []
        for folder, folders, found in os.walk(ROOT):
            folders[:] = [name for name in folders
                          if not name.startswith("build") and name not in (".git", "__pycache__")]
            names += [os.path.relpath(os.path.join(folder, name), ROOT) for name in found]
    return sorted(name for name in set(names)
                  if (not endings or name.endswith(endings))
                  and os.path.isfile(os.path.join(ROOT, name)))


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def finish(findings, checked):
    """Prints the findings and ends the program: 1 when there are any."""
    for finding in findings:
        print(finding)
    print("%d files checked, %d findings" % (checked, len(findings)))
    if checked == 0:
        print("nothing was checked: the check itself is broken")
        sys.exit(1)
    sys.exit(1 if findings else 0)
