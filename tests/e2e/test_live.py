# SPDX-License-Identifier: MIT
"""`memattach live PID` as a person uses it: the real program in tmux, on a real process."""

import gzip
import os
import re
import signal

import pytest

import probe
from live_fixtures import look, named, needs_tmux, size_of  # noqa: F401
from terminal import columns_of
from waiting import wait_until

pytestmark = needs_tmux

MIB = 1 << 20


def names_of(view):
    """Names of the functions, in the order of the rows."""
    return [re.sub(r"^( *[-+]?[\d.]+[BKMGk]?){4,7} +", "", row).split()[0] for row in view.rows()]


def test_head_and_sites(named, look):
    view = look(named.pid)
    view.wait_live("hold_large", 12 * MIB)
    view.wait_live("hold_small", 4 * MIB)
    view.wait_live("inner", 6 * MIB)
    assert names_of(view)[:3] == ["hold_large", "inner", "hold_small"]
    view.wait_for(r"^ %d .*attached \d+s +cost \S+ +exact +drops 0" % named.pid)
    view.wait_for(r"RSS \d\S+M PSS \S+ swap 0 +LIMIT ")
    view.wait_for(r"live 2\d\.\dM +peak 2\d\.\dM at \d\d:\d\d:\d\d +alloc \S+/s")
    view.wait_for(r"live_names\.py:\d+")
    # The graph of live heap grew with it.
    view.wait_for("[\u2581-\u2588]")


def test_every_view(named, look):
    view = look(named.pid)
    seen = {"1": r"FUNCTION +FILE:LINE", "2": r"CALLS +FILE:LINE", "3": r"everything +2\dM|everything",
            "4": r"THREAD +TID", "5": r"alloc/s"}
    tabs = ["sites", "tree", "flame", "threads", "time"]
    for key, pattern in seen.items():
        view.keys(key)
        view.wait_for(r"\[%s %s\]" % (key, tabs[int(key) - 1]))
        view.wait_for(pattern)
    for tab in tabs:
        view.keys("Tab")
        view.wait_for(r"\[\d %s\]" % tab)
    view.keys("BTab")
    view.wait_for(r"\[4 threads\]")


def test_sorting(named, look):
    view = look(named.pid, columns=120)
    view.wait_live("hold_large", 12 * MIB)
    for column in ("\u0394\\S*", "HELD", "PEAK", "RATE/s", "COUNT", "FUNCTION", "FILE:LINE", "LIVE"):
        view.keys("s")
        view.wait_for(column + "\u2193")
    view.keys("S")
    view.wait_for("LIVE\u2191")
    view.wait(lambda: size_of(view.rows()[0].split()[0]) < MIB)
    view.keys("S")
    view.wait(lambda: names_of(view)[:1] == ["hold_large"])
    # A click on a heading sorts by it, a second one turns the order round.
    row, match = view.wait_for("FUNCTION")
    view.click(row, match.start() + 2)
    view.wait_for("FUNCTION\u2193")
    wait_until(lambda: names_of(view) == sorted(names_of(view)) and len(names_of(view)) > 2)
    view.click(row, match.start() + 2)
    view.wait_for("FUNCTION\u2191")
    view.wait(lambda: names_of(view) == sorted(names_of(view), reverse=True))


def test_reference(named, look):
    view = look(named.pid)
    view.wait_live("hold_large", 12 * MIB)

    def change(name):
        for row in view.rows():
            if name in row:
                return size_of(row.split()[2])
        return None

    # Changes count from the moment when the view was opened.
    assert change("hold_large") == 0
    named.ask("grow", "large", 2)
    view.wait(lambda: abs((change("hold_large") or 0) - 2 * MIB) < 0.2 * MIB)
    view.keys("r")
    view.wait_for("changes count from now")
    view.wait(lambda: change("hold_large") == 0)
    named.ask("drop", "small")
    view.wait(lambda: abs((change("hold_small") or 0) + 4 * MIB) < 0.4 * MIB)
    view.keys("R")
    view.wait_for("\u0394attach")
    view.wait(lambda: abs((change("hold_large") or 0) - 14 * MIB) < MIB)


