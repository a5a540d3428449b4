# SPDX-License-Identifier: MIT
"""ddtrace's profiler, whose memory collector installs allocator hooks of its own in Python's tables,
before, during and after ours."""

import os

import pytest

import probe
from facts import Obedient
from snapshot_reader import INUSE_OBJECTS, INUSE_SPACE
from virtual import interpreter_with

RELEASE = "ddtrace==4.16.0"
START = """
from ddtrace.profiling import Profiler
profiler = Profiler()
profiler.start()
"""
STOP = "profiler.stop(flush=False)"
GROW = "more = [[bytes(size) for size in range(0, 2000, 3)] for _ in range(50)]; answer = len(more)"
TRACING = """
from ddtrace.profiling.collector import _memalloc
try:
    _memalloc.start(1, 1 << 20, False)
    _memalloc.stop()
    answer = False
except RuntimeError:  # it has been started
    answer = True
"""


@pytest.fixture
def with_ddtrace(python):
    interpreter = interpreter_with(python.command, RELEASE)
    return type(python)(python.label, python.version, [interpreter], python.root)


def sees(memattach, target):
    """What the target allocates is counted, once."""
    target.tell("held = [bytes(70000) for _ in range(7)]")
    held = [site for site in memattach.snapshot(target.pid).sites
            if site.values[INUSE_SPACE] >= 70000 and "told.py" in repr(site.frames)]
    assert sum(site.values[INUSE_OBJECTS] for site in held) == 7
    target.tell("del held")


@pytest.mark.parametrize("order", [
    ("start", "attach", "detach", "stop"), ("start", "attach", "stop", "detach"),
    ("attach", "start", "stop", "detach"), ("attach", "start", "detach", "stop"),
    ("attach", "detach", "start", "stop")], ids="-".join)
def test_profiler(memattach, start, with_ddtrace, order):
    env = dict(os.environ, DD_TRACE_ENABLED="false", DD_INSTRUMENTATION_TELEMETRY_ENABLED="false")
    target = start(Obedient, with_ddtrace, env=env)
    # Twice: what the first round leaves is there in the second.
    for _ in range(2):
        for step in order:
            if step == "attach":
                memattach.ok("attach", "--sample", "exact", target.pid)
                sees(memattach, target)
            elif step == "detach":
                memattach.ok("detach", target.pid)
            else:
                target.tell(START if step == "start" else STOP)
                assert target.tell(TRACING) == (step == "start")
            assert target.tell(GROW) == 50
    inside = [area for area in probe.our_maps(target.pid) if "thunks" not in area.name]
    assert inside == [] or probe.words_into(target.pid, inside) == []
    assert target.tell("answer = 6 * 7") == 42
    target.end()
