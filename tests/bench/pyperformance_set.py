# SPDX-License-Identifier: MIT
"""Benchmarks of pyperformance that need nothing else, bare and attached by default.

Their own runner starts many processes, to which nobody could attach at the right moment. So the
functions are taken out of the scripts (workloads.py) and repeated in one process.
"""

import environments
from figures import Spread, Table, geomean, percentile
from ways import OURS, Failed, Target, round_of

TITLE = "pyperformance: CPU time, bare = 1"
EVERY_PYTHON = True
# Fifteen of all kinds, for a run that ends soon. The others: --set pyperformance-all.
CHOICE = {"async_tree", "chaos", "deepcopy", "deltablue", "generators", "json_dumps", "json_loads",
          "logging", "nbody", "pickle", "pyflate", "raytrace", "regex_effbot", "richards",
          "xml_etree"}
RUN_S = 0.4          # of one measurement, at a scale of 1
SETTLE_S = 1.0
WAYS = [way for way in OURS if way.name in ("thunks only", "default")]


def loops_of(target, seconds):
    """How many loops take about so long."""
    loops = 1
    while True:
        took = target.ask("loops", loops)["cpu"]
        if took >= seconds / 4 or loops > 1 << 20:
            return max(1, round(loops * seconds / max(took, 1e-6)))
        loops *= 4


def measure_one(command, name, path, given, tools):
    target = Target(command)
    try:
        target.ask("script", path, name)
        loops = loops_of(target, RUN_S * min(1, max(0.25, given.scale * 2)))
        return [round_of(target, WAYS, tools, lambda: target.ask("loops", loops),
                         lambda seconds: target.ask("settle", "", seconds))
                for _ in range(given.pairs)]
    finally:
        target.end()


def measure(given, python, tools, progress):
    progress.say("getting pyperformance for %s" % python.label)
    command, why_not = environments.make(python, ["pyperformance"])
    scripts = environments.scripts_of(command) if why_not is None else []
    if not scripts:
        raise Failed("pyperformance cannot be had: %s" % (why_not or "it brings no benchmarks"))
    found = {"rounds": {}, "left_out": {}}
    if "pyperformance-all" not in given.set:
        scripts = [one for one in scripts if one[0][3:] in CHOICE]
    for at, (name, path) in enumerate(scripts):
        progress.say("%s: %s, %d of %d" % (python.label, name, at + 1, len(scripts)))
        try:
            found["rounds"][name[3:]] = measure_one(command, name, path, given, tools)
        except Failed as error:
            found["left_out"][name[3:]] = str(error)[:200]
    medians = {way.name: [Spread([one[way.name]["cpu"] for one in rounds]).median
                          for rounds in found["rounds"].values()] for way in WAYS}
    found["geomean"] = {way: geomean(values) for way, values in medians.items()}
    found["p90"] = {way: percentile(values, 0.9) for way, values in medians.items()}
    return found


def text(found):
    table = Table("benchmark", *(way.name for way in WAYS), "it says, % of its CPU time", "interval, KiB")
    for name, rounds in found["rounds"].items():
        runs = [one["default"] for one in rounds]
        table.add(name, *(Spread([one[way.name]["cpu"] for one in rounds]).text() for way in WAYS),
                  Spread([100 * run["said"]["cost_ratio"] / run["core"]
                          for run in runs]).text("%.1f"),
                  Spread([run["said"]["interval_bytes"] / 1024 for run in runs]).text("%.0f"))
    words = [table.text(), ""]
    for way in WAYS:
        words.append("%s, medians of %d benchmarks: geometric mean %.3f, 90th percentile %.3f"
                     % (way.name, len(found["rounds"]), found["geomean"][way.name],
                        found["p90"][way.name]))
    for name, why in found["left_out"].items():
        words.append("left out: %s (%s)" % (name, why))
    return "\n".join(words)
