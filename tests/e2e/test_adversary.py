# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Every page to the right function, to the page: the cases made against shortcuts in the stack walk."""

import pytest

from harness import PAGE, calls_of, pages_by_phase, phase, trace

ADVERSARY = [
    phase("adv_one", "adv_one", "adversary.py"),
    phase("adv_two", "adv_two", "adversary.py"),
    phase("stmt_first", "two_statements", "adversary.py", r"^through\(count\)"),
    phase("stmt_second", "two_statements", "adversary.py", r"^through\(more\)"),
    phase("stmt_marked", "two_lines_one_phase", "adversary.py", r"^marked ="),
    phase("nested_outer", "nested_outer", "adversary.py"),
    phase("nested_inner", "nested_inner", "adversary.py"),
]
CODES = [
    phase("f_a", "f_a", [f"made_up_{number}.py" for number in range(7)]),
    phase("f_b", "f_b"),
    phase("lambda_phase", "<lambda>", "lambda_phase.py"),
]


def check_to_the_page(said, meant, stray):
    """`stray` pages moved that nobody asked for, as the target's own reading shows: 0 on a good run, and then all
    must be equal."""
    told = {name: pages for name, pages in pages_by_phase(said, said.pid).items() if name in meant}
    table = "\n".join(f"{name:16} tool {told.get(name, 0):>6} truth {meant[name]:>6}" for name in meant)
    assert all(
        abs(told.get(name, 0) - pages) <= stray for name, pages in meant.items()
    ), f"pages by phase, {stray} stray:\n{table}"


@pytest.mark.parametrize("mode", ["launch", "attach"])
@pytest.mark.parametrize("entry", ["auto", "uprobe"])
def test_frames_of_one_size_called_in_turn(tool, python, mode, entry):
    said = trace(tool, python, "adversary.py", mode=mode, phases=ADVERSARY, options=["--python-entry", entry])
    facts = said.truth["facts"]
    before = facts["warm"] if mode == "launch" else {}
    meant = {name: pages + before.get(name, 0) for name, pages in facts["pages"].items()}
    measured = ("alternating", "with_none", "irregular", "statements", "lines", "nested")
    stray = sum(abs(calls_of(said.truth, name)[0]["rss"] // PAGE - facts[name]) for name in measured)
    check_to_the_page(said, meant, stray)


@pytest.mark.parametrize("mode", ["launch", "attach"])
def test_code_objects_that_come_back_under_other_names(tool, python, mode):
    said = trace(tool, python, "codes.py", mode=mode, phases=CODES)
    meant = {
        name: pages for name, pages in said.truth["facts"]["pages"].items() if name in ("f_a", "f_b", "lambda_phase")
    }
    assert all(pages > 200 for pages in meant.values()), meant
    check_to_the_page(said, meant, 2)
    for record in said.of("phase", pid=said.pid):
        assert record["rss_delta_bytes"] <= 4 * PAGE, f"a call of at most 2 pages was charged more: {record}"