def test_filter_as_it_is_typed(named, look):
    view = look(named.pid)
    view.wait_live("hold_large", 12 * MIB)
    view.keys("/")
    view.wait_for("filter /")
    view.type("hold_")
    view.wait(lambda: sorted(names_of(view)) == ["hold_large", "hold_small"])
    view.type("s")
    view.wait(lambda: names_of(view) == ["hold_small"])
    view.keys("BSpace")
    view.wait(lambda: len(names_of(view)) == 2)
    view.keys("Enter")
    view.wait_for(r"/hold_/")
    # The file and the line count as well, and the case does not.
    view.keys("/", "C-u")
    view.type("NAMES\\.py:%d$" % (named.lines["large"] + 3))
    view.wait_for("nothing here matches")
    view.keys("C-u")
    view.type("names\\.py:%d$" % (named.lines["large"] + 3))
    view.wait(lambda: names_of(view) == ["hold_large"])
    view.keys("Escape")
    view.wait(lambda: sorted(names_of(view)) == ["hold_large", "hold_small"])
    view.keys("Escape")
    view.wait(lambda: "inner" in names_of(view))


@pytest.mark.parametrize("odd, error", [
    ("(", "a ) is missing"), ("[", "a ] is missing"), ("*", "nothing stands before"),
    ("a\\", "nothing follows"), (")", "a ( is missing"), ("x{9,2}", "not in order"),
    ("((a{99}){99}){99}", "too large"), ("(a*)*(a*)*b", None), ("\u65e5\u672c.*", None),
    ("e\u0301+", None), ("%s%n;$(ls)", None), ("." * 300, None), ("(?:inner|outer)$", None)])
def test_odd_filters(named, look, odd, error):
    view = look(named.pid)
    view.wait_live("hold_large", 12 * MIB)
    view.keys("/")
    view.type(odd)
    if error:
        view.wait_for(re.escape(error))
        view.keys("Enter")
        view.wait_for("filter /")
    view.keys("Escape")
    view.wait_live("hold_large", 12 * MIB)
    view.wait_for(r"\? help")


def test_tree(named, look):
    view = look(named.pid, columns=120)
    view.keys("2")
    view.wait_for("CALLS")
    # The heaviest branch is open unasked.
    view.wait_for(r"\u25be main")
    view.keys("c")
    view.wait(lambda: len(view.rows()) <= 3 and not view.find(r"\u25be"))
    view.keys("/")
    view.type("inner", "Enter")
    view.wait_for(r"\u25b8 ")
    seen = set()
    for _ in range(12):
        if view.find(r"[\u00b7\u25be\u25b8] inner "):
            break
        before = view.text()
        view.keys("Right")
        view.wait(lambda: view.text() != before)
        view.keys("Down")
        seen.update(re.findall(r"\u25be (\S+)", view.text()))
    view.wait_for(r"\u00b7 inner ")
    assert {"outer", "middle"} <= seen
    # Left goes out to the parent, and closes it.
    view.keys("Left", "Left")
    view.wait_gone(r"\u00b7 inner ")


def test_flame(named, look):
    view = look(named.pid, columns=120)
    view.keys("3")
    view.wait_for(r"everything +\S+M")
    view.wait_for(r"hold_large +1\dM|hold_large +\d\d\.\dM")
    row, match = view.wait_for("outer")
    view.click(row, match.start() + 1)
    view.wait_for(r"^ outer .*live_names.py:\d+ .* \d+%")
    view.keys("Enter")
    view.wait_gone("hold_large")
    row, match = view.wait_for(r"^ outer +6\S*M *$")
    view.wait_for(r"^ middle +6")
    view.keys("Down")
    view.wait_for(r"^ middle +.*live_names.py")
    view.keys("BSpace")
    view.wait_for(r"^ \S*\.?(run|do|job|Worker)\S* ")
    view.keys("Escape")
    view.wait_for("hold_large")


def test_threads(named, look):
    view = look(named.pid, columns=120)
    view.keys("4")
    view.wait_for(r"^ +4\.\d+M .*worker-one +\d+")
    view.wait_for(r"^ +6\.\d+M .*wörk\\x1b\[31m +\d+")
    view.keys("1")
    view.wait_live("hold_large", 12 * MIB)
    view.keys("t")
    view.wait_for("which thread\\?")
    row, match = view.wait_for(r"worker-one *\u2502")
    view.click(row, match.start())
    view.click(row, match.start())
    view.wait_for(r"thread \d+ worker-one")
    view.wait(lambda: names_of(view)[:1] == ["hold_small"])
    assert "hold_large" not in view.text()
    view.keys("t")
    view.wait_for("which thread\\?")
    view.keys("Enter")
    view.wait_live("hold_large", 12 * MIB)
    # From the list of threads to one's sites.
    view.keys("4")
    row, match = view.wait_for("worker-one")
    view.click(row, match.start())
    view.keys("Enter")
    view.wait(lambda: names_of(view)[:1] == ["hold_small"])


