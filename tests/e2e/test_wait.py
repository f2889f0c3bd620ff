# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""--wait: the process that was waited for is traced from its exec, however it was started and whatever else is; nothing
else is in the answer."""

import contextlib
import os
import re
import shlex
import signal
import subprocess

import pytest

from harness import (
    PAGE,
    Target,
    check_conservation,
    check_form,
    compare,
    kill_hard,
    phase,
    rollup,
    trace,
    wait_until,
    write_profile,
)

PHASES = [phase(name, name, "live.py") for name in ("hold", "growing", "shrinking")]
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def by_subprocess(target):
    return target.command


def by_sh_c(target):
    return ["sh", "-c", shlex.join(target.command) + "; exit $?"]


def by_script(target):
    path = os.path.join(target.here, "start.sh")
    with open(path, "w") as file:
        file.write(f"#!/bin/sh\n/bin/true\n{shlex.join(target.command)}\nexit $?\n")
    os.chmod(path, 0o755)
    return [path]


def by_exec(target):
    return ["sh", "-c", "/bin/true; exec " + shlex.join(target.command)]


@contextlib.contextmanager
def others(count):
    """Short processes, some of them Python, that are started while the block runs; one that lives on."""
    script = f"for i in $(seq {count}); do /bin/true; done & /usr/bin/python3 -S -c pass; exec sleep 60"
    process = subprocess.Popen(["sh", "-c", script], start_new_session=True, **QUIET)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def start_waiting(tool, regex, *options, profile=None):
    tool.start([*options, "--wait", regex], profile=profile)
    assert wait_until(
        lambda: "waiting for" in tool.text(tool.errors) or tool.process.poll() is not None
    ), "the tool does not say that it waits"
    assert tool.process.poll() is None, tool.text(tool.errors)


def waited(tool, python, how, crowd):
    """A run of live.py. Returns what the tool said and the kernel's sizes at each stop in `hold`."""
    profile = write_profile(os.path.join(tool.directory, "profile.yaml"), PHASES)
    outside = []

    def look(name, pid):
        if name == "hold":
            outside.append(rollup(pid))

    with python.stage() as stage, contextlib.closing(Target(python, stage, "live.py", ["holds"])) as target:
        try:
            start_waiting(tool, "[ /]" + re.escape(target.script_there), profile=profile)
            with others(crowd):
                with open(os.path.join(target.here, "target.out"), "wb") as out:
                    target.process = subprocess.Popen(
                        how(target), stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=target.env
                    )
                target.serve(target.process, look)
                tool.wait()
        finally:
            kill_hard(tool.process)
        said = tool.said(target)
    assert said.status == 0, f"exit status {said.status}\n{said.errors}\n{target.output()}"
    check_form(said)
    check_conservation(said)
    return said, outside


@pytest.mark.parametrize("how", [by_subprocess, by_sh_c, by_script, by_exec])
def test_from_its_first_page(tool, python, how):
    said, outside = waited(tool, python, how, 50)
    told = said.of("checkpoint", pid=said.pid, phase="hold", edge="exit")
    assert [record["rss_bytes"] for record in told][2:] == [sizes["rss"] for sizes in outside][2:]
    compare(said, said.truth, ["growing", "shrinking"])
    # An exec leaves a stack of few pages; an interpreter that has run for a moment has hundreds.
    start = said.summary_of(said.pid)["rss_start_bytes"]
    assert 0 < start <= 64 * 1024, f"{start // PAGE} pages at the baseline"
    # What is in the answer descends from the process that matched.
    known = {said.of("start")[0]["targets"][0]}
    for record in said.of("process"):
        assert record["pid"] in known or record["ppid"] in known, f"a stranger: {record}"
        known.add(record["pid"])
    assert said.pid in known


def test_the_same_as_by_launch(tool, python):
    if python.root:
        pytest.skip("the command is started through unshare, mount and chroot: other processes differ")
    said, _ = waited(tool, python, by_subprocess, 10)
    launched = trace(tool, python, "live.py", "holds", mode="launch", phases=PHASES)
    for name in ("growing", "shrinking"):
        ours, theirs = ([r["rss_delta_bytes"] for r in one.of("phase", pid=one.pid, phase=name)] for one in (said, launched))
        assert len(ours) == len(theirs) and all(
            abs(a - b) <= 16 * PAGE for a, b in zip(ours, theirs)
        ), f"{name}: by --wait {ours}, by launch {theirs}"
    starts = [one.summary_of(one.pid)["rss_start_bytes"] for one in (said, launched)]
    assert abs(starts[0] - starts[1]) <= 2 * PAGE, f"at the exec: by --wait {starts[0]}, by launch {starts[1]}"


def test_another_tracer_that_waits_is_not_meant(tool, run_tool):
    start_waiting(tool, "no such marker")
    done = run_tool("-d", "0.3", "--wait", "no such marker")
    assert done.returncode == 3, done.stderr
    done = run_tool("-d", "0.3", "--wait", "no such marker", prefix=["env", "X=1"])
    assert done.returncode == 3, done.stderr
    assert tool.process.poll() is None, f"it took another tracer: {tool.text(tool.errors)}"
    tool.interrupt()
    assert tool.wait() == 3


def test_nothing_matches_within_the_time(run_tool, directory):
    path = os.path.join(directory, "out.ndjson")
    with others(20):
        done = run_tool("-d", "500ms", "-j", path, "--wait", "no such program")
    assert done.returncode == 3, done.stderr
    assert "no such program" in done.stderr and "pgrep" in done.stderr and "RAM" not in done.stdout, done
    assert os.path.getsize(path) == 0, "records of a run that was none"


def test_interrupted_while_it_waits(tool):
    start_waiting(tool, "no such program")
    tool.interrupt()
    assert tool.wait() == 3
    assert "Interrupt" in tool.text(tool.errors)


def test_interrupted_after_the_match(tool, directory):
    start_waiting(tool, "^sleep 6[0]$")
    process = subprocess.Popen(["sleep", "60"], **QUIET)
    try:
        assert wait_until(lambda: any(r["type"] == "process" for r in tool.records())), tool.text(tool.errors)
        tool.interrupt()
        assert tool.wait() == 0
        assert process.poll() is None, "the target was ended"
    finally:
        kill_hard(process)
    said = tool.said()
    assert [entry["pid"] for entry in said.summary["processes"]] == [process.pid]
    check_conservation(said)


def test_use(run_tool):
    for args in (["--wait", "a("], ["--wait", ""], ["--wait", "a", "-p", "1"], ["--wait", "a", "--", "true"]):
        done = run_tool(*args)
        assert done.returncode == 2 and "--wait" in done.stderr, (args, done)
