# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The published JSON Schema: valid itself, and true of every record of runs of every kind; a record that is not right is refused."""

import copy
import os

import pytest

import schema
from harness import phase, trace

RUNS = {
    "shapes": ("shapes.py", (), "launch", [phase(name, name, "shapes.py") for name in ("plain", "decorated", "generating")], ["--json-growth"]),
    "attached": ("shapes.py", (), "attach", [phase("plain", "plain", "shapes.py")], ["--json-growth", "--no-mappings"]),
    "children": ("children.py", ("every_kind",), "launch", [phase("never", "never_called")], []),
    "statements": ("statements.py", (), "launch", [phase("never", "never_called", statement="x = 1")], ["--lang", "en"]),
}


@pytest.fixture(scope="module")
def checkers():
    if schema.missing():
        pytest.skip(schema.missing())
    return schema.Checker(), schema.Checker(strict=True)


def test_is_a_schema(checkers):
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(schema.load())
    jsonschema.Draft202012Validator.check_schema(schema.load(strict=True))


@pytest.mark.parametrize("run", RUNS)
def test_every_record(tool, python, checkers, run):
    script, args, mode, phases, options = RUNS[run]
    said = trace(tool, python, script, *args, mode=mode, phases=phases, options=options, check=False)
    plain, strict = checkers
    wrong = [error for record in said.records for error in strict.errors(record)]
    assert not wrong, "\n".join(wrong[:20])
    some = {record["type"]: record for record in said.records}
    assert {"start", "process", "summary"} <= some.keys()
    if run == "shapes":
        assert {"checkpoint", "phase", "stack", "growth"} <= some.keys()
    # Each record is what it says it is and nothing else, for who has only the file.
    assert all(plain.is_valid(record) for record in some.values())


def test_wrong_records_are_refused(tool, python, checkers):
    """A schema that everything passes proves nothing: each key of each record taken out, and given another type."""
    plain, _ = checkers
    said = trace(tool, python, "shapes.py", phases=[phase("plain", "plain", "shapes.py")], options=["--json-growth"])
    some = {record["type"]: record for record in said.records}
    for kind, record in some.items():
        assert not plain.errors(record)
        for key in record:
            without = {name: value for name, value in record.items() if name != key}
            if (kind, key) not in {("phase", "mappings"), ("summary", "tree_peak_bytes"), ("summary", "tree_end_bytes")}:
                assert not plain.is_valid(without), (kind, key)
            other = copy.deepcopy(record)
            other[key] = {"no": "good"} if not isinstance(record[key], dict) else "no good"
            assert not plain.is_valid(other), (kind, key)
        assert plain.is_valid({**record, "a_key_of_later": 1}), kind
    assert not plain.is_valid({"type": "nonsense"}) and not plain.is_valid([]) and os.path.exists(schema.PATH)
