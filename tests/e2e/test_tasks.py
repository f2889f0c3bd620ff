# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Coroutines in turn, generators that wait or are closed late, greenlets: a phase has what comes while its frame is on the stack, and nothing else."""

import pytest

from harness import PAGE, TOLERANCE, compare, phase, trace

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
