# SPDX-License-Identifier: MIT
"""What memattach costs, beside nothing and beside others. Run by scripts/bench, which see.

Every figure is smallest, median and largest over pairs that were taken in turns in this run: the
machine may be busy, and what it does to one it does to the other. Nothing is judged.
"""

import argparse
import json
import signal
import sys

import attach_speed
import daemon_load
import hook_instructions
import native_costs
import pyperformance_set
import sample_steps
import thread_scaling
import workload_costs
from figures import Progress, machine
from ways import PROGRAM, Failed, Tools

import pythons  # found in tests/e2e, through ways

PARTS = {"workloads": workload_costs, "native": native_costs, "pyperformance": pyperformance_set,
         "attach": attach_speed, "threads": thread_scaling, "instructions": hook_instructions, "steps": sample_steps,
         "daemon": daemon_load}
ALWAYS = [name for name in PARTS if name != "pyperformance"]


def arguments_of():
    parser = argparse.ArgumentParser(prog="scripts/bench", add_help=False)
    parser.add_argument("--workload", action="append")
    parser.add_argument("--python", action="append")
    parser.add_argument("--part", action="append", choices=sorted(PARTS))
    parser.add_argument("--set", action="append", default=[],
                        choices=["pyperformance", "pyperformance-all"])
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--scale", type=float)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    given = parser.parse_args()
    given.pairs = given.pairs or (3 if given.quick else 5)
    given.scale = given.scale or (0.1 if given.quick else 0.5)
    given.parts = given.part or ALWAYS + (["pyperformance"] if given.set else [])
    return given


def chosen_pythons(labels):
    """Those asked for; else pyenv's 3.11 and the distribution's own."""
    wanted = labels or ["3.11", "3.11-system"]
    usable = [python for python in pythons.every() if not python.skip and not python.root]
    found = [python for python in usable if python.label in wanted or python.version in wanted]
    if not found and not labels:
        found = [pythons.one()]
    if not found:
        sys.exit("bench: no such Python here: %s (there are: %s)" % (
            ", ".join(wanted), ", ".join(python.label for python in usable)))
    return found


def run_parts(given, tools, results, progress):
    for name in given.parts:
        part = PARTS[name]
        subjects = chosen_pythons(given.python) if part.EVERY_PYTHON else [None]
        for python in subjects:
            label = python.label if python else None
            try:
                found = part.measure(given, python, tools, progress)
            except (Failed, AssertionError) as error:
                found = {"failed": str(error)}
            progress.clear()
            results["parts"].append({"part": name, "python": label,
                                     "version": python.version if python else None, **found})
            title = part.TITLE + (", Python %s (%s)" % (python.version, label) if python else "")
            print("\n## %s\n\n%s" % (title, found["failed"] if "failed" in found
                                     else part.text(found)), flush=True)


def interrupt(*_):
    raise KeyboardInterrupt


def main():
    given = arguments_of()
    # Where SIGINT is ignored, as in a shell's background, this is how one interrupts us.
    signal.signal(signal.SIGTERM, interrupt)
    progress = Progress()
    results = {"machine": machine(PROGRAM), "pairs": given.pairs, "scale": given.scale, "parts": []}
    for key, value in results["machine"].items():
        print("%-10s %s" % (key, value))
    print("%-10s %d, of workloads at %g of their full size" % ("pairs", given.pairs, given.scale))
    tools = Tools()
    code = 0
    try:
        run_parts(given, tools, results, progress)
    except KeyboardInterrupt:
        progress.clear()
        print("\nbench: interrupted; what is above was measured", file=sys.stderr)
        code = 130
    finally:
        tools.close()
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
            file.write("\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
