# SPDX-License-Identifier: MIT
"""memattach as a user without rights: a copy that this user may run, a runtime directory of its own."""

import os
import shutil
import subprocess

import pytest

import program
from target import Ledger

NOBODY = 65534
OTHER = 65533
SYSTEM_PYTHON = "/usr/bin/python3"


def needs_root():
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")


class Ordinary(program.Memattach):
    """The program run by that user. `command` precedes it: confine and its options, say."""

    def __init__(self, user=NOBODY, command=()):
        needs_root()
        super().__init__()
        self.user, self.command = user, list(command)
        os.mkdir(self.runtime, 0o700)
        os.chown(self.runtime, user, user)
        os.chmod(self.folder, 0o755)
        self.copy = os.path.join(self.folder, "memattach")
        shutil.copy(program.PROGRAM, self.copy)
        os.chmod(self.copy, 0o755)

    def start(self, *arguments, **popen):
        popen = dict(dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=self.env, cwd="/"), **popen)
        if not self.command:
            popen.update(user=self.user, group=self.user, extra_groups=[])
        process = subprocess.Popen([*self.command, self.copy, *map(str, arguments)], **popen)
        self.started.append(process)
        return process


def ledger_of(python, user=NOBODY, **popen):
    """A ledger that runs as that user."""
    return Ledger(python, user=user, group=user, extra_groups=[], cwd="/", **popen)
