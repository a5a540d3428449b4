# SPDX-License-Identifier: MIT
"""Runs inside the Python under test: walks its stack with the hook's code and with sys._getframe at
the same moment, and compares. Usage: PYTHON hook_frames_target.py SHIM [--bench]

Written for every version from 3.8 on.
"""
import ctypes
import gc
import os
import signal
import sys
import threading

import hook_frames_paths
from hook_frames_area import QUALIFIED, VERSION, Tables, expected, line_of, line_table, name_of

MAX_FRAMES = 1024
TRUNCATED, BROKEN, NO_PYTHON, FINALIZING, FOREIGN = 1, 2, 4, 8, 16
OBJECT, MALLOC = 1, 3

shim = None     # the library, called with the GIL held
nogil = None    # the same library, called without it
checks = 0


tables = None


def here(lib=None, domain=OBJECT, slot=1):
    """(site, frames of the same moment). The first frame is this function's."""
    site, frames = (lib or shim).shim_site(domain, slot), expected(sys._getframe())
    return site, frames


def compare(result, what, truncated=False):
    """Everything about a site against what sys._getframe saw."""
    global checks
    checks += 1
    site, frames = result
    assert site, "%s: no site" % what
    stack, _, _, site_flags = tables.site(site)
    assert stack, "%s: site without a stack, flags %d" % (what, site_flags)
    flags, words = tables.stack(stack)
    assert flags == (TRUNCATED if truncated else 0), "%s: flags %d" % (what, flags)
    want = frames[:MAX_FRAMES] if truncated else frames
    assert len(words) == len(want), "%s: %d frames, not %d: %s" % (
        what, len(words), len(want), [tables.code(c)[0] for c, _ in words[:20]])
    for depth, ((code_id, offset), (code, lasti, line)) in enumerate(zip(words, want)):
        place = "%s, frame %d (%s)" % (what, depth, code.co_name)
        assert code_id, "%s: not described" % place
        name, filename, first_line, lines, cut, total = tables.code(code_id)
        assert name == name_of(code), "%s: name %r" % (place, name)
        assert filename == code.co_filename, "%s: file %r" % (place, filename)
        assert first_line == code.co_firstlineno, "%s: first line %d" % (place, first_line)
        assert lines == line_table(code) and total == len(lines), "%s: line table" % place
        assert not cut, "%s: cut" % place
        if depth:
            # In the innermost frame the two looks are some instructions apart, on one line.
            assert offset == lasti, "%s: offset %d, not %d" % (place, offset, lasti)
        assert line_of(code, offset) == line, "%s: line %s, not %s" % (
            place, line_of(code, offset), line)


# ---- the situations ----

def nested():
    def inner():
        def innermost():
            return here()
        return innermost()
    compare(inner(), "nested functions")
    compare((lambda: (lambda: here())())(), "lambdas")
    compare([here() for _ in range(1)][0], "comprehension")
    compare({k: here() for k in range(1)}[0], "dict comprehension")
    compare(next(here() for _ in range(1)), "generator expression")


def generators():
    def plain():
        yield here()
        yield here()

    def delegating():
        yield here()
        yield from plain()

    for result in delegating():
        compare(result, "generator")
    other = plain()
    compare(next(other), "generator, first step")
    other.send(None)
    other.close()

    def throws():
        try:
            yield
        except ValueError:
            yield here()
    thrown = throws()
    next(thrown)
    compare(thrown.throw(ValueError()), "generator, thrown into")


def coroutines():
    import asyncio

    async def leaf():
        await asyncio.sleep(0)
        return here()

    async def asyncgen():
        yield here()
        await asyncio.sleep(0)
        yield here()

    async def branch():
        compare(await leaf(), "coroutine")
        async for result in asyncgen():
            compare(result, "asynchronous generator")
        return [result async for result in asyncgen()]

    async def main():
        done = await asyncio.gather(branch(), branch())
        for result in done[0]:
            assert result[0]

    asyncio.run(main())


def classes():
    class Outer:
        found = here()

        class Inner:
            found = here()

            def method(self):
                return here()

            @property
            def attribute(self):
                return here()

            @staticmethod
            def static():
                return here()

            def __init__(self):
                self.made = here()

    compare(Outer.found, "class body")
    compare(Outer.Inner.found, "nested class body")
    thing = Outer.Inner()
    for result in (thing.method(), thing.attribute, thing.static(), thing.made):
        compare(result, "method")


