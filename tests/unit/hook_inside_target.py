# SPDX-License-Identifier: MIT
"""Runs inside the Python under test: attaches the hook to this very process, allocates what is known
beforehand, and compares with what the hook wrote down. Then takes the hook out and looks at what is
left. Usage: PYTHON hook_inside_target.py SHIM HOOK sampled|exact LIBRARY...

Written for every version from 3.8 on. Functions named work_* are told apart by their names in the
stacks; each allocates what its `Told` says, and hardly anything else.
"""
import ctypes
import math
import mmap
import os
import re
import sys
import threading

from hook_frames_area import Tables, name_of

SAMPLED, EXACT = 1, 2
OBJECT, MEM, MALLOC, MMAP = 1, 2, 3, 4
ALLOC, FREE, FREE_IMPLICIT, MAP, UNMAP = 1, 2, 3, 4, 5
PATCH, RESTORE = 1, 2
BYTES_HEAD = 33
INTERVAL = 4096
MAX_EVENTS = 16 * 4096
# Probability of a false alarm for one comparison: two-sided, 6 standard deviations.
SIGMAS = 6


class Event(ctypes.Structure):
    _fields_ = [("sequence", ctypes.c_uint64), ("address", ctypes.c_uint64),
                ("size", ctypes.c_uint64), ("site", ctypes.c_uint32),
                ("interval", ctypes.c_uint32), ("clock", ctypes.c_uint32),
                ("kind", ctypes.c_uint16), ("domain", ctypes.c_uint16)]


class LiveEntry(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint64), ("site", ctypes.c_uint32),
                ("interval", ctypes.c_uint32), ("birth", ctypes.c_uint32),
                ("domain", ctypes.c_uint32)]


class ExactSite(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in
                ("allocated_bytes", "allocated_count", "live_bytes", "live_count", "peak_bytes",
                 "peak_count", "epoch")] + [("first", ctypes.c_uint32), ("last", ctypes.c_uint32)]


class Exact(ctypes.Structure):
    _fields_ = [("lock", ctypes.c_uint32), ("reserved", ctypes.c_uint32),
                ("reserved1", ctypes.c_uint64)] + [
        (name, ctypes.c_uint64) for name in
        ("allocated_bytes", "allocated_count", "live_bytes", "live_count", "peak_bytes",
         "peak_count", "epoch")] + [(name, ctypes.c_uint32) for name in
                                    ("peak_ms", "arena_pages", "arena_pages_used", "reserved2")]


class Told:
    """What a function is known to allocate: count and bytes."""

    def __init__(self, domain, count, size):
        self.domain, self.count, self.unit, self.size = domain, count, size, count * size


