# SPDX-License-Identifier: MIT
"""What the hook's libraries need and hold, read off with nm, readelf and objdump.

Usage: hook_library.py HOOK_IE HOOK_TP. One file must load under any glibc and under musl, touch no
vector or floating-point register, and export what the boot code looks up, nothing else.
"""
import re
import subprocess
import sys

EXPORTS = {"ma_hook_prepare": "T", "ma_hook_start": "T", "ma_hook_stop": "T", "ma_hook_pass": "i"}
MAX_TLS_BYTES = 64
MAX_FILE_BYTES = 200 << 10
VECTOR = re.compile(r"%[xyz]mm\d|%st\b|%mm\d|\b(fld|fst|fadd|fmul|fxsave|xsave|emms)\w*\s")
# What would stop or leave the target, or enter the kernel, beside the one mprotect of a pass.
SYSCALL = re.compile(r"\t(syscall|sysenter|int )")
TRAP = re.compile(r"\t(ud2|hlt|int3)\b")


def tool(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def symbols(hook):
    """{name: type} of the dynamic symbols."""
    lines = [line.split() for line in tool("nm", "-D", hook).splitlines()]
    return {words[-1]: words[-2] for words in lines}


def tls_bytes(hook):
    for line in tool("readelf", "-lW", hook).splitlines():
        words = line.split()
        if words and words[0] == "TLS":
            return int(words[5], 16)
    return 0


def findings(hook, wants_tls):
    found = symbols(hook)
    if found != EXPORTS:
        yield "exports or needs %r, should be %r" % (found, EXPORTS)
    dynamic = tool("readelf", "-dW", hook)
    for unwanted in ("(NEEDED)", "(TEXTREL)", "(INIT)", "(INIT_ARRAY)", "(FINI)", "(SONAME)"):
        if unwanted in dynamic:
            yield "its dynamic section has " + unwanted
    if "NOW" not in dynamic:
        yield "it is not bound at once"
    if "(VERNEED)" in dynamic or "(VERSYM)" in dynamic:
        yield "it has versioned symbols"
    kinds = set(re.findall(r"R_X86_64_\w+", tool("readelf", "-rW", hook)))
    if not kinds <= {"R_X86_64_RELATIVE", "R_X86_64_TPOFF64"}:
        yield "relocations of kinds %s" % sorted(kinds)
    size = tls_bytes(hook)
    if bool(size) != wants_tls or size > MAX_TLS_BYTES:
        yield "%d bytes of thread-local storage" % size
    if wants_tls != ("STATIC_TLS" in dynamic):
        yield "STATIC_TLS is %s" % ("missing" if wants_tls else "set")
    segments = tool("readelf", "-lW", hook)
    if "GNU_RELRO" not in segments or "GNU_EH_FRAME" not in segments:
        yield "no RELRO or no unwind table"
    if re.search(r"LOAD.* RWE ", segments) or re.search(r"GNU_STACK.* RWE ", segments):
        yield "memory that is writable and executable"
    if "Build ID" not in tool("readelf", "-nW", hook):
        yield "no build-id"


def code_findings(hook):
    function, entered = None, set()
    for line in tool("objdump", "-d", "--no-show-raw-insn", hook).splitlines():
        if line.endswith(">:"):
            function = line.split("<")[1][:-2]
        elif VECTOR.search(line):
            yield "%s: %s" % (function, line.strip())
        elif TRAP.search(line):
            yield "%s: %s" % (function, line.strip())
        elif SYSCALL.search(line):
            entered.add(function)
    if not entered:
        yield "no system call was found: the check itself is broken"
    others = {name for name in entered if not re.match(r"(open_relro|close_relro|store|visit_|patch|"
                                                       r"handle|run_sweep)", name)}
    if others:
        yield "system calls in %s" % sorted(others)


def main():
    failed = 0
    for hook, wants_tls in zip(sys.argv[1:3], (True, False)):
        with open(hook, "rb") as file:
            size = len(file.read())
        found = list(findings(hook, wants_tls)) + list(code_findings(hook))
        if size > MAX_FILE_BYTES:
            found.append("%d bytes" % size)
        for finding in found:
            print("%s: %s" % (hook, finding))
        failed += bool(found)
        print("%s: %d bytes, %d findings" % (hook, size, len(found)))
    sys.exit(1 if failed or len(sys.argv) != 3 else 0)


if __name__ == "__main__":
    main()