def cells():
    a = b = c = 1

    def closure(d=2):
        e = 3

        def deeper():
            return (a, b, c, d, e), here()
        return deeper()
    compare(closure()[1], "closures")


def callbacks():
    found = []

    def key(value):
        found.append(here())
        return value

    sorted([3, 1, 2], key=key)
    list(map(key, range(2)))
    max([1, 2], key=key)
    for result in found:
        compare(result, "callback from C")

    class Dying:
        def __del__(self):
            found.append(here())

    def let_die():
        Dying()
        return None
    let_die()
    cycle = Dying()
    cycle.me = cycle
    del cycle
    gc.collect()
    compare(found[-1], "__del__ in a collection")
    compare(found[-2], "__del__")

    class Compared:
        def __eq__(self, other):
            found.append(here())
            return True

        def __hash__(self):
            return 1

        def __getattr__(self, name):
            return here()
    Compared() in [Compared()]
    compare(found[-1], "__eq__ from C")
    compare(Compared().anything, "__getattr__")
    compare(eval("here()"), "eval")
    space = {"here": here}
    exec("def f():\n  return here()\nfound = f()\n", space)
    compare(space["found"], "exec")


def nested_exec():
    space = {"here": here}
    text = "found = here()"
    for depth in range(20):
        text = "exec(%r)" % text
    exec(text, space)
    compare(space["found"], "exec in exec")


def signals():
    found = []

    def handler(number, frame):
        found.append(here())
    before = signal.signal(signal.SIGUSR1, handler)
    os.kill(os.getpid(), signal.SIGUSR1)
    for _ in range(1000):
        if found:
            break
    signal.signal(signal.SIGUSR1, before)
    compare(found[0], "signal handler")


def tracing():
    found = []

    def trace(frame, event, argument):
        if frame.f_code.co_name == "traced":
            found.append(here())
        return trace

    def traced():
        value = here()
        return value
    sys.settrace(trace)
    try:
        result = traced()
    finally:
        sys.settrace(None)
    compare(result, "function under a trace function")
    assert found
    for seen in found:
        compare(seen, "trace function")
    sys.setprofile(lambda frame, event, argument: None)
    try:
        result = traced()
    finally:
        sys.setprofile(None)
    compare(result, "function under a profile function")


def recursion():
    def down(left):
        return down(left - 1) if left else here()

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(5000)
    try:
        compare(down(900), "recursion of 900")
        compare(down(2000), "recursion of 2000", truncated=True)
        depth = len(expected(sys._getframe()))
        # here() and this function's frames are in the stack as well
        compare(down(MAX_FRAMES - depth - 2), "just as deep as can be")
        compare(down(MAX_FRAMES - depth - 1), "one too deep", truncated=True)
    finally:
        sys.setrecursionlimit(limit)
    assert tables.counter("stacks_truncated") >= 2


def threads():
    found = {}

    def work(name):
        found[name] = here(slot=2)
        found[name, "without the GIL"] = here(lib=nogil, slot=2)
    several = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in several:
        thread.start()
    for thread in several:
        thread.join()
    for name, result in found.items():
        compare(result, "thread %s" % (name,))
        assert tables.site(result[0])[2] == 2
    compare(here(lib=nogil), "without the GIL")


def strange_names():
    names = ["plain", "gr\xf6\xdfe", "\u4e2d\u6587", "\U0001d538\U0001d539"]
    for name in names:
        space = {"here": here}
        code = compile("def %s():\n\n\n    return here()\n" % name, "/tmp/%s.py" % name, "exec")
        exec(code, space)
        function = [value for key, value in space.items() if callable(value) and value is not here]
        compare(function[0](), "name %a" % name)

    def body():
        return here()
    long_name, long_file = "n" * 2000, "\u4e2d" * 3000
    changed = {"co_name": long_name, "co_filename": long_file}
    if QUALIFIED:
        changed["co_qualname"] = long_name
    body.__code__ = body.__code__.replace(**changed)
    site, _ = body()
    name, filename, _, _, cut, _ = tables.code(tables.stack(tables.site(site)[0])[1][1][0])
    assert cut == 1 and name == "n" * 512 and filename == "\u4e2d" * 512, (cut, name, filename)

    class Text(str):
        """An instance is a string that is not compact."""
    body.__code__ = body.__code__.replace(co_name=Text("subclass"), co_filename=Text("file"))
    site, _ = body()
    name, filename, _, _, _, _ = tables.code(tables.stack(tables.site(site)[0])[1][1][0])
    assert filename == "file" and (QUALIFIED or name == "subclass"), (name, filename)


