# SPDX-License-Identifier: MIT
"""Virtual environments in the build directory, each made once, with what pip fetches for a test."""

import os
import subprocess

import pytest

import program


def interpreter_with(command, requirement):
    """The Python of one that has `requirement` ("name==version"); the test is skipped if none can be
    had. command: of the Python that makes it."""
    name = requirement.split("==")[0]
    folder = os.path.join(program.BUILD, name)
    interpreter = os.path.join(folder, "bin", "python")
    ready = os.path.join(folder, "ready")
    if not os.path.exists(ready):
        made = subprocess.run([*command, "-m", "venv", folder], capture_output=True, text=True)
        if made.returncode:
            pytest.skip("no virtual environment can be made: " + made.stdout.strip()[-200:])
        try:
            got = subprocess.run([interpreter, "-m", "pip", "install", "-q", requirement],
                                 capture_output=True, text=True, timeout=300,
                                 stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            pytest.skip(name + " could not be fetched: no answer in five minutes")
        if got.returncode:
            lines = got.stderr.strip().split("\n")
            pytest.skip("%s could not be fetched: %s" % (name, (lines or ["?"])[-1][:200]))
        with open(ready, "w", encoding="ascii"):
            pass
    return interpreter
