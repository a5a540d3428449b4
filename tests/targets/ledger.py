#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A target that knows exactly what it holds, line by line.

It takes commands, one a line, on standard input and answers each with one line of JSON on standard
output. Lines of this file whose end says "ledger: NAME" are *marked*: they allocate what the ledger
accounts for, and nothing else. Figures are *requested* sizes, which is what an allocator hook sees.

Where the figures come from: two sources that do not know of each other, and must agree.

  by construction   bytes(n) requests n + 33: the 32 bytes before ob_sval and the final NUL
                    (Include/cpython/bytesobject.h, the same from 3.8 to 3.15). The ledger adds up
                    what its own loops ask for. Also mmap regions, and whatever an extension holds.
  by a twin         `ledger.py --twin` runs the very same work, which is deterministic, under
                    tracemalloc in a process of its own and prints size and count of every block by
                    line. This covers what CPython's growth rules decide and what differs between
                    versions: lists, dicts, bytearrays, instances, zlib's states.

The target itself never runs tracemalloc unless told to, so that nothing but the profiler under test
stands between it and its allocators.

Runs unmodified on CPython 3.8 to 3.15, without third-party packages.
"""

import gc
import json
import mmap
import os
import sys
import threading
import zlib

BYTES_HEAD = 33
MIB = 1 << 20
NOTHING = None


def marked_lines():
    """{name: line} of the marked lines of this file."""
    lines = {}
    with open(os.path.abspath(__file__), encoding="utf-8") as source:
        for number, text in enumerate(source, 1):
            if text.lstrip().startswith("#") or "# ledger: " not in text:
                continue
            name = text.split("# ledger: ")[1].strip()
            assert name not in lines, name
            lines[name] = number
    return lines


class Sizes:
    """Deterministic sizes, spread evenly over low..high; the same on every version."""

    def __init__(self, seed):
        self.state = seed

    def take(self, count, low, high):
        sizes = []
        for _ in range(count):
            self.state = (self.state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
            sizes.append(low + (self.state >> 33) % (high - low + 1))
        return sizes


class Account:
    """What one marked line holds, by construction: size -> count."""

    def __init__(self):
        self.live = {}
        self.allocated_bytes = 0
        self.allocated_count = 0

    def add(self, size):
        self.live[size] = self.live.get(size, 0) + 1
        self.allocated_bytes += size
        self.allocated_count += 1

    def remove(self, size):
        self.live[size] -= 1
        if not self.live[size]:
            del self.live[size]

    def figures(self):
        return {
            "live_bytes": sum(size * count for size, count in self.live.items()),
            "live_count": sum(self.live.values()),
            "allocated_bytes": self.allocated_bytes,
            "allocated_count": self.allocated_count,
        }


class Node:
    """An instance of known size: no dict, three slots, tracked by the collector."""

    __slots__ = ("left", "right", "value")


# The marked lines. A function does its arithmetic on other lines than the marked one, and works on
# slots that were there before.

def hold_small(slots, sizes):
    for index, size in enumerate(sizes):
        slots[index] = bytes(size)  # ledger: small


def hold_medium(slots, sizes):
    for index, size in enumerate(sizes):
        slots[index] = bytes(size)  # ledger: medium


def hold_large(slots, sizes):
    for index, size in enumerate(sizes):
        slots[index] = bytes(size)  # ledger: large


def hold_in_thread(slots, sizes):
    for index, size in enumerate(sizes):
        slots[index] = bytes(size)  # ledger: thread


def churn(slots, sizes):
    for size in sizes:
        slots[0] = bytes(size)  # ledger: churn
        slots[0] = NOTHING


def grow_lists(lists, length):
    for grown in lists:
        for _ in range(length):
            grown.append(NOTHING)  # ledger: list_growth


def cut_lists(lists, length):
    for grown in lists:
        del grown[length:]  # ledger: list_cut


def grow_dicts(dicts, keys):
    for grown in dicts:
        for key in keys:
            grown[key] = NOTHING  # ledger: dict_growth


def make_nodes(slots, count):
    for index in range(count):
        slots[index] = Node()  # ledger: instances


def make_arrays(slots, size):
    for index in range(len(slots)):
        slots[index] = bytearray(size)  # ledger: array_made


def shrink_arrays_small(slots, size):
    for array in slots:
        del array[size:]  # ledger: array_shrunk_small


def shrink_arrays_medium(slots, size):
    for array in slots:
        del array[size:]  # ledger: array_shrunk_medium


def grow_arrays(slots, chunk, times):
    for array in slots:
        for _ in range(times):
            array.extend(chunk)  # ledger: array_growth


def make_compressors(slots):
    for index in range(len(slots)):
        slots[index] = zlib.compressobj()  # ledger: compressors


def make_regions(slots, size):
    for index in range(len(slots)):
        slots[index] = mmap.mmap(-1, size)  # ledger: regions


def leak_a_little(slots, index, size):
    slots[index] = b"l" * size  # ledger: leak


def hold_in_extension(module, size):
    return module.hold(size)  # ledger: extension


class Worker:
    """A thread that holds blocks of its own and frees them when told to."""

    def __init__(self, name):
        self.slots = [NOTHING] * 2000
        self.orders = []
        self.wake = threading.Semaphore(0)
        self.done = threading.Semaphore(0)
        self.thread = threading.Thread(target=self.run, name=name, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            self.wake.acquire()
            order, argument = self.orders.pop()
            if order == "end":
                self.done.release()
                return
            if order == "hold":
                hold_in_thread(self.slots, argument)
            elif order == "drop":
                for index in range(len(self.slots)):
                    self.slots[index] = NOTHING
            self.done.release()

    def order(self, order, argument=None):
        self.orders.append((order, argument))
        self.wake.release()
        self.done.acquire()


class Work:
    """The whole sequence: grow to a plateau, which is the peak, then free a part."""

    def __init__(self, scale):
        self.scale = scale
        self.accounts = {name: Account() for name in marked_lines()}
        sizes = Sizes(20260101)
        count = self.count
        self.small_sizes = sizes.take(count(40000), 1, 479)
        self.medium_sizes = sizes.take(count(2000), 1000, 9000)
        self.large_sizes = sizes.take(count(12), 256 << 10, 2 << 20)
        self.thread_sizes = [sizes.take(count(2000), 600, 4000) for _ in range(3)]
        self.churn_sizes = sizes.take(count(3000), 10000, 60000)
        self.small = [NOTHING] * len(self.small_sizes)
        self.medium = [NOTHING] * len(self.medium_sizes)
        self.large = [NOTHING] * len(self.large_sizes)
        self.churned = [NOTHING]
        self.lists = [[] for _ in range(count(300))]
        self.keys = list(range(100000, 100000 + 3000))
        self.dicts = [{} for _ in range(count(60))]
        self.nodes = [NOTHING] * count(60000)
        self.arrays_small = [NOTHING] * count(3000)
        self.arrays_medium = [NOTHING] * count(400)
        self.arrays_grown = [bytearray() for _ in range(count(50))]
        self.chunk = b"c" * 1000
        self.compressors = [NOTHING] * count(20)
        self.regions = [NOTHING] * count(8)
        self.leaked = [NOTHING] * 100000
        self.leaks = 0
        # The regular threads are there before anybody attaches.
        self.workers = [Worker("ledger-%d" % index) for index in range(3)]

    def count(self, full):
        return max(1, int(full * self.scale))

    def account(self, name, sizes, sign=1):
        account = self.accounts[name]
        for size in sizes:
            if sign > 0:
                account.add(size + BYTES_HEAD)
            else:
                account.remove(size + BYTES_HEAD)

    def grow(self):
        """To the plateau. What is temporary comes first, so that the plateau is the peak."""
        churn(self.churned, self.churn_sizes)
        self.account("churn", self.churn_sizes)
        self.account("churn", self.churn_sizes, -1)
        make_arrays(self.arrays_small, 20000)
        shrink_arrays_small(self.arrays_small, 400)
        make_arrays(self.arrays_medium, 20000)
        shrink_arrays_medium(self.arrays_medium, 8000)
        grow_lists(self.lists, 5000)
        grow_dicts(self.dicts, self.keys)
        grow_arrays(self.arrays_grown, self.chunk, 200)
        make_nodes(self.nodes, len(self.nodes))
        make_compressors(self.compressors)
        make_regions(self.regions, MIB)
        hold_small(self.small, self.small_sizes)
        self.account("small", self.small_sizes)
        hold_medium(self.medium, self.medium_sizes)
        self.account("medium", self.medium_sizes)
        for worker, sizes in zip(self.workers, self.thread_sizes):
            worker.order("hold", sizes)
            self.account("thread", sizes)
        hold_large(self.large, self.large_sizes)
        self.account("large", self.large_sizes)
        for _ in self.regions:
            self.accounts["regions"].add(MIB)

    def shrink(self):
        """Frees a part of nearly everything; half the lists are cut, which is a realloc."""
        for index in range(0, len(self.small), 2):
            self.small[index] = NOTHING
        self.account("small", self.small_sizes[::2], -1)
        for index in range(len(self.medium)):
            self.medium[index] = NOTHING
        self.account("medium", self.medium_sizes, -1)
        for index in range(0, len(self.large), 3):
            self.large[index] = NOTHING
        self.account("large", self.large_sizes[::3], -1)
        self.workers[0].order("drop")
        self.account("thread", self.thread_sizes[0], -1)
        cut_lists(self.lists[::2], 1000)
        for index in range(0, len(self.dicts), 3):
            self.dicts[index].clear()
        for index in range(0, len(self.nodes), 2):
            self.nodes[index] = NOTHING
        for index in range(0, len(self.compressors), 2):
            self.compressors[index] = NOTHING
        for index in range(0, len(self.regions), 2):
            self.regions[index].close()
            self.accounts["regions"].remove(MIB)

    def clear(self):
        """Frees all of it; the threads stay."""
        for slots in (self.small, self.medium, self.large, self.nodes, self.arrays_small,
                      self.arrays_medium, self.compressors, self.leaked):
            for index in range(len(slots)):
                slots[index] = NOTHING
        for region in self.regions:
            if region is not NOTHING:
                region.close()
        for index in range(len(self.regions)):
            self.regions[index] = NOTHING
        for worker in self.workers:
            worker.order("drop")
        self.lists = [[] for _ in self.lists]
        self.dicts = [{} for _ in self.dicts]
        self.arrays_grown = [bytearray() for _ in self.arrays_grown]
        gc.collect()

    def leak(self, count, size):
        for _ in range(count):
            leak_a_little(self.leaked, self.leaks, size)
            self.leaks += 1
        self.account("leak", [size] * count)


class Burner:
    """Keeps a thread busy, so that the target is never at rest: mode "churn" or "spin"."""

    def __init__(self, mode):
        self.stop = False
        self.rounds = 0
        self.thread = threading.Thread(target=self.run, args=(mode,), daemon=True)
        self.thread.start()

    def run(self, mode):
        sizes = [100, 2000, 70000]
        slots = [NOTHING]
        while not self.stop:
            if mode == "churn":
                churn(slots, sizes)
            self.rounds += 1

    def end(self):
        self.stop = True
        self.thread.join()


def allocator_tables():
    """The words of Python's allocator tables, domain by domain, and the arena allocator's."""
    import ctypes
    tables = {}
    words = (ctypes.c_void_p * 5)()
    get = ctypes.pythonapi.PyMem_GetAllocator
    get.argtypes = [ctypes.c_int, ctypes.c_void_p]
    get.restype = None
    for domain, name in enumerate(("raw", "mem", "object")):
        get(domain, ctypes.cast(words, ctypes.c_void_p))
        tables[name] = [word or 0 for word in words]
    get_arena = ctypes.pythonapi.PyObject_GetArenaAllocator
    get_arena.argtypes = [ctypes.c_void_p]
    get_arena.restype = None
    get_arena(ctypes.cast(words, ctypes.c_void_p))
    tables["arena"] = [word or 0 for word in words[:3]]
    return tables


class Target:
    """The commands. Each method is one; its answer is a dict."""

    def __init__(self, spare):
        warm_up(spare)
        self.work = Work(1.0)
        self.burners = []
        self.modules = {}
        self.lines = marked_lines()

    def ping(self):
        return {"pong": True}

    def grow(self):
        self.work.grow()
        return {}

    def shrink(self):
        self.work.shrink()
        return {}

    def clear(self):
        self.work.clear()
        return {}

    def leak(self, count, size):
        self.work.leak(int(count), int(size))
        return {}

    def report(self):
        """What the ledger knows by construction, now."""
        figures = {name: account.figures() for name, account in self.work.accounts.items()
                   if account.allocated_count}
        return {"lines": self.lines, "file": os.path.abspath(__file__), "accounts": figures}

    def burn(self, mode, count="1"):
        self.burners += [Burner(mode) for _ in range(int(count))]
        return {}

    def rest(self):
        rounds = [burner.rounds for burner in self.burners]
        for burner in self.burners:
            burner.end()
        self.burners = []
        return {"rounds": rounds}

    def tables(self):
        return {"tables": allocator_tables()}

    def load(self, folder, name):
        """Imports the extension that holds memory of its own (hold_module.c)."""
        sys.path.insert(0, folder)
        self.modules[name] = __import__(name)
        return {"file": self.modules[name].__file__}

    def hold(self, name, size):
        hold_in_extension(self.modules[name], int(size))
        self.work.accounts["extension"].add(int(size))
        return {}

    def release(self, name):
        self.modules[name].release()
        return {}

    def fork(self, code, module="colorsys"):
        """A child allocates, frees, imports, and ends with `code`; answers with what it ended with."""
        child = os.fork()
        if child == 0:
            status = 99
            try:
                slots = [NOTHING] * 1000
                hold_medium(slots, [5000] * 1000)
                __import__(module)
                status = int(code)
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        return {"child": child, "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1}

    def fork_and_stay(self):
        """A child that lives until the pipe from its parent closes."""
        read_end, self.write_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(self.write_end)
            slots = [NOTHING] * 100
            while not os.read(read_end, 1):
                break
            hold_medium(slots, [5000] * 100)
            os._exit(0)
        os.close(read_end)
        self.stayed = child
        return {"child": child}

    def end_child(self):
        os.close(self.write_end)
        _, status = os.waitpid(self.stayed, 0)
        return {"exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1}

    def children(self):
        """What a program that waits for any child sees: nothing, if it has none."""
        try:
            return {"reaped": list(os.waitpid(-1, os.WNOHANG))}
        except ChildProcessError:
            return {"reaped": None}

    def tracemalloc(self, what):
        import tracemalloc
        getattr(tracemalloc, what)()
        return {"tracing": tracemalloc.is_tracing()}

    def loss(self):
        """Undumpable, as a daemon that dropped its rights is."""
        import ctypes
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
        return {}


def warm_up(spare=True):
    """A hundredth of the work, thrown away: caches, free lists and specialised code are in place.

    One thread more than later has come and gone, as in any program that has run for a while: so the C
    library has a malloc arena to spare for the next thread, whoever starts it.
    """
    small = Work(0.01)
    small.grow()
    small.shrink()
    small.clear()
    workers = small.workers + ([Worker("ledger-spare")] if spare else [])
    for worker in workers:
        worker.order("hold", [1000])
        worker.order("end")
        worker.thread.join()


def run_twin():
    """Prints, for the plateau and for the end, {line name: {size: count}} as tracemalloc sees it."""
    import tracemalloc
    warm_up()
    work = Work(1.0)
    lines = marked_lines()
    names = {number: name for name, number in lines.items()}
    moments = {}

    def look(moment):
        # The raw traces: (domain, size, ((file, line), ...), ...).
        found = {}
        for trace in tracemalloc.take_snapshot().traces._traces:
            file, line = trace[2][0]
            if file == __file__ and line in names:
                sizes = found.setdefault(names[line], {})
                sizes[trace[1]] = sizes.get(trace[1], 0) + 1
        moments[moment] = found

    gc.disable()
    tracemalloc.start()
    work.grow()
    look("plateau")
    work.shrink()
    look("end")
    tracemalloc.stop()
    json.dump({"lines": lines, "moments": moments, "version": sys.version.split()[0]}, sys.stdout)
    sys.stdout.write("\n")
    sys.stdout.flush()
    os._exit(0)


def serve():
    target = Target("--no-spare-arena" not in sys.argv)
    print(json.dumps({"ready": os.getpid(), "version": sys.version.split()[0],
                      "lines": target.lines, "file": os.path.abspath(__file__)}), flush=True)
    while True:
        line = sys.stdin.readline()
        if not line:
            return 0
        words = line.split()
        if words[0] == "quit":
            return int(words[1])
        try:
            answer = getattr(target, words[0])(*words[1:])
        except Exception as error:  # the test wants to read what went wrong
            answer = {"error": "%s: %s" % (type(error).__name__, error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--twin"]:
        run_twin()
    sys.exit(serve())