def long_function():
    lines = "\n".join("    a = %d" % i for i in range(30000))
    space = {"here": here}
    exec(compile("def long():\n%s\n    return here()\n" % lines, "<long>", "exec"), space)
    site, frames = space["long"]()
    code_id, offset = tables.stack(tables.site(site)[0])[1][1]
    _, _, _, kept, _, total = tables.code(code_id)
    table = line_table(space["long"].__code__)
    assert len(table) > 32768 and total == len(table) and kept == table[:32768]
    assert offset == frames[1][1] and line_of(frames[1][0], offset) == frames[1][2] == 30002


def same_site():
    """One place is one site; another domain or thread slot makes another site, same stack."""
    wanted = [(OBJECT, 1), (OBJECT, 1), (MALLOC, 1), (OBJECT, 2)]
    sites = [here(domain=domain, slot=slot)[0] for domain, slot in wanted]
    assert sites[0] == sites[1] and len(set(sites)) == 3
    assert len({tables.site(site)[0] for site in sites}) == 1
    assert [tables.site(site)[1:3] for site in sites] == wanted


def sub_interpreter():
    """The running interpreter's frames, not the first one's; what cannot be told is flagged."""
    try:
        import _interpreters as api
    except ImportError:
        import _xxsubinterpreters as api
    source = """if True:
        import ctypes, sys
        lib = ctypes.PyDLL(%r)
        def in_sub_interpreter():
            return lib.shim_site(1, 1)
        site = in_sub_interpreter()
        free = ctypes.CDLL(%r)
        blind = free.shim_site(1, 1)
        import os
        os.write(%d, b"%%d %%d" %% (site, blind))
    """
    reading, writing = os.pipe()
    if VERSION >= (3, 13):
        made = api.create("legacy")
    elif VERSION >= (3, 9):
        made = api.create(isolated=False)
    else:
        made = api.create()
    (api.exec if hasattr(api, "exec") else api.run_string)(
        made, source % (shim._name, shim._name, writing))
    site, blind = map(int, os.read(reading, 100).split())
    api.destroy(made)
    os.close(reading)
    os.close(writing)
    flags, words = tables.stack(tables.site(site)[0])
    names = [tables.code(code)[0] for code, _ in words]
    assert flags == 0 and names[:2] == ["in_sub_interpreter", "<module>"], (flags, names)
    stack, _, _, site_flags = tables.site(blind)
    if VERSION <= (3, 11):
        assert (stack, site_flags) == (0, FOREIGN), (stack, site_flags)
    else:
        assert tables.code(tables.stack(stack)[1][0][0])[0] == "<module>"
    compare(here(), "back in the main interpreter")


def foreign_thread():
    """A thread that Python does not know has no Python frames."""
    libc = ctypes.CDLL(None)
    thread = ctypes.c_ulong()
    start = ctypes.cast(shim.shim_site, ctypes.c_void_p)
    result = ctypes.c_void_p()
    create = libc.pthread_create
    create.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    join = libc.pthread_join
    join.argtypes = [ctypes.c_ulong, ctypes.c_void_p]
    assert create(ctypes.byref(thread), None, start, OBJECT) == 0
    assert join(thread, ctypes.byref(result)) == 0
    site = (result.value or 0) & 0xffffffff
    assert site and tables.site(site)[0] == 0 and tables.site(site)[3] == NO_PYTHON


