# SPDX-License-Identifier: MIT
"""The process that is measured: takes commands on stdin, one JSON list a line, and answers each.

    ["run", workload, scale]        {"cpu", "wall"}: seconds
    ["settle", workload, seconds]   the workload, small, over and over
    ["loops", count]                the loaded script's benchmark: {"cpu", "wall"}
    ["script", path, name]          loads a script of pyperformance
    ["tracemalloc", on] ["memray", file, Python allocators too, native] ["memray_stop"]
    ["threads", count, pairs]       {"ns"}: of CPU time, for a pair of malloc and free
    ["busy", count]                 so many Python threads that allocate, for ever
    ["watch"] ["gap"]               a thread that notes gaps; {"ns"}: the longest since
"""

import ctypes
import gc
import json
import os
import sys
import threading
import time
import tracemalloc

import workloads

SETTLE_SCALE = 0.02


class Target:
    def __init__(self):
        self.script = None
        self.tracker = None
        self.library = None

    def native(self):
        if not self.library:
            self.library = ctypes.CDLL(os.environ["BENCH_NATIVE"])
            self.library.load_threads.restype = ctypes.c_double
            self.library.load_threads.argtypes = [ctypes.c_int, ctypes.c_uint64]
            self.library.load_gap_ns.restype = ctypes.c_uint64
            self.library.load_naps.restype = ctypes.c_uint64
        return self.library

    @staticmethod
    def measure(function, argument):
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        kept = function(argument)
        found = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
        del kept
        return found

    def run(self, workload, scale):
        return self.measure(workloads.WORKLOADS[workload], scale)

    def settle(self, workload, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if workload in workloads.WORKLOADS:
                workloads.WORKLOADS[workload](SETTLE_SCALE)
            else:
                self.script(1)
        return {}

    def loops(self, count):
        return self.measure(self.script, count)

    def load_script(self, path, name):
        self.script = workloads.load_script(path, name)
        return {}

    @staticmethod
    def tracemalloc(on):
        if on:
            tracemalloc.start()
        else:
            tracemalloc.stop()
        return {}

    def memray(self, path, python_allocators, native):
        import memray
        self.tracker = memray.Tracker(destination=memray.FileDestination(path, overwrite=True),
                                      trace_python_allocators=python_allocators,
                                      native_traces=native)
        self.tracker.__enter__()
        return {}

    def memray_stop(self):
        self.tracker.__exit__(None, None, None)
        self.tracker = None
        return {}

    def threads(self, count, pairs):
        return {"ns": self.native().load_threads(count, pairs)}

    @staticmethod
    def busy(count):
        def churn():
            while True:
                [bytes(700 + i) for i in range(50)]
        for _ in range(count):
            threading.Thread(target=churn, daemon=True).start()
        return {}

    def watch(self):
        return {"failed": self.native().load_watch()}

    def gap(self):
        return {"ns": self.native().load_gap_ns(), "naps": self.native().load_naps()}


def main():
    sys.setrecursionlimit(3000)
    target = Target()
    commands = {"run": target.run, "settle": target.settle, "loops": target.loops,
                "script": target.load_script, "tracemalloc": target.tracemalloc,
                "memray": target.memray, "memray_stop": target.memray_stop,
                "threads": target.threads, "busy": target.busy, "watch": target.watch,
                "gap": target.gap}
    answers = os.fdopen(os.dup(1), "w")
    # What a benchmark prints is of no interest.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for line in sys.stdin:
        words = json.loads(line)
        try:
            answer = commands[words[0]](*words[1:])
        except (Exception, SystemExit) as error:
            answer = {"error": "%s: %s" % (type(error).__name__, error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
