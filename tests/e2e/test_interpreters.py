# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Every CPython that can be had, one row each: phases of every shape within 16 pages of the target's own truth, by launch and
by attach, and 200 stacks that the target wrote down itself."""

import collections
import contextlib
import glob
import json
import os
import re
import shutil
import subprocess

import pytest

import harness
import test_moments
import test_shapes
from harness import PAGE, calls_of, compare, phase, trace

# Free-threaded builds, and those of wheels, allocate by mimalloc, which gives back what is free some time later, in whatever phase that is.
STEADY = {"MIMALLOC_PURGE_DELAY": "-1"}
FETCH = os.path.join(harness.HERE, "fetch_interpreter.sh")
# version: as the tool says it.
Row = collections.namedtuple("Row", "name version")
ROWS = [
    Row("wheel-3.8", "3.8"),
    Row("debian-3.9", "3.9"),
    Row("wheel-3.10", "3.10"),
    Row("debian-3.11", "3.11.2"),
    Row("wheel-3.12", "3.12"),
    Row("debian-3.13", "3.13"),
    Row("wheel-3.13", "3.13"),
    Row("wheel-3.13t", "3.13"),
    Row("debian-3.14", "3.14"),
    Row("wheel-3.14", "3.14"),
    Row("wheel-3.14t", "3.14"),
    Row("debian-3.15", "3.15"),
    Row("wheel-3.15", "3.15"),
    Row("wheel-3.15t", "3.15"),
]


@pytest.fixture(scope="session")
def _fetched():
    return {}


def fetch(name, fetched):
    """An interpreter by its name in fetch_interpreter.sh, or a skip that says why there is none."""
    if name not in fetched:
        done = subprocess.run([FETCH, name], capture_output=True, text=True)
        assert done.returncode in (0, 77), done.stderr
        interpreter = harness.Interpreter(done.stdout.split("\n")[-2]) if done.returncode == 0 else None
        fetched[name] = interpreter, interpreter.missing() if interpreter else done.stderr.strip()
    interpreter, why = fetched[name]
    if why:
        pytest.skip(why)
    return interpreter


@pytest.fixture(params=ROWS, ids=[row.name for row in ROWS])
def row(request, _fetched):
    """A row and its interpreter."""
    return request.param, fetch(request.param.name, _fetched)


GENERATORS = ("managed", "generating")


def check_shapes(tool, one, interpreter, mode, options=()):
    names = [*test_shapes.FUNCTIONS, *test_shapes.STATEMENTS]
    said = trace(tool, interpreter, test_shapes.FILE, mode=mode, phases=test_shapes.PHASES, env=STEADY, options=options)
    compare(said, said.truth, names, what=one.name)
    assert not said.summary["phases_not_hit"], said.summary["phases_not_hit"]
    told = said.summary_of(said.pid)["python"]
    assert told == one.version or told.startswith(one.version + "."), (told, one.version)
    for name in names:
        # The end of a with statement runs at its head once more, which may or may not be seen.
        # Nor may the moment in which a generator is made: its function's frame is there and does nothing else (RETURN_GENERATOR).
        if name != "stmt_with":
            told = [one for one in said.of("phase", pid=said.pid, phase=name) if name not in GENERATORS or one["duration_ns"] or one["gained_bytes"] or one["released_bytes"]]
            assert len(told) == len(calls_of(said.truth, name)), name
    test_shapes.check_helpers(said)
    test_shapes.check_reuse(said)
    test_shapes.check_sums(said)
    return said


@pytest.mark.parametrize("mode", ["launch", "attach"])
def test_every_shape_within_16_pages(tool, row, mode):
    check_shapes(tool, *row, mode)


@pytest.mark.parametrize("mode", ["launch", "attach"])
@pytest.mark.parametrize("name", ["debian-3.9", "debian-3.15"])
def test_every_shape_with_static_probes(tool, _fetched, name, mode):
    one = next(row for row in ROWS if row.name == name)
    said = check_shapes(tool, one, fetch(name, _fetched), mode, ["--python-entry", "usdt"])
    for function in test_shapes.FUNCTIONS:
        records = said.of("phase", pid=said.pid, phase=function)
        exact = {record["exact"] for record in records}
        if function in ("managed", "generating", "awaited"):  # generators and a coroutine
            assert exact == {False}, function
        elif not (function == "plain" and mode == "attach"):  # under way when the probes came
            # A look may come between the frame and its probe (the thread is preempted at the breakpoint): then the begin has bounds.
            late = [record for record in records if not record["exact"] and record["start_ns_min"] < record["start_ns"]]
            assert True in exact and len(late) <= 1 and (exact == {True} or late), function


def test_200_stacks(tool, row):
    one, interpreter = row
    test_moments.check_stacks(tool, interpreter, 5, [])


# ---- versions that nobody knows ----

# A later pre-release, read as what is newer than all releases: another minor version would not start, it checks its own modules.
NEWER, NEWER_TEXT = 0x030F01A7, "3.15.1a7"


def spoilt_copy(interpreter, directory, changes):
    """The interpreter and its library with bytes of its programs replaced: {old: new}, wherever they stand."""
    bin, lib = os.path.join(directory, "bin"), os.path.join(os.path.dirname(interpreter.exe), "lib")
    os.makedirs(os.path.join(bin, "lib"))
    os.symlink(os.path.join(lib, "..", "..", "freeze_core.libs"), os.path.join(directory, "freeze_core.libs"))
    programs = {interpreter.exe: os.path.join(bin, os.path.basename(interpreter.exe))}
    for name in os.listdir(lib):
        if name.endswith("-linux-gnu.so"):
            programs[os.path.join(lib, name)] = os.path.join(bin, "lib", name)
        else:
            os.symlink(os.path.join(lib, name), os.path.join(bin, "lib", name))
    for source, path in programs.items():
        with open(source, "rb") as file:
            data = file.read()
        for old, new in changes.items():
            assert source != interpreter.exe or old in data or old == b"\0Py_Version\0", old
            data = data.replace(old, new)
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, 0o755)
    return harness.Interpreter(programs[interpreter.exe])


def words(*values, size=8):
    return b"".join(value.to_bytes(size, "little") for value in values)


@pytest.fixture
def newest(_fetched):
    interpreter = fetch("wheel-3.15", _fetched)
    version = subprocess.run(
        interpreter.command(["-c", "import sys; print(sys.hexversion)"]), capture_output=True, text=True, check=True
    )
    return interpreter, int(version.stdout)


@pytest.mark.parametrize("mode", ["launch", "attach"])
def test_a_newer_version_by_its_debug_offsets(tool, newest, directory, mode):
    interpreter, version = newest
    newer = spoilt_copy(interpreter, os.path.join(directory, "copy"), {words(version, size=4): words(NEWER, size=4)})
    names = [*test_shapes.FUNCTIONS, *test_shapes.STATEMENTS]
    known = "is no release that this ramtrack-bpf knows: its own debug offsets are used"

    def wait(name, _pid):
        """Its layout is believed only when it has had a frame: a launched one may be some milliseconds ahead."""
        assert name != "start" or harness.wait_until(lambda: known in tool.text(tool.errors))

    said = trace(tool, newer, test_shapes.FILE, mode=mode, phases=test_shapes.PHASES, on_stop=wait, env=STEADY)
    compare(said, said.truth, names)
    assert said.summary_of(said.pid)["python"] == NEWER_TEXT
    assert f"CPython {NEWER_TEXT} {known}" in said.errors


def test_doctor_on_a_newer_version_without_a_frame(run_tool, newest, directory, compile_native):
    """It has not begun to run Python: doctor says that it is newer than what is known and what a run would do, not that there is no Python in it."""
    interpreter, version = newest
    newer = spoilt_copy(interpreter, os.path.join(directory, "copy"), {words(version, size=4): words(NEWER, size=4)})
    held = compile_native("held.c", os.path.join(directory, "held.so"), "-shared", "-fPIC")
    started = os.path.join(directory, "started")
    process = subprocess.Popen(newer.command(["-c", "pass"]), env={**os.environ, "LD_PRELOAD": held, "HELD": started})
    try:
        assert harness.wait_until(lambda: os.path.exists(started) or process.poll() is not None) and process.poll() is None
        done = run_tool("doctor", "--json", "-p", process.pid)
        found = json.loads(done.stdout)
    finally:
        harness.kill_hard(process)
    (check,) = [check for check in found["checks"] if check["id"] == "python"]
    assert check["value"] == NEWER_TEXT and check["state"] == "unknown", check
    assert "no release that this ramtrack-bpf knows" in check["reason"] and "ask again" in check["reason"], check


def test_a_version_whose_frames_say_otherwise(tool, newest, directory):
    """Its debug offsets say that a code object's name stands where its file's does not: refused, RSS shown all the same."""
    interpreter, version = newest
    changes = {words(version, size=4): words(NEWER, size=4), words(112, 120, 128, 136): words(112, 120, 144, 136)}
    other = spoilt_copy(interpreter, os.path.join(directory, "copy"), changes)
    said = trace(tool, other, test_shapes.FILE, mode="attach", phases=[phase("plain", "plain", test_shapes.FILE)])
    assert f"CPython {NEWER_TEXT}: its memory is not laid out as this version of ramtrack-bpf guesses" in said.errors, said.errors
    assert "its RSS is shown without Python phases" in said.errors
    entry = said.summary_of(said.pid)
    assert entry["python"] is None and not said.of("phase")
    assert entry["rss_peak_bytes"] > 512 * PAGE


# ---- one process, several programs ----


@pytest.mark.parametrize("mode", ["launch", "attach"])
def test_exec_from_one_interpreter_to_another(tool, _fetched, compile_native, mode):
    """3.11, then 3.13, a C program, and 3.11 again: phases of each, and nothing of one in another."""
    names = ["debian-3.11", "wheel-3.13", "debian-3.11"]
    first, second, _ = [fetch(name, _fetched) for name in names]
    if first.root:
        pytest.skip("this system has no CPython 3.11 of its own, and the one in another root cannot execute what is outside")
    steps = {}
    with first.stage() as (here, there):
        between = compile_native("between.c", os.path.join(here, "between"))
        os.chmod(between, 0o755)

        class Switching(harness.Interpreter):
            def command(self, args):
                script, work = args
                commands = [second.command([script, work]), [between, *first.command([script, work])]]
                return [*first.command([script, work]), "0", json.dumps(commands)]

        def collect(work):
            for number in range(len(names)):
                with open(os.path.join(work, f"step.{number}.json")) as file:
                    steps[number] = json.load(file)

        phases = [phase(id, id, "switching.py") for id in ("first", "second")]
        said = trace(tool, Switching(first.exe), "switching.py", mode=mode, phases=phases, collect=collect)
    for id in ("first", "second"):
        told, true = harness.told_of(said, said.pid, id), [calls_of(steps[number], id)[0] for number in range(len(names))]
        assert len(told) == len(true), (told, true)
        for number, (ours, theirs) in enumerate(zip(told, true)):
            for kind in ("rss", "anon"):
                assert abs(ours[kind] - theirs[kind]) <= harness.TOLERANCE, (id, number, kind, ours, theirs)
    execs = [record for record in said.of("process", pid=said.pid, event="exec")]
    assert len(execs) == (4 if mode == "launch" else 3), execs
    assert [record["name"] for record in execs[-2:]] == ["between", "python3.11"], execs
    told = said.summary_of(said.pid)["python"]
    assert told.startswith("3.11."), told


# ---- subinterpreters ----


@pytest.mark.parametrize("name", ["debian-3.11", "wheel-3.12", "debian-3.13", "debian-3.14", "wheel-3.15"])
def test_subinterpreters(tool, _fetched, name):
    """One thread that goes from one interpreter to another and back."""
    phases = [phase("outside", "outside", "subinterpreters.py")]
    phases += [phase(f"inside_{which}", f"inside_{which}", f"sub_{which}.py") for which in ("one", "two")]
    said = trace(tool, fetch(name, _fetched), "subinterpreters.py", phases=phases)
    compare(said, said.truth, ["outside", "inside_one", "inside_two"], what=name)
    for id, calls in (("outside", 4), ("inside_one", 2), ("inside_two", 2)):
        assert len(said.of("phase", pid=said.pid, phase=id)) == calls, id


# ---- interpreters without symbols ----

# As strip would: nothing looks these up in the interpreter any more. (Extension modules that need them are not used here.)
NAMELESS = {b"\0_PyRuntime\0": b"\0_PyRuntimx\0", b"\0Py_Version\0": b"\0Py_Versiox\0"}


def trace_nameless(tool, interpreter):
    """Two phases, functions of a small program."""
    steps = []

    def collect(work):
        with open(os.path.join(work, "step.0.json")) as file:
            steps.append(json.load(file))

    phases = [phase(id, id, "switching.py") for id in ("first", "second")]
    said = trace(tool, interpreter, "switching.py", 0, "[]", mode="attach", phases=phases, collect=collect)
    compare(said, steps[0], ["first", "second"])
    return said


def test_stripped_by_its_debug_offsets(tool, _fetched, directory):
    nameless = spoilt_copy(fetch("wheel-3.14", _fetched), os.path.join(directory, "copy"), NAMELESS)
    said = trace_nameless(tool, nameless)
    assert said.summary_of(said.pid)["python"].startswith("3.14.")


@pytest.mark.parametrize("name", ["wheel-3.8", "wheel-3.10", "wheel-3.12"])
def test_stripped_by_what_lies_in_memory(tool, _fetched, directory, name):
    nameless = spoilt_copy(fetch(name, _fetched), os.path.join(directory, "copy"), NAMELESS)
    said = trace_nameless(tool, nameless)
    assert said.summary_of(said.pid)["python"].startswith(name[len("wheel-") :] + ".")


def test_symbols_of_a_debug_file(tool, _fetched, directory):
    """3.12 has no debug offsets; its symbols come from a file that is found by the build-id. It is installed for the test, and is what
    objcopy makes of the interpreter."""
    if not shutil.which("objcopy"):
        pytest.skip("objcopy is not installed")
    interpreter = fetch("wheel-3.12", _fetched)
    sections, symbols, notes = (
        subprocess.run([command, flag, interpreter.exe], capture_output=True, text=True, check=True).stdout
        for command, flag in (("readelf", "-SW"), ("nm", "-D"), ("readelf", "-n"))
    )
    at = {name: int(address, 16) for name, address in re.findall(r"\] (\.\S+) +\w+ +([0-9a-f]{16}) ", sections)}
    value = {name: int(address, 16) for address, name in re.findall(r"^([0-9a-f]{16}) \w (\w+)$", symbols, re.M)}
    build_id = re.search(r"Build ID: ([0-9a-f]+)", notes).group(1)
    add = [
        f"--add-symbol={name}={section}:{value[name] - at[section]:#x},global,object"
        for name, section in (("_PyRuntime", ".PyRuntime"), ("Py_Version", ".rodata"))
    ]
    nameless = spoilt_copy(interpreter, os.path.join(directory, "copy"), NAMELESS)
    folder = f"/usr/lib/debug/.build-id/{build_id[:2]}"
    path = os.path.join(folder, build_id[2:] + ".debug")
    assert not os.path.exists(path)
    made = not os.path.isdir(folder)
    os.makedirs(folder, exist_ok=True)
    try:
        subprocess.run(["objcopy", "--only-keep-debug", *add, interpreter.exe, path], check=True)
        said = trace_nameless(tool, nameless)
        assert said.summary_of(said.pid)["python"].startswith("3.12.")
    finally:
        os.unlink(path)
        if made:
            os.rmdir(folder)


LIBPYTHON = "libpython3.11.so.1.0"


@pytest.mark.parametrize("gone", [False, True], ids=["there", "deleted"])
def test_two_libpythons(tool, directory, compile_native, gone):
    """The one with a live interpreter counts, also when its file was deleted meanwhile. The idle one is a copy under another name."""
    library = next((path for path in glob.glob(f"/usr/lib/*/{LIBPYTHON}")), None)
    if not library:
        pytest.skip(f"no {LIBPYTHON} here (Debian: libpython3.11)")
    embed = compile_native("embed.c", os.path.join(directory, "embed"), "-ldl")
    names = [LIBPYTHON.replace("11", "xx"), LIBPYTHON]
    with open(library, "rb") as file:
        data = file.read()
    for name in names:
        with open(os.path.join(directory, name), "wb") as file:
            file.write(data.replace(LIBPYTHON.encode(), name.encode()))

    class Embedded(harness.Interpreter):
        def command(self, args):
            return [self.exe, *(os.path.join(directory, name) for name in names), "-B", *args]

    phases = [phase(id, id, "switching.py") for id in ("first", "second")]
    # Attached to when both are loaded; its files may be gone by then.
    with Embedded(embed).stage() as stage, contextlib.closing(
        harness.Target(Embedded(embed), stage, "switching.py", ["0", "[]"])
    ) as target:
        profile = harness.write_profile(os.path.join(tool.directory, "profile.yaml"), phases)
        target.start()
        assert target.next_stop(target.process) == "start", target.output()
        for name in names if gone else ():
            os.unlink(os.path.join(directory, name))
        tool.start(["-p", target.pid], None, profile)
        tool.wait_attached([target.pid])
        target.go()
        target.serve(target.process)
        tool.wait()
        said = tool.said(target)
        with open(os.path.join(target.here, "step.0.json")) as file:
            truth = json.load(file)
    harness.check_conservation(said)
    compare(said, truth, ["first", "second"])
    assert said.summary_of(said.pid)["python"].startswith("3.11.")
