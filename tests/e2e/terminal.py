# SPDX-License-Identifier: MIT
"""A real terminal to run the program in: tmux, with a server of its own.

Keys go in as a person presses them, and the screen comes out as text. The server ends with the
object; nobody else's tmux is touched.
"""

import itertools
import os
import re
import shlex
import shutil
import subprocess
import unicodedata

from waiting import wait_until

NUMBER = itertools.count()


def columns_of(text):
    """Columns that a text takes on a terminal."""
    return sum(0 if unicodedata.combining(sign) else
               2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


class Terminal:
    def __init__(self, command, columns=100, rows=30, env=None, term="xterm-256color", shell=False):
        """Runs the command; when it ends, the screen stays and says "ended with CODE". With shell,
        the command is typed into an interactive shell, which knows job control."""
        self.socket = "memattach-%d-%d" % (os.getpid(), next(NUMBER))
        settings = {"TERM": term, "LC_ALL": "C.UTF-8", "PS1": "$ ", **(env or {})}
        words = ["env", *("%s=%s" % item for item in settings.items() if item[1] is not None)]
        unset = [word for name, value in settings.items() if value is None for word in ("-u", name)]
        words[1:1] = unset
        words = [str(word) for word in words]
        if shell:
            line = shlex.join(words + ["bash", "--norc", "--noprofile", "-i"])
        else:
            line = "%s; echo ended with $?; exec sleep 1000" % shlex.join(
                words + [str(word) for word in command])
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), line)
        self.tmux("set", "-g", "status", "off")
        if shell:
            self.wait(lambda: "$ " in self.text())
            self.type(shlex.join(str(word) for word in command), "Enter")

    def tmux(self, *words):
        environment = {name: value for name, value in os.environ.items()
                       if name not in ("TMUX", "NO_COLOR", "COLORTERM")}
        run = subprocess.run(["tmux", "-u", "-L", self.socket, *words], capture_output=True,
                             env=dict(environment, LC_ALL="C.UTF-8"))
        assert run.returncode == 0, (words, run.stderr)
        return run.stdout.decode("utf-8", "replace")

    def keys(self, *names):
        """Presses keys, by tmux's names: "Down", "Enter", "C-c", "/"."""
        for name in names:
            self.tmux("send-keys", name)

    def type(self, text, *keys):
        """Types a text as it is."""
        if text:
            self.tmux("send-keys", "-l", text)
        self.keys(*keys)

    def click(self, row, column, button=0):
        """Presses and lets go of a mouse button; 64 and 65 are the wheel. From 0."""
        self.type("\x1b[<%d;%d;%dM\x1b[<%d;%d;%dm" % ((button, column + 1, row + 1) * 2))

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def lines(self):
        return self.tmux("capture-pane", "-p", "-N").split("\n")

    def text(self):
        return "\n".join(self.lines())

    def raw(self):
        """With the escape sequences of colours and attributes."""
        return self.tmux("capture-pane", "-p", "-e")

    def find(self, pattern):
        """The match of a pattern in the first line that has one, and that line's number."""
        for number, line in enumerate(self.lines()):
            match = re.search(pattern, line)
            if match:
                return number, match
        return None

    def wait(self, condition, seconds=30, what=None):
        try:
            return wait_until(condition, seconds, what or "what the screen should show")
        except AssertionError as error:
            raise AssertionError("%s; the screen:\n%s" % (error, self.text())) from None

    def wait_for(self, pattern, seconds=30):
        """Waits until a line matches; returns (line number, match)."""
        return self.wait(lambda: self.find(pattern), seconds, "a line like /%s/" % pattern)

    def wait_gone(self, pattern, seconds=30):
        self.wait(lambda: not self.find(pattern), seconds, "no line like /%s/" % pattern)

    def wait_end(self, seconds=30):
        """Waits until the command has ended; returns its exit code."""
        return int(self.wait_for(r"ended with (\d+)", seconds)[1][1])

    def flag(self, name):
        """A state of the terminal: alternate_on, cursor_flag, mouse_any_flag, pane_title ..."""
        return self.tmux("display-message", "-p", "#{%s}" % name).strip()

    def command_pid(self, name):
        """PID of the process of that name that runs in the terminal."""
        shell = int(self.flag("pane_pid"))
        found = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(shell)],
                               capture_output=True, text=True).stdout
        for line in found.splitlines():
            pid, comm = line.split(None, 1)
            if comm.strip() == name:
                return int(pid)
        return None

    def close(self):
        subprocess.run(["tmux", "-L", self.socket, "kill-server"], capture_output=True)


def is_there():
    return shutil.which("tmux") is not None
