# SPDX-License-Identifier: MIT
"""Intervals cover the truth: sites of real processes, chosen before anything was sampled.

tests/targets/sites.py says beforehand what each of its sites will allocate and hold; every one of them
is measured, also those that got no sample, of which the summary says that sites below its resolution
may be missing. The short variant measures 120 sites, MEMATTACH_LONG=1 (scripts/test-long) 1,200.
"""

import json
import os
import subprocess
import tempfile

import pytest

from churn_target import status_of
from pythons import TARGETS
from target import Target
from waiting import wait_until

SAMPLE = "16KiB"
SAMPLE_BYTES = 16 << 10
CLASSES = "{512: 0.01, 8192: 0.05}"
WINDOWS_BUDGET = "0.5%"
WINDOWS_S = 4
SHORT_RUNS, LONG_RUNS = 2, 20
COVERED = 0.95
MANY_SAMPLES = 30
# arena_map_bot_t of Objects/obmalloc.c, from 3.10 on.
ARENA_MAP_LEAF_BYTES = 128 << 10
# Of so many standard deviations the share that is covered may fall short by chance.
SIGMAS = 4.0


class Asked(Target):
    def __init__(self, python, name, seed):
        process = python.start([python.path(os.path.join(TARGETS, name)), str(seed)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        super().__init__(process, tempfile.TemporaryFile())

    def ask(self, words):
        self.process.stdin.write(words.encode() + b"\n")
        self.process.stdin.flush()
        answer = json.loads(self.read_line())
        assert answer["done"] == words.split()[0]
        return answer


class Sites(Asked):
    def __init__(self, python, seed):
        super().__init__(python, "sites.py", seed)
        self.sites = json.loads(self.read_line())["sites"]


class Windowed(Asked):
    def __init__(self, python, seed):
        super().__init__(python, "windowed.py", seed)
        assert json.loads(self.read_line())["ready"] == self.pid


def summary(memattach, pid):
    result = memattach.ok("--json", "--wait", "0", "--top", "1000000", pid)
    return json.loads(result.text)["targets"][0]


def beside(found, sites):
    """[(truth of a site, its line of the summary or None, resolution)] of one process."""
    lines = {(os.path.basename(line["file"]), line["line"]): line for line in found["lines"]}
    lost = {name: count for name, count in found["not_seen"].items()
            if count and name in ("dropped_allocs", "dropped_frees", "gaps", "malformed")}
    assert not lost, lost
    resolution = found["not_seen"]["resolution_bytes"]
    return [(site, lines.get((site["file"], site["line"])), resolution) for site in sites]


def measure(memattach, start, python, seed, sample):
    target = start(Sites, python, seed)
    memattach.ok("attach", "--sample", sample, target.pid)
    target.ask("run")
    found = summary(memattach, target.pid)
    memattach.ok("detach", target.pid)
    target.ask("ping")
    target.end()
    return beside(found, target.sites)


def measure_windowed(memattach, start, python, seed):
    """The same of sites that are looked at in windows."""
    target = start(Windowed, python, seed)
    memattach.ok("attach", "--overhead", WINDOWS_BUDGET, target.pid)

    def has_windows():
        target.ask("warm 0.3")
        return status_of(memattach, target.pid)["windows_open_ratio_now"] < 1
    wait_until(has_windows, what="windows")
    target.ask("run %d" % WINDOWS_S)
    found = summary(memattach, target.pid)
    assert found["sampling"]["windows_open_ratio"] < 1, found["sampling"]
    sites = target.ask("sites")["sites"]
    memattach.ok("detach", target.pid)
    target.end()
    return beside(found, sites)


def look(measured, value, unit):
    """[(covered, below the truth, samples)] of every site."""
    looks = []
    for site, line, resolution in measured:
        truth = site["%s_%s" % (value, unit)]
        if line is None:
            # Nothing is said of how many blocks there are where nothing was seen.
            if unit == "bytes":
                looks.append((truth <= resolution, truth > resolution, 0))
            continue
        if unit == "count" and value == "live" and line["live_samples"] == 0:
            continue  # the same
        estimate = line[value]
        low, high = estimate["low_" + unit], estimate["high_" + unit]
        # The ends are rounded to whole numbers.
        looks.append((low - 1 <= truth <= high + 1, high + 1 < truth,
                      line["live_samples"] if value == "live" else None))
    return looks


def share(looks):
    return sum(covered for covered, _, _ in looks) / len(looks)


def least_share(count, together):
    return COVERED - SIGMAS * (COVERED * (1 - COVERED) * together / count) ** 0.5


def report(name, looks):
    few = sum(below for _, below, _ in looks)
    text = "%-24s %5d sites, covered %.1f %%, interval below the truth %.1f %%, above %.1f %%" % (
        name, len(looks), 100 * share(looks), 100 * few / len(looks),
        100 * (1 - share(looks) - few / len(looks)))
    print(text)
    return text


@pytest.fixture
def runs():
    return LONG_RUNS if os.environ.get("MEMATTACH_LONG") else SHORT_RUNS


def test_the_ledger_is_right(memattach, start, every_python):
    """In exact mode there is nothing to estimate: both sides must say the same."""
    for site, line, _ in measure(memattach, start, every_python, 1, "exact"):
        assert line, site
        for value in ("allocated", "live"):
            assert line[value]["bytes"] == line[value]["low_bytes"] == line[value]["high_bytes"]
            extra = line[value]["bytes"] - site[value + "_bytes"]
            # A new arena may need a new leaf of pymalloc's map of arenas, on whichever line is at work.
            books = (0, ARENA_MAP_LEAF_BYTES) if site["smallest"] <= 512 else (0,)
            assert any(abs(extra - book) <= 2048 for book in books), (site, line)
            assert abs(line[value]["count"] - site[value + "_count"]) <= 8, (site, line)


def check_coverage(measured, together=1):
    """together: so many sites err as if they were one."""
    for value in ("live", "allocated"):
        looks = look(measured, value, "bytes")
        text = report("%s, bytes" % value, looks)
        assert share(looks) >= least_share(len(looks), together), text
        # The number of blocks, where they are of about one size: see docs/estimates.md.
        alike = [entry for entry in measured if entry[0]["largest"] < 10 * entry[0]["smallest"]]
        looks = look(alike, value, "count")
        text = report("%s, blocks" % value, looks)
        assert share(looks) >= least_share(len(looks), together), text
    many = [entry for entry in measured if entry[1] and entry[1]["live_samples"] >= MANY_SAMPLES]
    if many:
        looks = look(many, "live", "bytes")
        text = report("live, %d samples or more" % MANY_SAMPLES, looks)
        assert share(looks) >= least_share(len(looks), together), text


@pytest.mark.parametrize("sample", [SAMPLE, CLASSES])
def test_intervals_cover(memattach, start, python, runs, sample):
    measured = []
    for seed in range(runs):
        measured += measure(memattach, start, python, 100 + seed, sample)
    assert len(measured) == 60 * runs
    assert any(line is None for _, line, _ in measured) or sample != SAMPLE
    check_coverage(measured)


def test_windows_cover(memattach, start, python, runs):
    """Small objects that are looked at for a part of the time, all sites at once or none."""
    measured = []
    for seed in range(runs):
        measured += measure_windowed(memattach, start, python, 300 + seed)
    check_coverage(measured, together=4)
    true = sum(site["allocated_bytes"] for site, _, _ in measured)
    estimated = sum(line["allocated"]["bytes"] for _, line, _ in measured if line)
    print("allocated: estimated %.2f %% of the truth" % (100 * estimated / true))


def test_estimates_are_unbiased(memattach, start, python, runs):
    """The sum over all sites: its error is known from the true sizes."""
    estimated = true = variance = 0.0
    for seed in range(runs):
        for site, line, _ in measure(memattach, start, python, 500 + seed, SAMPLE):
            true += site["allocated_bytes"]
            estimated += line["allocated"]["bytes"] if line else 0
            # At most: a sample of small blocks stands for SAMPLE_BYTES, of large ones for less.
            variance += site["allocated_bytes"] * SAMPLE_BYTES
    print("allocated: estimated %.3f %% of the truth" % (100 * estimated / true))
    assert abs(estimated - true) <= SIGMAS * variance ** 0.5
