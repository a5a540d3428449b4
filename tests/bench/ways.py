# SPDX-License-Identifier: MIT
"""The process to be measured, and the ways in which it can run: bare, attached, under others."""

import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "e2e"))
import program  # found in tests/e2e

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = program.BUILD
PROGRAM = program.PROGRAM
REROUTE = os.path.join(BUILD, "tests", "bench", "ma_bench_reroute")
NATIVE = os.path.join(BUILD, "tests", "bench", "native_load.so")


class Failed(Exception):
    """Something could not be measured; the text says why."""


class Target:
    """bench_target.py in a Python."""

    def __init__(self, command):
        self.errors = tempfile.TemporaryFile()
        # In a group of its own: Ctrl-C is for us, who end it.
        self.process = subprocess.Popen(
            [*command, os.path.join(HERE, "bench_target.py")], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.errors, text=True, start_new_session=True,
            env=dict(os.environ, BENCH_NATIVE=NATIVE, PYTHONDONTWRITEBYTECODE="1"))
        self.pid = self.process.pid

    def ask(self, *words):
        try:
            self.process.stdin.write(json.dumps(words) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.errors.seek(0)
            raise Failed("the process ended (%s) during %s: %s" % (
                self.process.wait(), words, self.errors.read().decode()[-2000:]))
        answer = json.loads(line)
        if "error" in answer:
            raise Failed("%s: %s" % (" ".join(map(str, words)), answer["error"]))
        return answer

    def end(self):
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            try:
                stream.close()
            except BrokenPipeError:
                pass


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid, encoding="utf-8") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Attached:
    """By memattach; `route` as ma_bench_reroute takes it."""

    def __init__(self, name, *options, settle=0.0, route=None):
        self.name, self.options, self.settle_s, self.route = name, options, settle, route
        self.before = (0.0, 0.0)

    def enter(self, target, tools):
        tools.memattach.ok("attach", "-q", *self.options, target.pid)
        self.reroute(target, tools, self.route)
        self.before = (cpu_seconds(tools.memattach.daemon_pid()), time.monotonic())

    def leave(self, target, tools):
        """Returns what memattach has to say of the run."""
        daemon_s = cpu_seconds(tools.memattach.daemon_pid()) - self.before[0]
        daemon_ratio = daemon_s / (time.monotonic() - self.before[1])
        status = json.loads(tools.memattach.ok("status", "--json", target.pid).text)
        session = status["sessions"][0]
        self.reroute(target, tools, "back")
        tools.memattach.ok("detach", "-q", target.pid)
        return {"cost_ratio": session["cost_ratio"], "interval_bytes": session["interval_bytes"],
                "samples": session["samples"], "drops": session["drops"], "daemon_ratio": daemon_ratio}

    def reroute(self, target, tools, route):
        if self.route:
            subprocess.run([REROUTE, str(target.pid), route, tools.file("routes")], check=True)


class Tracemalloc:
    name, settle_s = "tracemalloc", 0.0

    @staticmethod
    def enter(target, _):
        target.ask("tracemalloc", True)

    @staticmethod
    def leave(target, _):
        target.ask("tracemalloc", False)
        return {}


class Memray:
    settle_s = 0.0

    def __init__(self, name, python_allocators, native=False):
        self.name, self.python_allocators, self.native = name, python_allocators, native

    def enter(self, target, tools):
        target.ask("memray", tools.file("memray.bin"), self.python_allocators, self.native)

    @staticmethod
    def leave(target, tools):
        target.ask("memray_stop")
        size = os.stat(tools.file("memray.bin")).st_size
        os.unlink(tools.file("memray.bin"))
        return {"file_bytes": size}


OURS = [Attached("thunks only", route="thunks"),
        Attached("frees only", route="frees"),
        Attached("default", settle=1.5),
        Attached("512KiB", "--sample", "512KiB"),
        Attached("exact", "--sample", "exact")]
THEIRS = [Tracemalloc(), Memray("memray", False), Memray("memray, Python allocators", True)]


class Tools:
    """memattach with a daemon of its own, and a folder for what others write."""

    def __init__(self):
        self.memattach = program.Memattach()

    def file(self, name):
        return os.path.join(self.memattach.folder, name)

    def close(self):
        self.memattach.close()


def round_of(target, ways, tools, run, settle):
    """One run in each way, each beside bare ones: {way: (ratio, seconds bare, what it says)}.

    run() answers with {"cpu", "wall"}; settle(seconds) works that long, so that what adapts has adapted.
    """
    found = {}
    before = run()
    for way in ways:
        way.enter(target, tools)
        if way.settle_s:
            settle(way.settle_s)
        with_it = run()
        said = way.leave(target, tools)
        after = run()
        bare = {key: (before[key] + after[key]) / 2 for key in before}
        found[way.name] = {"cpu": with_it["cpu"] / bare["cpu"],
                           "wall": with_it["wall"] / bare["wall"], "bare": bare["cpu"],
                           "seconds": with_it["cpu"], "core": with_it["cpu"] / with_it["wall"],
                           "said": said}
        before = after
    return found
