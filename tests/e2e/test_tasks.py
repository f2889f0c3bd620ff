# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Coroutines in turn, generators that wait or are closed late, greenlets: a phase has what comes while its frame is on the stack, and nothing else."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from harness import PAGE, TARGETS, TOLERANCE, compare, phase, trace

FILE = "tasks.py"
FUNCTIONS = "loading serving nested_step in_thread threaded waiting_generator dropping collecting bringing releasing_generator delegating sleeping".split()
STATEMENTS = {
    "step_first": "first = combine",
    "step_plain": "second = combine",
    "step_await": "third = combine",
    "step_with": "async with opening",
    "step_for": "async for fifth",
}
PHASES = [phase(name, name, FILE) for name in FUNCTIONS]
PHASES += [phase("head", "waiting_generator", FILE, "head = combine")]
PHASES += [phase(id, "stepping", FILE, pattern) for id, pattern in STATEMENTS.items()]


@pytest.mark.parametrize("mode", ["launch", "attach"])
def test_frames_that_leave_the_stack_and_come_back(tool, python, mode):
    said = trace(tool, python, FILE, mode=mode, phases=PHASES)
    compare(said, said.truth, [name for name in (*FUNCTIONS, *STATEMENTS) if name not in ("sleeping", "step_first", "delegating")])
    check_paths(said)
    for quiet in ("sleeping", "step_first", "head"):
        assert sum(abs(record["rss_delta_bytes"]) for record in said.of("phase", pid=said.pid, phase=quiet)) <= TOLERANCE, quiet
    # Four tasks and five generators, each once: what was run before is not run again when its frame comes back behind it.
    assert len(said.of("phase", pid=said.pid, phase="step_first")) <= 4
    assert len(said.of("phase", pid=said.pid, phase="head")) <= 5


def check_paths(said):
    """A phase is in those that are on the stack around it, not in those that wait."""
    paths = {}
    for record in said.of("phase", pid=said.pid):
        paths.setdefault(record["phase"], set()).add(tuple(record["path"]))
    assert paths["loading"] == {("loading",)} and paths["serving"] == {("serving",)}, paths
    assert paths["nested_step"] == {("serving", "nested_step")}, paths
    assert paths["threaded"] == {("threaded",)}, paths
    assert paths["waiting_generator"] == {
        ("waiting_generator",),
        ("dropping", "waiting_generator"),
        ("collecting", "waiting_generator"),
        ("delegating", "waiting_generator"),
    }, paths
    assert paths["releasing_generator"] == {("releasing_generator",)}, paths
    released = said.of("phase", pid=said.pid, phase="releasing_generator")
    assert released[-1]["rss_delta_bytes"] // PAGE == -300, released


@pytest.fixture(scope="session")
def _greenlets():
    return {}


@pytest.fixture
def greenlet_wheel(python, _greenlets, tmp_path_factory):
    """The package greenlet for this interpreter, from the package index, or a skip that says why there is none."""
    asked = "import sys; print('%d.%d' % sys.version_info[:2], 't' if 't' in sys.abiflags else '')"
    version, *threads = subprocess.run(python.command(["-c", asked]), capture_output=True, text=True, check=True).stdout.split()
    abi = f"cp{version.replace('.', '')}{''.join(threads)}"
    if abi not in _greenlets:
        folder = tmp_path_factory.mktemp(f"greenlet-{abi}")
        wanted = ["--python-version", version, "--abi", abi, "--only-binary", ":all:", "--no-deps", "-d", str(folder)]
        for glibc in ("2_17", "2_24", "2_28"):
            wanted += ["--platform", f"manylinux_{glibc}_x86_64"]
        done = subprocess.run([sys.executable, "-m", "pip", "download", "-q", *wanted, "greenlet"], capture_output=True, text=True)
        found = sorted(folder.glob("*.whl"))
        _greenlets[abi] = found[0] if found else None, (done.stderr.strip().splitlines() or ["pip says nothing"])[-1]
    wheel, why = _greenlets[abi]
    if not wheel:
        pytest.skip(f"greenlet for {abi} cannot be had: {why}")
    return wheel


def bring_greenlet(python, wheel, folder):
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder, [name for name in packed.namelist() if name.startswith("greenlet/")])
    library = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"
    if python.root and not os.path.exists(python.root + library) and os.path.exists(library):
        shutil.copy(library, folder)


@pytest.mark.parametrize("mode", ["launch", "attach"])
def test_greenlets(tool, python, greenlet_wheel, mode):
    names = ["left", "right", "around", "throwing"]
    with python.stage() as (here, there):
        bring_greenlet(python, greenlet_wheel, here)
        for name in ("switches.py", "truth.py"):
            shutil.copy(os.path.join(TARGETS, name), here)
        done = subprocess.run(python.command([f"{there}/switches.py", there, "try"]), capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"greenlet does not run in {python.label}: {done.stderr.strip().splitlines()[-1]}")

    def prepare(folder):
        bring_greenlet(python, greenlet_wheel, folder)

    said = trace(tool, python, "switches.py", mode=mode, phases=[phase(name, name, "switches.py") for name in names], prepare=prepare)
    compare(said, said.truth, names)
    paths = {(record["phase"], tuple(record["path"])) for record in said.of("phase", pid=said.pid)}
    assert paths == {(name, (name,)) for name in names}, paths
