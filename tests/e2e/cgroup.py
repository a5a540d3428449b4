# SPDX-License-Identifier: MIT
"""A memory cgroup of our own, with a limit; version 1 or 2, whichever this machine has."""

import contextlib
import os
import tempfile

import pytest

import probe

MOUNT = "/sys/fs/cgroup"


def own_path(controller):
    for line in probe.read("/proc/self/cgroup").split("\n"):
        parts = line.split(":", 2)
        if len(parts) == 3 and controller in parts[1].split(","):
            return parts[2]
    return None


class Cgroup:
    def __init__(self, folder, limit, usage):
        self.folder, self.limit, self.usage = folder, limit, usage

    def write(self, name, value):
        with open(os.path.join(self.folder, name), "w", encoding="ascii") as file:
            file.write(str(value))

    def set_limit(self, size):
        self.write(self.limit, size)

    def used(self):
        return int(probe.read(os.path.join(self.folder, self.usage)))

    def take_in(self, pid):
        self.write("cgroup.procs", pid)


@contextlib.contextmanager
def limited(size):
    """A new cgroup with this limit; skips the test where none can be made."""
    if own_path("memory") is not None:
        parent = MOUNT + "/memory" + own_path("memory")
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    else:
        parent = MOUNT + (own_path("") or "")
        names = ("memory.max", "memory.current")
    try:
        folder = tempfile.mkdtemp(prefix="mat-", dir=parent)
    except OSError as error:
        pytest.skip("no cgroup can be made: %s" % error)
    try:
        group = Cgroup(folder, *names)
        try:
            group.set_limit(size)
        except OSError as error:
            pytest.skip("the memory controller is not ours to use: %s" % error)
        yield group
    finally:
        # Whoever is in it has been ended, or goes back to where we are.
        for pid in probe.read(os.path.join(folder, "cgroup.procs")).split():
            with contextlib.suppress(OSError):
                with open(os.path.join(parent, "cgroup.procs"), "w", encoding="ascii") as file:
                    file.write(pid)
        os.rmdir(folder)
