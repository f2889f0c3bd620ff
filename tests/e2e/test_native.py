# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Calls of C++ functions: sizes, phases and pages against what the library itself read of its page tables (targets/natives.cpp)."""

import contextlib
import json
import os
import re
import subprocess

import harness
import pytest
import schema
from harness import PAGE, phase, trace, wait_until
from test_formats import check_metrics, check_perfetto, metric, perfetto_python, promtool, read_metrics, read_perfetto  # noqa: F401
from test_ledger import read, report

UNIT = 64 * PAGE
ODD = 5 * UNIT + 48  # a length that is no multiple of a page
NAMES = ("phase_one", "phase_two", "phase_clones", "hot_phase", "many", "sized", "stacks")
PHASES = [phase(name, name, "natives.py") for name in NAMES]


def rule(symbol, **more):
    return {"symbol": symbol, "library": "libnatives*.so", "kind": "other", "bytes": "arg1", **more}


RULES = [
    rule("init_shm", kind="shm", bytes="mapped", checkpoint=True),
    rule("my_malloc", kind="device"),
    rule("my_free", kind="device", bytes="arg2", op="free"),
    rule("outer_alloc"),
    rule("inner_alloc"),
    rule("throwing"),
    rule("jumping"),
    rule("quick_throw"),
    rule("mapping", bytes="mapped"),
    rule("switching"),
    rule("interrupted"),
    rule("threaded"),
    rule("hot_alloc", hot=True),
    rule("stepped"),
]
# symbol, phase, bytes, pages inside, of them its own; in the order of their ends
SHAPES = [
    ("my_malloc", "phase_one", 3 * UNIT + 100, 193, 193),
    ("init_shm", "phase_one", ODD, 321, 321),
    ("init_shm", "phase_one", ODD, 321, 321),
    ("my_free", "phase_one", 3 * UNIT + 100, -193, -193),
    ("inner_alloc", "phase_two", 2 * UNIT, 128, 128),
    ("inner_alloc", "phase_two", 3 * UNIT, 192, 192),
    ("outer_alloc", "phase_two", UNIT, 512, 192),
    ("throwing", "phase_two", 2 * UNIT, 128, 128),
    ("jumping", "phase_two", 2 * UNIT, 128, 128),
    ("mapping", "phase_two", 3 * PAGE + 1 + PAGE, 0, 0),
]


def needs_native(said):
    if "native functions (the section `native` of the profile) are not followed" in said.errors:
        pytest.skip("this kernel's programs do not follow native functions")


def plain(symbol):
    return symbol.rpartition("::")[2]


def calls_of(said, **wanted):
    """Records of the work; what the target did before, to warm up, may have been seen or not."""
    begin = next(ns for text, ns in said.notes if text == "work")
    return [r for r in said.of("native", **wanted) if r["ts_ns"] >= begin]


