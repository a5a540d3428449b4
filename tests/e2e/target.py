# SPDX-License-Identifier: MIT
"""Targets that the tests attach to."""

import json
import os
import re
import selectors
import subprocess
import tempfile
import time

from pythons import TARGETS

SECONDS = 60


class Target:
    """A process that we started, whose standard output we read line by line."""

    def __init__(self, process, errors):
        self.process = process
        self.pid = process.pid
        self.errors = errors
        self.rest = b""

    def read_line(self, seconds=SECONDS):
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.rest:
                if not selector.select(max(0.0, end - time.monotonic())):
                    raise AssertionError("the target is silent for %d s; its errors:\n%s"
                                         % (seconds, self.error_text()))
                data = os.read(self.process.stdout.fileno(), 65536)
                if not data:
                    raise AssertionError("the target ended (%s); its errors:\n%s"
                                         % (self.process.wait(SECONDS), self.error_text()))
                self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode()

    def error_text(self):
        self.errors.seek(0)
        return self.errors.read().decode("utf-8", "replace")[-3000:]

    def end(self):
        """For the fixture: whatever state it is in, it is gone afterwards."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream:
                stream.close()


class Ledger(Target):
    """tests/targets/ledger.py: one command, one answer."""

    def __init__(self, python, folders=(), arguments=(), **popen):
        errors = tempfile.TemporaryFile()
        script = python.path(os.path.join(TARGETS, "ledger.py"))
        process = python.start([script, *arguments], folders, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=errors, **popen)
        super().__init__(process, errors)
        self.python = python
        self.lines = json.loads(self.read_line())["lines"]

    def ask(self, *words, seconds=SECONDS):
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.process.stdin.flush()
        answer = json.loads(self.read_line(seconds))
        assert "error" not in answer, answer["error"]
        return answer

    def where(self, name):
        """Key of a marked line in Snapshot.by_line()."""
        return ("ledger.py", self.lines[name])

    def quit(self, code=0):
        """Tells it to end with that code and returns what it ended with."""
        self.process.stdin.write(("quit %d\n" % code).encode())
        self.process.stdin.flush()
        return self.process.wait(SECONDS)


class Service(Target):
    """tests/targets/demo_service.py on a port of its own choice."""

    def __init__(self, python):
        errors = tempfile.TemporaryFile()
        script = python.path(os.path.join(TARGETS, "demo_service.py"))
        process = python.start([script], stdout=subprocess.PIPE, stderr=errors)
        super().__init__(process, errors)
        self.python = python
        self.port = int(re.match(r"listening on 127\.0\.0\.1:(\d+)", self.read_line())[1])


class Load:
    """tests/targets/demo_load.py, visitors of a Service."""

    def __init__(self, port, seconds=600, rate=60):
        self.process = subprocess.Popen(
            ["/usr/bin/python3", os.path.join(TARGETS, "demo_load.py"), str(port), str(seconds),
             str(rate)], stdout=subprocess.PIPE)

    def finish(self):
        """Sends the visitors home; returns what they say."""
        self.process.terminate()
        out, _ = self.process.communicate(timeout=SECONDS)
        return json.loads(out)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def twin_figures(python, build):
    """What tracemalloc says of the ledger's work on this Python: {moment: {line name: {size: count}}}.

    The work is deterministic, so the answer is kept for the other tests, by version and script.
    """
    script = os.path.join(TARGETS, "ledger.py")
    kept = os.path.join(build, "twins", "%s-%s-%d.json" % (python.label, python.version,
                                                          os.stat(script).st_mtime_ns))
    if not os.path.exists(kept):
        process = python.start([python.path(script), "--twin"], stdout=subprocess.PIPE)
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        os.makedirs(os.path.dirname(kept), exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=os.path.dirname(kept), delete=False) as file:
            file.write(out)
        os.rename(file.name, kept)
    with open(kept, encoding="utf-8") as file:
        moments = json.load(file)["moments"]
    return {moment: {name: {int(size): count for size, count in sizes.items()}
                     for name, sizes in found.items()} for moment, found in moments.items()}
