# SPDX-License-Identifier: MIT
"""Fixtures of the end-to-end tests.

    every_python   the test runs once for each Python on this machine
    python         one Python, for tests where the version does not matter
    memattach      the program, with a runtime directory and a daemon of its own
    start          start(Class, ...) starts a target; whatever was started is ended afterwards
"""

import os

import pytest

import program
import pythons


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Under scripts/test each file leaves its results where the summary finds them."""
    results = os.environ.get("MEMATTACH_TEST_RESULTS")
    if results and not config.option.xmlpath:
        config.option.xmlpath = os.path.join(
            results, os.environ.get("MEMATTACH_TEST_NAME", "e2e") + ".xml")


def pytest_generate_tests(metafunc):
    if "every_python" in metafunc.fixturenames:
        metafunc.parametrize("every_python", [
            pytest.param(python, id=python.label, marks=[
                pytest.mark.skip(reason="Python %s: %s" % (python.label, python.skip))]
                if python.skip else [])
            for python in pythons.every()])


@pytest.fixture(scope="session", autouse=True)
def program_is_there():
    if not os.access(program.PROGRAM, os.X_OK):
        pytest.exit("%s is missing: scripts/build makes it" % program.PROGRAM, returncode=2)


@pytest.fixture
def python():
    return pythons.one()


@pytest.fixture
def memattach():
    runner = program.Memattach()
    yield runner
    runner.close()


@pytest.fixture
def start():
    started = []

    def starter(kind, *arguments, **options):
        target = kind(*arguments, **options)
        started.append(target)
        return target

    yield starter
    for target in reversed(started):
        target.end()