def code_reuse():
    """20,000 code objects at a few addresses: each is told from the one before."""
    addresses, wrong = set(), 0
    for i in range(20000):
        space = {"here": shim.shim_site}
        code = compile("def f%d():\n return here(1, 1)\nsite = f%d()" % (i, i), "<reuse>", "exec")
        exec(code, space)
        addresses.add(id(space["f%d" % i].__code__))
        words = tables.stack(tables.site(space["site"])[0])[1]
        wrong += tables.code(words[0][0])[0] != "f%d" % i
        space.clear()
        del code, space
    assert wrong == 0, "%d of 20000 code objects have another one's name" % wrong
    assert len(addresses) < 2000, "addresses were not reused: the test shows nothing"
    live = removed = 0
    for i in range(1 << 16):
        address = tables.at("code_map", 16 * i, "<Q")[0]
        live, removed = live + (address > 1), removed + (address == 1)
    assert removed < 5000, "%d slots of the code map are spent" % removed


def same_source_again():
    """The same source compiled again and again is one record."""
    before = None
    for i in range(500):
        space = {"here": shim.shim_site}
        exec(compile("site = here(1, 1)", "<again>", "exec"), space)
        if before is None:
            before = tables.used("code_used")
    assert tables.used("code_used") == before


def walks_everywhere():
    """Sites taken at every 7th allocation of real work: no walk is broken, no frame unknown."""
    broken, unknown = tables.counter("stacks_broken"), tables.counter("frames_unknown")
    samples = tables.counter("samples")
    import asyncio
    import collections
    import dataclasses
    import json
    import re
    first = tables.site_count()
    shim.shim_sample(7)
    try:
        for _ in range(3):
            made = collections.namedtuple("Made", "a b c")
            cls = dataclasses.make_dataclass("Data", ["x", "y"])
            assert cls(1, 2) == cls(1, 2) and made(1, 2, 3).b == 2
            json.loads(json.dumps([{"key": [1, 2, {"x": None}]}] * 50, indent=1))
            re.purge()
            re.compile(r"(a|b)*(c+)?[^x-z]{3,}(?=foo)").match("abc")
            for situation in (nested, generators, coroutines, classes, cells, callbacks, signals,
                              tracing):
                situation()

            def fails():
                try:
                    raise KeyError("x")
                except KeyError as error:
                    raise ValueError("y") from error
            for _ in range(20):
                try:
                    fails()
                except ValueError:
                    pass
            asyncio.run(asyncio.sleep(0))
    finally:
        shim.shim_sample(0)
    assert tables.counter("samples") > samples + 1000
    assert tables.counter("stacks_broken") == broken
    assert tables.counter("frames_unknown") == unknown
    for site in range(first + 1, tables.site_count() + 1):
        stack, _, _, flags = tables.site(site)
        assert stack or flags, "a site without a stack and without a reason"
        for code, offset in tables.stack(stack)[1] if stack else ():
            name, filename, line, lines, _, _ = tables.code(code)
            assert name and filename and line >= 0 and offset % 2 == 0


def paths():
    """At every allocation, the site that the thread's path leads to is that of a walk."""
    full = tables.counter("tables_full")
    assert shim.shim_paths()
    shim.shim_compare(True)
    try:
        for seed in range(2):
            hook_frames_paths.everything(seed)
        for situation in SITUATIONS[:SITUATIONS.index(walks_everywhere)]:
            # Neither the stacks of recursion nor 20,000 code objects leave room in the tables.
            if situation not in (recursion, finalizing, code_reuse):
                situation()
    finally:
        shim.shim_compare(False)
    hook_frames_paths.reborn_unseen(shim.shim_compare_once, 2000)
    compared, found, differing = (getattr(shim, "shim_" + name)() for name in
                                  ("compared", "found", "differing"))
    assert tables.counter("tables_full") == full, "no room for stacks: the test shows nothing"
    assert not differing, "%d of %d paths lead to another site than a walk" % (differing, compared)
    assert found > compared / 2 > 20000, "%d of %d paths knew their site" % (found, compared)


