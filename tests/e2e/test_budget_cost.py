# SPDX-License-Identifier: MIT
"""What tracking costs is held to the budget, and is what memattach says it is.

The machine may be busy, so bounds are generous, and times are CPU times of the target. A target that
does nothing but allocate passes through the hook so often that this alone exceeds the budget; what can be
steered, and is judged here, is the sampling.
"""

import datetime

from churn_target import Churn, status_of
from waiting import wait_until

BUDGET = 0.02
HEAVY_S = 4
CPU_S = 0.5              # of one measurement


def seconds_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def settled(memattach, target):
    """Attached, and idle for long enough to have a cost."""
    wait_until(lambda: len(status_of(memattach, target.pid)["cost_history"]) >= 2,
               what="two spans of history")
    return status_of(memattach, target.pid)


def test_wakes_up(memattach, start, python):
    target = start(Churn, python)
    memattach.ok("attach", target.pid)
    idle = settled(memattach, target)
    assert idle["interval_bytes"] == 64 << 10, idle
    assert idle["cost_ratio"] < BUDGET, idle
    began = datetime.datetime.now(datetime.timezone.utc).timestamp()
    work = target.ask("work", HEAVY_S)
    status = status_of(memattach, target.pid)
    spans = [span for span in status["cost_history"]
             if began + 1 < seconds_of(span["end_time"]) - span["seconds"]
             and seconds_of(span["end_time"]) < began + HEAVY_S]
    assert spans and work["bytes"] / work["cpu"] > 2e8, (status, work)
    # At 64 KiB the sampling alone would take several times the budget, given a core.
    if work["cpu"] > 0.7 * work["wall"]:
        assert status["interval_bytes"] > idle["interval_bytes"], status
    # What was cut off by the scheduler inside the hook counts as the hook's.
    sampling = sorted(span["sampling_ratio"] for span in spans)
    assert sampling[len(sampling) // 2] <= BUDGET, (spans, work)


def work_of(target):
    """(CPU time of a block, part of a core that the target got in the end)"""
    cpu = blocks = 0.0
    while cpu < CPU_S:
        work = target.ask("work", CPU_S)
        cpu += work["cpu"]
        blocks += work["blocks"]
    return cpu / blocks, work["cpu"] / work["wall"]


def added(memattach, target, *options, settle=0.0):
    """(what being attached so adds, as a ratio to bare; what memattach says, as a part of the CPU time;
    least part of a core that the target got; status): medians of three pairs in turns."""
    ratios, said, cores = [], [], []
    for _ in range(3):
        before, _ = work_of(target)
        memattach.ok("attach", *options, target.pid)
        if settle:
            target.ask("work", settle)
        during, core = work_of(target)
        status = status_of(memattach, target.pid)
        memattach.ok("detach", target.pid)
        ratios.append(2 * during / (before + work_of(target)[0]) - 1)
        said.append(status["cost_ratio"] / core)
        cores.append(core)
    return sorted(ratios)[1], sorted(said)[1], min(cores), status


def test_says_what_it_costs(memattach, start, python):
    """From outside, as CPU time, and from inside."""
    target = start(Churn, python)
    target.ask("work", 0.5)
    passing, _, _, passing_status = added(memattach, target, "--sample", "64MiB", settle=0.6)
    steered, said, core, steered_status = added(memattach, target, settle=1.5)
    everything, _, _, _ = added(memattach, target, "--sample", "4KiB")
    # Sampling costs, so that the comparison could fail; steered, little more than the way through.
    assert everything > steered, (everything, steered)
    # The budget is of a core: a target that gets a part of one may be told more often.
    assert steered - passing < 0.15 + 2 * BUDGET / core, (steered, passing, core)
    outside = steered / (1 + steered)
    assert 0.1 * outside - 0.02 < said < 5 * outside + 0.1, (said, outside, steered_status)
    assert passing_status["passing_ratio"] > 0, passing_status


def test_states_the_floor(memattach, start, python):
    """Where the way through the hook alone is above the budget, status says so."""
    target = start(Churn, python)
    memattach.ok("attach", "--overhead", "0.01%", target.pid)
    target.ask("work", 2)
    wait_until(lambda: "above the budget" in memattach.ok("status", target.pid).text or
               target.ask("work", 0.5) is None, what="the statement in status")
