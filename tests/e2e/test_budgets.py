# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Budgets: exit status, lines and JUnit report of runs whose figures the target itself determines."""

import os
import subprocess
import xml.etree.ElementTree as ET

import pytest

from harness import TOLERANCE, TREE, phase, rollup, trace, write_profile
from test_native import Run, library  # noqa: F401

PHASES = [phase("fill", "fill", "grow.py"), phase("drop", "drop", "grow.py"), phase("never", "never", "grow.py")]

# Two processes. The parent holds 40 MiB, its child 60 MiB, but never at the same time: together they have 60 and what an interpreter has.
GROW = """
import mmap, os, sys, time

def fill(mib):
    m = mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, mib << 20, 4096):
        m[at] = 1
    return m

def drop(m):
    m.close()

m = fill(40)
time.sleep(0.3)
drop(m)
time.sleep(0.3)
pid = os.fork()
if not pid:
    m = fill(60)
    time.sleep(0.3)
    os._exit(0)
os.waitpid(pid, 0)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def grow(run_tool, directory):
    """grow(status of the command, options...) -> what the tool said."""
    profile = write_profile(os.path.join(directory, "p.yaml"), PHASES)
    script = os.path.join(directory, "grow.py")
    with open(script, "w") as file:
        file.write(GROW)

    def run(status, *options):
        return run_tool("-P", profile, "--lang", "en", *options, "--", "/usr/bin/python3", "-S", script, status)

    return run


def broken(done):
    return [line.split("budget broken: ", 1)[1] for line in done.stderr.splitlines() if "budget broken: " in line]


def test_a_broken_budget_is_said_with_who_and_how_much(grow):
    done = grow(0, "--fail-if", 'phase("fill").rss > 50M', "--fail-if", 'phase("fill").rss > 70M')
    assert done.returncode == 7, done.stderr
    (line,) = broken(done)
    assert line.startswith('phase("fill").rss > 50M: phase("fill").rss is 60.'), line
    assert "in python3 (pid " in line


def test_sums_at_one_time_are_no_sum_of_peaks(grow):
    """40 and 60 MiB one after the other, and two small interpreters."""
    done = grow(0, "--fail-if", "tree.peak > 95M", "--fail-if", "tree.peak < 60M", "--fail-if", "tree.end != 0")
    assert done.returncode == 0, done.stderr
    assert broken(done) == []
    done = grow(0, "--fail-if", "tree.peak > 59M")
    assert done.returncode == 7, done.stderr
    assert "over budget already" in done.stderr, done.stderr


@pytest.mark.parametrize(
    "command, options, status",
    [
        (0, [], 0),
        (3, [], 3),
        (3, ["--fail-if", "tree.peak > 100G"], 3),
        (0, ["--fail-if", "tree.peak > 1M"], 7),
        (3, ["--fail-if", "tree.peak > 1M"], 7),
        (3, ["--strict", "--fail-if", "tree.peak > 1M", "--fail-if", 'phase("never").rss > 1M'], 7),
        (0, ["--fail-if", 'phase("never").rss > 1M'], 0),
        (3, ["--strict", "--fail-if", 'phase("never").rss > 1M'], 6),
        (0, ["--fail-if", 'phase("never").calls < 1'], 7),
    ],
)
def test_order_of_exit_statuses(grow, command, options, status):
    done = grow(command, *options)
    assert done.returncode == status, done.stderr
    if 'phase("never").rss > 1M' in options:
        assert 'budget not evaluated: phase("never").rss > 1M: phase("never").rss: it never ran' in done.stderr
    if "--strict" in options and status == 6:
        assert "--strict: incomplete: 1 of 1 budgets could not be evaluated" in done.stderr


def test_a_mistake_costs_nothing(run_tool, directory):
    """Refused before anything is attached or started."""
    mark = os.path.join(directory, "started")
    bad = os.path.join(directory, "bad.yaml")
    with open(bad, "w") as file:
        file.write("- name: a\n  expr: tree.peak > 1G\n- name: b\n  expr: tree.peek > 1G\n")
    for options, words in (
        (["--fail-if", "tree.peak > "], "--fail-if 'tree.peak > ': column 13: expected a limit"),
        (["--fail-if", 'phase("no_such").peak > 1'], "column 7 of the expression: profile vllm has no phase 'no_such'"),
        (["--fail-if", "diff.growth > 5%"], "only ramtrack-bpf diff has several"),
        (["--budget", bad], f"{bad}:4: column 6 of the expression: expected peak, end, found 'peek'"),
        (["--budget", bad + ".not"], f"{bad}.not: cannot be read: No such file or directory"),
        (["--junit", os.path.join(directory, "j.xml")], "--junit reports budgets; give --fail-if EXPR or --budget FILE"),
        (["--fail-if", "tree.peak > 1", "--junit", "-"], "--junit: '-' is not allowed"),
    ):
        done = run_tool(*options, "--", "touch", mark)
        assert done.returncode == 2 and words in done.stderr, (options, done.returncode, done.stderr)
    done = run_tool("--fail-if", "tree.peak > 1", "--junit", "/nowhere/j.xml", "--", "touch", mark)
    assert done.returncode == 1 and "--junit /nowhere/j.xml: cannot be written: No such file" in done.stderr
    assert not os.path.exists(mark)


def test_file_and_report(grow, directory):
    """What an XML parser finds: one test case a budget, counted right, names unharmed."""
    hostile = "a</testcase><![CDATA[ & \"'\u202e"
    budgets, report = os.path.join(directory, "b.yaml"), os.path.join(directory, "j.xml")
    with open(budgets, "w", encoding="utf-8") as file:
        file.write(
            f"- name: >-\n    {hostile}\n  expr: 'role(\"*\").peak > 1M'\n  note: <note>\n"
            "- name: fill\n  expr: phase('fill').rss > 1G\n- expr: phase('never').peak > 1\n"
        )
    for options, errors, skipped in (([], 0, 1), (["--strict"], 1, 0)):
        done = grow(0, "--budget", budgets, "--junit", report, *options)
        assert done.returncode == 7, done.stderr
        assert len(broken(done)) == 1 and "(<note>)" in broken(done)[0]
        suites = ET.parse(report).getroot()
        assert suites.tag == "testsuites" and [one.tag for one in suites] == ["testsuite"]
        suite = suites[0]
        counts = {key: int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")}
        assert counts == {"tests": 3, "failures": 1, "errors": errors, "skipped": skipped}
        assert float(suite.get("time")) > 0.5 and suite.get("name") and suite.get("timestamp")
        assert all(case.tag == "testcase" and case.get("classname") and case.get("time") for case in suite)
        first, second, third = suite
        assert first.get("name") == hostile.replace("\u202e", "\\u{202e}")
        assert first.find("failure").get("message").startswith('role("*").peak is ')
        assert "<note>" in first.find("failure").text
        assert second.get("name") == "fill" and second.find("failure") is None and "60." in second.find("system-out").text
        assert third.find("error" if errors else "skipped").get("message") == "phase('never').peak: it never ran"
    assert [name for name in os.listdir(directory) if name.startswith("j.xml")] == ["j.xml"]


def test_the_report_on_a_full_disk(grow):
    done = grow(0, "--fail-if", "tree.peak > 100G", "--junit", "/dev/full")
    assert done.returncode == 1, done.stderr
    assert "--junit /dev/full: writing failed: No space left on device" in done.stderr


def test_the_document_names_every_field():
    """docs/budgets.md and what the parser says it takes."""
    with open(os.path.join(TREE, "docs", "budgets.md")) as file:
        text = file.read()
    tool = os.path.join(TREE, "build", "ramtrack-bpf")
    for subject in ("tree", "run", "outside", "lost", 'role("x")', 'phase("x")'):
        said = subprocess.run([tool, "--fail-if", subject + ".?", "-p", "1"], capture_output=True, text=True).stderr
        fields = said.split("expected ", 1)[1].split(", found", 1)[0].split(", ")
        assert fields and all(f"`{name}`" in text or f".{name}" in text for name in fields), (subject, fields)


def test_the_peak_of_all_is_the_kernels_sum_at_one_moment(tool, python):
    """The parent's page tables and its children's, read from outside while all of them stand still."""
    sums = {}

    def look(name, pid):
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            family = [pid, *map(int, file.read().split())]
        sums[name] = sum(rollup(one)["rss"] for one in family)

    said = trace(tool, python, "together.py", phases=PHASES, on_stop=look)
    highest = max(sums, key=sums.get)
    assert highest == "second", sums
    assert 0 <= said.summary["tree_peak_bytes"] - sums["second"] <= TOLERANCE, (said.summary["tree_peak_bytes"], sums)
    peaks = [process["rss_peak_bytes"] for process in said.summary["processes"]]
    assert sum(peaks) > sums["second"] + 20 * 2**20 and max(peaks) < sums["second"] - 10 * 2**20, (peaks, sums)
    assert said.summary["tree_end_bytes"] == 0


def test_a_report_judges_as_the_live_run_does(run_tool, grow, directory):
    ledger = os.path.join(directory, "run.ledger")
    budgets = ["--fail-if", 'phase("fill").rss > 50M', "--fail-if", "tree.peak > 59M", "--fail-if", 'phase("never").rss > 1M']
    live = grow(3, "--record", ledger, *budgets)
    again = run_tool("report", "--lang", "en", *budgets, ledger)
    assert live.returncode == again.returncode == 7
    said = [[line for line in done.stderr.splitlines() if "bpf: budget " in line] for done in (live, again)]
    assert said[0] == said[1] and len(broken(live)) == 2, said
    # by another profile's phases, which are checked before anything is read
    other = write_profile(os.path.join(directory, "other.yaml"), [phase("drop", "drop", "grow.py")])
    done = run_tool("report", "-P", other, "--fail-if", 'phase("drop").rss < -30M', ledger)
    assert done.returncode == 7 and 'phase("drop").rss is -' in broken(done)[0], done.stderr
    done = run_tool("report", "-P", other, *budgets, ledger)
    assert done.returncode == 2 and "profile test has no phase 'fill'" in done.stderr and not done.stdout
    done = run_tool("report", "--fail-if", "tree.peak > 1G", "--junit", os.path.join(directory, "j.xml"), ledger, ledger)
    assert done.returncode == 2 and "--junit takes one ledger at a time" in done.stderr


def test_native_functions(tool, python, library, run_tool, directory):
    """What C++ functions asked for, by name and by kind, is the sum of their records to the byte."""
    ledger = os.path.join(directory, "run.ledger")
    said = Run(tool, python, library(), "shapes", options=["--record", ledger]).said
    rows = said.summary_of(said.pid)["native"]
    shm = sum(row["bytes"] for row in rows if row["kind"] == "shm")
    in_phase = [row for row in rows if row["symbol"].endswith("my_malloc") and row["phase"] == "phase_one"]
    assert shm > 0 and in_phase
    for expr, status in (
        (f'native("shm").bytes == {shm} and native("*init_shm").bytes == {shm}', 7),
        (f'native("shm").bytes > {shm}', 0),
        (f'phase("phase_one").native("*my_malloc").calls == {sum(row["calls"] for row in in_phase)}', 7),
        ('phase("phase_two").native("*my_malloc").calls > 0', 0),
        ('native("no_such").calls == 0', 7),
    ):
        done = run_tool("report", "--fail-if", expr, ledger)
        assert done.returncode == status, (expr, rows, done.stderr)