def told(said, pid):
    """(symbol, phase, bytes, pages, own pages) of each record, in the order of the ends of calls."""
    return [
        (plain(r["symbol"]), r["phase"], r["bytes"], r["rss_delta_bytes"] // PAGE, r["own_bytes"] // PAGE)
        for r in calls_of(said, pid=pid)
    ]


def notes_of(directory):
    found = {}
    for name in os.listdir(directory):
        if re.fullmatch(r"native\.\d+\.json", name):
            with open(os.path.join(directory, name)) as file:
                notes = json.load(file)
            found[notes["pid"]] = notes
    return found


class Run:
    """One traced run of natives.py."""

    def __init__(self, tool, python, library, what, *more, mode="launch", options=(), rules=RULES, prepare=None, on_loaded=None, **rest):
        self.notes = {}
        self.tool = tool

        def make(directory):
            library(directory)
            if prepare:
                prepare(directory)

        def stopped(name, pid):
            if name == "loaded":
                self.wait_probes()
                if on_loaded:
                    on_loaded()

        profile = {"phases": PHASES, "native": list(rules)}
        self.said = trace(
            tool, python, "natives.py", "libnatives.so", what, *more, mode=mode, phases=PHASES, native=profile["native"],
            options=["-v", *options], on_stop=stopped, prepare=make, collect=lambda d: self.notes.update(notes_of(d)), **rest,
        )
        needs_native(self.said)

    def wait_probes(self):
        def there():
            text = self.tool.text(self.tool.errors)
            return "probes at" in text or "are not followed" in text or self.tool.process.poll() is not None

        assert wait_until(there), "no probe was set:\n" + self.tool.text(self.tool.errors)


def builder(compile_native, *flags):
    """A function that compiles natives.cpp into a directory, and returns the path."""

    def make(directory):
        path = os.path.join(directory, "libnatives.so")
        compile_native("natives.cpp", path, "-shared", "-fPIC", "-O2", "-pthread", "-static-libstdc++", "-static-libgcc", *flags)
        os.chmod(path, 0o755)
        return path

    return make


@pytest.fixture
def library(compile_native):
    return lambda *flags: builder(compile_native, *flags)


def check_shapes(run, pid, expected=SHAPES):
    said = run.said
    assert told(said, pid) == expected, said.errors[-2000:]
    # The library's own reading of the same calls.
    true = [(c["symbol"], c["rss"] // PAGE) for c in run.notes[pid]["calls"]]
    ours = sorted((r["ts_ns"], plain(r["symbol"]), r["rss_delta_bytes"] // PAGE) for r in calls_of(said, pid=pid))
    assert [one[1:] for one in ours] == true


@pytest.mark.parametrize("flags", [("-fcf-protection=full",), ("-fcf-protection=none",), ("-fomit-frame-pointer", "-O3")], ids=["endbr", "none", "O3"])
def test_sizes_phases_and_pages(tool, python, library, flags):
    run = Run(tool, python, library(*flags), "shapes")
    check_shapes(run, run.said.pid)
    mapping = calls_of(run.said, symbol="mapping")[0]
    assert (mapping["mapped_bytes"], mapping["unmapped_bytes"]) == (4 * PAGE + 1, 2 * PAGE)
    assert run.said.of("native", symbol="my_free")[0]["addr"]
    for record in run.said.of("native"):
        kinds = record["anon_bytes"] + record["file_bytes"] + record["shmem_bytes"]
        assert record["rss_delta_bytes"] == kinds == record["gained_bytes"] - record["released_bytes"], record
        assert record["ts_ns"] + record["duration_ns"] <= record["end_ns_max"]
    if not schema.missing():  # no key that the schema does not name
        strict = schema.Checker(strict=True)
        assert not [error for record in run.said.records for error in strict.errors(record)]
    # The summary adds up the same calls.
    for row in run.said.summary_of(run.said.pid)["native"]:
        mine = run.said.of("native", symbol=row["symbol"], phase=row["phase"], inner=row["inner"])
        for key in ("calls", "bytes", "rss_delta_bytes", "own_bytes", "mapped_bytes", "released_bytes"):
            assert row[key] == sum(one[key] for one in mine), (key, row)


def test_a_function_without_a_size(tool, python, library):
    """`bytes: none`: its calls and pages as ever, no size, and no hook at the locks of address spaces, which `mapped` needs."""
    rules = [rule("init_shm", kind="shm", bytes="none"), rule("mapping", bytes="none")]
    expected = [(symbol, phase, 0, pages, own) for symbol, phase, _, pages, own in SHAPES if symbol in ("init_shm", "mapping")]
    said = Run(tool, python, library(), "shapes", rules=rules).said
    assert told(said, said.pid) == expected
    assert all(r["mapped_bytes"] == r["unmapped_bytes"] == 0 for r in calls_of(said))
    ran = {one["name"]: one["runs"] for one in said.summary["self"]["programs"]}
    assert ran["native_call"] >= len(expected) and not ran.get("native_lock") and not ran.get("native_unlock"), ran


def symbols_of(path):
    return subprocess.run(["nm", path], stdout=subprocess.PIPE, text=True, check=True).stdout


def test_clones(tool, python, library):
    """A copy of the compiler's is the function, without its arguments; the cold part of one is no call."""
    if "RT_NATIVE" in os.environ:
        pytest.skip("needs a compiler")
    made = {}

    def build(directory):
        made["symbols"] = symbols_of(library()(directory))

    rules = [rule("parted"), rule("folded")]
    run = Run(tool, python, build, "clones", rules=rules)
    assert "parted" in made["symbols"] and re.search(r"parted\S*\.cold", made["symbols"]) and re.search(r"folded\S*\.constprop", made["symbols"]), made
    # parted twice with its pages and twice not; folded by what it maps: a page more than it was asked for.
    pair = [("parted", "phase_clones", UNIT, 64, 64), ("folded", "phase_clones", UNIT + PAGE, 65, 65)]
    cold = [("parted", "phase_clones", UNIT + 1, 0, 0), ("folded", "phase_clones", UNIT + PAGE, 65, 65)]
    assert told(run.said, run.said.pid) == (pair + cold) * 2


def test_stripped(tool, python, library):
    """Without .symtab: the exported functions as ever, for the local one its fallback, and what was not found is said."""
    rules = [rule("init_shm", kind="shm", bytes="mapped", fallback=["make_shared"]), rule("my_malloc"), rule("parted"), rule("inner_alloc")]
    run = Run(tool, python, library("-s"), "shapes", rules=rules)
    expected = [
        ("my_malloc", "phase_one", 3 * UNIT + 100, 193, 193),
        ("make_shared", "phase_one", 2 * ODD, 642, 642),
        ("inner_alloc", "phase_two", 2 * UNIT, 128, 128),
        ("inner_alloc", "phase_two", 3 * UNIT, 192, 192),
    ]
    assert told(run.said, run.said.pid) == expected
    assert re.search(r"native function parted was not found: .*libnatives\.so: ", run.said.errors)
    assert "make_shared" in run.said.errors


def test_a_call_that_never_returns(tool, python, library):
    """The process ends from inside."""
    said = Run(tool, python, library(), "leaving", rules=[rule("leaving", checkpoint=True)]).said
    records = said.of("native", symbol="leaving")
    assert [(r["anon_bytes"] // PAGE, r["bytes"], r["open"]) for r in records] == [(64, UNIT, True)], records
    assert [r["edge"] for r in said.of("checkpoint", phase="leaving")] == ["enter"]


def test_checkpoints(tool, python, library):
    """A line before and one after, whose growth is the call's; the sum of all lines holds (check_form)."""
    said = Run(tool, python, library(), "shapes").said
    begin = next(ns for text, ns in said.notes if text == "work")
    lines = [r for r in said.of("checkpoint") if "init_shm" in r["phase"] and r["ts_ns"] >= begin]
    assert [r["edge"] for r in lines] == ["enter", "exit"] * 2
    assert [r["delta_bytes"] for r in lines if r["edge"] == "exit"] == [321 * PAGE] * 2
    assert [r["shmem_bytes"] - b["shmem_bytes"] for b, r in zip(lines[::2], lines[1::2])] == [321 * PAGE] * 2
    assert len(re.findall(r"^INFO: init_shm 占用 1\.25 M RAM内存 \(累计: [\d.]+ M\)（第二次改动）$", said.log, re.M)) >= 2, said.log


def test_attach(tool, python, library):
    run = Run(tool, python, library(), "shapes", mode="attach")
    check_shapes(run, run.said.pid)


def test_replaced_on_disk(tool, python, library):
    """The probes belong to the file that is mapped, not to the one that has its name by now."""
    where = {}

    def other(directory):
        where["path"] = os.path.join(directory, "libnatives.so")

    def replace(name, pid):
        if name != "loaded":
            return
        path = where["path"]
        with open(path + ".new", "wb") as file:
            file.write(b"\x7fELF, but not one that could be read")
        os.rename(path + ".new", path)

    run = Replaced(tool, python, library(), "shapes", prepare=other, before=replace)
    check_shapes(run, run.said.pid)


class Replaced(Run):
    """The tool attaches only after the file was replaced."""

    def __init__(self, tool, python, library, what, prepare, before):
        self.notes, self.tool = {}, tool
        profile = harness.write_profile(os.path.join(tool.directory, "profile.yaml"), PHASES, native=RULES)
        with python.stage() as stage, contextlib.closing(harness.Target(python, stage, "natives.py", ("libnatives.so", what))) as target:
            try:
                library(target.here)
                prepare(target.here)
                target.start()
                assert target.next_stop(target.process) == "start", target.output()
                target.go()
                assert target.next_stop(target.process) == "loaded", target.output()
                before("loaded", target.pid)
                tool.start(["-v", "-p", target.pid], None, profile)
                tool.wait_attached([target.pid])
                self.wait_probes()
                target.go()
                target.serve(target.process)
                tool.wait()
            finally:
                harness.kill_hard(tool.process)
            self.said = tool.said(target)
            self.notes.update(notes_of(target.here))
        needs_native(self.said)
        harness.check_form(self.said)
        harness.check_conservation(self.said)


def test_a_million_exceptions(tool, python, library):
    """The target lives, and each call is counted."""
    run = Run(tool, python, library(), "many", 1000000)
    rows = [r for r in run.said.summary_of(run.said.pid)["native"] if r["symbol"] == "quick_throw"]
    assert [(r["calls"], r["phase"]) for r in rows] == [(1000000, "many")]
    assert rows[0]["bytes"] == run.notes[run.said.pid]["sum"]
    assert sum(r["calls"] for r in run.said.of("native", symbol="quick_throw")) == 1000000


@pytest.mark.parametrize("asked", [True, False], ids=["asked", "not"])
def test_hot(tool, python, library, asked):
    run = Run(tool, python, library(), "hot", 100000, options=["--native-alloc"] if asked else [])
    records = run.said.of("native", symbol="hot_alloc")
    if not asked:
        assert not records
        return
    assert sum(r["calls"] for r in records) == 100001
    assert sum(r["bytes"] for r in records) == run.notes[run.said.pid]["sum"]
    # Small calls belong to the phase in which the thread was last seen, at most a millisecond before: some two thousand calls.
    early = [r for r in records if r["phase"] is None]
    begin = run.said.of("phase", phase="hot_phase")[0]["start_ns"]
    assert {r["phase"] for r in records} - {None} == {"hot_phase"} and all(r["ts_ns"] < begin for r in early) and sum(r["calls"] for r in early) < 10000, early
    large = [r for r in records if r["bytes"] == 1 << 20 and r["calls"] == 1]
    assert len(large) == 1
    assert len(records) < 1000
    assert re.search(r"native function hot_alloc: 100001 calls in [\d.]+ s .* of a core", run.said.errors)


def test_other_stacks(tool, python, library):
    """What a coroutine or a signal handler on another stack touches belongs to no call; the call is open all the same."""
    said = Run(tool, python, library(), "stacks").said
    for symbol in ("switching", "interrupted"):
        assert [(r["rss_delta_bytes"] // PAGE, r["bytes"]) for r in said.of("native", symbol=symbol)] == [(128, UNIT)] * 2, said.of("native")
    assert said.summary["counters"]["native_elsewhere"] >= 4 * 192


def test_one_call_instruction(tool, python, library):
    """The same instruction calls a probed function, then others, without a look in between."""
    run = Run(tool, python, library(), "one")
    version = run.said.summary_of(run.said.pid)["python"]
    if tuple(int(part) for part in version.split(".")[:2]) not in ((3, 11), (3, 12), (3, 13)):
        pytest.skip(f"the size of CPython {version}'s frames is not known: such calls are not told apart (docs/design.md)")
    assert [(r["rss_delta_bytes"] // PAGE, r["bytes"]) for r in calls_of(run.said, symbol="inner_alloc")] == [(64, UNIT)] * 4


def test_threads(tool, python, library):
    """Each thread's pages in its own calls, whatever the others do meanwhile."""
    said = Run(tool, python, library(), "threads").said
    records = [r for r in calls_of(said, symbol="threaded") if r["tid"] != r["pid"]]
    assert len({r["tid"] for r in records}) == 8 and len(records) == 40
    for record in records:
        assert record["rss_delta_bytes"] == record["bytes"], record


@pytest.mark.parametrize("what", ["fork", "spawn"])
def test_children(tool, python, library, what):
    """Probes are there in every process that maps the file."""
    run = Run(tool, python, library(), what)
    children = [pid for pid in run.notes if pid != run.said.pid]
    assert len(children) == 1
    if what == "fork":
        check_shapes(run, children[0], SHAPES[:4])
        return
    records = told(run.said, children[0])  # shapes, twice: the first time with pages of the library's file
    assert [one[:3] for one in records] == [one[:3] for one in SHAPES] * 2
    assert records[len(SHAPES) :] == SHAPES


def test_exec(tool, python, library):
    run = Run(tool, python, library(), "exec")
    check_shapes(run, run.said.pid, SHAPES[:4])


def test_loaded_late(tool, python, library):
    """Calls from the first moment on: those before the probes were there are not told of, and not claimed."""
    run = Run(tool, python, library(), "early")
    calls = next(int(text.partition("-")[2]) for text, _ in run.said.notes if text.startswith("calls-"))
    records = run.said.of("native", symbol="inner_alloc")
    counted = sum(r["calls"] for r in records)
    assert 0 < counted < calls
    assert sum(r["bytes"] for r in records) == counted * PAGE
    late = float(re.search(r"probes at \d+ places of native functions, ([\d.]+) ms after it was mapped", run.said.errors).group(1))
    assert late < 1000
    pages = sum(r["rss_delta_bytes"] for r in records) // PAGE
    assert counted <= pages <= counted + 64  # pages of code that runs for the first time


def test_single_stepped(tool, python, library):
    """A probe that can only be single-stepped comes off when it is hit too often, and that is said."""
    said = Run(tool, python, library(), "stepped", 100000).said
    assert re.search(r"native function stepped: .* its probe was taken off", said.errors), said.errors[-1500:]
    assert 1000 < sum(r["calls"] for r in said.of("native", symbol="stepped")) < 100000


def test_instants_of_a_trace(tool, python, library, perfetto_python):
    """--perfetto: each record is an instant, by Perfetto's own protos; checkpoints of native functions are no slices."""
    path = os.path.join(tool.directory, "trace.pftrace")
    said = Run(tool, python, library(), "shapes", options=["--perfetto", path]).said
    read = read_perfetto(perfetto_python, path)
    told = sorted((one["ts"], one["name"], one["notes"]["bytes"], one["notes"]["rss_delta_bytes"]) for one in read["events"] if one["type"] == "instant")
    assert told == sorted((r["end_ns_max"], r["symbol"], r["bytes"], r["rss_delta_bytes"]) for r in said.of("native")) and told
    check_perfetto(said, read)


@pytest.mark.parametrize("what, more", [("shapes", ()), ("hot", (100000,)), ("leaving", ())])
def test_report_of_a_recording(tool, run_tool, python, library, what, more):
    """--record: log, summary and NDJSON of the report are the live run's, byte by byte; with a profile that has no native rules the calls stay."""
    ledger, summary = (os.path.join(tool.directory, name) for name in ("run.ledger", "live.summary"))
    rules = [*RULES, rule("leaving", checkpoint=True)]
    with open(summary, "wb") as out:
        run = Run(tool, python, library(), what, *more, rules=rules, options=["--record", ledger, "--native-alloc"], out=out)
    records = run.said.of("native")
    assert records and (what != "hot" or sum(r["calls"] for r in records if r["symbol"] == "hot_alloc") == 100001)
    assert what != "shapes" or told(run.said, run.said.pid) == SHAPES
    _, log, text, _ = report(run_tool, tool.directory, ledger)
    ours = os.path.join(tool.directory, "report.ndjson")
    assert read(ours) == read(tool.json) and read(log) == read(tool.log) and text.encode() == read(summary)
    assert b"init_shm" in read(log) or what != "shapes"
    # By another profile: the same calls with the same sizes, whatever its phases are called.
    other = harness.write_profile(os.path.join(tool.directory, "other.yaml"), [phase("other_" + name, name, "natives.py") for name in NAMES])
    again, _, _, _ = report(run_tool, tool.directory, ledger, "-P", other)
    again = [{**r, "phase": r["phase"] and r["phase"].removeprefix("other_")} for r in again if r["type"] == "native"]
    assert again == records


def test_metrics(tool, python, library, promtool):
    """--prom: one sample a row of the summary, with its figures; and Prometheus's checker takes the file."""
    path = os.path.join(tool.directory, "ram.prom")
    rules = [{**one, "kind": "pinned"} if one["symbol"] in ("my_malloc", "my_free", "outer_alloc", "inner_alloc") else one for one in RULES]
    said = Run(tool, python, library(), "shapes", rules=rules, options=["--prom", path]).said
    found = read_metrics(path)
    check_metrics(said, found)
    with open(path, "rb") as file:
        done = subprocess.run([promtool, "check", "metrics"], stdin=file, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stdout and not done.stderr, (done.returncode, done.stdout, done.stderr)
    entry = said.summary_of(said.pid)
    for row in entry["native"]:
        who = {"role": entry["name"], "pid": said.pid, "symbol": row["symbol"], "native": row["kind"], "library": row["library"], "phase": row["phase"] or "",
               "op": row["op"], "inner": "yes" if row["inner"] else "no"}  # fmt: skip
        for name, key in (("calls", "calls"), ("bytes", "bytes"), ("own_rss_bytes", "own_bytes"), ("released_bytes", "released_bytes")):
            assert metric(found, f"ramtrack_native_{name}", **who) == row[key], (name, row)
        for kind in ("anon", "file", "shmem"):
            assert metric(found, "ramtrack_native_rss_bytes", kind=kind, **who) == row[f"{kind}_bytes"], row
    assert len([key for key in found if key[0] == "ramtrack_native_calls"]) == len(entry["native"]) > 5
    for inner, true in (("no", UNIT), ("yes", 5 * UNIT)):  # outer_alloc asks for one unit, and calls inner_alloc for two and for three
        wanted = {("native", "pinned"), ("op", "alloc"), ("inner", inner), ("phase", "phase_two")}
        assert sum(value for (name, labels), value in found.items() if name == "ramtrack_native_bytes" and wanted <= set(labels)) == true