class Inside:
    """The shim, and what the area says."""

    def __init__(self, shim, hook, mode):
        self.shim, self.hook, self.mode = ctypes.CDLL(shim), hook, mode
        self.shim.inside_area.restype = ctypes.c_void_p
        self.shim.inside_config.restype = ctypes.c_void_p
        self.shim.inside_offsets.restype = ctypes.c_char_p
        self.shim.inside_pass_us.restype = ctypes.c_double
        self.shim.inside_thunks_in.restype = ctypes.c_uint64
        self.shim.inside_thunks_in.argtypes = [ctypes.c_uint64, ctypes.c_uint64]
        self.shim.inside_lease.argtypes = [ctypes.c_uint64]
        words = self.shim.inside_offsets().decode().split()
        self.offsets = {name: int(at) for name, at in (word.split("=") for word in words)}
        self.buffer = (Event * MAX_EVENTS)()
        self.addresses = (ctypes.c_uint64 * (1 << 17))()
        self.entries = (LiveEntry * (1 << 17))()

    def attach(self, interval=INTERVAL, small_limit=512):
        version = sys.version_info[0] << 8 | sys.version_info[1]
        failed = self.shim.inside_attach(self.hook.encode(), self.mode, interval, small_limit, version)
        assert failed == 0, "attach failed at step %d" % failed
        self.tables = Tables(self.shim.inside_area(), self.offsets)

    def detach(self):
        failed = self.shim.inside_detach()
        assert failed == 0, "detach failed at step %d" % failed

    def control(self, index, value):
        ctypes.c_uint32.from_address(self.shim.inside_area() + self.offsets["control"]
                                     + 4 * index).value = value

    def enable(self, on):
        self.control(0, on)

    def result(self, name, form=ctypes.c_uint32):
        return form.from_address(self.shim.inside_config() + self.offsets[name]).value

    def drain(self):
        """Empties the rings, in which a daemon would see to it that there is room."""
        held = ctypes.c_int()
        self.shim.inside_take(self.buffer, MAX_EVENTS, self.addresses, self.entries, 0,
                              ctypes.byref(held))

    def events(self):
        """What the rings hold, in the order of their sequence, as tuples."""
        return self.events_and_live()[0]

    def events_and_live(self):
        """The same and the live set, {address: (size, site, domain)}, of one moment."""
        held = ctypes.c_int()
        count = self.shim.inside_take(self.buffer, MAX_EVENTS, self.addresses, self.entries,
                                      len(self.addresses), ctypes.byref(held))
        assert count >= 0, "a ring or an event in it is malformed"
        found = [(e.sequence, e.kind, e.address, e.size, e.site, e.interval, e.domain)
                 for e in self.buffer[:count]]
        entries = zip(self.addresses[:held.value], self.entries[:held.value])
        return sorted(found), {address: (entry.size, entry.site, entry.domain)
                               for address, entry in entries}

    def exact(self):
        return Exact.from_address(self.shim.inside_area() + self.offsets["exact"])

    def exact_site(self, site):
        at = self.shim.inside_area() + self.offsets["exact_sites"]
        return ExactSite.from_address(at + ctypes.sizeof(ExactSite) * site)

    def functions(self, site):
        """Names of the site's functions, innermost first."""
        stack, domain, thread, flags = self.tables.site(site)
        if not stack:
            return []
        return [self.tables.code(code)[0] for code, _ in self.tables.stack(stack)[1] if code]

    def work_of(self, site):
        """The work_* function that a site is in, or None."""
        for name in self.functions(site):
            if name.startswith("work_"):
                return name.split(".")[0]
        return None


inside = None
checks = 0


def check(condition, text, *values):
    global checks
    checks += 1
    assert condition, text % values


def no_losses(allowed=()):
    for name in ("implicit_frees", "dropped_allocs", "dropped_frees", "dropped_maps", "reentered",
                 "stacks_broken", "frames_unknown", "tables_full", "tables_busy"):
        if name not in allowed:
            check(inside.tables.counter(name) == 0, "%s is %d", name, inside.tables.counter(name))


# What is allocated. Each function returns what it holds.

def work_small():
    return [bytes(100) for _ in range(30000)]


def work_middle():
    return [bytes(479) for _ in range(4000)]


def work_large():
    return [bytes(4000) for _ in range(1500)]


def work_raw():
    """bytearrays: the object from OBJ, the buffer from malloc, shrunk below 512 bytes."""
    held = [bytearray(3000) for _ in range(1000)]
    for array in held:
        del array[50:]
    return held


def work_huge():
    return [bytes(3 << 20) for _ in range(4)]


WORKS = {
    work_small: Told(OBJECT, 30000, 100 + BYTES_HEAD),
    work_middle: Told(OBJECT, 4000, 479 + BYTES_HEAD),
    work_large: Told(MALLOC, 1500, 4000 + BYTES_HEAD),
    work_huge: Told(MALLOC, 4, (3 << 20) + BYTES_HEAD),
}


def estimate(blocks):
    """(count, its standard deviation, bytes, its standard deviation) by Horvitz-Thompson."""
    count = size = count_variance = size_variance = 0.0
    for k, interval in blocks:
        p = 1 - math.exp(-k / interval)
        count += 1 / p
        size += k / p
        count_variance += (1 - p) / p ** 2
        size_variance += k * k * (1 - p) / p ** 2
    return count, count_variance ** 0.5, size, size_variance ** 0.5


def agrees(what, got, deviation, told, slack):
    check(abs(got - told) <= SIGMAS * deviation + slack,
          "%s: %.0f +- %.0f, should be %.0f", what, got, deviation, told)


def replay(events, live):
    """Follows events by address. live: {address: (size, site, interval, domain)}."""
    if events:
        check(events[-1][0] - events[0][0] == len(events) - 1, "a gap in the sequence")
    for _, kind, address, size, site, interval, domain in events:
        if kind == ALLOC:
            check(address not in live, "%#x was handed out twice", address)
            check(interval > 0 and site > 0, "alloc with interval %d, site %d", interval, site)
            live[address] = (size, site, interval, domain)
        elif kind in (FREE, FREE_IMPLICIT):
            check(live.pop(address, None) == (size, site, interval, domain),
                  "free of %#x is not what was allocated", address)


