# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Children of every kind: found, named, measured against their own truth, their ends told."""

import os
import re

import pytest

from harness import PAGE, TOLERANCE, compare, parse_rollup, phase, trace

PHASES = [
    phase("child_phase", "child_phase", "children.py"),
    phase("with_child", "with_child_inside", "children.py"),
    phase("born_and_gone", "forked", "children.py"),
]


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
    """The descendants' RSS at the phase's end less that at its start, when the child did not exist. What it shares with
    its parent counts, as it does in RSS; a child that came and went leaves nothing."""
    told = said.of("phase", pid=said.pid, phase="with_child")[0]["tree_delta_bytes"]
    standing = said.truth["facts"]["standing"]["rss"]
    assert abs(told - standing) <= TOLERANCE, f"descendants: tool {told // PAGE} pages, truth {standing // PAGE}"
    gone = said.of("phase", pid=said.pid, phase="born_and_gone")[0]["tree_delta_bytes"]
    assert abs(gone) <= TOLERANCE, f"descendants of a phase that a child was born and died in: {gone // PAGE} pages"


def check_kids(said, written):
    kids = {entry["pid"]: entry for entry in said.summary["processes"] if entry["name"].startswith("kid")}
    assert len(kids) == 20, f"{len(kids)} of 20 kids in the summary: {sorted(entry['name'] for entry in kids.values())}"
    for number, pid, sizes in written:
        entry, peak = kids[pid], sizes[-1]["rss"]
        assert entry["name"] == f"kid{number:02}", entry
        off = (entry["rss_peak_bytes"] - peak) // PAGE
        assert abs(off) <= 16, f"kid {number}: peak is {off} pages off {peak // PAGE}"
        end = said.of("process", pid=pid, event="exit")
        assert len(end) == 1 and end[0]["exit_code"] == number and end[0]["signal"] in (None, 0), end


def written_by_kids(folder):
    """(number, pid, readings); the last reading is the size at which it ended, and its peak."""
    for name in sorted(os.listdir(folder)):
        if re.fullmatch(r"kid\.\d+\.\d+", name):
            with open(os.path.join(folder, name), "rb") as file:
                data = file.read()
            texts = [data[at : at + 4096].split(b"\0", 1)[0].decode() for at in range(0, len(data), 4096)]
            _, number, pid = name.split(".")
            yield int(number), int(pid), [parse_rollup(text) for text in texts]


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
        true = {pid: (sizes[1]["rss"] - sizes[0]["rss"]) // PAGE for _, pid, sizes in written}
        off = {
            number: (told.get(pid), true[pid]) for number, pid, _ in written if abs(told.get(pid, 0) - true[pid]) > 16
        }
        assert not off, f"pages of kid_phase by kid, (tool, truth): {off}"


@pytest.mark.parametrize("mode", ["launch", "attach"])
def test_programs_that_are_not_followed_leave_the_account_alone(tool, python, mode):
    """Between vfork and exec they run on the memory, and on the account, of the process that starts them."""
    phases = [phase("growing", "growing", "alone.py")]
    said = trace(tool, python, "alone.py", mode=mode, phases=phases, options=["--no-follow"])
    compare(said, said.truth, ["growing"])
    assert [entry["pid"] for entry in said.summary["processes"]] == [said.pid], said.summary["processes"]
    assert len(said.of("process", pid=said.pid, event="exit")) == 1
