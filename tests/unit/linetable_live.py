#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares our line table decoder with every Python that is here, over much of its library.

    linetable_live.py PROBE     PROBE is tests/unit/linetable_probe, built

Exit 77 when no Python is found.
"""
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Prints, for each code object, a question for the probe and the interpreter's own answer.
INSIDE = r'''
import dis, os, sys
MODULES = """argparse ast asyncio/base_events asyncio/tasks bdb bisect calendar cgi codecs
collections/__init__ configparser contextlib copy csv dataclasses datetime decimal difflib dis
email/message enum fractions ftplib functools heapq html/parser http/client imaplib inspect
json/decoder logging/__init__ mailbox multiprocessing/pool ntpath optparse os pathlib pdb pickle
platform plistlib posixpath pydoc random re shutil smtplib socket ssl statistics string subprocess
tarfile textwrap threading tokenize trace traceback typing unittest/case urllib/request uuid
weakref xml/dom/minidom zipfile""".split()

def lines_of(code):
    lines = [0] * len(code.co_code)
    if hasattr(code, "co_lines"):
        for start, end, line in code.co_lines():
            lines[start:end] = [line or 0] * (end - start)
    else:
        starts = list(dis.findlinestarts(code)) + [(len(lines), 0)]
        for (start, line), (end, _) in zip(starts, starts[1:]):
            lines[start:end] = [line] * (end - start)
    return lines[::2]

def walk(code):
    yield code
    for constant in code.co_consts:
        if hasattr(constant, "co_code"):
            for inner in walk(constant):
                yield inner

library = os.path.dirname(os.__file__)
for module in MODULES:
    path = os.path.join(library, module + ".py")
    if not os.path.exists(path):
        continue
    with open(path, "rb") as file:
        source = file.read()
    for code in walk(compile(source, path, "exec")):
        table = code.co_linetable if hasattr(code, "co_linetable") else code.co_lnotab
        print("%x %d %s %d" % (sys.hexversion, code.co_firstlineno, table.hex() or "-",
                               len(code.co_code)))
        print(" ".join(map(str, lines_of(code))))
'''


def pythons():
    listed = os.environ.get("MEMATTACH_PYTHONS")
    if listed and os.path.exists(listed):
        with open(listed) as file:
            return json.load(file)
    return json.loads(subprocess.run([os.path.join(ROOT, "scripts/pythons"), "--json"], check=True,
                                     capture_output=True, text=True).stdout)


def compare(probe, python):
    """(code objects, units, complaints)"""
    run = subprocess.run(python["command"] + ["-I", "-W", "ignore", "-c", INSIDE], check=True,
                         capture_output=True, text=True)
    told = run.stdout.split("\n")[:-1]
    questions, expected = told[0::2], told[1::2]
    run = subprocess.run([probe], input="\n".join(questions) + "\n", check=True,
                         capture_output=True, text=True)
    answers = run.stdout.split("\n")[:-1]
    if len(answers) != len(expected):
        return 0, 0, ["%d answers to %d questions" % (len(answers), len(expected))]
    complaints = ["%s: %s, not %s" % (question, answer, right)
                  for question, answer, right in zip(questions, answers, expected)
                  if answer.split() != right.split()]
    return len(expected), sum(len(line.split()) for line in expected), complaints


def main():
    probe = sys.argv[1]
    done = failed = 0
    for python in pythons():
        if "skip" in python:
            print("%s: skipped: %s" % (python["label"], python["skip"]))
            continue
        codes, units, complaints = compare(probe, python)
        print("%s: %d code objects, %d code units, %d wrong"
              % (python["label"], codes, units, len(complaints)))
        for complaint in complaints[:3]:
            print("  " + complaint[:400])
        done += 1
        failed += bool(complaints) or codes < 1000
    if not done:
        print("skipped: no Python found")
        return 77
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
