#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Targets that are not like the others.

    odd.py serve                 takes commands, one a line, and answers each with a line of JSON
    odd.py sleep | accept | loop says that it is there and blocks: in time.sleep, in accept, in C code
                                 that never comes back to the interpreter
    odd.py end HOW               works in several threads until a line comes, then ends, see ends()
    odd.py exec LEFT             replaces itself by itself, LEFT times

The lines marked HOLD and INNER allocate what tests look for. Runs on CPython 3.8 to 3.15.
"""

import json
import os
import signal
import sys
import threading
import time

HELD = []
INNER = """
held = []
for _ in range(%d):
    held.append(bytes(%d))
"""


def say(**words):
    print(json.dumps(words), flush=True)


def hold(size):
    HELD.append(bytes(size))  # HOLD


def interpreters():
    """The private module that makes sub-interpreters, whatever it is called in this version."""
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            return __import__(name)
        except ImportError:
            pass
    return None


class Server:
    """The commands."""

    def __init__(self):
        self.kept = []
        self.libraries = {}

    def hold(self, count, size):
        for _ in range(int(count)):
            hold(int(size))
        return {}

    def ping(self):
        return {"pong": True, "uid": os.getuid()}

    def close_fds(self):
        os.closerange(3, 65536)
        return {}

    def chroot(self, path):
        os.chroot(path)
        os.chdir("/")
        return {}

    def become(self, user):
        os.setgroups([])
        os.setresgid(int(user), int(user), int(user))
        os.setresuid(int(user), int(user), int(user))
        return {}

    def undumpable(self):
        import ctypes
        return {"failed": ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)}

    def threads(self, count):
        """Idle ones, of which each has allocated."""
        event = threading.Event()

        def wait():
            block = bytes(3000)
            event.wait()
            del block
        for _ in range(int(count)):
            thread = threading.Thread(target=wait, daemon=True)
            thread.start()
        self.kept.append(event)
        return {}

    def end_threads(self):
        self.kept[0].set()
        for thread in threading.enumerate():
            if thread is not threading.current_thread():
                thread.join()
        return {}

    def heap(self, mebibytes):
        """That much, in blocks of 4 KiB that are really there."""
        size = 4096 - 33
        self.kept.append([b"h" * size for _ in range(int(mebibytes) * 256)])
        return {}

    def interpreter(self, count, size):
        """A sub-interpreter holds blocks and stays."""
        module = interpreters()
        if not module:
            return {"missing": "this build has no module for sub-interpreters"}
        made = module.create()
        run = module.exec if hasattr(module, "exec") else module.run_string
        failed = run(made, INNER % (int(count), int(size)))
        self.kept.append((module, made))
        return {"failed": str(failed) if failed else None}

    def end_interpreter(self):
        module, made = self.kept.pop()
        module.destroy(made)
        return {}

    def greenlets(self, count, size):
        """Each holds blocks, switched back and forth in the middle."""
        try:
            import greenlet
        except ImportError as error:
            return {"missing": str(error)}

        def work():
            for _ in range(3):
                hold(int(size))
                greenlet.getcurrent().parent.switch()
        made = [greenlet.greenlet(work) for _ in range(int(count))]
        for _ in range(4):
            for one in made:
                one.switch()
        return {"done": all(one.dead for one in made)}

    def processes(self, method, count):
        import multiprocessing
        context = multiprocessing.get_context(method)
        with context.Pool(int(count)) as pool:
            return {"sums": pool.map(sum_of, range(50)), "pids": len(set(pool.map(work_in_pool, range(50))))}

    def fork_often(self, count):
        """Children that allocate, from a process whose other threads do so at the same time."""
        stop = []

        def churn():
            while not stop:
                hold(5000)
                HELD.pop()
        churners = [threading.Thread(target=churn) for _ in range(3)]
        for thread in churners:
            thread.start()
        codes = []
        for number in range(int(count)):
            child = os.fork()
            if not child:
                code = 99
                try:
                    for _ in range(100):
                        hold(3000)
                    code = number % 50
                finally:
                    os._exit(code)
            codes.append(os.WEXITSTATUS(os.waitpid(child, 0)[1]))
        stop.append(True)
        for thread in churners:
            thread.join()
        return {"wrong": [code for number, code in enumerate(codes) if code != number % 50]}

    def library(self, path, function, *numbers):
        """Calls a function of a library with numbers; answers with what it returned."""
        import ctypes
        if path not in self.libraries:
            self.libraries[path] = ctypes.CDLL(path)
        called = getattr(self.libraries[path], function)
        called.restype = ctypes.c_long
        return {"result": called(*[ctypes.c_long(int(number)) for number in numbers])}

    def run(self, *words):
        """A line of Python, in a name space that is kept."""
        if not hasattr(self, "space"):
            self.space = {}
        exec(" ".join(words), self.space)
        return {}


def sum_of(number):
    return sum(len(bytes(size)) for size in range(number))


def work_in_pool(_number):
    return os.getpid()


def serve():
    server = Server()
    say(ready=os.getpid())
    for line in sys.stdin:
        words = line.split()
        if words[0] == "quit":
            return int(words[1])
        try:
            say(**getattr(server, words[0])(*words[1:]))
        except Exception as error:  # the test wants to read what went wrong
            say(error="%s: %s" % (type(error).__name__, error))
    return 0


def block(how):
    if how == "sleep":
        say(ready=os.getpid())
        time.sleep(3600)
    if how == "accept":
        import socket
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        say(ready=os.getpid(), port=listener.getsockname()[1])
        connection, _ = listener.accept()
        connection.sendall(b"accepted")
        connection.close()
    if how == "loop":
        numbers = range(10 ** 12)
        say(ready=os.getpid())
        sum(numbers)
    return 0


def ends(how):
    """The ways in which a process ends while its threads allocate."""
    def churn():
        while True:
            hold(5000)
            HELD.pop()
            [str(number) for number in range(50)]
    for _ in range(3):
        threading.Thread(target=churn, daemon=True).start()
    if how == "atexit":
        import atexit
        atexit.register(lambda: [hold(4000) for _ in range(2000)])
    say(ready=os.getpid())
    sys.stdin.readline()
    if how == "_exit":
        os._exit(21)
    if how == "raise":
        raise SystemExit(22)
    if how == "error":
        raise ValueError("as asked")
    if how == "term":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    if how == "abort":
        os.abort()
    if how == "thread":
        threading.Thread(target=lambda: os._exit(23)).start()
        time.sleep(60)
    return 24


def replace(left):
    if not left:
        return serve()
    # A moment of work, so that an attach may come in between.
    for _ in range(200):
        hold(2000)
    os.execv(sys.executable, [sys.executable, "-S", "-E", os.path.abspath(__file__), "exec",
                              str(left - 1)])


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        sys.exit(serve())
    if sys.argv[1] == "end":
        sys.exit(ends(sys.argv[2]))
    if sys.argv[1] == "exec":
        sys.exit(replace(int(sys.argv[2])))
    sys.exit(block(sys.argv[1]))
