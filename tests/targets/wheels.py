# SPDX-License-Identifier: MIT
"""Works with numpy, lxml or rpds, one command a line, each answered by "done".

    wheels.py numpy|lxml|rpds [FOLDER]   FOLDER: where that package is; prints a line of JSON when it
                                       is up: {"lines": {mark: line}}
    numpy   create   keeps an array        temporary  throws away what an expression makes
            view     keeps a view of an array whose own name goes away at once
            release  lets go of the views
    lxml    parse    keeps a document      build      keeps a tree made element by element
    rpds    insert   keeps a map of Rust's
"""

import json
import sys

if len(sys.argv) > 2:
    sys.path.insert(0, sys.argv[2])

HELD = []
VIEWS = []
LENGTH = 200000
ROWS = 2000


def create():
    HELD.append(numpy.empty(LENGTH))  # CREATE


def temporary():
    total = (NUMBERS * 2.5).sum()  # TEMPORARY
    assert total > 0


def view():
    base = numpy.arange(LENGTH, dtype=float)  # BASE
    part = base[10:20]  # PART
    del base
    VIEWS.append(part)


def release():
    assert all(part[0] == 10 for part in VIEWS)
    VIEWS.clear()


def parse():
    text = b"<shelf>" + b"<box label='a box'>some words</box>" * ROWS + b"</shelf>"
    HELD.append(etree.fromstring(text))  # PARSE


def build():
    root = etree.Element("shelf")
    for number in range(ROWS):
        etree.SubElement(root, "box", label=str(number)).text = "some words"  # BUILD
    HELD.append(root)


def insert():
    made = rpds.HashTrieMap()
    for number in range(ROWS):
        made = made.insert(number, number)  # INSERT
    HELD.append(made)


def marked_lines():
    with open(__file__, encoding="utf-8") as file:
        return {text.rsplit("# ", 1)[1].strip(): number for number, text in enumerate(file, 1)
                if text.rstrip().endswith(tuple("# " + mark for mark in MARKS))}


MARKS = ("CREATE", "TEMPORARY", "BASE", "PART", "PARSE", "BUILD", "INSERT")
if sys.argv[1] == "numpy":
    import numpy
    NUMBERS = numpy.ones(LENGTH)
    COMMANDS = {"create": create, "temporary": temporary, "view": view, "release": release}
elif sys.argv[1] == "rpds":
    import rpds
    COMMANDS = {"insert": insert}
else:
    from lxml import etree
    COMMANDS = {"parse": parse, "build": build}

print(json.dumps({"lines": marked_lines()}), flush=True)
for line in sys.stdin:
    COMMANDS[line.strip()]()
    print("done", flush=True)
