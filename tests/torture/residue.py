# SPDX-License-Identifier: MIT
"""What an attach and a detach may leave in a process, and what not: probe.py's view of a target that
stands still, before and after.

A target under load takes memory and gives it back as it likes; its anonymous mappings and its
resident memory are therefore only bounded. Everything else must be as it was.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))

import probe  # noqa: E402

THUNK_BYTES = 8192
GROWTH_BYTES = 96 << 20
GROWTH_MAPS = 64


def rss_bytes(pid):
    return int(probe.status(pid)["VmRSS"].split()[0]) * 1024


def look(pid):
    state = probe.state(pid)
    for task in state["signals"].values():
        # A timer of the target's own goes on ticking.
        del task["SigPnd"], task["ShdPnd"]
    state["rss"] = rss_bytes(pid)
    return state


def of_files(maps):
    """Pages of files and of the kernel, with their protection."""
    return [area for area in maps if area.name and not area.name.startswith("[heap]") and
            not area.name.startswith("[anon") and not area.name.startswith("[stack") and
            not probe.OURS.search(area.name)]


def words_left(pid):
    """Words in the data of loaded objects that still lead to us; safe to ask of a busy target."""
    ours = probe.our_maps(pid)
    words = probe.words_into(pid, ours)
    if not words:
        return []
    maps = probe.maps(pid)
    places = ["%s+%#x" % (os.path.basename(area.name), word - area.start) for word in words[:6]
              for area in maps if area.start <= word < area.end]
    return ["%d words of loaded objects still lead to us: %s" % (len(words), ", ".join(places))]


def differences(pid, before, after):
    """What was left or changed, as sentences."""
    bounded = {"rss", "maps"}
    found = probe.differences({key: value for key, value in before.items() if key not in bounded},
                              after)
    ours = probe.our_maps(pid)
    if sum(area.bytes for area in ours) > THUNK_BYTES:
        found.append("mapped still: %r" % ours)
    found += words_left(pid)
    changed, lines = probe.map_changes(of_files(before["maps"]), of_files(after["maps"]))
    if changed:
        found.append("mapped differently: " + "; ".join(lines[:5]))
    if len(after["maps"]) > len(before["maps"]) + GROWTH_MAPS:
        found.append("mappings: %d -> %d" % (len(before["maps"]), len(after["maps"])))
    if after["rss"] > before["rss"] + GROWTH_BYTES:
        found.append("resident memory: %d -> %d MiB" % (before["rss"] >> 20, after["rss"] >> 20))
    return found
