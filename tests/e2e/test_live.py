# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""What is shown while the target runs or stands still: exact totals, promptness, last words, signals, two targets at
once."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time

import pytest

from harness import (
    PAGE,
    PATIENCE,
    Target,
    compare,
    kill_hard,
    phase,
    read_ndjson,
    rollup,
    trace,
    wait_until,
    write_profile,
)

LIVE = [phase(name, name, "live.py") for name in ("hold", "growing", "shrinking", "holding_inside", "dying")]


@contextlib.contextmanager
def attached(tool, python, *args, options=(), env=None, tool_env=None):
    """A target at its first stop, with the tool attached to it."""
    profile = write_profile(os.path.join(tool.directory, "profile.yaml"), LIVE)
    with python.stage() as stage, contextlib.closing(Target(python, stage, "live.py", args, env)) as target:
        open(os.path.join(target.here, "keep_running"), "w").close()
        target.start()
        assert target.next_stop(target.process) == "start", target.output()
        tool.start([*options, "-p", target.pid], tool_env, profile)
        tool.wait_attached([target.pid])
        yield target


@pytest.mark.parametrize("mode", ["launch", "attach"])
def test_totals_equal_the_kernels_rss_while_the_target_stands_still(tool, python, mode):
    outside = []

    def look(name, pid):
        if name == "hold":
            time.sleep(0.2)
            outside.append(rollup(pid))

    said = trace(tool, python, "live.py", "holds", mode=mode, phases=LIVE, on_stop=look)
    for edge in ("enter", "exit"):
        told = said.of("checkpoint", pid=said.pid, phase="hold", edge=edge)
        assert len(told) == len(outside), f"{len(told)} {edge} checkpoints, {len(outside)} stops"
        pairs = [
            ({"rss": record["rss_bytes"], "anon": record["anon_bytes"]}, true) for record, true in zip(told, outside)
        ]
        # The first two stops warm up what a first call costs inside the phase.
        wrong = [
            f"stop {number}: tool {ours} kernel {true}"
            for number, (ours, true) in enumerate(pairs)
            if number >= 2 and ours != true
        ]
        assert not wrong, f"RSS at {edge} of hold:\n" + "\n".join(wrong)
    compare(said, said.truth, ["growing", "shrinking"])


def test_four_threads_at_once(tool, python):
    outside = []

    def look(name, pid):
        if name == "hold":
            time.sleep(0.1)
            outside.append(rollup(pid))

    phases = [
        phase("hold", "hold", "churn.py"),
        phase("first", "churn_first", "churn.py"),
        phase("second", "churn_second", "churn.py"),
    ]
    said = trace(
        tool,
        python,
        "churn.py",
        PATIENCE / 20,
        mode="attach",
        phases=phases,
        on_stop=look,
    )
    told = [record["rss_bytes"] for record in said.of("checkpoint", pid=said.pid, phase="hold", edge="enter")]
    # The first stop warms up what a first call costs inside the phase.
    assert len(told) == len(outside) == 2 and told[1] == outside[1]["rss"], f"tool {told}, kernel {outside}"
    gained = sum(entry["gained_bytes"] for entry in said.summary_of(said.pid)["phases"]) // PAGE
    rounds = said.truth["facts"]["rounds"]
    assert gained >= 320 * (
        rounds[0] + rounds[1]
    ), f"{gained} pages gained in phases, the two threads touched {rounds[:2]} x 320"


def test_interrupt_gives_the_summary_with_the_kernels_rss(tool, python):
    with attached(tool, python, "holds") as target:
        for _ in range(4):
            target.go()
            assert target.next_stop(target.process) == "hold"
        time.sleep(0.2)
        true = rollup(target.pid)
        tool.interrupt()
        assert tool.wait(10) == 0
        said = tool.said(target)
        assert said.summary_of(target.pid)["rss_end_bytes"] == true["rss"], (said.summary_of(target.pid), true)
        assert said.summary["unaccounted_bytes"] == 0
        assert target.process.poll() is None, "the target ended with the tool"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["TERM", "HUP"])
def test_other_signals_end_the_run_too(tool, python, number):
    with attached(tool, python, "steady") as target:
        target.go()
        wait_until(lambda: any(record["type"] == "phase" for record in tool.records()))
        tool.process.send_signal(number)
        assert tool.wait(10) == 0
        assert tool.records()[-1]["type"] == "summary"
        assert target.process.poll() is None


def test_a_second_signal_ends_it_at_once(tool, python):
    with attached(tool, python, "steady") as target:
        target.go()
        wait_until(lambda: any(record["type"] == "phase" for record in tool.records()))
        start = time.monotonic()
        tool.interrupt()
        tool.interrupt()
        tool.wait(10)
        assert time.monotonic() - start < 2
        assert tool.process.returncode not in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGKILL)
        assert target.process.poll() is None


