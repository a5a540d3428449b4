# SPDX-License-Identifier: MIT
"""What the tests of single facts share: the programs that fail the simple way, and a target."""

import json
import os
import subprocess
import tempfile

import program
from pythons import TARGETS
from target import Target

FACTS = os.path.join(program.BUILD, "tests", "facts")
TORTURE = os.path.join(program.BUILD, "tests", "torture")


def path(name):
    return os.path.join(FACTS, name)


def simple_way(name, *arguments):
    """What a program of tests/facts prints."""
    run = subprocess.run([path(name), *map(str, arguments)], stdout=subprocess.PIPE,
                         stdin=subprocess.DEVNULL, text=True, timeout=60)
    assert run.returncode == 0, (name, run.returncode, run.stdout)
    return run.stdout.split()


class Obedient(Target):
    """tests/targets/obedient.py"""

    def __init__(self, python, **popen):
        errors = tempfile.TemporaryFile()
        process = python.start([python.path(os.path.join(TARGETS, "obedient.py"))],
                               [FACTS, TORTURE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=errors, **popen)
        super().__init__(process, errors)
        self.python = python
        assert json.loads(self.read_line()) == "ready"

    def tell(self, code, seconds=60):
        """Runs the code there; returns its `answer`."""
        self.send(code)
        return self.receive(seconds)

    def send(self, code):
        self.process.stdin.write((json.dumps(code) + "\n").encode())
        self.process.stdin.flush()

    def receive(self, seconds=60):
        answer = json.loads(self.read_line(seconds))
        assert not (isinstance(answer, dict) and "error" in answer), answer["error"]
        return answer

    def library(self, name, folder=FACTS):
        """Path of a library of the tests as the target sees it."""
        return self.python.path(os.path.join(folder, name))
