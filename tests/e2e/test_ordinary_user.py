# SPDX-License-Identifier: MIT
"""As an ordinary user: the same uid without root works where the system allows it; every refusal
names its cause and the line that helps; seccomp filters are judged by what they would do."""

import json
import subprocess
import tempfile

import pytest

import ordinary
import probe
import unharmed
from box import CONFINE
from pythons import TARGETS
from target import Ledger, Target

PERMISSION, UNSAFE = 3, 6
MEMFD_CREATE, SYSLOG = 319, 103


@pytest.fixture
def user():
    runner = ordinary.Ordinary()
    yield runner
    runner.close()


class Confined(Ledger):
    """A ledger under tests/targets/confine.c."""

    def __init__(self, python, *options):
        errors = tempfile.TemporaryFile()
        process = subprocess.Popen([CONFINE, *map(str, options), *python.command, "-B",
                                    TARGETS + "/ledger.py"], stdin=subprocess.PIPE, cwd="/",
                                   stdout=subprocess.PIPE, stderr=errors)
        Target.__init__(self, process, errors)
        self.python = python
        self.lines = json.loads(self.read_line())["lines"]


def names_a_line_that_helps(result):
    """On a host it is sudo, in a container the option that grants the capability."""
    return "sudo memattach" in result.notices or "SYS_PTRACE" in result.notices.split("\n", 1)[1]


def is_refused(runner, ledger, code, *words):
    before = probe.state(ledger.pid)
    result = runner.run("attach", ledger.pid)
    assert result.code == code and result.out == b"", result
    for word in words:
        assert word.lower() in result.notices.lower(), "no %r in %r" % (word, result)
    # The reason, and below it what helps.
    assert result.notices.strip().count("\n") >= 1, result
    assert code != PERMISSION or names_a_line_that_helps(result), result
    report = runner.run("doctor", ledger.pid)
    assert report.code == code and "->" in report.text, report
    unharmed.untouched(ledger.pid, before)
    assert ledger.ask("ping")["pong"]


def test_same_user(user, start, python):
    """Attach, figures, detach, without any right but one's own."""
    ledger = start(ordinary.ledger_of, python)
    unharmed.whole_round(user, ledger)
    assert ledger.quit(1) == 1


def test_another_user(user, start, python):
    ledger = start(ordinary.ledger_of, python, user=ordinary.OTHER)
    is_refused(user, ledger, PERMISSION, "uid %d" % ordinary.OTHER)


def test_root_s_process(user, start, python):
    is_refused(user, start(Ledger, python), PERMISSION, "uid 0")


def test_undumpable(user, start, python):
    ledger = start(ordinary.ledger_of, python)
    ledger.ask("loss")
    is_refused(user, ledger, PERMISSION, "dumpable")


def test_becomes_undumpable_while_attached(memattach, user, start, python):
    """The user's own daemon goes on; getting out takes root, and that is said."""
    ledger = start(ordinary.ledger_of, python)
    user.ok("attach", ledger.pid)
    ledger.ask("loss")
    ledger.ask("leak", 20, 100000)
    assert user.ok("dump", "--wait", "0", ledger.pid).out
    result = user.run("detach", ledger.pid)
    assert result.code == PERMISSION and names_a_line_that_helps(result), result
    memattach.ok("detach", ledger.pid)
    assert probe.words_into(ledger.pid, probe.our_maps(ledger.pid)) == []
    assert ledger.quit(2) == 2


# Seccomp.

@pytest.mark.parametrize("options", [["--profile"], ["--kill", SYSLOG], ["--refuse", SYSLOG]],
                         ids=["profile", "kills another call", "refuses another call"])
def test_filters_that_do_no_harm(memattach, start, python, options):
    """Root reads them, and sees that."""
    ordinary.needs_root()
    ledger = start(Confined, python, *options)
    assert probe.status(ledger.pid)["Seccomp"].strip() == "2"
    assert "Attaching is possible" in memattach.ok("doctor", ledger.pid).text
    unharmed.whole_round(memattach, ledger)
    assert ledger.quit(3) == 3


@pytest.mark.parametrize("options,words", [
    (["--kill", MEMFD_CREATE], ["kill", "memfd_create"]),
    (["--refuse", MEMFD_CREATE], ["does not let", "memfd_create"])],
    ids=["kills", "refuses"])
def test_filters_that_would_harm(memattach, start, python, options, words):
    """Refused with the names of the calls; and --trust-seccomp is no way round what was read."""
    ordinary.needs_root()
    ledger = start(Confined, python, *options)
    is_refused(memattach, ledger, UNSAFE, "seccomp", *words)
    result = memattach.run("attach", "--trust-seccomp", ledger.pid)
    assert result.code == UNSAFE, result
    assert ledger.quit(4) == 4


def test_filter_that_an_ordinary_user_may_not_read(user, start, python):
    """Harmless or not: refused, unless the person says what it is."""
    ordinary.needs_root()
    ledger = start(Confined, python, "--profile", "--user", ordinary.NOBODY)
    is_refused(user, ledger, UNSAFE, "seccomp", "--trust-seccomp")
    unharmed.whole_round(user, ledger, "--trust-seccomp")
    assert ledger.quit(5) == 5
