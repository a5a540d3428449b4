# SPDX-License-Identifier: MIT
"""Live and peak by line agree with a ledger that knows them exactly, on every Python.

Truth comes from tests/targets/ledger.py in two ways that do not know of each other (see there).
Sampled figures are estimates: how far off they may be follows from the true sizes, not from what
memattach says of its own accuracy; and that is checked too.
"""

import math

import pytest

import probe
import program
from snapshot_reader import (ALLOC_SPACE, INUSE_OBJECTS, INUSE_SPACE, PEAK_OBJECTS, PEAK_SPACE)
from target import Ledger, twin_figures

SAMPLE_BYTES = 64 << 10
SIGMAS = 5.0
# Chance of the worst estimate that is put up with; some thousand estimates are checked in a run.
LEAST_CHANCE = 1e-8
# Values in a snapshot are whole numbers.
ROUNDING = 1
# Below this the number of samples is too small for a normal interval.
SMALLEST_SAMPLED_BYTES = 1 << 20
EXACT_PART = 0.02
# Frames, numbers and the like that come and go on a marked line while it is measured.
EXACT_SLACK_BYTES = 2048
# Made by mmap and freed by munmap: not in the twin's figures.
REGIONS = "regions"
# What pymalloc takes from malloc for its own books when it needs another arena: its array of arenas,
# from 3.10 on also nodes of its address map, 128 KiB each. That happens on whichever line asks for a
# small block just then, and is no block of that line.
SMALL_BLOCK_BYTES = 512
BOOKS_BYTES = 600 << 10
# Blocks that were large once, and stay malloc's.
SHRUNK = ("array_shrunk_small",)


def bytes_of(sizes):
    return sum(size * count for size, count in sizes.items())


def count_of(sizes):
    return sum(sizes.values())


def is_small(name, sizes):
    """Do all blocks of this line come from pymalloc?"""
    return name not in SHRUNK and bool(sizes) and max(sizes) <= SMALL_BLOCK_BYTES


def figure(snapshot, where, value, small):
    """Sum of a value over the sites of a line; of small blocks only, without pymalloc's books."""
    return sum(site.values[value] for site in snapshot.sites if site.line == where
               and not (small and site.labels["domain"] == "malloc"))


def byte_variance(sizes):
    """Of the Horvitz-Thompson estimate of a sum of sizes, each taken with p = 1 - e^(-k/R)."""
    variance = 0.0
    for size, count in sizes.items():
        missed = math.exp(-size / SAMPLE_BYTES)
        variance += count * size * size * missed / (1 - missed)
    return variance


def run_ledger(memattach, start, python, sample):
    """Attaches before the work, takes a snapshot at the plateau and one at the end.

    Returns the ledger, the two snapshots and what the ledger knows by construction at both moments.
    """
    ledger = start(Ledger, python)
    memattach.ok("attach", "--sample", sample, ledger.pid)
    ledger.ask("grow")
    plateau_accounts = ledger.ask("report")["accounts"]
    plateau = memattach.snapshot(ledger.pid)
    ledger.ask("shrink")
    end_accounts = ledger.ask("report")["accounts"]
    end = memattach.snapshot(ledger.pid)
    return ledger, {"plateau": (plateau, plateau_accounts), "end": (end, end_accounts)}


@pytest.fixture(params=["exact", "64KiB"])
def worked(request, memattach, start, every_python):
    truth = twin_figures(every_python, program.BUILD)
    ledger, moments = run_ledger(memattach, start, every_python, request.param)
    for moment, (_, accounts) in moments.items():
        for name, account in accounts.items():
            if name in (REGIONS, "churn"):
                continue
            sizes = truth[moment].get(name, {})
            assert (bytes_of(sizes), count_of(sizes)) == (account["live_bytes"],
                                                          account["live_count"]), \
                "the two sources of the ledger disagree on %s: the test itself is broken" % name
    return request.param, ledger, moments, truth


def check_exact(name, what, got, want):
    slack = max(EXACT_PART * want, EXACT_SLACK_BYTES if "bytes" in what else 40)
    assert abs(got - want) <= slack, "%s of line %s: %d, the ledger says %d" % (what, name, got, want)


def chance_of(sizes, off, of_block):
    """Upper bound (Chernoff's) of the chance that the estimate is off by so much or more.

    Each block counts of_block(size) / p with chance p, else nothing. With few blocks, each of which is
    rarely missed, a normal approximation would call one missed block impossible.
    """
    sign = 1 if off > 0 else -1
    blocks = [(-math.expm1(-size / SAMPLE_BYTES), of_block(size), count)
              for size, count in sizes.items()]
    largest = max(weight / taken for taken, weight, _ in blocks)

    def exponent(slope):
        total = -slope * abs(off)
        for taken, weight, count in blocks:
            step = sign * slope * weight
            # log E exp(slope * (estimate - truth)) of a block, without overflow
            total += count * (step / taken - step
                              + math.log(taken + (1 - taken) * math.exp(-step / taken))
                              if step > 0 else
                              math.log1p(taken * math.expm1(step / taken)) - step)
        return total

    return math.exp(min(exponent(2.0 ** (power / 4) / largest) for power in range(-60, 28)))


def check_likely(name, what, got, want, sizes, of_block):
    off = abs(got - want) - ROUNDING
    chance = chance_of(sizes, math.copysign(off, got - want), of_block) if off > 0 else 1.0
    assert chance >= LEAST_CHANCE, \
        "%s of line %s: %d, the ledger says %d, which happens by chance at most once in %.0e times" % (
            what, name, got, want, 1 / chance)


