# SPDX-License-Identifier: MIT
"""Running memattach itself: with a daemon of its own, in a runtime directory of its own."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile

import probe
import snapshot_reader
from waiting import wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("MEMATTACH_BUILD", os.path.join(ROOT, "build"))
PROGRAM = os.environ.get("MEMATTACH", os.path.join(BUILD, "memattach"))
SECONDS = 90


class Result:
    def __init__(self, command, code, out, err):
        self.command = command
        self.code = code
        self.out = out
        self.err = err

    @property
    def text(self):
        return self.out.decode("utf-8", "replace")

    @property
    def notices(self):
        return self.err.decode("utf-8", "replace")

    def __repr__(self):
        return "%s: exit %s\n--- stdout\n%s\n--- stderr\n%s" % (
            " ".join(self.command), self.code, self.text[-3000:], self.notices[-3000:])


class Memattach:
    """The program under test. One object = one runtime directory = at most one daemon."""

    def __init__(self, runtime=None, program=PROGRAM):
        self.program = program
        # sun_path is short: not below pytest's own directories.
        self.folder = tempfile.mkdtemp(prefix="mat-")
        self.runtime = runtime or os.path.join(self.folder, "run")
        self.env = dict(os.environ, MEMATTACH_RUNTIME_DIR=self.runtime)
        for name in ("XDG_RUNTIME_DIR", "NO_COLOR", "MEMATTACH_TREE_BINDS"):
            self.env.pop(name, None)
        self.started = []

    def start(self, *arguments, **popen):
        command = [self.program, *map(str, arguments)]
        popen.setdefault("stdin", subprocess.DEVNULL)
        popen.setdefault("stdout", subprocess.PIPE)
        popen.setdefault("stderr", subprocess.PIPE)
        popen.setdefault("env", self.env)
        process = subprocess.Popen(command, **popen)
        self.started.append(process)
        return process

    def finish(self, process, seconds=SECONDS):
        """Waits for a process that start() started."""
        out, err = process.communicate(timeout=seconds)
        return Result(process.args, process.returncode, out or b"", err or b"")

    def run(self, *arguments, seconds=SECONDS, **popen):
        process = self.start(*arguments, **popen)
        try:
            return self.finish(process, seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError("no end within %d s: %r" % (
                seconds, Result(process.args, "(killed)", out or b"", err or b"")))

    def ok(self, *arguments, **popen):
        """run(), and it must have worked."""
        result = self.run(*arguments, **popen)
        assert result.code == 0, result
        return result

    def snapshot(self, pid, *arguments):
        """A snapshot of a target that is or was attached, as things are now."""
        return snapshot_reader.Snapshot(self.ok("dump", "--wait", "0", pid, *arguments).out)

    def daemon_pid(self):
        """PID of the daemon that listens in our runtime directory, or None."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.connect(os.path.join(self.runtime, "daemon.sock"))
                credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
                return struct.unpack("3i", credentials)[0]
        except OSError:
            return None

    def kill_daemon(self, number=signal.SIGKILL):
        """Ends the daemon and returns the PID that it had."""
        pid = self.daemon_pid()
        assert pid, "no daemon listens in %s" % self.runtime
        os.kill(pid, number)
        wait_until(lambda: not probe.is_alive(pid), what="the end of daemon %d" % pid)
        return pid

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
            for stream in (process.stdout, process.stderr, process.stdin):
                if stream:
                    stream.close()
        pid = self.daemon_pid()
        if pid:
            os.kill(pid, signal.SIGTERM)
            try:
                wait_until(lambda: not probe.is_alive(pid), 5, "the end of the daemon")
            except AssertionError:
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
