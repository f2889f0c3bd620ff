# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Phases of every shape against the target's own truth, within 16 pages each, by launch and by attach."""

import pytest

from harness import PAGE, TOLERANCE, calls_of, compare, phase, trace

FILE = "shapes.py"
FUNCTIONS = {
    "plain": "plain",
    "constructor": "Box.__init__",
    "method": "Box.method",
    "static": "Box.static",
    "class_method": "Box.made",
    "attribute": "Box.attribute",
    "decorated": "decorated",
    "managed": "managed",
    "generating": "generating",
    "awaited": "awaited",
    "recursive": "recursive",
    "raising": "raising",
    "catching": "catching",
    "outer_phase": "outer_phase",
    "inner_phase": "inner_phase",
    "local_phase": "enclosing.<locals>.local_phase",
    "from_c": "called_from_c",
    "filling": "filling",
    "releasing": "releasing",
    "reusing": "reusing",
    "dropping": "dropping",
    "mapping_file": "mapping_file",
    "unmapping_file": "unmapping_file",
    "sharing": "sharing",
    "helped": "helped",
    "pooled": "pooled",
    "native_helped": "native_helped",
    "waiting": "waiting",
}
STATEMENTS = {"stmt_first": r"first = combine\(", "stmt_second": 'second = "x"', "stmt_with": r"with holding\("}
PHASES = [phase(id, function, FILE) for id, function in FUNCTIONS.items()]
PHASES += [phase(id, "building", FILE, pattern) for id, pattern in STATEMENTS.items()]


@pytest.mark.parametrize("mode", ["launch", "attach"])
def test_every_shape_within_16_pages(tool, python, mode):
    said = trace(tool, python, FILE, mode=mode, phases=PHASES)
    compare(said, said.truth, [*FUNCTIONS, *STATEMENTS])
    assert not said.summary["phases_not_hit"], said.summary["phases_not_hit"]
    check_kinds(said)
    check_helpers(said)
    check_reuse(said)
    check_nesting(said)
    check_sums(said)


def only(said, name):
    records = said.of("phase", pid=said.pid, phase=name)
    assert len(records) == 1, f"{name}: {len(records)} records for one call: {records}"
    assert records[0]["call"] == 1
    return records[0]


def close(found, meant, what):
    assert abs(found - meant) <= TOLERANCE, f"{what}: {found // PAGE} pages, meant {meant // PAGE}"


def check_kinds(said):
    """File and shared pages in their own columns. (A work directory on tmpfs makes file pages shared ones.)"""
    mapped = only(said, "mapping_file")
    close(mapped["file_bytes"] + mapped["shmem_bytes"], 768 * PAGE, "file mapping, file or shmem")
    close(mapped["anon_bytes"], 0, "file mapping, anon")
    close(only(said, "sharing")["shmem_bytes"], 400 * PAGE, "shared anonymous mapping, shmem")
    close(only(said, "plain")["anon_bytes"], 512 * PAGE, "private mapping, anon")
    assert only(said, "waiting")["rss_delta_bytes"] == 0


def check_helpers(said):
    """Whose thread it was: a new one (which also has a stack), one that existed, one that never ran Python, none."""
    helped = only(said, "helped")
    # At most: its stack and malloc arena, and file pages of code that ran for the first time, as many as the kernel maps around them.
    assert 512 * PAGE <= helped["helper_bytes"] <= 512 * PAGE + 8 * TOLERANCE + helped["file_bytes"], helped
    close(only(said, "pooled")["helper_bytes"], 600 * PAGE, "pool's thread")
    close(only(said, "native_helped")["helper_bytes"], 512 * PAGE, "native thread")
    close(only(said, "plain")["helper_bytes"], 0, "no helper")


def check_reuse(said):
    """1,024 pages were released just before 700 were gained again."""
    released = only(said, "releasing")
    close(released["released_bytes"], 1024 * PAGE, "released")
    reused = only(said, "reusing")
    close(reused["gained_bytes"], 700 * PAGE, "gained")
    close(reused["reused_bytes"], 700 * PAGE, "reused")
    dropped = only(said, "dropping")
    close(dropped["gained_bytes"], 800 * PAGE, "gained and dropped")
    close(dropped["released_bytes"], 800 * PAGE, "dropped")


def check_nesting(said):
    inner = said.of("phase", pid=said.pid, phase="inner_phase")
    assert [record["path"] for record in inner] == [["outer_phase", "inner_phase"]] * 2, inner
    outer = only(said, "outer_phase")
    close(outer["own_bytes"], 200 * PAGE, "own part of the outer phase")
    recursive = only(said, "recursive")
    assert recursive["path"] == ["recursive"], recursive
    raised = said.of("phase", pid=said.pid, phase="raising")
    assert len(raised) == 5 and {tuple(record["path"]) for record in raised} == {("catching", "raising")}, raised


def check_sums(said):
    """The summary's phases are the sum of the records."""
    for entry in said.summary_of(said.pid)["phases"]:
        records = [r for r in said.of("phase", pid=said.pid, phase=entry["phase"]) if r["path"] == entry["path"]]
        assert entry["calls"] == len(records), (entry, len(records))
        assert entry["rss_delta_bytes"] == sum(record["rss_delta_bytes"] for record in records), entry


def test_deep_recursion(tool, python):
    names = ["outermost_600", "outermost_900", "innermost_600", "innermost_900", "between"]
    said = trace(tool, python, "deep.py", phases=[phase(name, name, "deep.py") for name in names])
    compare(said, said.truth, names)
    for name in names:
        assert len(said.of("phase", pid=said.pid, phase=name)) == len(calls_of(said.truth, name)), name


def test_entry_probes_give_the_same_sums(tool, python):
    said = trace(tool, python, FILE, phases=PHASES, options=["--python-entry", "uprobe"])
    compare(said, said.truth, [*FUNCTIONS, *STATEMENTS])
    assert said.of("start")[0]["python_entry"] == "uprobe"
    assert len(said.of("phase", pid=said.pid, phase="constructor")) == 1
