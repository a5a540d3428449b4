# SPDX-License-Identifier: MIT
"""Targets in namespaces and roots of their own: what a container is, made by hand.

A Box is a root on a tmpfs, with the programs of a tree (ours, or one of another distribution) bound
into it read-only. Everything that is mounted for it lives in mount namespaces that end with it.
"""

import json
import os
import shutil
import subprocess
import tempfile

import pytest

import probe
import program
import pythons
from target import Ledger, Target
from waiting import wait_until

CONFINE = os.path.join(program.BUILD, "targets", "confine")
FOREIGN_USER = 100000

# $BOX is where the root grows, $BOX_TREE where its programs come from. What is there at the end
# is decided by the words in $BOX_HAS.
BUILD_ROOT = r"""
has() { case " $BOX_HAS " in *" $1 "*) return 0;; esac; return 1; }
executable=exec
if has noexec; then executable=noexec; fi
mount -t tmpfs -o mode=755,$executable box "$BOX"
cd "$BOX"
mkdir usr etc tmp run dev proc tests built old
chmod 1777 tmp
for folder in bin sbin lib lib32 lib64 libx32; do
    if [ -L "$BOX_TREE/$folder" ]; then
        cp -P "$BOX_TREE/$folder" .
    elif [ -d "$BOX_TREE/$folder" ]; then
        mkdir "$folder"
        mount --bind "$BOX_TREE/$folder" "$folder"
    fi
done
mount --rbind "$BOX_TREE/usr" usr
mount --rbind "$BOX_TREE/etc" etc
mount --bind "$BOX_TARGETS" tests
mount --bind "$BOX_BUILT" built
for device in null zero full random urandom; do
    : >dev/$device
    mount --bind /dev/$device dev/$device
done
mkdir dev/shm
if has proc; then mount -t proc proc proc; fi
if has writable; then
    mount -t tmpfs -o mode=1777,$executable box dev/shm
    mount -t tmpfs -o mode=1777,$executable box tmp
fi
if has file; then cp "$BOX_PROGRAM" memattach; fi
if has read-only; then mount -o remount,ro,$executable .; fi
if has pivot; then
    pivot_root . old
    cd /
    exec /built/confine --leave /old $BOX_CONFINED "$@"
fi
exec chroot . /built/confine $BOX_CONFINED "$@"
"""


def cannot(user=False):
    """Why no box can be made here, or None."""
    if os.geteuid() != 0:
        return "only root can make a root of its own"
    command = ["unshare", "--mount", "--pid", "--fork"]
    if user:
        command = [CONFINE, "--user", str(FOREIGN_USER), *command, "--user", "--map-root-user"]
    trial = subprocess.run([*command, "true"], capture_output=True, text=True)
    return "no namespaces here: " + trial.stderr.strip() if trial.returncode else None


class Box(Target):
    """A program in a box. Keywords:

    namespaces  more than the mount namespace: "pid", "net", "ipc", "uts", "user"
    has         proc, writable (/tmp, /dev/shm), read-only, noexec, pivot (else a plain chroot),
                file (a copy of memattach as /memattach)
    confined    options for tests/targets/confine.c, for the program inside
    tree        where its programs come from
    user        the user that makes it, with a user namespace of that user
    """

    def __init__(self, command, namespaces=("pid",), has=("proc", "writable", "pivot"), confined=(),
                 tree="", user=None):
        reason = cannot(user is not None)
        if reason:
            pytest.skip(reason)
        self.folder = tempfile.mkdtemp(prefix="box-")
        outer = []
        if user is not None:
            os.chown(self.folder, user, user)
            outer = [CONFINE, "--user", str(user)]
            namespaces = ["user", *namespaces]
        flags = ["--" + name for name in namespaces if name != "user"]
        if "user" in namespaces:
            flags.append("--map-root-user")
        if "pid" in namespaces:
            flags += ["--fork", "--kill-child"]
        env = dict(os.environ, BOX=self.folder, BOX_TREE=tree, BOX_HAS=" ".join(has),
                   BOX_TARGETS=pythons.TARGETS, BOX_BUILT=os.path.join(program.BUILD, "targets"),
                   BOX_PROGRAM=program.PROGRAM,
                   BOX_CONFINED=" ".join(confined))
        errors = tempfile.TemporaryFile()
        process = subprocess.Popen(
            [*outer, "unshare", "--mount", *flags, "--propagation", "private", "sh", "-ec",
             BUILD_ROOT, "box", *command], env=env, cwd="/", stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=errors)
        Target.__init__(self, process, errors)
        self.inside = "pid" in namespaces
        self.started = []

    def find(self, depth=0):
        """Sets pid. With a PID namespace, what we started only waits for the process inside."""
        for _ in range(depth + self.inside):
            self.pid = wait_until(lambda: probe.children(self.pid), what="the process inside")[0]

    def start_inside(self, *arguments, confined=()):
        """memattach, copied in, in the same namespaces and root, as `docker exec` does it."""
        limits = ["/built/confine", *confined] if confined else []
        command = ["nsenter", "--target", str(self.pid), "--all", "--root", "--wd=/", *limits,
                   "env", "-i", "MEMATTACH_RUNTIME_DIR=/tmp/run", "/memattach",
                   *map(str, arguments)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.started.append(process)
        return process

    def run_inside(self, *arguments, confined=()):
        process = self.start_inside(*arguments, confined=confined)
        out, err = process.communicate(timeout=60)
        return program.Result(process.args, process.returncode, out, err)

    def end(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        if self.process.poll() is None and self.inside and self.pid != self.process.pid:
            try:
                os.kill(self.pid, 9)
                self.process.wait(20)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass
        super().end()
        shutil.rmtree(self.folder, ignore_errors=True)


class BoxedLedger(Box, Ledger):
    """tests/targets/ledger.py in a box."""

    def __init__(self, python="/usr/bin/python3", init=False, **box):
        """init: a shell is the first process, and ledger.py its child."""
        shell = ["sh", "-c", '"$@"; exit $?', "sh"] if init else []
        Box.__init__(self, [*shell, python, "-B", "/tests/ledger.py"], **box)
        self.python = None
        ready = json.loads(self.read_line())
        self.lines = ready["lines"]
        self.pid_inside = ready["ready"]
        self.find(init)


class BoxedInit(Box):
    """tests/targets/init.py, the first process of its PID namespace."""

    def __init__(self, **box):
        Box.__init__(self, ["/usr/bin/python3", "-B", "/tests/init.py"], **box)
        assert json.loads(self.read_line())["ready"] == 1
        self.find()

    def ask(self, *words):
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.process.stdin.flush()
        return json.loads(self.read_line())
