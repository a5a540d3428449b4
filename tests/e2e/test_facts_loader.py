# SPDX-License-Identifier: MIT
"""Facts about the dynamic loader: each fails the simple way, and not with us."""

import os
import shutil

import pytest

import facts
import probe
from facts import Obedient, simple_way
from snapshot_reader import INUSE_OBJECTS, INUSE_SPACE
from waiting import wait_until


def attach_exact(memattach, target):
    memattach.ok("attach", "--sample", "exact", target.pid)


def test_fork_during_a_walk_over_the_objects():
    """A child forked while another thread is in dl_iterate_phdr hangs at its next import; one forked
    while our kind of pass runs, a resolver within dlsym, does not."""
    assert simple_way("fork_in_pass", "iterate") == ["hangs"]
    assert simple_way("fork_in_pass", "lookup", facts.path("pass_symbol.so")) == ["works"]


ALLOCATORS = {"glibc": None, "jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc_minimal.so.4"}


@pytest.mark.parametrize("allocator", ALLOCATORS)
def test_forks_during_attach_and_detach(memattach, start, python, allocator):
    """Children forked all the while can load libraries; and who forks, does not wait for ever. An
    allocator with handlers of pthread_atfork holds its locks before fork takes one."""
    env = dict(os.environ)
    if ALLOCATORS[allocator]:
        env["LD_PRELOAD"] = os.path.join("/usr/lib/x86_64-linux-gnu", ALLOCATORS[allocator])
        if not os.path.exists(env["LD_PRELOAD"]):
            pytest.skip("there is no %s (scripts/setup --test)" % ALLOCATORS[allocator])
    target = start(Obedient, python, env=env)
    target.tell("""
import os, signal, threading
kept = [bytes(4096) for _ in range(10000)]
results, stop = [], threading.Event()
def forks():
    while not stop.is_set():
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            import ctypes
            os._exit(0)
        results.append(os.waitpid(pid, 0)[1])
threads = [threading.Thread(target=forks) for _ in range(2)]
[thread.start() for thread in threads]
""")
    for _ in range(30):
        memattach.ok("attach", target.pid)
        memattach.ok("detach", target.pid)
    results = target.tell("stop.set(); [thread.join() for thread in threads]; answer = results")
    assert len(results) > 20 and set(results) == {0}, results


FORKS = """
import ctypes
kept = [bytes(4096) for _ in range(20000)]
fork_nap, another = ctypes.CDLL(%r), ctypes.c_char_p(%r)
answer = fork_nap.fork_nap_start(20, 8, another)
"""


def test_handlers_of_fork(memattach, start, python):
    """A library closed while a thread is in its handler of pthread_atfork takes the program along.
    Ours lie in the page that stays; and a fork that takes its time in another's handler is waited
    for, or its child would find the loader's lock taken for ever."""
    library = facts.path("fork_nap.so")
    assert simple_way("unmapped_handler", library, "unmapped") == ["crashes"]
    assert simple_way("unmapped_handler", library, "kept") == ["works"]
    target = start(Obedient, python)
    assert target.tell(FORKS % (target.library("fork_nap.so"),
                                target.library("static_tls.so").encode())) == 0
    for _ in range(20):
        memattach.ok("attach", target.pid)
        forks = target.tell("answer = fork_nap.fork_nap_forks()")
        memattach.ok("detach", target.pid)
        assert [area for area in probe.maps(target.pid)
                if "memattach-thunks" in area.name and "x" in area.perms]
        wait_until(lambda: target.tell("answer = fork_nap.fork_nap_forks()") > forks,
                   what="another fork")
    assert target.tell("fork_nap.fork_nap_stop(); answer = fork_nap.fork_nap_broken()") == 0


def test_lazy_stub(memattach, start, python):
    """A slot that was never called through holds a stub, which overwrites it: a hook that goes on to
    what was there is called once."""
    library = facts.path("lazy_user.so")
    assert simple_way("simple_slot", library, "saved") == ["1"]
    assert simple_way("simple_slot", library, "definition") == ["10"]
    target = start(Obedient, python)
    target.tell("""
import ctypes
lazy = ctypes.CDLL(%r)
lazy.lazy_take.restype, lazy.lazy_take.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
""" % target.library("lazy_user.so"))
    attach_exact(memattach, target)
    target.tell("for i in range(10): lazy.lazy_take(50000)")
    snapshot = memattach.snapshot(target.pid)
    held = [site for site in snapshot.sites if site.values[INUSE_SPACE] >= 50000 and
            "told.py" in repr(site.frames)]
    assert sum(site.values[INUSE_OBJECTS] for site in held) == 10
    assert sum(site.values[INUSE_SPACE] for site in held) == 500000


def elf_type(path):
    with open(path, "rb") as file:
        return file.read(18)[16]


def test_canonical_plt_slots(memattach, start, python):
    """In an executable at a fixed address "the" address of malloc is its PLT entry; libraries hold
    that, and going on to it leads back into the hook."""
    assert simple_way("canonical_plt", "simple") == ["recursion"]
    assert simple_way("canonical_plt", "definition") == ["works"]
    target = start(Obedient, python)
    executable = os.path.realpath("/proc/%d/exe" % target.pid)
    if elf_type(executable) != 2:
        pytest.skip("%s is position independent: it has no such entries" % executable)
    target.tell("""
import ctypes
expat = ctypes.CDLL("libexpat.so.1")
expat.XML_ParserCreate.restype = ctypes.c_void_p
for name in ("XML_Parse", "XML_ParserFree"):
    getattr(expat, name).argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int][
        :4 if name == "XML_Parse" else 1]
""")
    inside = [area for area in probe.maps(target.pid)
              if area.name == executable and "x" in area.perms]
    expat = [area for area in probe.maps(target.pid) if "libexpat" in area.name]
    slots = [word for word in probe.words_into(target.pid, inside)
             if any(area.start <= word < area.end for area in expat)]
    assert slots, "libexpat holds no address of a PLT entry: nothing is tested"
    attach_exact(memattach, target)
    for _ in range(3):
        assert target.tell("""
parsers = [expat.XML_ParserCreate(None) for _ in range(50)]
answer = sum(expat.XML_Parse(parser, b"<a>text</a>", 11, 1) for parser in parsers)
for parser in parsers: expat.XML_ParserFree(parser)
""") == 50
    memattach.ok("detach", target.pid)
    assert target.tell("answer = 1 + 1") == 2


def test_static_tls_is_used_up(memattach, start, python, tmp_path):
    """Static thread-local storage for libraries loaded later ends after a few dozen; then a library
    that needs some does not load any more, and ours needs none."""
    target = start(Obedient, python)
    library = facts.path("static_tls.so")
    copies = []
    for number in range(200):
        copies.append(str(tmp_path / ("copy%d.so" % number)))
        shutil.copy(library, copies[-1])
    loaded, words = target.tell("""
import ctypes
kept, words = [], ""
for path in %r:
    try:
        kept.append(ctypes.CDLL(path))
    except OSError as error:
        words = str(error)
        break
answer = [len(kept), words]
""" % copies)
    assert 0 < loaded < 200 and "static TLS" in words, (loaded, words)
    attach_exact(memattach, target)
    target.tell("held = [bytes(70000) for _ in range(7)]")
    snapshot = memattach.snapshot(target.pid)
    assert sum(site.values[INUSE_OBJECTS] for site in snapshot.sites
               if site.values[INUSE_SPACE] >= 70000 and "told.py" in repr(site.frames)) == 7
    memattach.ok("detach", target.pid)