def test_duration(tool, python):
    with attached(tool, python, "steady", options=["--duration", "2s"]) as target:
        start = time.monotonic()
        target.go()
        assert tool.wait(15) == 0
        assert 0.5 < time.monotonic() - start < 6
        said = tool.said(target)
        assert 1.5e9 < said.summary["duration_ns"] < 3.5e9, said.summary["duration_ns"]
        assert said.of("phase", phase="growing") and target.process.poll() is None


def test_a_phase_that_ended_is_shown_within_a_second_though_its_thread_sleeps(tool, python):
    with attached(tool, python, "ended") as target:
        target.go()
        shown = {}

        def both_shown():
            now = time.monotonic_ns()
            if "json" not in shown and any(r["type"] == "checkpoint" and r["edge"] == "exit" for r in tool.records()):
                shown["json"] = now
            if "log" not in shown and "阶段growing之后" in tool.text(tool.log):
                shown["log"] = now
            return len(shown) == 2

        assert wait_until(
            both_shown, 6
        ), f"only {sorted(shown)} of the log and JSON showed the phase\n{tool.text(tool.errors)}"
        target.serve(target.process)
        tool.wait()
        assert target.notes, "the target did not say when the phase ended"
        late = {kind: (when - target.notes[0][1]) / 1e9 for kind, when in shown.items()}
        assert max(late.values()) < 1.05, f"seconds after the phase's end: {late}"