def follow(live):
    """Brings `live` up to date, and compares it with the live set."""
    events, held = inside.events_and_live()
    replay(events, live)
    check({a: (size, site, domain) for a, (size, site, _, domain) in live.items()} == held,
          "events leave %d live, the live set %d", len(live), len(held))


def sampled_works():
    """Known work, its estimates while held, and nothing left of it afterwards."""
    live = {}
    for work, told in WORKS.items():
        held = work()
        inside.enable(0)
        follow(live)
        mine = [(size, interval) for size, site, interval, domain in live.values()
                if inside.work_of(site) == work.__name__ and domain == told.domain]
        count, count_deviation, size, size_deviation = estimate(mine)
        # The list that holds the blocks is in another domain, or a few reallocations in this one.
        agrees(work.__name__ + " bytes", size, size_deviation, told.size, 0.02 * told.size)
        agrees(work.__name__ + " count", count, count_deviation, told.count, 40)
        del held
        inside.enable(1)
        # The switch is looked at once in a while: let that pass.
        bytes(2 << 20)
        follow(live)
        # Other blocks may stay: Python keeps lists and frames for the next one.
        left = [address for address, (size, site, _, domain) in live.items()
                if size == told.unit and inside.work_of(site) == work.__name__]
        check(not left, "%s: %d blocks are left after they were freed", work.__name__, len(left))
    no_losses()


def sites_of(work, domain):
    found = [site for site in range(1, inside.tables.site_count() + 1)
             if inside.tables.site(site)[1] == domain and inside.work_of(site) == work.__name__]
    return [inside.exact_site(site) for site in found]


def exact_works():
    """Known work, and what was counted, to the byte."""
    for work, told in WORKS.items():
        held = work()
        inside.enable(0)
        bytes(2 << 20)
        sites = sites_of(work, told.domain)
        count = sum(site.live_count for site in sites)
        size = sum(site.live_bytes for site in sites)
        check(0 <= count - told.count <= 3, "%s: %d live, should be %d", work.__name__, count, told.count)
        check(0 <= size - told.size <= 0.02 * told.size, "%s: %d bytes live, should be %d",
              work.__name__, size, told.size)
        del held
        check(sum(site.live_count for site in sites) == 0, "%s: %d are live after they were freed",
              work.__name__, sum(site.live_count for site in sites))
        check(sum(site.live_bytes for site in sites) == 0, "%s: bytes are live", work.__name__)
        inside.enable(1)
        bytes(2 << 20)
    no_losses()
    exact_sums()


def exact_sums():
    inside.enable(0)
    bytes(2 << 20)
    state = inside.exact()
    sites = [inside.exact_site(site) for site in range(1, inside.tables.site_count() + 1)]
    for name in ("allocated_bytes", "allocated_count", "live_bytes", "live_count"):
        check(sum(getattr(site, name) for site in sites) == getattr(state, name),
              "%s of the sites do not add up to the total", name)
    peaks = [(site.peak_bytes, site.peak_count) if site.epoch == state.epoch
             else (site.live_bytes, site.live_count) for site in sites]
    check(sum(size for size, _ in peaks) == state.peak_bytes, "peak: %d in sites, %d in total",
          sum(size for size, _ in peaks), state.peak_bytes)
    check(sum(count for _, count in peaks) == state.peak_count, "peak's counts do not add up")
    inside.enable(1)
    bytes(2 << 20)


def shrunk_blocks_stay_mallocs():
    held = work_raw()
    inside.enable(0)
    if inside.mode == EXACT:
        buffers = sites_of(work_raw, MALLOC)
        check(sum(site.live_count for site in buffers) in range(1000, 1004),
              "%d buffers of malloc are live", sum(site.live_count for site in buffers))
        objects = sum(site.live_count for site in sites_of(work_raw, OBJECT))
        check(objects in range(1000, 1004), "%d objects are live", objects)
    del held
    inside.enable(1)
    bytes(2 << 20)