def full_tables():
    """The last of the tests: full tables lose stacks, never sites."""
    full, unknown = tables.counter("tables_full"), tables.counter("frames_unknown")

    def place(slot, text):
        space = {"here": shim.shim_site}
        exec(compile("def %s():\n return here(1, %d)\nsite = %s()" % (text, slot, text), "<full>",
                     "exec"), space)
        return space["site"]

    shim.shim_fill(ctypes.c_uint64(200), ctypes.c_uint64(1), 100)
    site = place(1, "codes_full")
    words = tables.stack(tables.site(site)[0])[1]
    assert words[0][0] == 0 and words[-1][0], "a code object that finds no room is 0 in a frame"
    assert tables.counter("frames_unknown") >= unknown + 1

    def down(left):
        return down(left - 1) if left else shim.shim_site(OBJECT, 1)
    sites = [down(depth) for depth in range(50)]
    assert tables.counter("tables_full") > full and 0 not in sites
    assert tables.site(sites[0])[0] and tables.site(sites[-1]) == (0, OBJECT, 1, 0)
    shim.shim_fill(ctypes.c_uint64(1 << 20), ctypes.c_uint64(1 << 20), 0)
    sites = {place(slot, "sites_full_%d" % slot) for slot in range(3, 64)}
    assert 0 not in sites and len(sites) == 61
    assert all(tables.site(site)[0] == 0 and tables.site(site)[3] == 0 for site in sites)


def finalizing():
    """In a child that ends: once finalization has begun, nothing is walked any more."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        class Last:
            """Dies after the modules, when hardly anything can be used but what it holds."""

            def __init__(self):
                self.flags, self.write, self.done = shim.shim_site_flags, os.write, sys.is_finalizing

            def __del__(self):
                if self.done():
                    self.write(writing, bytes([self.flags()]))

        sys.last_of_all = Last()
        sys.exit(0)
    os.close(writing)
    text = os.read(reading, 100)
    os.close(reading)
    assert os.waitpid(child, 0)[1] == 0
    assert text == bytes([FINALIZING]), text
    assert shim.shim_site_flags() == 0


SITUATIONS = [nested, generators, coroutines, classes, cells, callbacks, nested_exec, signals, tracing,
              recursion, threads, strange_names, long_function, same_site, sub_interpreter,
              foreign_thread, finalizing, code_reuse, same_source_again, walks_everywhere, paths,
              full_tables]


def bench():
    def down(left):
        return down(left - 1) if left else shim.shim_bench(20000)

    def chain(left):
        """As deep, but each frame is another function."""
        space = {"last": lambda: shim.shim_bench(20000)}
        for i in range(left):
            exec("def f%d():\n return %s()" % (i, "f%d" % (i - 1) if i else "last"), space)
        return space["f%d" % (left - 1)]()

    for what, function in ("one function", down), ("functions", chain):
        for frames in (10, 30, 60, 300):
            found = function(frames - len(expected(sys._getframe())) - 1)
            print("%d.%d: known stack of %3d frames, %s: %6.1f ns, %4.1f ns a frame" % (
                VERSION + (frames, what, found, found / frames)))


def main():
    global shim, nogil, tables
    shim, nogil = ctypes.PyDLL(sys.argv[1]), ctypes.CDLL(sys.argv[1])
    for library in (shim, nogil):
        library.shim_site.restype = ctypes.c_uint32
    shim.shim_bench.restype = ctypes.c_double
    shim.shim_paths.restype = ctypes.c_bool
    for name in ("compared", "found", "differing"):
        getattr(shim, "shim_" + name).restype = ctypes.c_uint64
    shim.shim_area.restype = ctypes.c_void_p
    shim.shim_offsets.restype = ctypes.c_char_p
    address = lambda name: ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, name))
    function = lambda name: ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
    allocator = [ctypes.c_void_p(function(name))
                 for name in ("PyMem_GetAllocator", "PyMem_SetAllocator")]
    version = VERSION[0] << 8 | VERSION[1]
    made = shim.shim_init(version, ctypes.c_uint64(address("_PyRuntime")),
                          ctypes.c_uint64(function("PyGILState_GetThisThreadState")))
    assert made == 0, "shim_init: %d" % made
    shim.shim_debug_words_differing.restype = ctypes.c_int64
    assert shim.shim_debug_words_differing(version) == 0, "_Py_DebugOffsets differs from the layout"
    offsets = dict(pair.split("=") for pair in shim.shim_offsets().decode().split())
    tables = Tables(shim.shim_area(), {name: int(at) for name, at in offsets.items()})
    if "--bench" in sys.argv:
        return bench()
    shim.shim_install(*allocator)
    for situation in SITUATIONS:
        situation()
    shim.shim_uninstall(allocator[1])
    print("%s: %d situations, %d stacks compared" % (
        sys.version.split()[0], len(SITUATIONS), checks))


if __name__ == "__main__":
    main()
