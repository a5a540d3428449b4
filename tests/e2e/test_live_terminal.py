# SPDX-License-Identifier: MIT
"""The live view on terminals of every kind: large, small, changing, without colours, without UTF-8,
without a description; and that the terminal is as before when the view is gone."""

import os
import re
import shutil
import signal
import subprocess

import pytest

import program
from live_fixtures import look, named, needs_tmux  # noqa: F401
from waiting import wait_until

pytestmark = needs_tmux

MIB = 1 << 20
COLOR = re.compile(r"\x1b\[[\d;]*?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[\d;]*m")


def check_whole(view, columns, rows):
    """The screen is filled to its edges, and nothing is on it twice."""
    lines = view.lines()[:rows]
    assert all(len(line) <= columns for line in lines)
    assert re.match(r" \d+ ", lines[0])
    assert "help" in lines[rows - 1]
    assert sum("[1 sites]" in line for line in lines) == 1


@pytest.mark.parametrize("columns, rows", [(60, 15), (80, 24), (120, 40), (300, 80)])
def test_sizes(named, look, columns, rows):
    view = look(named.pid, columns=columns, rows=rows)
    view.wait_live("hold_large", 12 * MIB)
    check_whole(view, columns, rows)
    for key, pattern in ("2", "CALLS"), ("3", "everything"), ("4", "THREAD"), ("5", "alloc/s"):
        view.keys(key)
        view.wait_for(pattern)
    view.keys("?")
    view.wait_for("mouse +click views")
    view.keys("x", "1")
    view.wait_live("hold_large", 12 * MIB)
    view.keys("Enter")
    view.wait_for(r"\* hold_large")
    view.wait_for(r"> +held.append")


def test_resizing(named, look):
    view = look(named.pid, columns=100, rows=30)
    view.wait_live("hold_large", 12 * MIB)
    for columns, rows in (60, 15), (300, 80), (80, 24), (200, 15), (60, 60):
        view.resize(columns, rows)
        view.wait(lambda: re.search(r"\? help", view.lines()[rows - 1]))
        view.wait_live("hold_large", 12 * MIB)
        check_whole(view, columns, rows)
    view.resize(59, 15)
    view.wait_for("memattach needs 60x15; this is 59x15")
    view.resize(30, 5)
    view.wait_for("needs 60x15")
    view.resize(100, 14)
    view.wait_for("needs 60x15; this is 100x14")
    view.resize(90, 30)
    view.wait_live("hold_large", 12 * MIB)
    view.resize(20, 10)
    view.keys("q")
    assert view.wait_end() == 0


def test_a_click_far_to_the_right(named, look):
    view = look(named.pid, columns=300, rows=30, term="screen-256color")
    view.wait_live("hold_large", 12 * MIB)
    view.keys("3")
    row, match = view.wait_for(r"outer +6\S*M")
    view.wait_for("hold_small")
    # The last cell of its row begins beyond column 223.
    cells = [match for match in re.finditer(r"\S+ +\d\S*M", view.lines()[row])]
    assert cells
    view.click(row, 298)
    view.wait_for(r"live_names\.py:\d+ .*%")


@pytest.mark.parametrize("env, term, pattern, absent", [
    ({"COLORTERM": "truecolor"}, "xterm-256color", r"\x1b\[[\d;]*38[:;]2", None),
    ({}, "xterm-256color", r"\x1b\[[\d;]*38;5;\d", r"38[:;]2[:;]"),
    ({}, "xterm", r"\x1b\[[\d;]*3[1-7]m", r"38[:;]"),
    ({}, "linux", r"\x1b\[[\d;]*3[1-7]m", r"38[:;]"),
    ({"NO_COLOR": "1"}, "xterm-256color", r"\x1b\[[\d;]*7m", COLOR.pattern),
    ({"NO_COLOR": "1", "COLORTERM": "truecolor"}, "xterm-256color", r"\x1b\[[\d;]*7m",
     COLOR.pattern),
    ({}, "vt100", r"\x1b\[[\d;]*7m", COLOR.pattern)])
def test_colors(named, look, env, term, pattern, absent):
    view = look(named.pid, env=env, term=term)
    view.tmux("set", "-as", "terminal-features", ",*:RGB")
    view.wait_live("hold_large", 12 * MIB)
    view.keys("3")
    view.wait_for("everything")
    view.wait(lambda: re.search(pattern, view.raw()))
    if absent:
        assert not re.search(absent, view.raw())


def test_option_color_never(named, look):
    view = look(named.pid, "--color", "never")
    view.wait_live("hold_large", 12 * MIB)
    assert not COLOR.search(view.raw())


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"LC_ALL": None, "LC_CTYPE": None, "LANG": None},
                                    {"LC_ALL": "POSIX", "LANG": "C.UTF-8"}])
def test_ascii(named, look, locale):
    for name in ("wide", "combining", "escapes"):
        named.ask("grow", name, 3)
    view = look(named.pid, columns=120, env=locale)
    view.wait_live("hold_large", 12 * MIB)
    for key, pattern in ("2", r"- main|\+ "), ("3", "everything"), ("4", "w\\?rk"), ("5", "#"), \
            ("1", r"\?{6}"), ("?", "any key closes"):
        view.keys(key)
        view.wait_for(pattern)
        assert view.text().isascii(), view.text()


