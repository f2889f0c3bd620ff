# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Every CPython that can be had, one row each: phases of every shape within 16 pages of the target's own truth, by launch and
by attach, and 200 stacks that the target wrote down itself."""

import collections
import os
import subprocess

import pytest

import harness
import test_moments
import test_shapes
from harness import PAGE, calls_of, compare, phase, trace

FETCH = os.path.join(harness.HERE, "fetch_interpreter.sh")
# version: as the tool says it. qualname, lines: does the interpreter's code say its qualified name, and is its line table read?
Row = collections.namedtuple("Row", "name version qualname lines")
ROWS = [
    Row("wheel-3.8", "3.8", False, False),
    Row("debian-3.9", "3.9", False, False),
    Row("wheel-3.10", "3.10", False, False),
    Row("debian-3.11", "3.11.2", True, True),
    Row("wheel-3.12", "3.12", True, True),
    Row("debian-3.13", "3.13", True, True),
    Row("wheel-3.13t", "3.13", True, True),
    Row("debian-3.14", "3.14", True, True),
    Row("wheel-3.14", "3.14", True, True),
    Row("wheel-3.14t", "3.14", True, True),
    Row("debian-3.15", "3.15", True, True),
    Row("wheel-3.15", "3.15", True, True),
    Row("wheel-3.15t", "3.15", True, True),
]


@pytest.fixture(scope="session")
def _fetched():
    return {}


@pytest.fixture(params=ROWS, ids=[row.name for row in ROWS])
def row(request, _fetched):
    """A row and its interpreter; skipped with the reason where it cannot be had."""
    one = request.param
    if one.name not in _fetched:
        done = subprocess.run([FETCH, one.name], capture_output=True, text=True)
        assert done.returncode in (0, 77), done.stderr
        interpreter = harness.Interpreter(done.stdout.split("\n")[-2]) if done.returncode == 0 else None
        _fetched[one.name] = interpreter, interpreter.missing() if interpreter else done.stderr.strip()
    interpreter, why = _fetched[one.name]
    if why:
        pytest.skip(why)
    return one, interpreter


def phases_of(one):
    """The phases of test_shapes that this interpreter can have, and their names."""
    functions = {
        id: function for id, function in test_shapes.FUNCTIONS.items() if one.qualname or "." not in function
    }
    statements = test_shapes.STATEMENTS if one.lines else {}
    phases = [phase(id, function, test_shapes.FILE) for id, function in functions.items()]
    phases += [phase(id, "building", test_shapes.FILE, pattern) for id, pattern in statements.items()]
    return phases, [*functions, *statements]


@pytest.mark.parametrize("mode", ["launch", "attach"])
def test_every_shape_within_16_pages(tool, row, mode):
    one, interpreter = row
    phases, names = phases_of(one)
    said = trace(tool, interpreter, test_shapes.FILE, mode=mode, phases=phases)
    compare(said, said.truth, names, what=one.name)
    assert not said.summary["phases_not_hit"], said.summary["phases_not_hit"]
    told = said.summary_of(said.pid)["python"]
    assert told == one.version or told.startswith(one.version + "."), (told, one.version)
    for name in names:
        assert len(said.of("phase", pid=said.pid, phase=name)) == len(calls_of(said.truth, name)), name
    test_shapes.check_helpers(said)
    test_shapes.check_reuse(said)
    test_shapes.check_sums(said)


def test_200_stacks(tool, row):
    one, interpreter = row
    if not one.lines:
        pytest.skip(f"{one.name}: its line tables are not read")
    test_moments.check_stacks(tool, interpreter, 5, [])
