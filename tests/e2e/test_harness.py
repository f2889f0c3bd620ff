# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The comparison itself: it must fail when a figure is wrong. No tool and no root needed."""

import copy

import pytest

from harness import KEYS, PAGE, SUMMARY_PROCESS_KEYS, Interpreter, Said, check_conservation, check_form, compare


def record(kind, **values):
    return {"type": kind, **dict.fromkeys(KEYS[kind].split(), 0), **values}


def phase_record(pages, start=1000, name="one"):
    size = pages * PAGE
    return record(
        "phase",
        pid=7,
        phase=name,
        path=[name],
        call=1,
        start_ns=start,
        end_ns=start + 5,
        rss_end_bytes=size,
        rss_delta_bytes=size,
        anon_bytes=size,
        peak_rss_bytes=size,
    )


def run_with(*records, **summary):
    process = {key: 0 for key in SUMMARY_PROCESS_KEYS}
    end = record(
        "summary", processes=[process], phases_not_hit=[], lost={"records": 0, "stacks": 0}, self={}, **summary
    )
    return Said([record("start", schema=1, targets=[7]), *records, end], "", "", 0)


def truth_of(*pages, name="one"):
    sizes = [{"rss": count * PAGE, "anon": count * PAGE} for count in pages]
    return {"pid": 7, "calls": [{"phase": name, "before": {"rss": 0, "anon": 0}, "after": size} for size in sizes]}


@pytest.mark.parametrize("off, good", [(0, True), (16, True), (-16, True), (17, False), (-17, False)])
def test_16_pages_are_the_limit(off, good):
    said = run_with(phase_record(100 + off))
    if good:
        return compare(said, truth_of(100), ["one"])
    with pytest.raises(AssertionError, match=f"off +{off} pages"):
        compare(said, truth_of(100), ["one"])


def test_calls_are_compared_one_by_one_where_both_count_the_same():
    said = run_with(phase_record(50, 1000), phase_record(150, 2000))
    compare(said, truth_of(50, 150), ["one"])
    with pytest.raises(AssertionError):
        compare(said, truth_of(100, 100), ["one"])


def test_sums_are_compared_where_calls_were_joined():
    compare(run_with(phase_record(200)), truth_of(50, 150), ["one"])
    with pytest.raises(AssertionError):
        compare(run_with(phase_record(200)), truth_of(50, 120), ["one"])


def test_a_phase_that_is_not_reported_fails():
    with pytest.raises(AssertionError, match="not reported"):
        compare(run_with(phase_record(100)), truth_of(0, name="two"), ["two"])


def checkpoint(total, delta):
    return record(
        "checkpoint",
        pid=7,
        phase="one",
        edge="exit",
        total_bytes=total,
        delta_bytes=delta,
        rss_bytes=total,
        anon_bytes=total,
    )


def test_form_wants_totals_that_add_up():
    check_form(run_with(checkpoint(100, 100), checkpoint(70, -30)))
    with pytest.raises(AssertionError, match="total"):
        check_form(run_with(checkpoint(100, 100), checkpoint(70, -31)))


@pytest.mark.parametrize(
    "kind, key", [("phase", "helper_bytes"), ("checkpoint", "label"), ("summary", "lost"), ("start", "wall_ns")]
)
def test_form_wants_every_key(kind, key):
    said = run_with(phase_record(1), checkpoint(1, 1))
    check_form(said)
    broken = copy.deepcopy(said.records)
    for entry in broken:
        if entry["type"] == kind:
            del entry[key]
    with pytest.raises((AssertionError, KeyError)):
        check_form(Said(broken, "", "", 0))


def test_conservation_wants_zero():
    check_conservation(run_with())
    with pytest.raises(AssertionError):
        check_conservation(run_with(unaccounted_bytes=PAGE))
    said = run_with()
    said.summary["lost"]["stacks"] = 1
    with pytest.raises(AssertionError):
        check_conservation(said)


def test_an_interpreter_in_another_root():
    one = Interpreter("chroot:/some/root:/usr/bin/python3.13")
    assert (one.root, one.exe, one.label) == ("/some/root", "/usr/bin/python3.13", "python3.13-chroot")
    assert "not found under /some/root" in one.missing()