def test_timeline(named, look):
    view = look(named.pid, columns=120)
    view.keys("5")
    view.wait_for(r"\d\d:\d\d:\d\d  RSS \S+M  live \S+M  alloc \S+/s")
    view.wait_for("[\u2801-\u28ff]")
    view.keys("Left", "Left")
    view.wait_for("\u2502")
    view.keys("Escape")
    view.wait_gone("\u2502")


def test_stack_with_source(named, look):
    view = look(named.pid, columns=120, rows=40)
    view.wait_live("inner", 6 * MIB)
    view.keys("Down")
    view.wait(lambda: "inner" in view.picked())
    view.keys("Enter")
    middle = named.lines["deep"] + 5
    line = middle + 6
    view.wait_for(r"stack 1 of 1: 6\S*M in \d+, malloc|stack 1 of \d+: 6")
    view.wait_for(r"\* inner +\S*live_names.py:%d" % line)
    view.wait_for(r"\u203a middle +\S*live_names.py:%d" % middle)
    view.wait_for(r"%d > +held.append\(bytearray\(CHUNK\)" % line)
    view.keys("Down")
    view.wait_for(r"%d > +return inner\(mib\)" % middle)
    view.keys("Escape")
    view.wait_live("hold_large", 12 * MIB)


def test_freeze(named, look):
    view = look(named.pid)
    view.wait_live("hold_large", 12 * MIB)
    view.keys("Space")
    view.wait_for(r"FROZEN at \d\d:\d\d:\d\d")
    head = view.wait_for(r"live \S+M ")[1][0]
    named.ask("grow", "large", 8)
    # Another view of the frozen state is frozen, too; and one that is not would show 20 MiB soon.
    view.keys("2")
    view.wait_for(r"1[12]\.\dM .*hold_large")
    view.keys("1", "s", "s")
    view.wait_for("HELD\u2193|PEAK\u2193")
    assert 11 * MIB < view.live("hold_large") < 13 * MIB
    assert view.wait_for(r"live \S+M ")[1][0] == head
    view.keys("Space")
    view.wait_gone("FROZEN")
    view.wait_live("hold_large", 20 * MIB)


def test_dump(named, look, tmp_path):
    view = look(named.pid)
    view.keys("d")
    view.wait_for(r"dump to: snapshot-%d-\d{8}-\d{6}\.bin" % named.pid)
    path = str(tmp_path / "a b.bin")
    view.keys("C-u")
    view.type(path, "Enter")
    view.wait_for("wrote .* to ")
    with gzip.open(path) as file:
        assert b"hold_large" in file.read()
    view.keys("d", "C-u")
    view.type("/nowhere/at/all", "Enter")
    view.wait_for("writing /nowhere/at/all: No such file or directory")


def test_help(named, look):
    view = look(named.pid)
    view.keys("?")
    view.wait_for("keys \\(any key closes\\)")
    for words in ("filter by a regular expression", "freeze", "dump a snapshot", "tracking goes on"):
        view.wait_for(words)
    view.keys("x")
    view.wait_gone("any key closes")


def test_picked_row_stays_picked(named, look):
    """The order changes under the pick, and it stays on its row."""
    view = look(named.pid, columns=120)
    view.wait_live("hold_large", 12 * MIB)
    view.keys("Down", "Down")
    view.wait(lambda: "hold_small" in view.picked())
    named.ask("grow", "small", 30)
    view.wait(lambda: names_of(view)[0] == "hold_small" and "hold_small" in view.picked())
    view.keys("Enter")
    view.wait_for(r"\* hold_small ")