def check_sampled(name, what, got, want, variance):
    sigma = math.sqrt(variance)
    assert abs(got - want) <= SIGMAS * sigma, \
        "%s of line %s: %d, the ledger says %d, which is %.1f standard deviations away" % (
            what, name, got, want, (got - want) / sigma)


def test_lines_agree_with_the_ledger(worked):
    mode, ledger, moments, truth = worked
    plateau, end = moments["plateau"][0], moments["end"][0]
    accounts = moments["end"][1]
    checked = 0
    live, peak = (INUSE_SPACE, INUSE_OBJECTS), (PEAK_SPACE, PEAK_OBJECTS)
    views = [("live at the plateau", plateau, live, "plateau"),
             ("peak at the plateau", plateau, peak, "plateau"),
             ("live at the end", end, live, "end"),
             ("peak at the end", end, peak, "plateau")]
    for what, snapshot, (in_bytes, in_count), moment in views:
        in_all = snapshot.by_line(in_bytes)
        for name in ledger.lines:
            if name in (REGIONS, "churn", "leak", "extension"):
                continue
            sizes = truth[moment].get(name, {})
            where, small = ledger.where(name), is_small(name, sizes)
            got_bytes = figure(snapshot, where, in_bytes, small)
            got_count = figure(snapshot, where, in_count, small)
            assert in_all.get(where, 0) - got_bytes <= BOOKS_BYTES
            if mode == "exact":
                check_exact(name, what + ", bytes", got_bytes, bytes_of(sizes))
                check_exact(name, what + ", count", got_count, count_of(sizes))
            elif bytes_of(sizes) >= SMALLEST_SAMPLED_BYTES:
                check_likely(name, what + ", bytes", got_bytes, bytes_of(sizes), sizes,
                             lambda size: size)
                check_likely(name, what + ", count", got_count, count_of(sizes), sizes,
                             lambda size: 1)
            checked += 1
    assert checked >= 40

    # Whole regions are recorded each, in both modes.
    for snapshot, moment in ((plateau, "plateau"), (end, "end")):
        sites = [site for site in snapshot.sites
                 if site.line == ledger.where(REGIONS) and site.labels["domain"] == "mmap"]
        assert sum(site.values[INUSE_SPACE] for site in sites) == \
            moments[moment][1][REGIONS]["live_bytes"], "mmap regions at the %s" % moment

    # What came and went is known by what was asked for.
    for name in ("churn", "small", "medium", "large", "thread"):
        want = accounts[name]["allocated_bytes"]
        got = figure(end, ledger.where(name), ALLOC_SPACE, name == "small")
        if mode == "exact":
            check_exact(name, "allocated, bytes", got, want)
        else:
            check_sampled(name, "allocated, bytes", got, want, SAMPLE_BYTES * want)
    # Freed, all of it: nothing is live, and in exact mode that is not an estimate.
    assert end.by_line(INUSE_SPACE).get(ledger.where("churn"), 0) == 0
    assert end.by_line(INUSE_SPACE).get(ledger.where("medium"), 0) == 0
    assert not end.losses.get("dropped_allocs"), end.losses
    assert not end.losses.get("malformed"), end.losses

    assert ledger.ask("ping")["pong"]
    assert ledger.quit(37) == 37


def test_own_idea_of_accuracy(memattach, start, python):
    """The variances in the snapshot are those that follow from the true sizes."""
    truth = twin_figures(python, program.BUILD)["plateau"]
    ledger, moments = run_ledger(memattach, start, python, "64KiB")
    plateau = moments["plateau"][0]
    claimed = plateau.variance_by_line("live_bytes_variance")
    for name in ("small", "medium", "list_growth", "array_growth", "thread"):
        ratio = claimed[ledger.where(name)] / byte_variance(truth[name])
        assert 0.4 < ratio < 2.5, "%s: claimed variance is %.2f times the true one" % (name, ratio)


def test_domains(memattach, start, every_python):
    """Each byte is counted once, at the layer that served it."""
    ledger = start(Ledger, every_python)
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    ledger.ask("grow")
    snapshot = memattach.snapshot(ledger.pid)
    found = {}
    for site in snapshot.sites:
        key = (site.line, site.labels["domain"])
        found[key] = found.get(key, 0) + site.values[INUSE_SPACE]
    truth = twin_figures(every_python, program.BUILD)["plateau"]
    for name, domain in (("small", "object"), ("medium", "malloc"), ("large", "malloc"),
                         ("instances", "object"), ("compressors", "malloc"),
                         # A block that malloc served stays malloc's, however small it becomes.
                         ("array_shrunk_small", "malloc"), ("array_shrunk_medium", "malloc")):
        want = bytes_of(truth[name])
        got = found.get((ledger.where(name), domain), 0)
        assert abs(got - want) <= EXACT_PART * want + EXACT_SLACK_BYTES, (name, domain, found)


def test_threads(memattach, start, every_python):
    """Sites say which thread allocated, by its kernel id."""
    ledger = start(Ledger, every_python)
    memattach.ok("attach", "--sample", "exact", ledger.pid)
    ledger.ask("grow")
    snapshot = memattach.snapshot(ledger.pid)
    by_thread = {}
    for site in snapshot.sites:
        if site.line == ledger.where("thread"):
            tid = site.labels["tid"]
            by_thread[tid] = by_thread.get(tid, 0) + site.values[INUSE_SPACE]
    assert len(by_thread) == 3, by_thread
    assert set(by_thread) <= set(probe.threads(ledger.pid)) - {ledger.pid}
    accounts = ledger.ask("report")["accounts"]
    assert abs(sum(by_thread.values()) - accounts["thread"]["live_bytes"]) < 4096
    for site in snapshot.sites:
        if site.line == ledger.where("small"):
            assert site.labels["tid"] == ledger.pid
