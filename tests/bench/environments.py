# SPDX-License-Identifier: MIT
"""Virtual environments with memray and pyperformance, one for each Python, kept in the build folder."""

import glob
import os
import subprocess

from ways import BUILD


def make(python, packages):
    """(command of the environment's Python, why packages are missing or None). May take a minute."""
    folder = os.path.join(BUILD, "bench", python.label)
    command = [os.path.join(folder, "bin", "python3")]
    # Where the tests' own Python environment is active, it must not leak into this one.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    if not os.access(command[0], os.X_OK):
        made = subprocess.run([*python.command, "-m", "venv", folder], capture_output=True,
                              text=True, env=env, stdin=subprocess.DEVNULL)
        if made.returncode:
            return python.command, "no venv: " + (made.stdout + made.stderr).strip()[-200:]
    missing = [name for name in packages if not has(folder, name)]
    if not missing:
        return command, None
    got = subprocess.run([*command, "-m", "pip", "install", "-q", *missing], capture_output=True,
                         text=True, env=env, stdin=subprocess.DEVNULL)
    if got.returncode:
        return command, "pip: " + got.stderr.strip()[-200:]
    return command, None


def has(folder, package):
    return bool(glob.glob(os.path.join(folder, "lib", "*", "site-packages", package + "-*")))


def scripts_of(command):
    """pyperformance's benchmarks that need nothing but the standard library: [(name, path)]."""
    folder = os.path.dirname(os.path.dirname(command[0]))
    found = []
    for path in sorted(glob.glob(os.path.join(folder, "lib", "*", "site-packages", "pyperformance",
                                              "data-files", "benchmarks", "bm_*",
                                              "run_benchmark.py"))):
        name = os.path.basename(os.path.dirname(path))
        with open(os.path.join(os.path.dirname(path), "pyproject.toml"), encoding="utf-8") as file:
            alone = 'dependencies = ["pyperf"]' in file.read()
        if alone and name not in UNFIT:
            found.append((name, path))
    return found


# They measure processes that they start, a network, or need what they do not say or take away when
# their script ends.
UNFIT = {"bm_2to3", "bm_python_startup", "bm_asyncio_tcp", "bm_dask", "bm_concurrent_imap",
         "bm_pathlib", "bm_regex_compile", "bm_yaml"}