@pytest.mark.parametrize("keys", [["q"], ["C-c"]])
def test_leaving_says_that_tracking_goes_on(named, look, memattach, keys):
    view = look(named.pid)
    view.keys(*keys)
    assert view.wait_end() == 0
    assert view.flag("alternate_on") == "0" and view.flag("cursor_flag") == "1"
    assert view.flag("mouse_any_flag") == "0"
    view.wait_for("tracking goes on until `memattach detach %d`" % named.pid)
    assert "tracking" in memattach.ok("status", named.pid).text


def test_q_detaches(named, look, memattach):
    view = look(named.pid)
    view.keys("Q")
    assert view.wait_end() == 0
    view.wait_for("detached from %d" % named.pid)
    assert probe.our_maps(named.pid) == [] or "detached" in memattach.ok("status", named.pid).text


def test_attaches_by_itself(start, python, look, memattach):
    from live_fixtures import Named
    target = start(Named, python)
    view = look(target.pid, "--sample", "exact")
    target.ask("grow", "large", 5)
    view.wait_live("hold_large", 5 * MIB)


def test_the_target_is_killed(named, look):
    view = look(named.pid, columns=120)
    view.wait_live("hold_large", 12 * MIB)
    os.kill(named.pid, signal.SIGKILL)
    view.wait_for(r"ENDED +killed by SIGKILL at \d\d:\d\d:\d\d: this is the last state")
    view.wait_live("hold_large", 12 * MIB)
    # Everything but the source is there to be looked at.
    view.keys("2")
    view.wait_for("CALLS")
    view.keys("1", "Down", "Enter")
    view.wait_for(r"\* inner ")
    view.wait_for("no source: the process has ended")
    view.keys("Escape", "q")
    assert view.wait_end() == 0


def test_the_daemon_is_killed(named, look, memattach):
    view = look(named.pid, columns=120)
    view.wait_live("hold_large", 12 * MIB)
    memattach.kill_daemon()
    view.wait_for("NO ANSWER +the daemon is gone")
    view.wait_live("hold_large", 12 * MIB)
    view.keys("?")
    view.wait_for("any key closes")
    view.keys("x", "q")
    assert view.wait_end() == 0
    assert named.ask("grow", "small", 1) == {}


def test_the_daemon_does_not_answer(named, look, memattach):
    view = look(named.pid, columns=120)
    view.wait_live("hold_large", 12 * MIB)
    daemon = memattach.daemon_pid()
    os.kill(daemon, signal.SIGSTOP)
    try:
        view.wait_for("NO ANSWER +the daemon does not answer")
        view.keys("?")
        view.wait_for("any key closes")
        view.keys("x")
    finally:
        os.kill(daemon, signal.SIGCONT)
    view.wait_gone("NO ANSWER")
    named.ask("grow", "large", 4)
    view.wait_live("hold_large", 16 * MIB)


def test_names_that_no_terminal_should_obey(named, look):
    for name in ("escapes", "wide", "combining"):
        named.ask("grow", name, 3)
    view = look(named.pid, columns=140)
    title = view.flag("pane_title")
    view.wait_for(r"\\x1b\]0;owned\\x07\\x1b\[2J")
    view.wait_for("\u65e5\u672c\u8a9e\u306e\u95a2\u6570")
    view.wait_for("e\u0301\u0323a\u0308")
    view.wait_for(r"\\x9b31m\.py:10")
    assert view.flag("pane_title") == title
    # Files stand under each other, however wide the names before them are.
    number, match = view.wait_for("FILE:LINE")
    column = columns_of(view.lines()[number][:match.start()])
    for name, file in (("\u65e5\u672c", "/srv/\u30d5"), ("e\u0301", "/srv/plain"),
                       ("hold_large", "live_names.py")):
        line = next(line for line in view.lines() if name in line)
        start = line.index(file) if file in line else -1
        if file == "live_names.py":
            start = re.search(r"\S*live_names\.py", line).start()
        assert columns_of(line[:start]) == column, (name, line)
    # The same in the other places where names are shown.
    view.keys("3")
    view.wait_for("everything")
    view.wait_for(r"\\x1b\]0;o")
    view.keys("2")
    view.wait_for("CALLS")
    view.keys("1", "/")
    view.type("owned", "Enter", "Enter")
    view.wait_for(r"\* \\x1b\]0;owned")
    view.wait_for("no source: No such file or directory")
    assert view.flag("pane_title") == title and view.flag("alternate_on") == "1"
