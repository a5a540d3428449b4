# SPDX-License-Identifier: MIT
"""What bench_target.py does while it is measured: five workloads, and pyperformance's benchmarks.

A workload is a function of a scale: 1.0 is its full size. Runs under every Python that we support.
"""

import argparse
import asyncio
import collections
import json
import math
import runpy
import sys
import time
import types


def dict_of_lists(scale):
    """Two million strings and a million lists."""
    kept = {}
    for i in range(int(2000000 * scale)):
        kept["key %d" % i] = [i] if i % 2 else None
    return kept


def json_round(scale):
    document = {str(i): [i] * 8 for i in range(500)}
    for _ in range(max(1, int(1500 * scale))):
        json.loads(json.dumps(document))


def descend(depth):
    return 0 if depth == 0 else [depth] and 1 + descend(depth - 1)


def recursion(scale):
    """400 deep, a list of one element in every frame."""
    for _ in range(max(1, int(40000 * scale))):
        descend(400)


def fib_of(n):
    return n if n < 2 else fib_of(n - 1) + fib_of(n - 2)


def fib(scale):
    """fib(34), or as much less as the scale says: each step down is 1.618 times quicker."""
    fib_of(34 + round(math.log(scale) / math.log(1.618)))


def bytearrays(scale):
    """Eight million of 1 to 5 KB, the last 2,000 of them alive."""
    window = collections.deque(maxlen=2000)
    for i in range(int(8000000 * scale)):
        window.append(bytearray(1024 + i * 37 % 4096))


WORKLOADS = {"dict": dict_of_lists, "json": json_round, "recursion": recursion, "fib": fib,
             "bytearrays": bytearrays}

# Scripts that want to be told which of their benchmarks to run.
SCRIPT_ARGUMENTS = {"bm_async_tree": ["none"], "bm_pickle": ["pickle"],
                    "bm_argparse": ["many_optionals"], "bm_xml_etree": ["process"],
                    "bm_logging": ["simple"]}


class Runner:
    """Stands in for pyperf.Runner: keeps what a script would measure, and measures nothing."""

    def __init__(self, **_):
        self.metadata = {}
        self.argparser = argparse.ArgumentParser()
        self.args = None
        self.found = []  # (name, function of the number of loops)

    def parse_args(self, args=None):
        self.args = self.argparser.parse_args(args)
        return self.args

    def bench_time_func(self, name, function, *arguments, **_):
        self.found.append((name, lambda loops: function(loops, *arguments)))

    def bench_func(self, name, function, *arguments, **_):
        def repeat(loops):
            for _ in range(loops):
                function(*arguments)
        self.found.append((name, repeat))

    def bench_async_func(self, name, function, *arguments, **_):
        def repeat(loops):
            for _ in range(loops):
                asyncio.run(function(*arguments))
        self.found.append((name, repeat))


def load_script(path, name):
    """The first benchmark of a script of pyperformance, as a function of the number of loops."""
    runners = []

    def make_runner(**options):
        runners.append(Runner(**options))
        return runners[-1]

    stand_in = types.ModuleType("pyperf")
    stand_in.Runner = make_runner
    stand_in.perf_counter = time.perf_counter
    stand_in.python_implementation = lambda: "cpython"
    sys.modules["pyperf"] = stand_in
    sys.argv = [path] + SCRIPT_ARGUMENTS.get(name, [])
    # What the functions need must outlive the script: run_path() empties its module afterwards.
    kept = runpy.run_path(path, run_name="__main__")
    if not runners or not runners[0].found:
        raise ValueError("it measures no function")
    function = runners[0].found[0][1]
    function.kept = kept
    return function
