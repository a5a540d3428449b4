#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The closing line of scripts/test: passed, failed, skipped, over every kind of test.

    summary.py RESULTS_DIR     holds ctest.xml and one NAME.xml for each end-to-end test file

A test file of pytest counts by its test functions; any other ctest test counts as one. Skips are
listed with their reasons. Exit 1 when anything failed, or when nothing ran at all.
"""

import collections
import os
import sys
import xml.etree.ElementTree as xml


def outcome_of(case):
    """("passed" | "failed" | "skipped", reason)"""
    for child in case:
        if child.tag in ("failure", "error"):
            return "failed", child.get("message") or ""
        if child.tag == "skipped":
            return "skipped", child.get("message") or ""
    return "passed", ""


def skip_reason(case, message):
    """ctest knows that a test was skipped; why is the last line that it printed."""
    output = case.findtext("system-out") or ""
    lines = [line for line in output.strip().split("\n") if line.strip()]
    if message and not message.startswith(("SKIP_RETURN_CODE", "Skipped", "Not Run")):
        return message
    return lines[-1] if lines else message


def collect(results):
    """Yields (name, outcome, reason) of every single test."""
    for case in xml.parse(os.path.join(results, "ctest.xml")).getroot().iter("testcase"):
        name = case.get("name")
        own = os.path.join(results, name + ".xml")
        outcome, message = outcome_of(case)
        if not os.path.exists(own):
            if outcome == "skipped":
                message = skip_reason(case, message)
            yield name, outcome, message
            continue
        failed_within = False
        for function in xml.parse(own).getroot().iter("testcase"):
            inner, reason = outcome_of(function)
            failed_within = failed_within or inner == "failed"
            yield "%s: %s" % (name, function.get("name")), inner, reason
        if outcome == "failed" and not failed_within:
            yield name, "failed", "the test file itself: " + message


def main():
    counts = collections.Counter()
    reasons = collections.defaultdict(list)
    failures = []
    try:
        for name, outcome, reason in collect(sys.argv[1]):
            counts[outcome] += 1
            if outcome == "skipped":
                reasons[reason.split("\n")[0]].append(name)
            elif outcome == "failed":
                failures.append((name, reason.split("\n")[0][:200]))
    except (OSError, xml.ParseError) as error:
        print("summary: cannot read the results: %s" % error)
        return 1
    for reason, names in sorted(reasons.items()):
        print("skipped %d: %s\n    %s%s" % (len(names), reason, ", ".join(names[:4]),
                                            ", ..." if len(names) > 4 else ""))
    for name, reason in failures:
        print("FAILED %s: %s" % (name, reason))
    print("memattach tests: %d passed, %d failed, %d skipped"
          % (counts["passed"], counts["failed"], counts["skipped"]))
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
