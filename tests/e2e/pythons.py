# SPDX-License-Identifier: MIT
"""The Pythons to test with, as scripts/pythons finds them, and how one of them is started."""

import functools
import json
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGETS = os.path.join(ROOT, "tests", "targets")


class Python:
    """One interpreter. `root` is its file system, empty for ours."""

    def __init__(self, label, version=None, command=None, root="", skip=None):
        self.label = label
        self.version = version
        self.command = command
        self.root = root
        self.skip = skip

    @property
    def minor(self):
        return int(self.label.split(".")[1].split("-")[0])

    def start(self, arguments, folders=(), **popen):
        """Popen of this Python. `folders` of ours are put where it sees them: see path()."""
        env = dict(popen.pop("env", os.environ))
        if self.root:
            folders = [TARGETS, *folders]
            env["MEMATTACH_TREE_BINDS"] = " ".join(
                "%s:%s" % (folder, self.path(folder)) for folder in folders)
        return subprocess.Popen(self.command + list(arguments), env=env, **popen)

    def path(self, path):
        """What a path of ours is called where this Python runs."""
        return "/mnt" + path if self.root else path


@functools.lru_cache(maxsize=None)
def every():
    """All of them, the missing ones with the reason in .skip."""
    found = os.environ.get("MEMATTACH_PYTHONS")
    if found and os.path.exists(found):
        with open(found, encoding="utf-8") as file:
            entries = json.load(file)
    else:
        entries = json.loads(subprocess.run(
            [os.path.join(ROOT, "scripts", "pythons"), "--json"], check=True, capture_output=True,
            stdin=subprocess.DEVNULL).stdout)
    return [Python(**entry) for entry in entries]


def one():
    """The Python for tests that need only one: Debian's own, else the first there is."""
    usable = [python for python in every() if not python.skip]
    own = [python for python in usable if python.command == ["/usr/bin/python3"]]
    return (own or usable)[0]