def work_map(region):
    return mmap.mmap(-1, region, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def regions():
    inside.drain()
    region = work_map(5 << 20)
    maps = [e for e in inside.events() if e[1] == MAP and inside.work_of(e[4]) == "work_map"]
    check(len(maps) == 1 and maps[0][3] == 5 << 20 and maps[0][6] == MMAP, "mapped: %r", maps)
    address = maps[0][2]
    region.resize(9 << 20)
    moved = [e for e in inside.events() if e[1] in (MAP, UNMAP)]
    check([(e[1], e[3]) for e in moved] == [(UNMAP, 5 << 20), (MAP, 9 << 20)], "resized: %r", moved)
    check(moved[0][2] == address, "another region was resized")
    region.close()
    gone = [e for e in inside.events() if e[1] == UNMAP]
    check([(e[2], e[3]) for e in gone] == [(moved[1][2], 9 << 20)], "closed: %r", gone)
    # Arenas of pymalloc are mapped too, and are not the program's.
    held = work_small() + work_small()
    maps = [e for e in inside.events() if e[1] == MAP and inside.work_of(e[4]) == "work_small"]
    check(not maps, "arenas are counted as regions: %r", maps)
    del held


def thread_work(results):
    results.append(work_small())
    results.append(work_large())


def threads():
    """Several threads: nothing is lost, and each has a slot."""
    results = []
    started = [threading.Thread(target=thread_work, args=(results,)) for _ in range(6)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    while results:
        inside.drain()
        results.pop()
    inside.drain()
    no_losses()


def work_call(library):
    return [library.later_call(200) for _ in range(500)]


def work_word(library):
    return [library.later_word(200) for _ in range(500)]


def work_duplicate(library):
    return [library.later_duplicate(200) for _ in range(500)]


def work_other(library):
    return [library.later_other(200) for _ in range(500)]


def work_aligned(library):
    return [library.later_aligned(200) for _ in range(500)]


def work_later_map(library):
    return library.later_map(3 << 20)


def load(path):
    library = ctypes.CDLL(path)
    for name in ("call", "word", "duplicate", "other", "aligned", "map"):
        function = getattr(library, "later_" + name)
        function.argtypes, function.restype = [ctypes.c_size_t], ctypes.c_void_p
    library.later_free.argtypes = [ctypes.c_void_p]
    library.later_unmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return library


def blocks_of(work):
    """Count and bytes of the blocks of malloc that this work holds, of 200 bytes each."""
    if inside.mode == EXACT:
        sites = sites_of(work, MALLOC)
        return sum(s.live_count for s in sites), sum(s.live_bytes for s in sites)
    blocks = [(size, INTERVAL) for size, site, domain in inside.events_and_live()[1].values()
              if domain == MALLOC and size == 200 and inside.work_of(site) == work.__name__]
    return estimate(blocks)[0], estimate(blocks)[2]


def loaded_later(path):
    """A library that is loaded now has its slots patched before its first call."""
    inside.drain()
    passes = inside.tables.counter("passes")
    library = load(path)
    check(inside.tables.counter("passes") > passes, "no pass ran at the load")
    name = os.path.basename(path)
    # A data word leads to the executable's PLT where the executable has one for the function.
    check(thunks_left().get(path) in (6, 7), "thunks in %s: %r", name, thunks_left())
    check(library.later_other_word(), "%s: somebody else's data word was changed", name)
    for work in (work_call, work_word, work_duplicate, work_other, work_aligned):
        held = work(library)
        inside.enable(0)
        count, size = blocks_of(work)
        # Sampled, 500 blocks of 200 bytes are 500 +- 97. Exact, the list's own buffer comes too.
        close = 3 if inside.mode == EXACT else SIGMAS * 97
        check(abs(count - 500) <= close, "%s: %d of 500 %s are seen", name, count, work.__name__)
        for block in held:
            library.later_free(block)
        held = None
        check(blocks_of(work)[0] == 0, "%s: frees of %s are not seen", name, work.__name__)
        inside.enable(1)
        bytes(2 << 20)
        inside.drain()
    region = work_later_map(library)
    maps = [e for e in inside.events() if e[1] == MAP and e[2] == region]
    check(len(maps) == 1 and maps[0][3] == 3 << 20, "%s: its mmap is not seen", name)
    library.later_unmap(region, 3 << 20)
    unmaps = [e for e in inside.events() if e[1] == UNMAP and e[2] == region]
    check(len(unmaps) == 1, "%s: its munmap is not seen", name)
    return library


def work_child():
    held = work_small() + work_large()
    import json.tool  # an import in a child
    return held


def child():
    """A fork: nothing of the child is seen, and it ends as it should."""
    pid = os.fork()
    if pid == 0:
        work_child()
        os._exit(42)
    status = os.waitpid(pid, 0)[1]
    check(status == 42 << 8, "the child ended with %#x", status)
    seen = [site for site in range(1, inside.tables.site_count() + 1)
            if "work_child" in inside.functions(site)]
    check(not seen, "sites of the child: %r", seen)


def lease():
    """Without a daemon nothing is sampled; when it is back, again."""
    inside.shim.inside_lease(0)
    bytes(2 << 20)
    counted = inside.tables.counter("samples")
    held = work_small()
    check(inside.tables.counter("samples") == counted, "sampled although the lease has run out")
    check(inside.tables.counter("fault") == 1, "the lapse is not told")
    inside.shim.inside_lease(3600)
    bytes(2 << 20)
    del held
    held = work_small()
    check(inside.tables.counter("samples") > counted, "nothing is sampled with a new lease")
    check(inside.tables.counter("fault") == 0, "the lapse is told although it is over")
    del held


LEFT_OUT = re.compile(r"^/dev/|hook_inside_shim|shim\.so|/hook_(ie|tp)\.so")
MAP_LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ +(\S.*)")


def file_mappings():
    """[(low, high, permissions, name)] of the objects that are mapped."""
    found = []
    with open("/proc/self/maps") as maps:
        for line in maps:
            match = MAP_LINE.match(line)
            if match and match.group(4).startswith("/") and not LEFT_OUT.search(match.group(4)):
                found.append((int(match.group(1), 16), int(match.group(2), 16), match.group(3),
                              match.group(4)))
    return found


def same_mappings(before, after):
    check(before == after, "mappings that were: %r, that are: %r", sorted(set(before) - set(after)),
          sorted(set(after) - set(before)))


def thunks_left():
    """Words in objects' data that lead to our thunks: {object: words}."""
    found = {}
    for low, high, permissions, name in file_mappings():
        if permissions.startswith("r"):
            words = inside.shim.inside_thunks_in(low, high)
            if words:
                found[name] = found.get(name, 0) + words
    return found


def main():
    global inside
    shim, hook, mode = sys.argv[1], sys.argv[2], {"sampled": SAMPLED, "exact": EXACT}[sys.argv[3]]
    inside = Inside(shim, hook, mode)
    # Before 3.11 a function keeps the frame of its first call for the next one.
    for work in (*WORKS, work_raw):
        work()
    before = file_mappings()
    inside.attach()
    words = thunks_left()
    check(sum(words.values()) >= 10, "only %r lead to thunks", words)
    check(inside.shim.inside_tables_hold_thunks() == 6, "tables of OBJ and MEM")
    # Protections are as they were, while we are in.
    same_mappings(before, file_mappings())
    (exact_works if mode == EXACT else sampled_works)()
    shrunk_blocks_stay_mallocs()
    regions()
    threads()
    libraries = [loaded_later(path) for path in sys.argv[4:]]
    child()
    if mode == SAMPLED:
        lease()
    gone = inside.result("hook_base", ctypes.c_uint64)
    before = file_mappings()
    pass_us = inside.shim.inside_pass_us()
    inside.detach()
    check(inside.result("slots_foreign", ctypes.c_uint64) == 0, "foreign slots")
    check(inside.result("tables_foreign") == 0, "foreign tables")
    check(inside.result("passes_failed") == 0, "%d steps of passes failed",
          inside.result("passes_failed"))
    check(thunks_left() == {}, "after the detach: %r", thunks_left())
    check(inside.shim.inside_tables_hold_thunks() == 0, "tables after the detach")
    same_mappings(before, file_mappings())
    with open("/proc/self/maps") as maps:
        check(gone and os.path.basename(hook) not in maps.read(), "still loaded")
    held = work_small() + work_large()
    del held
    for library in libraries:
        library.later_free(library.later_word(100))
        library.later_free(library.later_call(100))
    # And once more, over the same thunks.
    inside.attach()
    held = work_small()
    check(inside.tables.counter("samples") > 100, "the second attach sees nothing")
    del held
    inside.detach()
    check(thunks_left() == {}, "after the second detach: %r", thunks_left())
    print("%d checks, a pass without news %.1f us" % (checks, pass_us))


if __name__ == "__main__":
    main()
