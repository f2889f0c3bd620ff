# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""What tells of calls stays only while it costs little; and what a watched process may do: have more functions than watchpoints, fork, execute, count no more."""
import collections
import json
import os

import pytest
from harness import phase, trace
from test_entries import needs_watchpoints
from test_interpreters import fetch


@pytest.fixture(scope="session")
def _fetched():
    return {}


def run(tool, interpreter, script, args, phases, options, names=("counts",)):
    counts = {}

    def collect(directory):
        for name in names:
            with open(os.path.join(directory, f"{name}.json")) as file:
                counts[name] = json.load(file)

    said = trace(tool, interpreter, script, *args, phases=phases, options=options, collect=collect)
    return said, counts


def needs_counts(python):
    if python.version < (3, 11):
        pytest.skip("frames of CPython up to 3.10 are not found by the count of their code object")


def check_paced(said, counts, method):
    """Fast, slow, fast, slow: off in the fast parts, and in the slow ones each call that is told exactly is one that was made."""
    (row,) = [row for row in said.summary["entries"] if row["method"] == method]
    assert row["attached"] >= 2 and row["detached"] >= 1, (row, said.errors)
    assert "too many calls for 1 % of a core" in row["reason"], row
    assert 0 < row["hits"] < counts["work"] / 20, (row, counts["work"])
    calls = [tuple(call) for call in counts["slow"]]
    found = collections.Counter()
    for record in said.of("phase", phase="work"):
        inside = [call for call in calls if call[0] <= record["end_ns"] and record["start_ns"] <= call[1]]
        if not record["exact"] or not inside:
            continue
        # begun after `before` and ended before `after` of one call: not two calls in one
        assert len(inside) == 1 and inside[0][0] <= record["start_ns"] <= record["end_ns"] <= inside[0][1], (record, inside)
        found[inside[0]] += 1
    assert all(times == 1 for times in found.values()), found
    assert len(found) > 20, (len(found), len(calls), row, said.errors)
    told = said.of("phase", phase="work")
    assert sum(record["exact"] for record in told) <= counts["work"], (len(told), counts["work"])


@pytest.mark.parametrize("name", ["debian-3.9", "debian-3.15"])
def test_static_probes_under_a_budget(tool, _fetched, name):
    interpreter = fetch(name, _fetched)
    phases = [phase("work", "work", "paced.py", watch=name == "debian-3.9")]  # where no watchpoint can tell of it
    said, counts = run(tool, interpreter, "paced.py", ["2", "6"], phases, ["--python-entry", "auto"])
    assert said.of("start")[0]["python_entry"] == "auto"
    check_paced(said, counts["counts"], "usdt")
    assert said.errors.count("static probes are taken off") == 1, said.errors  # once, not at each try
    assert "marked `watch`" not in said.errors, said.errors


def test_watchpoints_under_a_budget(tool, python):
    needs_watchpoints(tool.path)
    needs_counts(python)
    phases = [phase("work", "work", "paced.py", watch=True)]
    said, counts = run(tool, python, "paced.py", ["0.5", "4"], phases, ["--python-entry", "auto"])
    check_paced(said, counts["counts"], "watch")
    assert "phase work, marked `watch`, is called too often" in said.errors


def test_four_watchpoints_for_five_functions(tool, python):
    needs_watchpoints(tool.path)
    needs_counts(python)
    names = ["one", "two", "three", "four", "five"]
    phases = [phase(name, name, "five.py", watch=True) for name in names]
    said, counts = run(tool, python, "five.py", [], phases, ["--python-entry", "watch"])
    exact = collections.Counter(record["phase"] for record in said.of("phase") if record["exact"])
    for name in names[:4]:
        assert exact[name] == counts["counts"][name] - 1, (name, exact, said.errors)  # all but the one in which it was met
    assert exact["five"] == 0
    rows = {row["phase"]: row for row in said.summary["entries"]}
    assert rows["five"]["attached"] == 0 and "four watchpoints" in rows["five"]["reason"], rows
    assert all(rows[name]["attached"] == 1 and rows[name]["reason"] is None for name in names[:4]), rows
    assert said.errors.count("four watchpoints") == 1, said.errors


def test_fork_and_exec_of_a_watched_process(tool, python):
    """Each life has watchpoints of its own: none is told of another's calls."""
    needs_watchpoints(tool.path)
    needs_counts(python)
    lives = ["counts.parent", "counts.child", "counts.executed"]
    phases = [phase("work", "work", "reborn.py", watch=True)]
    said, counts = run(tool, python, "reborn.py", [], phases, ["--python-entry", "watch"], lives)
    assert counts["counts.parent"]["pid"] == counts["counts.executed"]["pid"] != counts["counts.child"]["pid"]
    told, exact = collections.Counter(), collections.Counter()
    for record in said.of("phase", phase="work"):
        told[record["pid"]] += 1
        exact[record["pid"]] += record["exact"]
    wanted = collections.Counter()
    for life in counts.values():
        wanted[life["pid"]] += life["work"]
    assert told == wanted, (told, wanted, said.errors)
    for pid, calls in wanted.items():
        # In each life all but the call in which it was met.
        lives_of = sum(life["pid"] == pid for life in counts.values())
        assert exact[pid] == calls - lives_of, (pid, exact, wanted)
    (row,) = said.summary["entries"]
    assert row["attached"] == 3 and row["detached"] == 0, row


