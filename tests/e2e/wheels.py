# SPDX-License-Identifier: MIT
"""Packages with native code as the package index has them, for every Python, kept in the build folder.

One pip fetches for all of them: a wheel is chosen by version and unpacked as it is, so a Python
that has no pip of its own gets its packages, too.
"""

import fcntl
import functools
import os
import subprocess
import sys
import zipfile

from program import BUILD

FOLDER = os.path.join(BUILD, "wheels")


@functools.lru_cache(maxsize=None)
def pip():
    """The command that fetches."""
    here = os.path.join(FOLDER, "venv")
    command = [os.path.join(here, "bin", "python3"), "-m", "pip"]
    if not os.access(os.path.join(here, "bin", "pip"), os.X_OK):
        subprocess.run([sys.executable, "-m", "venv", here], check=True, capture_output=True,
                       stdin=subprocess.DEVNULL)
    return command


def folder_of(python, package):
    """(the folder to import the package from, None), or (None, why there is none)."""
    version = ".".join(python.version.split(".")[:2])
    here = os.path.join(FOLDER, version, package)
    os.makedirs(here, exist_ok=True)
    with open(os.path.join(FOLDER, "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        unpacked = os.path.join(here, "unpacked")
        if not os.path.isdir(unpacked):
            got = subprocess.run(
                [*pip(), "download", "-q", "--no-deps", "--only-binary", ":all:",
                 "--python-version", version, "-d", here, package],
                capture_output=True, text=True, stdin=subprocess.DEVNULL)
            wheels = [name for name in os.listdir(here) if name.endswith(".whl")]
            if got.returncode or not wheels:
                words = [line for line in got.stderr.split("\n") if line.startswith("ERROR")]
                return None, "no %s for Python %s: %s" % (package, version,
                                                          (words or [got.stderr])[-1].strip())
            with zipfile.ZipFile(os.path.join(here, wheels[0])) as wheel:
                wheel.extractall(unpacked + ".unfinished")
            os.rename(unpacked + ".unfinished", unpacked)
    return unpacked, None
