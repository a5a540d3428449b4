# SPDX-License-Identifier: MIT
"""The unwind area: there when native stacks are wanted, gone afterwards, and never a burden."""

import resource

import pytest

from target import Ledger


def unwind_areas(pid):
    """Protections of what the process has mapped of unwind areas."""
    with open("/proc/%d/maps" % pid, encoding="utf-8") as maps:
        return [line.split()[1] for line in maps if "memattach-unwind" in line]


@pytest.mark.parametrize("options, areas", [
    ((), ["r--s"]),
    (("--no-native",), []),
    (("--sample", "exact"), []),
    (("--sample", "exact", "--native"), ["r--s"]),
], ids=lambda value: " ".join(value) or "default")
def test_area_comes_and_goes(options, areas, python, memattach, start):
    target = start(Ledger, python)
    memattach.ok("attach", target.pid, *options)
    assert unwind_areas(target.pid) == areas
    memattach.ok("detach", target.pid)
    assert unwind_areas(target.pid) == []
    assert target.quit() == 0


def test_little_address_space(python, memattach, start):
    """What a limited target has left is its own; it does without native stacks."""
    target = start(Ledger, python)
    with open("/proc/%d/statm" % target.pid, encoding="utf-8") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.prlimit(target.pid, resource.RLIMIT_AS, (used + (600 << 20),) * 2)
    attached = memattach.ok("attach", target.pid)
    assert "no native stacks" in attached.notices
    assert unwind_areas(target.pid) == []
    memattach.ok("detach", target.pid)
    assert target.quit() == 0