def test_watchpoint_that_does_not_fire(tool, python):
    needs_watchpoints(tool.path)
    if python.version < (3, 12):
        pytest.skip("CPython up to 3.11 counts the references of every object")
    phases = [phase("work", "work", "uncounted.py", watch=True)]
    said, _ = run(tool, python, "uncounted.py", [], phases, ["--python-entry", "watch"], [])
    assert "the watchpoint did not fire" in said.errors, said.errors
    (row,) = said.summary["entries"]
    assert "the watchpoint did not fire" in row["reason"], row


def test_begins_of_calls_from_python(tool, python):
    """_PyEvalFramePushAndInit and _PyEval_EvalFrameDefault: each call once, with its begin where the target had it."""
    if python.version < (3, 9):
        pytest.skip("no entry probes")
    names = {"from_python": "from_python", "from_c": "from_c", "with_keywords": "with_keywords", "held": "Held.held"}
    phases = [phase(name, function, "pushed.py") for name, function in names.items()]
    said, counts = run(tool, python, "pushed.py", [], phases, ["--python-entry", "uprobe"])
    told = {name: said.of("phase", phase=name) for name in names}
    assert {name: len(records) for name, records in told.items()} == dict.fromkeys(names, 1), (told, said.errors)
    begun = {name for name, (record,) in told.items() if record["start_ns_min"] == record["start_ns"]}
    for name in begun:
        before, after = counts["counts"][name]
        assert before <= told[name][0]["start_ns"] <= before + (after - before) // 2, (name, told[name], counts)
    assert not any(record["exact"] for records in told.values() for record in records)  # no end is told
    # From C always, and up to 3.10 every call. From Python where the function's symbol is kept (3.13 and newer) and it is called: in 3.14 and 3.15 compilers put it in line for plain calls.
    wanted = {"from_c"}
    if python.version <= (3, 10) or python.version == (3, 13):
        wanted.add("from_python")
    if not (3, 11) <= python.version <= (3, 12):
        wanted.add("with_keywords")
    assert wanted <= begun, (begun, said.errors)


@pytest.mark.parametrize("name", ["debian-3.9", "debian-3.15"])
def test_static_probes_of_functions_with_statements(tool, _fetched, name):
    """A phase is the function, another one a statement in it: both right, the function's exact."""
    interpreter = fetch(name, _fetched)
    phases = [
        phase("work", "work", "five.py"),
        phase("one", "one", "five.py"),
        phase("returned", "one", "five.py", statement="^return n"),
        phase("two", "two", "five.py"),
    ]
    said, counts = run(tool, interpreter, "five.py", [], phases, ["--python-entry", "usdt"])
    for name in ("one", "two"):
        records = said.of("phase", phase=name)
        assert [record["exact"] for record in records] == [True] * counts["counts"][name], (name, records, said.errors)
    for record in said.of("phase", phase="returned"):
        assert record["path"] == ["one", "returned"], record
        around = [r for r in said.of("phase", phase="one") if r["start_ns"] <= record["start_ns"] and record["end_ns"] <= r["end_ns"]]
        assert len(around) == 1, (record, around)
    assert said.of("phase", phase="returned")


def test_watchpoints_and_static_probes_together(tool, _fetched):
    """auto, where both are there: the marked function's calls are told by its watchpoint, the others' by the probes while they are on; none twice."""
    needs_watchpoints(tool.path)
    interpreter = fetch("debian-3.15", _fetched)
    phases = [phase("method", "Counted.method", "entries.py", watch=True), phase("looked_into", "Counted.looked_into", "entries.py")]
    said, counts = run(tool, interpreter, "entries.py", ["100"], phases, ["--python-entry", "auto"])
    told = collections.Counter((record["phase"], record["exact"]) for record in said.of("phase"))
    counts = counts["counts"]
    rows = {row["method"]: row for row in said.summary["entries"]}
    missed = counts["method"] - told["method", True] - told["method", False]
    assert missed == 0 or (missed > 0 and rows["watch"]["detached"]), (counts, told, said.errors)  # on a slow machine it may cost more than its share
    assert told["method", False] <= 3 + 2 * rows["watch"]["detached"], (counts, told, said.errors)
    assert told["looked_into", True] + told["looked_into", False] <= counts["looked_into"], (counts, told)
    assert rows["watch"]["hits"] >= 2 * (told["method", True] - 1) and rows["usdt"]["hits"] > 0, rows
