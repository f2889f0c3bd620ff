# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""200 random moments of an import-heavy program: the reported stack is the one that the program itself wrote down."""

import pytest

from harness import PAGE, trace


def events_at_the_touch(said):
    """One stack (innermost first) for each page of growth reported at the line that touches, in the order of time."""
    line, stacks = said.truth["facts"]["touch_line"], {record["id"]: record["frames"] for record in said.of("stack")}
    events = []
    for record in sorted(said.of("growth", pid=said.pid), key=lambda record: record["ts_ns"]):
        frames = stacks.get(record["stack"])
        if frames and frames[0]["function"] == "moment" and frames[0]["line"] == line:
            assert record["file_bytes"] == record["shmem_bytes"] == 0, record
            events += [frames] * (record["anon_bytes"] // PAGE)
    return events


def first_difference(ours, theirs):
    for depth, (told, true) in enumerate(zip(ours, theirs)):
        if told != true:
            return f"frame {depth}: tool {told}, truth {true}"
    return f"depth: tool {len(ours)}, truth {len(theirs)}"


def check_stacks(tool, python, seed, options):
    said = trace(tool, python, "moments.py", seed, 200, options=["--json-growth", *options])
    chains = [[tuple(frame) for frame in chain] for chain in said.truth["facts"]["chains"]]
    events = [
        [(frame["function"], frame["file"], frame["line"]) for frame in frames] for frames in events_at_the_touch(said)
    ]
    assert (
        len(events) == len(chains) == 200
    ), f"{len(events)} changes reported at the line that touches, {len(chains)} were made"
    wrong = [
        f"moment {number}: {first_difference(*pair)}"
        for number, pair in enumerate(zip(events, chains))
        if pair[0] != pair[1]
    ]
    assert not wrong, f"{len(wrong)} of 200 stacks differ:\n" + "\n".join(wrong[:20])
    assert len(said.of("stack")) == len({record["id"] for record in said.of("stack")}), "a stack was sent twice"


@pytest.mark.parametrize(
    "seed, options",
    [(1, []), (2, []), (3, ["--sample-hz", "0"]), (4, ["--python-entry", "uprobe"])],
    ids=["seed1", "seed2", "no-samples", "entry-probes"],
)
def test_200_stacks(tool, python, seed, options):
    check_stacks(tool, python, seed, options)
