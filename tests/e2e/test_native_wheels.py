# SPDX-License-Identifier: MIT
"""numpy, lxml and rpds: the Python line and, under it, the C functions that asked for the memory."""

import json
import os
import re
import subprocess
import tempfile

import pytest

import probe
import pythons
import unharmed
import wheels
from native_frames import below
from snapshot_reader import ALLOC_SPACE, INUSE_OBJECTS, INUSE_SPACE
from target import Target
from waiting import wait_until

ARRAY_BYTES = 200000 * 8
ROUNDS = 5
# numpy asks for a little more than it needs, and each array is an object of its own besides.
SLACK = 1.01


class Worker(Target):
    """tests/targets/wheels.py with one package."""

    def __init__(self, python, package, folder=None):
        errors = tempfile.TemporaryFile()
        script = python.path(os.path.join(pythons.TARGETS, "wheels.py"))
        process = python.start(["-B", script, package, *([python.path(folder)] if folder else [])],
                               [folder] if folder else [], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=errors)
        super().__init__(process, errors)
        self.lines = json.loads(self.read_line())["lines"]

    def ask(self, *commands):
        for command in commands:
            self.process.stdin.write(command.encode() + b"\n")
            self.process.stdin.flush()
            assert self.read_line() == "done"

    def where(self, mark):
        """Key of a marked line in Snapshot.by_line()."""
        return ("wheels.py", self.lines[mark])


@pytest.fixture
def tracked(memattach, start):
    """tracked(target, commands, named): attached, exact, with native frames; looked at afterwards."""
    taken = []

    def track(target, commands, named):
        target.ask(*commands)
        before = probe.state(target.pid)
        memattach.ok("attach", "--sample", "exact", "--native", target.pid)
        taken.append((target, before))

        # Tables are compiled after the attach.
        def all_named():
            target.ask(*commands)
            snapshot = memattach.snapshot(target.pid)
            return all(named(snapshot, command) for command in commands)
        wait_until(all_named, 60, "native frames in every stack")
        return target

    yield track
    for target, before in taken:
        memattach.ok("detach", target.pid)
        assert probe.differences(before, probe.state(target.pid)) == []
        ours = probe.our_maps(target.pid)
        assert sum(area.bytes for area in ours) <= unharmed.LEFT_BYTES, ours
        assert probe.words_into(target.pid, ours) == []
        target.process.stdin.close()
        assert target.process.wait(60) == 0, target.error_text()


def wheel(python, package):
    folder, why_not = wheels.folder_of(python, package)
    if why_not:
        pytest.skip(why_not)
    return folder


def growth(memattach, target, mark, command, value):
    """By how much a line's figure grows in ROUNDS times that command."""
    was = memattach.snapshot(target.pid).by_line(value).get(target.where(mark), 0)
    target.ask(*[command] * ROUNDS)
    return memattach.snapshot(target.pid).by_line(value).get(target.where(mark), 0) - was


def has_numpy(snapshot, command):
    return any("umath" in frame[3] and "+0x" not in frame[0]
               for stack in below(snapshot, command, ALLOC_SPACE) for frame in stack)


def test_numpy(memattach, start, tracked, every_python):
    target = start(Worker, every_python, "numpy", wheel(every_python, "numpy"))
    tracked(target, ["create", "temporary", "view"], has_numpy)
    made = growth(memattach, target, "CREATE", "create", INUSE_SPACE)
    assert ROUNDS * ARRAY_BYTES <= made <= ROUNDS * ARRAY_BYTES * SLACK

    # What an expression throws away was allocated on its line and is not held there.
    passed = growth(memattach, target, "TEMPORARY", "temporary", ALLOC_SPACE)
    assert ROUNDS * ARRAY_BYTES <= passed <= ROUNDS * ARRAY_BYTES * SLACK
    assert memattach.snapshot(target.pid).by_line(INUSE_SPACE).get(
        target.where("TEMPORARY"), 0) < ARRAY_BYTES / 10

    # The view keeps its base: the bytes stay on the line that made them, whose name is gone.
    kept = growth(memattach, target, "BASE", "view", INUSE_SPACE)
    assert ROUNDS * ARRAY_BYTES <= kept <= ROUNDS * ARRAY_BYTES * SLACK
    snapshot = memattach.snapshot(target.pid)
    assert snapshot.by_line(INUSE_SPACE).get(target.where("PART"), 0) < ARRAY_BYTES / 10
    target.ask("release")
    after = memattach.snapshot(target.pid).by_line(INUSE_SPACE)
    assert after.get(target.where("BASE"), 0) < ARRAY_BYTES / 10

    expected = {"create": ["PyArray_Empty", "array_empty"], "temporary": ["PyArray_NewFromDescr"],
                "view": ["PyArray_Arange"]}
    for command, functions in expected.items():
        stack = below(snapshot, command, ALLOC_SPACE)[0]
        names = [frame[0] for frame in stack]
        for function in functions:
            assert any(name.startswith(function) for name in names), (command, names)


