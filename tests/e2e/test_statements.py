# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Statements of every form as phases, against the target's own truth: each has what came while its logical line ran, wherever in it."""

import pytest

from harness import calls_of, compare, phase, told_of, total, trace

FILE = "statements.py"
NAMES = {
    "calls": "several_lines chained in_a_string two_on_a_line",
    "inside": "comprehension nested_comprehension lambda_body generator_inside",
    "blocks": "with_header with_body decorators class_header for_header for_body for_else while_header",
    "blocks.<locals>.decorated": "nested_body",
    "blocks.<locals>.Local": "class_body",
    "branches": "if_test elif_test else_line try_line except_line finally_line returned finally_body",
}
MATCHING = "match_header case_guard case_lines case_body soft_name soft_use"
PHASES = [phase(name, function, FILE, f'"{name}"') for function, names in NAMES.items() for name in names.split()]
PHASES += [phase(name, "matching", "matching.py", f'"{name}"') for name in MATCHING.split()]
PHASES += [phase("default", "blocks", FILE, "def decorated")]


@pytest.mark.parametrize("mode", ["launch", "attach"])
def test_statements_of_every_form(tool, python, mode):
    said = trace(tool, python, FILE, mode=mode, phases=PHASES)
    names = [name for name in said.truth["facts"]["names"] if name != "if_test"]
    assert set(names) <= {entry["id"] for entry in PHASES}
    compare(said, said.truth, names)
    # Together to the page, but for what the interpreter itself needed in between.
    ours, true = (sum(total(of(name))["anon"] for name in names) for of in (lambda name: told_of(said, said.pid, name), lambda name: calls_of(said.truth, name)))
    assert abs(ours - true) <= 16 * 4096, (ours, true)
    assert not [record for record in said.of("phase", pid=said.pid, phase="if_test") if record["rss_delta_bytes"]]
