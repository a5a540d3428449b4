# SPDX-License-Identifier: MIT
"""Native code under Python's lines, by name: C and C++ libraries, a thread that knows no Python."""

import json
import os
import re
import shutil
import subprocess
import tempfile

import pytest

import program
import pythons
import snapshot_reader
from native_frames import below
from snapshot_reader import INUSE_SPACE
from target import Target
from waiting import wait_until

TARGETS = os.path.join(program.ROOT, "tests", "targets")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if not shutil.which("c++"):
        pytest.skip("there is no C++ compiler here")
    path = str(tmp_path_factory.mktemp("native") / "libwarehouse.so")
    # With its own libstdc++: not every root has one.
    subprocess.run(["c++", "-g", "-O2", "-fPIC", "-shared", "-pthread", "-static-libstdc++",
                    "-static-libgcc", "-o", path,
                    os.path.join(TARGETS, "native_code.cc")], check=True, timeout=300)
    return path


def take(memattach, target, tmp_path, *options):
    path = str(tmp_path / "snapshot.bin")
    memattach.ok("dump", "--wait", "0", "-o", path, *options, target.pid)
    with open(path, "rb") as file:
        return snapshot_reader.Snapshot(file.read())


def is_library(path):
    """By its name: a root of its own has other folders."""
    return os.path.basename(path) == "libwarehouse.so"


def one_round(target):
    target.process.stdin.write(b"\n")
    target.process.stdin.flush()
    assert target.read_line() == "done"


@pytest.fixture
def allocated(memattach, start, every_python, library, tmp_path):
    process = every_python.start([every_python.path(os.path.join(TARGETS, "native_code.py")),
                                  every_python.path(library)], [os.path.dirname(library)],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    target = start(lambda: Target(process, tempfile.TemporaryFile()))
    assert target.read_line() == "up"
    memattach.ok("attach", "--sample", "16KiB", "--native", target.pid)

    # Tables are compiled after the attach: rounds until stacks of both threads have them.
    def has_native():
        one_round(target)
        names = [frame[0] for site in take(memattach, target, tmp_path).sites
                 for frame in site.all_frames if frame[3]]
        return "fill_shelf" in names and "fill" in names
    wait_until(has_native, 60)
    for _ in range(3):
        one_round(target)
    return target


def test_names(memattach, allocated, tmp_path):
    snapshot = take(memattach, allocated, tmp_path)
    shelf = below(snapshot, "fill_shelf")[0]
    # What is compiled into another function is a line of its own, with file and line.
    assert [frame[0] for frame in shelf[:3]] == [
        "warehouse::Shelf<double>::carry", "warehouse::Shelf<double>::stack", "fill_shelf"]
    assert all(frame[1].endswith("native_code.cc") and frame[2] > 0 for frame in shelf[:3])
    assert all(is_library(frame[3]) for frame in shelf[:3])
    rows = [frame for stack in below(snapshot, "insert_rows") for frame in stack]
    assert any("sqlite3" in os.path.basename(frame[3]) for frame in rows), rows
    zlib = [frame[0] for stack in below(snapshot, "make_compressors") for frame in stack]
    assert any(name.startswith("deflateInit") for name in zlib), zlib
    # What the interpreter itself does for a line is folded into it.
    assert not below(snapshot, "make_lists")


def test_thread_without_python(memattach, allocated, tmp_path):
    snapshot = take(memattach, allocated, tmp_path)
    alone = [[frame[0] for frame in site.all_frames] for site in snapshot.sites
             if site.all_frames and all(frame[3] for frame in site.all_frames)]
    assert any(names[:3] == ["warehouse::Shelf<int>::carry", "warehouse::Shelf<int>::stack",
                             "fill"] for names in alone), alone


def test_build_id_and_mapping(memattach, allocated, tmp_path, library):
    """Native locations are in a mapping that says which file that is, and Python's in the first."""
    profile = take(memattach, allocated, tmp_path).profile
    strings = profile["string_table"]
    paths = [strings[mapping["filename"]] for mapping in profile["mapping"]]
    mapping = profile["mapping"][[is_library(path) for path in paths].index(True)]
    note = subprocess.run(["readelf", "-n", library], capture_output=True, text=True).stdout
    build_id = strings[mapping["build_id"]]
    assert build_id and "Build ID: " + build_id in note
    inside = [location for location in profile["location"]
              if location["mapping_id"] == mapping["id"]]
    assert inside
    for location in inside:
        assert mapping["memory_start"] <= location["address"] < mapping["memory_limit"]
    for location in profile["location"]:
        names = [profile["function"][line["function_id"] - 1] for line in location["line"]]
        native = [function["system_name"] != 0 for function in names]
        assert all(native) or not any(native)
        assert any(native) == (location["address"] != 0)


def test_without_native(memattach, allocated, tmp_path):
    """The same sums by line; stacks that differ in native frames alone are one site."""
    both = take(memattach, allocated, tmp_path)
    python = take(memattach, allocated, tmp_path, "--no-native")
    assert not any(frame[3] for site in python.sites for frame in site.all_frames)
    keys = [(tuple(sample["location_id"]), site.labels["domain"], site.labels["tid"])
            for sample, site in zip(python.profile["sample"], python.sites)]
    assert len(keys) == len(set(keys))
    assert len(python.sites) <= len(both.sites)

    def by_line(snapshot):
        sums = {}
        for site in snapshot.sites:
            if site.frames and site.frames[0][1].endswith(".py"):
                sums[site.line] = sums.get(site.line, 0) + site.values[INUSE_SPACE]
        return sums
    assert by_line(both) == pytest.approx(by_line(python), abs=100)


def test_live(memattach, allocated):
    """What a line called, in each form of the live view; and not where nobody wants to know."""
    words = ["live", allocated.pid, "--duration", "1ms", "--top", "20"]
    rows = {line["function"]: line for line in json.loads(
        memattach.ok(*words, "--json").text)["lines"]}
    assert rows["fill_shelf"]["kind"] == "python"
    assert "ctypes" in rows["fill_shelf"]["native"]["entry"]["module"]
    cellar = rows["warehouse::Shelf<int>::carry"]
    assert cellar["kind"] == "native" and is_library(cellar["module"])
    lists = [line for name, line in rows.items() if "listcomp" in name or name == "make_lists"]
    assert lists and all(line["native"] is None for line in lists)
    assert re.search(r"insert_rows > \w", memattach.ok(*words).text)
    without = memattach.ok(*words, "--json", "--no-native").text
    assert all(line["kind"] == "python" and line["native"] is None
               for line in json.loads(without)["lines"])
    assert "insert_rows >" not in memattach.ok(*words, "--no-native").text


def test_summary(memattach, allocated):
    text = memattach.ok("--wait", "0", "--top", "20", allocated.pid).text
    # Python called ctypes, which called the library.
    assert "warehouse::She" in text and "(libwarehouse)" in text, text
    document = json.loads(memattach.ok("--json", "--wait", "0", "--top", "20",
                                       allocated.pid).text)
    lines = {line["function"]: line for line in document["targets"][0]["lines"]}
    native = lines["fill_shelf"]["native"]
    assert "ctypes" in native["entry"]["module"]
    assert is_library(native["leaf"]["module"])
    assert native["leaf"]["function"] == "warehouse::Shelf<double>::carry"
    assert 0 < native["share"] <= 1
    assert lines["fill_shelf"]["kind"] == "python"
