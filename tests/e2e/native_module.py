# SPDX-License-Identifier: MIT
"""A small C library of known functions and lines, and a process that calls it when it is told to."""

import os
import shutil
import subprocess
import tempfile

import pytest

import pythons
from target import Target
from waiting import wait_until

# NAME is no symbol of the stripped library: only a debug file knows it.
SOURCE = """#include <stdlib.h>
static __attribute__((noinline)) void *NAME(size_t bytes)
{
	void *row = malloc(bytes); /* the line */
	__asm__ volatile("" : : "r"(row) : "memory");
	return row;
}
static void *kept[4];
void call_all(void)
{
	for (int i = 0; i < 4; i++) {
		free(kept[i]);
		kept[i] = NAME(300000);
	}
}
"""


def build(folder, name="fill_row", library="libstock.so", options=("-O1",)):
    """Builds folder/library from folder/NAME.c, with debug information. Returns its path."""
    if not shutil.which("gcc"):
        pytest.skip("there is no gcc here")
    source = os.path.join(str(folder), name + ".c")
    with open(source, "w", encoding="utf-8") as file:
        file.write(SOURCE.replace("NAME", name))
    path = os.path.join(str(folder), library)
    subprocess.run(["gcc", "-g", "-fPIC", "-shared", "-Wl,--build-id=sha1", *options, "-o", path,
                    source], check=True, timeout=300)
    return path


def line_of(name, folder):
    """Where the function allocates."""
    with open(os.path.join(str(folder), name + ".c"), encoding="utf-8") as file:
        return 1 + [("the line" in line) for line in file].index(True)


class Caller(Target):
    """tests/targets/many_functions.py with a library."""

    def __init__(self, python, library):
        process = python.start(
            [python.path(os.path.join(pythons.TARGETS, "many_functions.py")),
             python.path(library)], [os.path.dirname(library)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        super().__init__(process, tempfile.TemporaryFile())
        assert self.read_line() == "up"

    def call(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        assert self.read_line() == "done"

    def quit(self):
        """Ends as a process does that nobody harmed."""
        self.process.terminate()
        return self.process.wait(20)


def stacks_of(snapshot, library="libstock.so"):
    """The frames of the library in each stack that goes through it, innermost first."""
    found = [[frame for frame in site.all_frames
              if frame[3] and os.path.basename(frame[3]) == library] for site in snapshot.sites]
    return [frames for frames in found if frames]


def call_until_seen(memattach, target, library="libstock.so"):
    """Tables are compiled after the attach: calls until stacks have frames of the library."""
    def seen():
        target.call()
        return stacks_of(memattach.snapshot(target.pid), library)
    return wait_until(seen, 60, "stacks through " + library)
