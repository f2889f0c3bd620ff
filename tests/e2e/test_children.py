# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Children of every kind: found, named, measured against their own truth, their ends told."""

import os
import re

import pytest

from harness import PAGE, TOLERANCE, compare, parse_rollup, phase, trace

PHASES = [phase("child_phase", "child_phase", "children.py"), phase("with_child", "with_child_inside", "children.py")]


@pytest.mark.parametrize("mode", ["launch", "attach"])
def test_every_kind_of_child(tool, python, mode):
    said = trace(tool, python, "children.py", "every_kind", mode=mode, phases=PHASES)
    children = said.truth["facts"]["children"]
    for kind, (status, pid) in children.items():
        ends = said.of("process", pid=pid, event="exit")
        assert len(ends) == 1 and ends[0]["exit_code"] == status, f"{kind}: meant exit {status}, told {ends}"
        assert any(
            entry["pid"] == pid for entry in said.summary["processes"]
        ), f"{kind} (pid {pid}) is not in the summary"
    for kind in ("fork", "spawn", "forkserver", "exec", "inside"):
        compare(said, said.truths[children[kind][1]], ["child_phase"], what=f"child by {kind}")
    for kind in ("spawn", "exec"):
        told = [record for record in said.of("process", pid=children[kind][1]) if record["event"] in ("exec", "exit")]
        assert told[0]["event"] == "exec" and told[-1]["python"].startswith("3."), f"{kind}: {told}"
    if "sh" in children:
        shell = said.summary_of(children["sh"][1])
        assert shell["python"] is None and shell["name"] in ("sh", "dash") and shell["rss_peak_bytes"] > 0, shell
    check_tree_delta(said, children["inside"][1])


def check_tree_delta(said, child):
    """What the child changed itself: what fork filled its address space with is its start, and that is its parent's anonymous
    memory (the file pages come back one by one when they are used)."""
    born = said.of("process", pid=child, event="fork")[0]["rss_bytes"]
    parent = next(call for call in said.truth["calls"] if call["phase"] == "with_child")["before"]
    assert parent["anon"] - 128 * PAGE <= born <= parent["rss"], f"child's RSS at its birth: {born}, parent's: {parent}"
    standing = said.truth["facts"]["standing"]["rss"]
    told = said.of("phase", pid=said.pid, phase="with_child")[0]["tree_delta_bytes"]
    assert (
        abs(told - (standing - born)) <= TOLERANCE
    ), f"descendants: tool {told // PAGE} pages, truth {standing // PAGE} - {born // PAGE}"


def check_kids(said, written):
    kids = {entry["pid"]: entry for entry in said.summary["processes"] if entry["name"].startswith("kid")}
    assert len(kids) == 20, f"{len(kids)} of 20 kids in the summary: {sorted(entry['name'] for entry in kids.values())}"
    for number, pid, true in written:
        entry = kids[pid]
        assert entry["name"] == f"kid{number:02}", entry
        off = entry["rss_peak_bytes"] - true["rss"]
        assert abs(off) <= TOLERANCE, f"kid {number}: peak is {off // PAGE} pages off {true}"
        end = said.of("process", pid=pid, event="exit")
        assert len(end) == 1 and end[0]["exit_code"] == number and end[0]["signal"] in (None, 0), end


def written_by_kids(folder):
    for name in sorted(os.listdir(folder)):
        if re.fullmatch(r"kid\.\d+\.\d+", name):
            with open(os.path.join(folder, name), "rb") as file:
                text = file.read().split(b"\0", 1)[0].decode()
            _, number, pid = name.split(".")
            yield int(number), int(pid), parse_rollup(text)


@pytest.mark.parametrize("mode", ["launch", "attach"])
@pytest.mark.parametrize("kind", ["forked", "executed"])
def test_20_children_of_30_ms(tool, python, mode, kind, compile_native):
    written = []

    def build(folder):
        if kind == "executed":
            compile_native("kid.c", os.path.join(folder, "kid"), "-static")

    args = ["forked_kids"] if kind == "forked" else ["executed_kids", "kid"]
    said = trace(
        tool,
        python,
        "children.py",
        *args,
        mode=mode,
        phases=[phase("kid_phase", "kid_phase", "children.py")],
        prepare=build,
        collect=lambda folder: written.extend(written_by_kids(folder)),
    )
    assert len(written) == 20, written
    check_kids(said, written)
    if kind == "forked":
        told = {record["pid"]: record["rss_delta_bytes"] // PAGE for record in said.of("phase", phase="kid_phase")}
        off = {number: told.get(pid) for number, pid, _ in written if abs(told.get(pid, 0) - 512 - number) > 16}
        assert not off, f"pages of kid_phase by kid, meant 512 + number: {off}"
