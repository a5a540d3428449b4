# SPDX-License-Identifier: MIT
"""tests/targets/odd.py, and what is seen of it."""

import json
import os
import subprocess
import tempfile

import pythons
from snapshot_reader import INUSE_SPACE
from target import SECONDS, Target


def marked(mark):
    path = os.path.join(pythons.TARGETS, "odd.py")
    with open(path, encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            if text.rstrip().endswith("# " + mark):
                return ("odd.py", number)
    raise AssertionError("no line is marked " + mark)


HOLD = marked("HOLD")


class Odd(Target):
    """tests/targets/odd.py in one of its modes."""

    def __init__(self, python, *mode, folders=(), **popen):
        errors = tempfile.TemporaryFile()
        script = python.path(os.path.join(pythons.TARGETS, "odd.py"))
        process = python.start(["-B", script, *map(str, mode or ["serve"])], folders,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, **popen)
        super().__init__(process, errors)
        self.python = python
        self.ready = json.loads(self.read_line())

    def tell(self, *words):
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.process.stdin.flush()

    def ask(self, *words, seconds=SECONDS):
        self.tell(*words)
        answer = json.loads(self.read_line(seconds))
        assert "error" not in answer, answer["error"]
        return answer

    def quit(self, code):
        self.tell("quit", code)
        return self.process.wait(SECONDS)


def held(memattach, pid, line=HOLD):
    return memattach.snapshot(pid, "--wait", "0").by_line(INUSE_SPACE).get(line, 0)


def sees(memattach, target, count=20, size=100000):
    """What the target holds from now on is seen."""
    was = held(memattach, target.pid)
    target.ask("hold", count, size)
    found = held(memattach, target.pid) - was
    assert count * size <= found <= 1.02 * count * (size + 33), found
