#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The rules of style that a program can check: licence line, length, names, words.

Longest file, longest function and the words that stand for unfinished work are limits for
everybody; what cannot be counted is left to the reader.
"""

import re
import sys

import lint_common

SOURCES = (".c", ".h", ".S", ".py", ".proto", ".cmake", "CMakeLists.txt")
MAX_FILE_LINES = 700
MAX_FUNCTION_LINES = 80
MAX_COLUMNS = 100
TAB_COLUMNS = 8

SPDX = "SPDX-License-Identifier: MIT"
# Put together from halves, so that this file does not find itself.
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b|\b(not |un)"
                        + r"implemented\b")
CATCH_ALL = re.compile(r"(^|/)(util|utils|helpers?|misc|common)\.[ch]$")
SLEEP = re.compile(r"\b(u|nano|clock_nano|time\.)?sleep\s*\(")
COMMENTED_OUT = re.compile(r"^\s*(//|/\*|\*\s)\s*[A-Za-z_][\w>.\-]*(\s*=[^=].*|\(.*\));\s*(\*/)?$")


def functions_of(text):
    """(first line, lines) of each function body in C laid out with the brace in column 0."""
    start = None
    for number, line in enumerate(text.split("\n"), 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            yield start, number - start + 1
            start = None


def columns_of(line):
    return len(line.expandtabs(TAB_COLUMNS))


def is_script(name):
    return name.startswith(("scripts/", ".ci/")) and "." not in name.split("/")[-1]


def check(name, text):
    findings = []
    lines = text.split("\n")
    if SPDX not in "\n".join(lines[:3]):
        findings.append("%s:1: the licence line is missing: %s" % (name, SPDX))
    if len(lines) - 1 > MAX_FILE_LINES:
        findings.append("%s: %d lines; at most %d: does it hold two ideas?"
                        % (name, len(lines) - 1, MAX_FILE_LINES))
    if CATCH_ALL.search(name):
        findings.append("%s: a helper lives with the thing it helps, or has a name" % name)
    # A program that a test attaches to may sleep; the test itself may not.
    in_tests = name.startswith(("tests/e2e/", "tests/unit/")) and "target" not in name
    for number, line in enumerate(lines, 1):
        where = "%s:%d: " % (name, number)
        if UNFINISHED.search(line):
            findings.append(where + "stands for unfinished work: " + line.strip())
        if in_tests and SLEEP.search(line):
            findings.append(where + "a test polls for a condition and never sleeps")
        if name.endswith((".c", ".h")):
            if columns_of(line) > MAX_COLUMNS:
                findings.append(where + "longer than %d columns" % MAX_COLUMNS)
            if COMMENTED_OUT.match(line):
                findings.append(where + "code in a comment: " + line.strip())
        if line != line.rstrip():
            findings.append(where + "space at the end of the line")
    if name.endswith((".c", ".h")):
        for first, length in functions_of(text):
            if length > MAX_FUNCTION_LINES:
                findings.append("%s:%d: a function of %d lines; at most %d"
                                % (name, first, length, MAX_FUNCTION_LINES))
    if text and not text.endswith("\n"):
        findings.append("%s: no newline at its end" % name)
    return findings


def self_test():
    head = "/* " + SPDX + " */\n"
    wrong = [
        ("a.c", "int x;\n"),
        ("a.c", head + "/* TO" + "DO */\n"),
        ("a.c", head + "int x; \n"),
        ("a.c", head + "\t" * 13 + "x;\n"),
        ("a.c", head + "/* x = 3; */\n"),
        ("a.c", head + "int f(void)\n{\n" + "\tx;\n" * MAX_FUNCTION_LINES + "}\n"),
        ("a.c", head + "\n" * MAX_FILE_LINES),
        ("a/util.c", head),
        ("tests/e2e/test_a.py", "# " + SPDX + "\ntime.sle" + "ep(1)\n"),
        ("a.c", head + "int x;"),
    ]
    for name, text in wrong:
        if not check(name, text):
            sys.exit("self-test: %r was not found" % text[:60])
    fine = head + "/* The pause: see futex(2); x is read first. */\nint f(void)\n{\n\treturn 1;\n}\n"
    if check("a.c", fine):
        sys.exit("self-test: refuses what is fine: %s" % check("a.c", fine))


def main():
    self_test()
    names = [name for name in lint_common.files() if name.endswith(SOURCES) or is_script(name)]
    findings = []
    for name in names:
        findings += check(name, lint_common.read(name))
    lint_common.finish(findings, len(names))


if __name__ == "__main__":
    main()