@pytest.mark.parametrize("locale", [
    {"LC_ALL": "nowhere_NOWHERE.UTF-8"}, {"LC_ALL": None, "LC_CTYPE": "xx.utf8", "LANG": None}])
def test_utf8_without_that_locale(named, look, locale):
    """A static program in an image without locale files writes UTF-8 all the same."""
    named.ask("grow", "wide", 3)
    view = look(named.pid, columns=120, env=locale)
    view.wait_for("\u65e5\u672c\u8a9e\u306e\u95a2\u6570")
    view.wait_for("[\u2581-\u2588]")


@pytest.mark.parametrize("term", ["xterm-kitty", "foot-nobody-knows", "tmux-something"])
def test_terminal_without_a_description(named, look, term):
    view = look(named.pid, term=term)
    view.wait_live("hold_large", 12 * MIB)
    view.keys("Down", "2")
    view.wait_for("CALLS")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a root of its own")
@pytest.mark.parametrize("term", ["xterm-256color", "tmux-256color", "screen", "linux", "rxvt-x"])
def test_empty_root(named, memattach, tmp_path, term):
    """Nothing but the static file: no terminfo database, no locale, no library."""
    linked = subprocess.run(["ldd", program.PROGRAM], capture_output=True, text=True)
    if "not a dynamic executable" not in linked.stdout + linked.stderr:
        pytest.skip("memattach was built dynamically")
    from live_fixtures import View
    root = tmp_path / "root"
    (root / "proc").mkdir(parents=True)
    (root / "run").mkdir()
    (root / "dev").mkdir()
    shutil.copy(program.PROGRAM, root / "memattach")
    # The socket is reached by a path that is short in both roots.
    command = ["unshare", "-m", "sh", "-c",
               "mount --bind /proc %s/proc && mount --bind /dev %s/dev && mount --bind %s %s/run && "
               "exec chroot %s /memattach live %d --interval 100ms"
               % (root, root, memattach.runtime, root, root, named.pid)]
    view = View(command, env={"MEMATTACH_RUNTIME_DIR": "/run", "NO_COLOR": None}, term=term)
    try:
        view.wait_live("hold_large", 12 * MIB)
        view.wait_for("[\u2581-\u2588]")
        view.keys("Down", "2")
        view.wait_for("CALLS")
        view.keys("q")
        assert view.wait_end() == 0
        assert view.flag("alternate_on") == "0"
    finally:
        view.close()


@pytest.mark.parametrize("number, code", [
    (signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGHUP, 0), (signal.SIGQUIT, 128 + 3),
    (signal.SIGSEGV, 128 + 11), (signal.SIGABRT, 128 + 6), (signal.SIGBUS, 128 + 7)])
def test_signals_leave_a_usable_terminal(named, look, number, code):
    view = look(named.pid)
    view.wait_live("hold_large", 12 * MIB)
    assert view.flag("alternate_on") == "1" and view.flag("mouse_any_flag") == "1"
    pid = view.command_pid("memattach")
    os.kill(pid, number)
    assert view.wait_end() == code
    assert view.flag("alternate_on") == "0"
    assert view.flag("cursor_flag") == "1"
    assert view.flag("mouse_any_flag") == "0"
    assert view.flag("keypad_flag") == "0"
    modes = subprocess.run(["stty", "-a", "-F", view.flag("pane_tty")], capture_output=True,
                           text=True).stdout
    assert " echo " in modes and " icanon " in modes and " icrnl " in modes
    assert named.ask("grow", "small", 1) == {}


def test_suspending(named, look):
    view = look(named.pid, shell=True, columns=110)
    view.wait_live("hold_large", 12 * MIB)
    view.keys("C-z")
    view.wait_for("Stopped")
    assert view.flag("alternate_on") == "0" and view.flag("mouse_any_flag") == "0"
    view.type("echo still $((40 + 2))", "Enter")
    view.wait_for("still 42")
    view.resize(90, 24)
    view.type("fg", "Enter")
    view.wait_live("hold_large", 12 * MIB)
    assert view.flag("alternate_on") == "1" and view.flag("mouse_any_flag") == "1"
    view.wait(lambda: "? help" in view.lines()[23])
    view.keys("q")
    view.wait_for("tracking goes on")


def test_the_terminal_goes_away(named, look, memattach):
    view = look(named.pid)
    view.wait_live("hold_large", 12 * MIB)
    pid = view.command_pid("memattach")
    view.close()
    wait_until(lambda: not os.path.exists("/proc/%d" % pid), what="the end of the viewer")
    assert "tracking" in memattach.ok("status", named.pid).text


def test_no_flicker(named, look, tmp_path):
    """A frame rewrites what changed, and never clears the screen first."""
    view = look(named.pid)
    view.wait_live("hold_large", 12 * MIB)
    record = tmp_path / "written"
    view.tmux("pipe-pane", "cat > %s" % record)
    named.ask("grow", "large", 4)
    view.wait_live("hold_large", 16 * MIB)
    view.resize(110, 32)
    view.wait(lambda: "? help" in view.lines()[31])
    view.tmux("pipe-pane")
    written = record.read_bytes()
    assert written.count(b"\x1b[2J") <= 1 and written.count(b"\x1b[H\x1b[J") <= 1
    assert len(written) < 60000
