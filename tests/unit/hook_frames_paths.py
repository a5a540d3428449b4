# SPDX-License-Identifier: MIT
"""Programs for comparing a thread's path with a walk of its stack, at every allocation: stacks that
look alike and are not, as quickly after one another as Python can make them. Written for every
version from 3.8 on.
"""
import random
import sys
import threading


def make():
    """Allocates, at a position of its caller's choice."""
    return [[], object()]


def deep(left, then):
    return deep(left - 1, then) if left else then()


def one_line_apart(depth):
    """The same frames at the same addresses, called from another line of an outer one."""
    deep(depth, make)
    deep(depth, make)
    deep(depth, make), deep(depth, make)
    for _ in range(3):
        deep(depth, make)


def turns(depth, turn, then):
    """The frame in the middle goes another way; those inside and outside of it look the same."""
    if depth:
        return turns(depth - 1, turn, then)
    if turn == 0:
        return deep(turn_depth[0], then)
    if turn == 1:
        return deep(turn_depth[0], then)
    return deep(turn_depth[0], then)


turn_depth = [0]


def relay(depth, leaf):
    """A chain of generators: each frame lives in the heap, and is entered again and again."""
    if depth:
        yield from relay(depth - 1, leaf)
    else:
        while True:
            yield leaf()


def generators(depth):
    chain = relay(depth, make)
    next(chain)
    next(chain)
    for _ in range(4):
        next(chain), next(chain)
    chain.close()


def failing(left):
    if left:
        failing(left - 1)
    raise KeyError(left)


def exceptions(depth):
    for _ in range(2):
        try:
            failing(depth)
        except KeyError:
            make()
    try:
        failing(depth)
    except KeyError:
        make()


def reborn(count):
    """Code objects that die, and others that are born where they were."""
    for i in range(count):
        space = {"make": make}
        exec(compile("def f%d():\n return make()\nf%d(), f%d()" % (i % 7, i % 7, i % 7), "<reborn>",
                     "exec"), space)
        space.clear()


def reborn_unseen(once, count):
    """The same, where nothing between two comparisons tells of it: one place, one stack, and other
    code objects at the same addresses. The first of two describes them, the second keeps them."""
    for i in range(count):
        space = {"once": once}
        exec(compile("def f%d():\n for _ in (0, 1):\n  once()\nf%d()" % (i, i), "<reborn>", "exec"),
             space)
        space.clear()


class Made:
    def __init__(self, left):
        self.inner = Made(left - 1) if left else make()

    def __del__(self):
        make()


class Compared:
    def __lt__(self, other):
        make()
        return True


def from_c():
    """Python called from C: its frames stand on others that the interpreter owns."""
    sorted([Compared(), Compared(), Compared()], key=lambda one: (make(), one)[1])
    list(map(lambda one: make(), range(3)))
    Made(5)


def greenlets(switches):
    """Stacks that take turns on one thread; nothing where the package is not installed."""
    try:
        import greenlet
    except ImportError:
        return

    def worker(depth, other):
        for _ in range(switches):
            deep(depth, make)
            deep(depth, other)
    first = greenlet.greenlet(lambda: worker(40, lambda: second.switch()))
    second = greenlet.greenlet(lambda: worker(40, lambda: first.switch()))
    first.switch()


def sub_interpreters():
    try:
        import _interpreters as api
    except ImportError:
        import _xxsubinterpreters as api
    if sys.version_info >= (3, 13):
        made = api.create("legacy")
    elif sys.version_info >= (3, 9):
        made = api.create(isolated=False)
    else:
        made = api.create()
    source = "def f(n):\n return f(n - 1) if n else [[], object()]\nfor i in range(30): f(i)\n"
    (api.exec if hasattr(api, "exec") else api.run_string)(made, source)
    api.destroy(made)


def wander(generator, fuel):
    """A random walk through everything above, from stacks of every depth."""
    ways = [lambda depth: one_line_apart(depth), generators, exceptions,
            lambda depth: from_c(), lambda depth: reborn(3),
            lambda depth: [turns(depth, turn, make) for turn in (0, 1, 2, 0)]]
    for _ in range(fuel):
        turn_depth[0] = generator.choice([0, 1, 10, 60])
        depth = generator.choice([0, 1, 5, 23, 24, 25, 40, 120])
        way = generator.choice(ways)
        deep(generator.choice([0, 3, 30, 200]), lambda: way(depth))


def threads(seed):
    several = [threading.Thread(target=wander, args=(random.Random(seed + i), 8)) for i in range(4)]
    for thread in several:
        thread.start()
    for thread in several:
        thread.join()


def everything(seed):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(4000)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        wander(random.Random(seed), 60)
        threads(seed)
        deep(1100, make)
        deep(1000, lambda: one_line_apart(100))
        greenlets(20)
        sub_interpreters()
        reborn(200)
    finally:
        sys.setswitchinterval(before)
        sys.setrecursionlimit(limit)
