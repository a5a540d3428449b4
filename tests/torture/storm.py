# SPDX-License-Identifier: MIT
"""A target that does everything at once, and checks all of it.

    storm.py LIBRARY_FOLDER

Python threads that allocate, native threads that allocate with canaries, vector registers and the red
zone, imports, dlopen and dlclose, threads that start and end, forks, execs, timers and signal
handlers, and sleepers in every kind of blocking call, in C and in Python.

Commands come line by line on standard input, each is answered by one line of JSON: `go`, `quiet` (all
workers stand still, nothing comes or goes), `ease N` (after each round a worker rests N times as long
as that took), `report`, `tables` (Python's allocator tables), `exit`.
Whatever is found broken is counted and told in the report; nothing is repaired.
"""
import ctypes
import faulthandler
import importlib
import json
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import time

LIMIT_S = 0.6
EARLY_S = 0.002
LATE_S = 2.0
ALARM_S = 0.005
FOLDER = sys.argv[1]
TRUE = "/bin/true"
LIBRARIES = (b"libz.so.1", b"libexpat.so.1", b"libbz2.so.1.0", b"libcrypt.so.1", b"libm.so.6",
             b"libstdc++.so.6")
MODULES = ("_bisect", "_json", "zlib", "_csv", "_random", "_heapq", "binascii", "_struct")


class Table(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("ctx", "malloc", "calloc", "realloc", "free")]


class SleeperReport(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char * 24), ("rounds", ctypes.c_uint64),
                ("wrong", ctypes.c_uint64), ("early", ctypes.c_uint64), ("late", ctypes.c_uint64),
                ("worst_ns", ctypes.c_uint64), ("last_errno", ctypes.c_int64)]


def library(name):
    return ctypes.CDLL(os.path.join(FOLDER, name))


wear, sleepers, signals = library("wear.so"), library("sleepers.so"), library("signals.so")
for function in (wear.wear_malloc, wear.wear_vectors, wear.wear_red_zone):
    function.restype = ctypes.c_uint64
wear.wear_malloc.argtypes = [ctypes.c_uint64, ctypes.c_uint64]
wear.wear_vectors.argtypes = wear.wear_red_zone.argtypes = [ctypes.c_uint64]
libc = ctypes.CDLL(None)
libc.dlopen.restype = ctypes.c_void_p
libc.dlopen.argtypes = [ctypes.c_char_p, ctypes.c_int]
libc.dlclose.argtypes = [ctypes.c_void_p]

running = threading.Event()
ease = 0
# glibc itself cannot fork while another thread is in dlopen: the child hangs at its next import (it
# does not reset _dl_load_write_lock). Programs that do both must keep them apart, and so do we.
loading = threading.Lock()
alarms = 0


class Worker:
    """One thread that does the same thing again and again, and stands still when told to."""

    def __init__(self, name, work):
        self.name, self.work = name, work
        self.rounds = self.broken = 0
        self.words = []
        self.parked = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            if not running.is_set():
                self.parked = True
                running.wait()
                self.parked = False
            start = time.thread_time()
            try:
                wrong = self.work(self.rounds)
            except Exception as error:
                wrong = repr(error)
            if wrong:
                self.broken += 1
                self.words = (self.words + [str(wrong)])[-3:]
            self.rounds += 1
            if ease:
                time.sleep(min(0.3, ease * (time.thread_time() - start)))

    def report(self):
        return {"rounds": self.rounds, "broken": self.broken, "words": self.words}