@pytest.mark.parametrize("mode", ["launch", "attach"])
def test_the_last_line_of_a_killed_process_is_not_lost(tool, python, mode):
    said = trace(tool, python, "live.py", "killed", mode=mode, phases=LIVE, status=137 if mode == "launch" else 0)
    dying = said.of("phase", pid=said.pid, phase="dying")
    assert len(dying) == 1 and abs(dying[0]["rss_delta_bytes"] // PAGE - 1536) <= 16, dying
    assert [record["edge"] for record in said.of("checkpoint", phase="dying")] == ["enter", "exit"]
    end = said.of("process", pid=said.pid, event="exit")
    assert len(end) == 1 and end[0]["signal"] == signal.SIGKILL, end
    assert "阶段dying" in said.log, said.log


def test_two_processes_at_once(tool, python):
    """Both do the same things at the same time; none of it may end up with the other."""
    profile = write_profile(os.path.join(tool.directory, "profile.yaml"), LIVE)
    with contextlib.ExitStack() as stack:
        targets = []
        for _ in range(2):
            target = stack.enter_context(
                contextlib.closing(Target(python, stack.enter_context(python.stage()), "live.py", ["holds"]))
            )
            target.start()
            assert target.next_stop(target.process) == "start"
            targets.append(target)
        pids = [target.pid for target in targets]
        tool.start([word for pid in pids for word in ("-p", pid)], None, profile)
        tool.wait_attached(pids)
        while any(target.process.poll() is None for target in targets):
            for target in targets:
                target.go()
            for target in targets:
                target.next_stop(target.process)
        assert tool.wait() == 0
        for target in targets:
            said = tool.said(target)
            compare(said, said.truth, ["growing", "shrinking"])
        assert said.of("start")[0]["targets"] == pids
        assert said.summary["unaccounted_bytes"] == 0
        others = [line for line in said.log.splitlines() if f"pid={pids[1]})" in line]
        firsts = [line for line in said.log.splitlines() if f"pid={pids[0]})" in line and line.startswith("(")]
        assert others and not firsts, said.log


def test_no_follow(tool, python):
    said = trace(tool, python, "children.py", "forked_kids", mode="attach", options=["--no-follow"])
    assert [entry["pid"] for entry in said.summary["processes"]] == [said.pid]


LOG_LINE = {
    "zh": re.compile(
        r"^(\(\S+ pid=\d+\) )?INFO: (?P<label>.+?) (?P<verb>占用|释放) (?P<size>\d+\.\d\d) M RAM内存 "
        r"\(累计: (?P<total>-?\d+\.\d\d) M\)"
        r"( \[[^]]+\])*(?P<tag>（.*）)?$"
    ),
    "en": re.compile(
        r"^(\(\S+ pid=\d+\) )?INFO: (?P<label>.+?) (before|after): (?P<size>[+-]\d+\.\d\d) MiB RSS "
        r"\(total (?P<total>-?\d+\.\d\d) MiB\)"
        r"( \[[^]]+\])*$"
    ),
}


@pytest.mark.parametrize("lang, tag", [("zh", None), ("zh", "mark"), ("zh", ""), ("en", None)])
def test_log_lines_say_what_the_records_say(tool, python, lang, tag):
    options = ["--lang", lang, *(["--tag", tag] if tag is not None else [])]
    said = trace(tool, python, "live.py", "told", phases=LIVE, options=options)
    lines = [line for line in said.log.splitlines() if "INFO: " in line]
    checkpoints = said.of("checkpoint", pid=said.pid)
    assert len(lines) == len(checkpoints) == 4, said.log
    for line, record in zip(lines, checkpoints):
        if lang == "en":
            line = line.replace(" [第二次改动]", "")
        match = LOG_LINE[lang].match(line)
        assert match, f"not the form of the interface: {line!r}"
        assert abs(float(match["total"]) - record["total_bytes"] / 2**20) <= 0.0051, (line, record)
        size = float(match["size"])
        if lang == "zh":
            assert (match["verb"] == "释放") == (record["delta_bytes"] < 0), (line, record)
            assert match["tag"] == {None: "（第二次改动）", "mark": "（mark）", "": None}[tag], line
            size *= -1 if match["verb"] == "释放" else 1
        assert abs(size - record["delta_bytes"] / 2**20) <= 0.0051, (line, record)


def test_min_size_hides_small_lines_but_no_records(tool, python):
    said = trace(tool, python, "live.py", "told", phases=LIVE, options=["-z", "1G"])
    assert len(said.of("checkpoint", pid=said.pid)) == 4
    assert "阶段growing之后" not in said.log, said.log


@pytest.mark.parametrize(
    "target_env, tool_env, tracked",
    [("0", None, False), ("1", None, True), (None, None, True), ("0", "1", True), ("1", "0", False)],
)
def test_the_environment_switch(tool, python, target_env, tool_env, tracked):
    name = "VLLM_ENABLE_RAM_TRACKING"
    with attached(
        tool,
        python,
        "told",
        env={name: target_env} if target_env else None,
        tool_env={name: tool_env} if tool_env else None,
    ) as target:
        target.go()
        target.serve(target.process)
        assert tool.wait() == 0
        said = tool.said(target)
        assert bool(said.of("checkpoint")) == bool(said.of("phase")) == tracked, said.records
        assert ("阶段growing" in said.log) == tracked
        if not tracked:
            assert name in said.errors + said.log, f"no notice that {name} switched tracking off:\n{said.errors}"


def programs_of(tool_pid):
    """Ids of BPF programs and links that this process holds; where bpftool cannot tell, of all."""
    found = set()
    for kind in ("prog", "link"):
        done = subprocess.run(["bpftool", "-j", kind, "list"], capture_output=True, text=True)
        for entry in json.loads(done.stdout or "[]"):
            holders = entry.get("pids")
            if "id" not in entry:
                continue
            if holders is None or any(holder["pid"] == tool_pid for holder in holders):
                found.add((kind, entry["id"]))
    return found


def all_ids():
    """What ends while bpftool lists it is told as an error in its place."""
    return {
        (kind, entry["id"])
        for kind in ("prog", "link")
        for entry in json.loads(
            subprocess.run(["bpftool", "-j", kind, "list"], capture_output=True, text=True).stdout or "[]"
        )
        if "id" in entry
    }


def test_kill_9_of_the_tool_leaves_the_target_running_and_nothing_attached(tool, python):
    if subprocess.run(["sh", "-c", "command -v bpftool"], capture_output=True).returncode:
        pytest.skip("bpftool is not installed")
    before = all_ids()
    with attached(tool, python, "steady") as target:
        target.go()
        wait_until(lambda: any(record["type"] == "phase" for record in tool.records()))
        held = programs_of(tool.process.pid) - before
        assert held, "bpftool shows no program of the tool"
        kill_hard(tool.process)
        left = wait_until(lambda: not held & all_ids(), 10)
        assert left, f"still there: {held & all_ids()}"
        time.sleep(0.3)
        assert target.process.poll() is None, target.output()
        os.unlink(os.path.join(target.here, "keep_running"))
        assert target.process.wait(PATIENCE) == 0, target.output()


def test_json_is_flushed_line_by_line(tool, python):
    """Whoever reads along sees whole lines within a second, not when a buffer is full."""
    with attached(tool, python, "steady") as target:
        target.go()
        first = wait_until(lambda: len([r for r in tool.records() if r["type"] == "phase"]), 5)
        assert first, tool.text(tool.errors)
        assert wait_until(lambda: len([r for r in read_ndjson(tool.json) if r["type"] == "phase"]) > first, 2)
        tool.interrupt()
        assert tool.wait(10) == 0
