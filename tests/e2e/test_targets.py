# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The targets themselves, untraced: they check what they say about their own memory, so a wrong truth is found before
a tool is blamed."""

import contextlib

import pytest

import harness

RUNS = [
    ("shapes.py",),
    ("adversary.py",),
    ("codes.py",),
    ("tasks.py",),
    ("statements.py",),
    ("names.py", "deleted"),
    ("deep.py",),
    ("churn.py", 0.5),
    ("moments.py", 3, 200),
    ("live.py", "holds"),
    ("live.py", "told"),
    ("children.py", "every_kind"),
    ("children.py", "forked_kids"),
    ("subinterpreters.py",),
    ("together.py",),
]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: "-".join(map(str, run)))
def test_target_is_what_it_says(python, run):
    with python.stage() as stage, contextlib.closing(harness.Target(python, stage, run[0], run[1:])) as target:
        target.start()
        target.serve(target.process)
        assert target.process.wait(30) == 0, target.output()
        assert target.pid in target.truths(), target.output()


def test_reading_the_truth_agrees_with_the_view_from_outside(python):
    seen = []
    with python.stage() as stage, contextlib.closing(harness.Target(python, stage, "live.py", ["holds"])) as target:
        target.start()
        target.serve(target.process, lambda name, pid: seen.append(harness.rollup(pid)))
        assert target.process.wait(30) == 0, target.output()
        grown = [call["after"]["rss"] for call in target.truths()[target.pid]["calls"] if call["phase"] == "growing"]
    held = [sizes["rss"] for sizes in seen[3:6]]
    assert [abs(inside - outside) <= harness.TOLERANCE for inside, outside in zip(grown, held)] == [True] * 3, (
        grown,
        held,
    )
