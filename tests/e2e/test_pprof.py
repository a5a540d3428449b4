# SPDX-License-Identifier: MIT
"""snapshot.bin is a pprof profile: Go's own reader names the same lines with the same bytes."""

import os
import re
import shutil
import subprocess

import pytest

import program
import pythons
import snapshot_reader
from snapshot_reader import ALLOC_SPACE, INUSE_SPACE, PEAK_SPACE
from target import Ledger

UNITS = {"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


@pytest.fixture(scope="module")
def go():
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if not found:
        pytest.skip("go is not installed (scripts/setup --test installs it where it can)")
    return found


@pytest.fixture
def dumped(memattach, start, every_python, tmp_path):
    ledger = start(Ledger, every_python)
    memattach.ok("attach", "--sample", "64KiB", ledger.pid)
    ledger.ask("grow")
    ledger.ask("shrink")
    path = str(tmp_path / "snapshot.bin")
    memattach.ok("dump", "--wait", "0", "-o", path, ledger.pid)
    with open(path, "rb") as file:
        return path, snapshot_reader.Snapshot(file.read())


def go_environment(path):
    """Newer releases of Go compile pprof when it is first used: once is enough."""
    return dict(os.environ, HOME=os.path.dirname(path),
                GOCACHE=os.path.join(program.BUILD, "go-cache"))


def top(go, path, index=None):
    """[(flat bytes, name, file:line)] as `go tool pprof -top -lines` prints them."""
    command = [go, "tool", "pprof", "-top", "-lines", "-nodecount=100000", "-nodefraction=0",
               "-unit=B", "-symbolize=none"]
    if index:
        command.append("-sample_index=" + index)
    run = subprocess.run(command + [path], capture_output=True, text=True, timeout=400,
                         env=go_environment(path))
    assert run.returncode == 0, run.stderr
    assert "<unknown>" not in run.stdout, run.stdout
    rows = []
    for line in run.stdout.split("\n"):
        match = re.match(r"\s*([\d.]+)(B|kB|MB|GB)?\s+\S+%\s+\S+%\s+\S+\s+\S+%\s+(.*)", line)
        if match:
            name = match[3].strip()
            if name.endswith(" (inline)"):
                name = name[:-len(" (inline)")]
            rows.append((float(match[1]) * UNITS[match[2] or "B"], name))
    return run.stdout, rows


def expected(snapshot, value):
    """{"name file:line": bytes} by innermost frame, from our own reader."""
    sums = {}
    for site in snapshot.sites:
        name, file, line, _ = site.all_frames[0]
        key = "%s %s:%d" % (name, os.path.normpath(file), line) if file else name
        sums[key] = sums.get(key, 0) + site.values[value]
    return {key: count for key, count in sums.items() if count}


@pytest.mark.parametrize("index,value", [(None, INUSE_SPACE), ("peak_space", PEAK_SPACE),
                                         ("alloc_space", ALLOC_SPACE)])
def test_top_names_the_same_lines(go, dumped, index, value):
    path, snapshot = dumped
    text, rows = top(go, path, index)
    want = expected(snapshot, value)
    got = {name: flat for flat, name in rows if flat}
    assert set(got) == set(want), (set(got) ^ set(want), text)
    for name, flat in got.items():
        assert abs(flat - want[name]) <= 0.005 * want[name] + 1, (name, flat, want[name])
    assert any("ledger.py:" in name for name in got)
    if index is None:
        # In-use space is what a reader shows that was told nothing.
        assert "Type: inuse_space" in text, text


def test_default_view_of_a_reader(go, dumped):
    """Without any option, as a user types it."""
    path, snapshot = dumped
    run = subprocess.run([go, "tool", "pprof", "-top", path], capture_output=True, text=True,
                         timeout=400, env=go_environment(path))
    assert run.returncode == 0, run.stderr
    assert "inuse_space" in run.stdout and "<unknown>" not in run.stdout, run.stdout
    by_function = {}
    for site in snapshot.sites:
        name = site.all_frames[0][0]
        by_function[name] = by_function.get(name, 0) + site.values[INUSE_SPACE]
    rows = run.stdout.split("cum%\n", 1)[1].split("\n")
    assert rows[0].split()[-1] == max(by_function, key=by_function.get), run.stdout


def test_module_level_frames(go, memattach, start, tmp_path):
    """<module> and <lambda> keep their names."""
    from target import Target
    import subprocess as processes
    import tempfile
    python = pythons.one()
    script = tmp_path / "held.py"
    script.write_text("import sys\nprint('up', flush=True)\nsys.stdin.readline()\n"
                      "held = bytes(50 << 20)\nmore = (lambda: bytes(30 << 20))()\n"
                      "print('held', flush=True)\nsys.stdin.readline()\n")
    process = python.start([str(script)], stdin=processes.PIPE, stdout=processes.PIPE)
    target = start(lambda: Target(process, tempfile.TemporaryFile()))
    assert target.read_line() == "up"
    memattach.ok("attach", target.pid)
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert target.read_line() == "held"
    path = str(tmp_path / "snapshot.bin")
    memattach.ok("dump", "--wait", "0", "-o", path, target.pid)
    text, rows = top(go, path)
    names = {name for _, name in rows}
    assert any(name.startswith("<module> ") and name.endswith("held.py:4") for name in names), text
    assert any(name.startswith("<lambda> ") and name.endswith("held.py:5") for name in names), text


def test_structure(dumped):
    """What the format promises beyond what its readers check."""
    _, snapshot = dumped
    profile, heap = snapshot.profile, snapshot.heap
    python = {frame[:2] for site in snapshot.sites for frame in site.all_frames
              if frame[3] is None}
    assert all((snapshot.strings[function["name"]], snapshot.strings[function["filename"]])
               in python for function in profile["function"] if function["system_name"] == 0)
    assert any(file.endswith("ledger.py") for _, file in python)
    assert all(site.labels["domain"] in ("object", "mem", "malloc", "mmap")
               for site in snapshot.sites)
    assert all(isinstance(site.labels["tid"], int) for site in snapshot.sites)
    assert profile["period"] == 64 << 10
    assert profile["time_nanos"] >= heap["attach_time_nanos"] > 0
    assert abs(profile["duration_nanos"]
               - (profile["time_nanos"] - heap["attach_time_nanos"])) < 10 ** 9
    assert heap["process"]["python_version"] and heap["process"]["host"]
    assert heap["process"]["end"] is None
    assert len(profile["comment"]) == 1
    assert snapshot.strings[profile["comment"][0]].startswith("estimates since ")
    assert abs(heap["totals"]["live_bytes"] - snapshot.total(INUSE_SPACE)) <= 0.01 * snapshot.total(INUSE_SPACE)
    assert heap["totals"]["peak_bytes"] >= heap["totals"]["live_bytes"]
    assert abs(heap["totals"]["peak_bytes"] - snapshot.total(PEAK_SPACE)) <= 0.01 * snapshot.total(PEAK_SPACE)
    assert sum(size["live_bytes"] for size in heap["size_class"]) == \
        pytest.approx(heap["totals"]["live_bytes"], rel=0.01)
    assert heap["memory"]["rss_bytes"] > 1 << 20


def test_protoc_reads_it_too(dumped):
    """An independent decoder agrees that every byte belongs to the schema."""
    if not shutil.which("protoc"):
        pytest.skip("protoc is not installed")
    path, snapshot = dumped
    import gzip
    with open(path, "rb") as file:
        plain = gzip.decompress(file.read())
    proto = os.path.join(program.ROOT, "proto")
    run = subprocess.run(["protoc", "-I", proto, "--decode=memattach.Profile",
                          os.path.join(proto, "profile.proto")], input=plain, capture_output=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count(b"\nsample {") + run.stdout.startswith(b"sample {") \
        == len(snapshot.sites)
