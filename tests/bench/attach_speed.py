# SPDX-License-Identifier: MIT
"""How long an attach takes and what the process notices of it, idle and with nine busy threads.

Beside gdb, which loads a library into the process by a call of dlopen, and `memray attach`. All take
turns, each on a process of its own. A thread that has nothing to do with it naps 0.2 ms at a time and
notes by how much a nap was longer; without anybody attaching it is the machine's own noise.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

import environments
from figures import Spread, Table
from ways import BUILD, PROGRAM, Failed, Target

TITLE = "Attach and detach"
EVERY_PYTHON = True
BUSY = (0, 9)
OTHERS_S = 20        # then it is given up: memray cannot attach to a process that does nothing
LIBRARY = os.path.join(BUILD, "tests", "bench", "idle_library.so")
FIGURES = {"command_ms": "command, ms", "running_ms": "hook running, ms", "pause_ms": "pause, ms",
           "gap_ms": "longest gap, ms", "detach_ms": "detach command, ms",
           "detach_pause_ms": "its pause, ms", "detach_gap_ms": "its gap, ms"}


def gap_ms(target):
    """The longest since the last call, once the thread has come round to noting the latest."""
    seen = target.ask("gap")
    longest = seen["ns"]
    naps = seen["naps"]
    while seen["naps"] < naps + 2:
        seen = target.ask("gap")
        longest = max(longest, seen["ns"])
    return longest / 1e6


def timed(command, env):
    """(milliseconds, output), or (None, why not)."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        start = time.monotonic()
        process = subprocess.Popen(command, env=env, stdout=out, stderr=errors,
                                   stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            process.wait(OTHERS_S)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                return None, "no end within %d s" % OTHERS_S
            raise
        took = 1000 * (time.monotonic() - start)
        words = [(file.seek(0), file.read())[1] for file in (out, errors)]
    if process.returncode:
        return None, words[1].strip()[-200:] or "exit %d" % process.returncode
    return took, words[0]


def by_memattach(target, tools, _):
    attach_ms, said = timed([PROGRAM, "attach", "--json", str(target.pid)], tools.memattach.env)
    if attach_ms is None:
        raise Failed("memattach attach: " + said)
    attached = json.loads(said)["targets"][0]
    found = {"command_ms": attach_ms, "running_ms": attached["hook_running_us"] / 1000,
             "pause_ms": attached["pause_us"] / 1000, "gap_ms": gap_ms(target)}
    detach_ms, said = timed([PROGRAM, "detach", "--json", str(target.pid)], tools.memattach.env)
    if detach_ms is None:
        raise Failed("memattach detach: " + said)
    detached = json.loads(said)["targets"][0]
    found.update(detach_ms=detach_ms, detach_pause_ms=detached["pause_us"] / 1000,
                 detach_gap_ms=gap_ms(target))
    return found


def by_gdb(target, tools, _):
    took, said = timed(["gdb", "-nx", "-batch", "-p", str(target.pid), "-ex",
                        'call ((void *(*)(const char *, int))dlopen)("%s", 2)' % LIBRARY],
                       tools.memattach.env)
    with open("/proc/%d/maps" % target.pid, encoding="utf-8") as maps:
        loaded = LIBRARY in maps.read()
    if took is None or not loaded:
        return {"failed": said[-200:]}
    return {"command_ms": took, "gap_ms": gap_ms(target)}


def by_memray(target, tools, command):
    memray = [os.path.join(os.path.dirname(command[0]), "memray")]
    out = tools.file("attached.bin")
    env = dict(tools.memattach.env, DEBUGINFOD_URLS="")
    took, said = timed([*memray, "attach", "--method", "gdb", "-f", "-o", out, str(target.pid)],
                       env)
    if took is None:
        return {"failed": said}
    found = {"command_ms": took, "gap_ms": gap_ms(target)}
    detach_ms, said = timed([*memray, "detach", "--method", "gdb", str(target.pid)], env)
    if detach_ms is not None:
        found.update(detach_ms=detach_ms, detach_gap_ms=gap_ms(target))
    return found


def nobody(target, _tools, _command):
    """As long as an attach takes, to see what the machine alone does to a nap."""
    gap_ms(target)
    end = time.monotonic() + 0.03
    while time.monotonic() < end:
        seen = gap_ms(target)
    return {"gap_ms": seen}


def measure_one(how, command, busy, tools):
    target = Target(command)
    try:
        target.ask("watch")
        target.ask("busy", busy)
        gap_ms(target)
        return how(target, tools, command)
    finally:
        target.end()


def measure(given, python, tools, progress):
    progress.say("getting memray for %s" % python.label)
    command, why_not = environments.make(python, ["memray"])
    hows = {"nobody": nobody, "memattach": by_memattach}
    if shutil.which("gdb"):
        hows["gdb, dlopen"] = by_gdb
        if why_not is None:
            hows["memray attach"] = by_memray
    found = {"runs": {}}
    # The first starts the daemon and reads what is then kept: it counts as cold.
    found["cold"] = measure_one(by_memattach, command, 0, tools)
    for busy in BUSY:
        for at in range(given.pairs):
            for name, how in hows.items():
                # One that is known to fail takes its whole time to do so: twice is enough.
                runs = found["runs"].setdefault("%s, %d busy" % (name, busy), [])
                if sum("failed" in run for run in runs) >= 2:
                    continue
                for _ in range(4 if name in ("nobody", "memattach") else 1):
                    progress.say("%s: %s, %d busy threads, %d of %d" % (
                        python.label, name, busy, at + 1, given.pairs))
                    runs.append(measure_one(how, command, busy, tools))
    return found


def text(found):
    table = Table("who, busy threads", "done", *FIGURES.values())
    for name, runs in found["runs"].items():
        good = [run for run in runs if "failed" not in run]
        table.add(name, "%d of %d" % (len(good), len(runs)),
                  *(Spread([run[key] for run in good if key in run]).text("%.2f")
                    for key in FIGURES))
    words = [table.text(), "", "The first of all, which starts the daemon: command %.1f ms, hook "
             "running after %.1f ms." % (found["cold"]["command_ms"], found["cold"]["running_ms"])]
    for name, runs in found["runs"].items():
        failed = [run["failed"] for run in runs if "failed" in run]
        if failed:
            words.append("%s failed: %s" % (name, failed[0].split("\n")[-1]))
    return "\n".join(words)
