# SPDX-License-Identifier: MIT
"""tests/targets/churn.py as a target."""

import json
import os
import subprocess
import tempfile

from pythons import TARGETS
from target import SECONDS, Target

FILE = "churn.py"


class Churn(Target):
    def __init__(self, python):
        errors = tempfile.TemporaryFile()
        process = python.start([python.path(os.path.join(TARGETS, FILE))], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=errors)
        super().__init__(process, errors)
        assert self.read_line() == "up"

    def tell(self, *words):
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.process.stdin.flush()

    def answer(self, seconds=SECONDS):
        return json.loads(self.read_line(seconds))

    def ask(self, *words, seconds=SECONDS):
        self.tell(*words)
        return self.answer(seconds)


def status_of(memattach, pid):
    session, = json.loads(memattach.ok("status", "--json", pid).text)["sessions"]
    return session