def python_objects(number):
    kept = [bytes([number & 255]) * (300 + 7 * i) for i in range(60)]
    table = {i: str(i) * 20 for i in range(150)}
    nested = [list(range(i)) for i in range(0, 120, 3)]
    growing = bytearray()
    for i in range(200):
        growing += b"%d," % i
    found = (sum(map(len, kept)), sum(map(sum, kept)), sum(map(len, table.values())),
             sum(map(sum, nested)), len(growing))
    expected = (30390, 30390 * (number & 255), 6800, sum(i * (i - 1) // 2 for i in range(0, 120, 3)),
                690)
    return found != expected and "sums %r" % (found,)


def native_blocks(number):
    count = wear.wear_malloc(8000, number + threading.get_ident())
    return count and "%d canaries" % count


def vector_registers(number):
    count = wear.wear_vectors(60)
    return count and "%d vector registers" % count


def red_zone(number):
    count = wear.wear_red_zone(60)
    return count and "%d words of the red zone" % count


def imports(number):
    for name in LIBRARIES:
        with loading:
            handle = libc.dlopen(name, 2)
            if handle:
                libc.dlclose(handle)
    for name in MODULES:
        sys.modules.pop(name, None)
        with loading:
            importlib.import_module(name)


def short_threads(number):
    results = []
    batch = [threading.Thread(target=lambda: results.append(python_objects(number)))
             for _ in range(3)]
    for thread in batch:
        thread.start()
    for thread in batch:
        thread.join()
    return results != [False] * 3 and "threads: %r" % results


class Parsers:
    """Parsers of libexpat, which copies the addresses of malloc, realloc and free into each of them.
    They live through attaches and detaches, and are used again after those."""

    def __init__(self, count):
        self.expat = ctypes.CDLL("libexpat.so.1")
        self.expat.XML_ParserCreate.restype = ctypes.c_void_p
        self.expat.XML_ParserCreate.argtypes = [ctypes.c_char_p]
        self.expat.XML_ParserFree.argtypes = [ctypes.c_void_p]
        self.expat.XML_Parse.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
        self.parsers = [self.create() for _ in range(count)]

    def create(self):
        parser = self.expat.XML_ParserCreate(None)
        self.expat.XML_Parse(parser, b"<a>", 3, 0)
        return parser

    def __call__(self, number):
        wrong = 0
        for index, parser in enumerate(self.parsers):
            text = b"<b c='%d'>%s</b>" % (number + index, b"text " * 40)
            wrong += self.expat.XML_Parse(parser, text, len(text), 0) != 1
        oldest = number % len(self.parsers)
        wrong += self.expat.XML_Parse(self.parsers[oldest], b"</a>", 4, 1) != 1
        self.expat.XML_ParserFree(self.parsers[oldest])
        self.parsers[oldest] = self.create()
        time.sleep(0.005)
        return wrong and "%d parsers failed" % wrong


def in_child():
    """Works, allocates and imports; hangs only if a lock was left locked, and then not for ever."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(30)
    import xml.parsers.expat
    parser = xml.parsers.expat.ParserCreate()
    parser.Parse("<a>" + "<b/>" * 50 + "</a>", True)
    wrong = python_objects(1) or wear.wear_malloc(500, 1)
    os._exit(1 if wrong else 0)


def forks(number):
    with loading:
        pid = os.fork()
    if pid == 0:
        try:
            in_child()
        finally:
            os._exit(2)
    _, status = os.waitpid(pid, 0)
    time.sleep(0.003)
    return status and "child of fork: status %#x" % status


def execs(number):
    code = subprocess.call([TRUE], close_fds=number % 2 == 0)
    time.sleep(0.003)
    return code and "%s: exit %d" % (TRUE, code)


def timed(wait):
    """A call with a time limit that must be kept."""
    def work(number):
        start = time.monotonic()
        wait()
        took = time.monotonic() - start
        if took < LIMIT_S - EARLY_S:
            return "%.3f s instead of %.1f" % (took, LIMIT_S)
        return took > LIMIT_S + LATE_S and "%.3f s instead of %.1f" % (took, LIMIT_S)
    return work


def python_sleepers():
    pipe = os.pipe()
    poller = select.poll()
    poller.register(pipe[0], select.POLLIN)
    epoll = select.epoll()
    epoll.register(pipe[0], select.EPOLLIN)
    lock = threading.Lock()
    lock.acquire()
    pair = socket.socketpair()
    pair[0].settimeout(LIMIT_S)
    empty = queue.Queue()

    def receive():
        try:
            pair[0].recv(1)
        except socket.timeout:
            pass

    def get():
        try:
            empty.get(timeout=LIMIT_S)
        except queue.Empty:
            pass

    python_sleepers.kept = pipe, pair, poller, epoll, lock
    yield "sleep", timed(lambda: time.sleep(LIMIT_S))
    yield "select", timed(lambda: select.select([pipe[0]], [], [], LIMIT_S))
    yield "poll", timed(lambda: poller.poll(LIMIT_S * 1000))
    yield "epoll", timed(lambda: epoll.poll(LIMIT_S))
    yield "lock", timed(lambda: lock.acquire(timeout=LIMIT_S))
    yield "recv", timed(receive)
    yield "queue", timed(get)


def on_alarm(number, frame):
    global alarms
    alarms += 1


def start_all():
    for part, start in (("sleepers", sleepers.sleepers_start), ("signals", signals.signals_start)):
        failed = start()
        if failed:
            sys.exit("%s: %s" % (part, os.strerror(failed)))
    work = [("objects", python_objects)] * 4 + [("blocks", native_blocks)] * 2
    work += [("vectors", vector_registers), ("red zone", red_zone), ("imports", imports),
             ("threads", short_threads), ("forks", forks), ("execs", execs), ("parsers", Parsers(32))]
    work += [("python " + name, wait) for name, wait in python_sleepers()]
    return [Worker(name, function) for name, function in work]


def report(workers):
    words = (ctypes.c_uint64 * 6)()
    signals.signals_report(words)
    asleep = {}
    for index in range(sleepers.sleepers_count()):
        one = SleeperReport()
        sleepers.sleepers_report(index, ctypes.byref(one))
        asleep[one.name.decode()] = {name: getattr(one, name)
                                     for name, _ in SleeperReport._fields_[1:]}
    return {"workers": [dict(worker.report(), name=worker.name) for worker in workers],
            "sleepers": asleep, "alarms": alarms,
            "signals": dict(zip(("sent", "received", "disordered", "spoiled", "expired", "due"),
                                words))}


def tables():
    found = {}
    for number, name in enumerate(("raw", "mem", "object")):
        table = Table()
        ctypes.pythonapi.PyMem_GetAllocator(number, ctypes.byref(table))
        found[name] = [getattr(table, field) or 0 for field, _ in Table._fields_]
    return found


def go():
    signals.signals_run(1)
    running.set()
    signal.setitimer(signal.ITIMER_REAL, ALARM_S, ALARM_S)


def quiet(workers):
    signal.setitimer(signal.ITIMER_REAL, 0)
    signals.signals_run(0)
    running.clear()
    end = time.monotonic() + 60
    while not all(worker.parked for worker in workers):
        if time.monotonic() > end:
            return [worker.name for worker in workers if not worker.parked]
        time.sleep(0.005)
    words = (ctypes.c_uint64 * 6)()
    while words[0] == 0 or words[0] != words[1]:
        signals.signals_report(words)
        if time.monotonic() > end or not alarms:
            break
        time.sleep(0.005)
    return []


def main():
    global ease
    faulthandler.enable()
    signal.signal(signal.SIGALRM, on_alarm)
    workers = start_all()
    while True:
        line = sys.stdin.readline()
        command = line.strip()
        if not line or command == "exit":
            break
        answer = {"done": command}
        if command == "go":
            go()
        elif command == "quiet":
            answer["still busy"] = quiet(workers)
        elif command.startswith("ease "):
            ease = int(command.split()[1])
        elif command == "report":
            answer = report(workers)
        elif command == "tables":
            answer = tables()
        print(json.dumps(answer), flush=True)
    sleepers.sleepers_end()
    os._exit(0)


main()
