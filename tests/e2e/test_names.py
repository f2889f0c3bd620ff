# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Qualified names, of interpreters too that keep none (up to 3.10); characters of every width; file names that are no UTF-8."""

import pytest

from harness import PAGE, calls_of, compare, phase, pages_by_phase, total, trace

NAMES = {
    "plain": "work",
    "local": "work.<locals>.work",
    "one": "One.work",
    "two": "One.Two.work",
    "three": "Three.work",
    "size": "One.size",
    "latin1": "gr\u00f6\u00dfe",
    "ucs2": "\u5927\u5c0f",
    "ucs4": "\U00020000",
}
PHASES = [phase(id, function) for id, function in NAMES.items()] + [phase("raw", "One.Two.work", statement="more = told")]

@pytest.mark.parametrize("mode", ["launch", "attach"])
def test_same_names_in_several_classes(tool, python, mode):
    said = trace(tool, python, "names.py", "kept", mode=mode, phases=PHASES, options=["--json-growth"])
    compare(said, said.truth, ["local", "one", "size", "latin1", "ucs2", "ucs4", "raw"])
    told = pages_by_phase(said, said.pid)
    # Those that call another one, or have a statement that is one; half of two's calls come from three.
    true = {name: total(calls_of(said.truth, name))["rss"] // PAGE for name in (*NAMES, "raw")}
    two = true["two"] + true["raw"]
    for name, pages in (("plain", true["plain"] + true["local"]), ("two", two), ("three", true["three"] + two // 2)):
        assert abs(told[name] - pages) <= 16, (name, told, true)
    assert "does not tell the class" not in said.errors, said.errors
    files = {frame["file"].rpartition("/")[2] for stack in said.of("stack") for frame in stack["frames"]}
    assert {"named.py", "\u00e9\u5927.py", "b\\udcff\\udc80.py"} <= files, files


def test_without_the_source(tool, python):
    """The last part of the name decides where there is nothing else, and that is said; from 3.11 on nothing changes."""
    said = trace(tool, python, "names.py", "deleted", phases=[phase("one", "One.work", "named.py")])
    record = said.of("phase", pid=said.pid, phase="one")
    own = sum(call["rss"] for call in calls_of(said.truth, "one")) // 3  # of three files
    version = said.of("process", pid=said.pid)[-1]["python"]
    if tuple(map(int, version.split(".")[:2])) >= (3, 11):
        assert sum(r["rss_delta_bytes"] for r in record) == own
        assert "does not tell the class" not in said.errors
    else:
        assert sum(r["rss_delta_bytes"] for r in record) > 2 * own
        assert "phase one: Python up to 3.10 does not tell the class of work in " in said.errors, said.errors
