# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""A process that the kernel kills for lack of memory, in a memory cgroup: who, in which phase, at what size."""

import os
import re
import struct
import subprocess

import pytest

import memcg
from harness import FORCED, PAGE, TARGETS, TOLERANCE, Said, check_conservation, check_form, check_schema, phase, read_ndjson, write_profile

LIMIT = 96 << 20
PHASES = [phase(name, name, "oom.py") for name in ("filling", "by_thread", "by_child")]
# Kernels count RSS for themselves in parts of so many pages a CPU and kind: what they print may lack as much (before 6.2: 64 a thread, of which there are two).
LAG = max(max(32, 2 * os.cpu_count()) * os.cpu_count(), 128) * PAGE


def kernel_said(pid):
    """Sizes by kind in the kernel's own line about its kill, in bytes; None: its log cannot be read."""
    done = subprocess.run(["dmesg"], capture_output=True, text=True, errors="replace")
    lines = re.findall(rf"Killed process {pid} \(.*anon-rss:(\d+)kB, file-rss:(\d+)kB, shmem-rss:(\d+)kB", done.stdout)
    return [int(size) << 10 for size in lines[-1]] if lines else None


def killed(run_tool, directory, who, *options):
    """One run of which a process is killed. (what was said, pages that it had touched, its thread)."""
    counted, out = os.path.join(directory, "counted"), os.path.join(directory, "out.ndjson")
    with open(counted, "wb") as file:
        file.write(bytes(PAGE))
    profile = write_profile(os.path.join(directory, "profile.yaml"), PHASES)
    script = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
    try:
        with memcg.limited(LIMIT) as group:
            target = ["/usr/bin/python3", "-B", os.path.join(TARGETS, "oom.py"), counted, who]
            done = run_tool("-P", profile, "--lang", "en", "-j", out, "-o", os.path.join(directory, "log"), *FORCED, *options, "--", "/bin/sh", "-c", script, group, *target)
    except memcg.Missing as why:
        pytest.skip(str(why))
    with open(counted, "rb") as file:
        pages, tid = struct.unpack("=QQ", file.read(16))
    with open(os.path.join(directory, "log")) as file:
        said = Said(read_ndjson(out), file.read(), done.stderr, done.returncode)
    said.text = done.stdout
    return said, pages, tid


@pytest.mark.parametrize("who, name", [("main", "filling"), ("thread", "by_thread"), ("child", "filling")])
def test_killed(run_tool, directory, who, name):
    said, pages, tid = killed(run_tool, directory, who)
    assert said.status == (0 if who == "child" else 128 + 9), said.errors
    check_form(said), check_schema(said), check_conservation(said)
    assert len(said.of("oom")) == 1, f"{said.of('oom')}\n{said.errors}"
    record = said.of("oom")[0]
    # Who: the kernel's signal ended it, and the thread that asked for memory is the one that filled it.
    end = said.of("process", pid=record["pid"], event="exit")[0]
    assert end["signal"] == 9 and end["ts_ns"] >= record["ts_ns"]
    assert record["tid"] == tid and (record["pid"] == tid) == (who != "thread"), (record, tid)
    assert record["phase"] == name and said.summary_of(record["pid"])["oom"] == {key: record[key] for key in ("ts_ns", "phase", "rss_bytes")}
    assert not [entry for entry in said.summary["processes"] if entry["oom"] and entry["pid"] != record["pid"]]
    # How large: what it touched in the phase, by its own count, on top of what it had when the phase began.
    before = [one for one in said.of("checkpoint", pid=record["pid"], phase=name, edge="enter") if one["ts_ns"] <= record["ts_ns"]][-1]
    off = record["anon_bytes"] - before["anon_bytes"] - pages * PAGE
    assert pages > 1000 and abs(off) <= TOLERANCE, f"{off // PAGE} pages: {record} {before} {pages}"
    assert record["rss_bytes"] == record["anon_bytes"] + record["file_bytes"] + record["shmem_bytes"]
    kernel = kernel_said(record["pid"])
    for kind, size in zip(("anon", "file", "shmem"), kernel or ()):
        assert abs(record[f"{kind}_bytes"] - size) <= LAG, f"{kind}: {record} the kernel: {kernel}"
    mib = f"{record['rss_bytes'] / (1 << 20):.2f}"
    assert re.search(rf"WARNING: chosen by the kernel's OOM killer: phase phase {name}, RSS {mib} MiB ", said.log), said.log
    assert re.search(rf"^killed by the kernel for lack of memory \(OOM\): python3 pid {record['pid']}, phase phase {name}, RSS {mib} ", said.text, re.M), said.text


def test_report_of_a_kill(run_tool, directory):
    """The ledger gives the same again: log, records and summary."""
    ledger = os.path.join(directory, "ledger")
    said, _, _ = killed(run_tool, directory, "child", "--record", ledger)
    assert len(said.of("oom")) == 1, said.errors
    again, log = os.path.join(directory, "again.ndjson"), os.path.join(directory, "again.log")
    done = run_tool("report", "--lang", "en", "-j", again, "-o", log, ledger)
    assert not done.returncode, done.stderr
    assert done.stdout == said.text
    for live, later in (("out.ndjson", again), ("log", log)):
        with open(os.path.join(directory, live), "rb") as one, open(later, "rb") as other:
            assert one.read() == other.read(), live


def test_killed_otherwise(run_tool, directory):
    """SIGKILL by somebody is no lack of memory."""
    out = os.path.join(directory, "out.ndjson")
    done = run_tool("-j", out, "-o", os.devnull, "--", "/bin/sh", "-c", "kill -KILL $$")
    assert done.returncode == 137 and "OOM" not in done.stdout
    records = read_ndjson(out)
    assert [one["signal"] for one in records if one["type"] == "process" and one["event"] == "exit"] == [9]
    assert not [one for one in records if one["type"] == "oom"] and records[-1]["processes"][0]["oom"] is None


def test_old_programs(run_tool, directory, monkeypatch):
    """The programs for kernels before 5.17 tell of it as well."""
    monkeypatch.setenv("RT_BPF_OBJECT", "old")
    said, pages, tid = killed(run_tool, directory, "main", "--no-mappings")
    assert [(one["pid"], one["phase"]) for one in said.of("oom")] == [(tid, "filling")], said.errors
    assert pages > 1000