def exported(path):
    """[(address, size, name)] of the functions that a file exports."""
    run = subprocess.run(["readelf", "--dyn-syms", "-W", path], capture_output=True, text=True,
                         check=True)
    words = [line.split() for line in run.stdout.split("\n")]
    return [(int(row[1], 16), int(row[2], 0), row[7].split("@")[0]) for row in words
            if len(row) == 8 and row[3] in ("FUNC", "IFUNC") and row[6] != "UND"]


def never_a_neighbour(snapshot, path):
    """A place in a file without symbol table has the name of the function that covers it, or none.

    Returns how many places had a name and how many had none.
    """
    profile, strings = snapshot.profile, snapshot.strings
    mappings = {mapping["id"] for mapping in profile["mapping"]
                if os.path.basename(strings[mapping["filename"]]) == os.path.basename(path)}
    places = [(location["address"], strings[profile["function"][line["function_id"] - 1]["name"]])
              for location in profile["location"] if location["mapping_id"] in mappings
              for line in location["line"]]
    start = os.path.basename(path) + "+0x"
    nameless = [(address, int(name[len(start):], 16)) for address, name in places
                if name.startswith(start)]
    bases = {address - offset for address, offset in nameless}
    assert len(bases) == 1, places
    base = bases.pop()
    functions = exported(path)
    for address, name in places:
        covering = {function for at, size, function in functions if at <= address - base < at + size}
        if name.startswith(start):
            assert not covering, (name, covering)
        else:
            assert name in covering, (hex(address - base), name, covering)
    return len(places) - len(nameless), len(nameless)


def etree_of(target):
    """Where the target's lxml.etree and libxml2 are: paths of ours."""
    return {os.path.basename(area.name).split(".")[0]: area.name for area in probe.maps(target.pid)
            if "/etree." in area.name or "/libxml2." in area.name}


def test_lxml(memattach, start, tracked, every_python):
    """The wheel has libxml2 inside, and names for what that exports alone."""
    folder = wheel(every_python, "lxml")
    target = start(Worker, every_python, "lxml", folder)

    def deep(snapshot, command):
        return any(len(stack) > 3 for stack in below(snapshot, command))
    tracked(target, ["parse", "build"], deep)
    snapshot = memattach.snapshot(target.pid)
    lines = snapshot.by_line(INUSE_OBJECTS)
    for mark, command, function in (("PARSE", "parse", "xmlParseElement"),
                                    ("BUILD", "build", "xmlNewDocText")):
        assert lines[target.where(mark)] > 2 * 2000
        names = {frame[0] for stack in below(snapshot, command) for frame in stack}
        assert function in names, names
    etree = os.path.join(folder, "lxml", os.path.basename(etree_of(target)["etree"]))
    named, nameless = never_a_neighbour(snapshot, etree)
    assert named > 3 and nameless > 3


def test_rust(memattach, start, tracked, python):
    """A wheel built with Rust: its names as people write them, without the hash at their end."""
    target = start(Worker, python, "rpds", wheel(python, "rpds-py"))

    def through(snapshot, command):
        return any("rpds" in frame[3] for stack in below(snapshot, command) for frame in stack)
    tracked(target, ["insert"], through)
    snapshot = memattach.snapshot(target.pid)
    assert snapshot.by_line(INUSE_OBJECTS)[target.where("INSERT")] > 2 * 2000
    names = {frame[0] for stack in below(snapshot, "insert") for frame in stack
             if "rpds" in frame[3]}
    assert any("rpds::" in name for name in names), names
    assert not any(re.match(r"_ZN|_R|.*::h[0-9a-f]{16}$", name) for name in names), names


def test_lxml_of_the_distribution(memattach, start, tracked):
    """libxml2 is a library of its own there and names what it exports."""
    found = [python for python in pythons.every()
             if not python.skip and python.command == ["/usr/bin/python3"]]
    if not found or subprocess.run(["/usr/bin/python3", "-c", "import lxml.etree"],
                                   capture_output=True).returncode:
        pytest.skip("there is no python3-lxml here")
    target = start(Worker, found[0], "lxml")

    def through(snapshot, command):
        return any("libxml2" in frame[3] for stack in below(snapshot, command) for frame in stack)
    tracked(target, ["parse", "build"], through)
    snapshot = memattach.snapshot(target.pid)
    names = {command: {frame[0] for stack in below(snapshot, command) for frame in stack}
             for command in ("parse", "build")}
    assert any(name.startswith("xmlParse") for name in names["parse"]), names["parse"]
    assert {"xmlNewDocNode", "xmlNewDocText"} & names["build"], names["build"]
    named, nameless = never_a_neighbour(snapshot, etree_of(target)["libxml2"])
    assert named > 3 and nameless
