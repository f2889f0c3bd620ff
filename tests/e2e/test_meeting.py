# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Whose pages they are when two threads change the same counter at the same time, against the page tables."""

import os

import pytest

import harness
from harness import PAGE

PAGES = 16384
OFF = {"anon": 2, "file": 16, "huge": 2, "churn": 2}  # pages: of a thread's stack, or of a file what is guessed
BATCH = max(32, 2 * os.cpu_count())  # what may be the other thread's where changes of unlike size meet (docs/design.md): the tool counts these
MEETINGS = 4  # of unlike changes, at most: none to two are usual, of 1,024 folds


@pytest.mark.parametrize("what", OFF)
def test_each_thread_has_its_own(run_tool, compile_native, directory, what):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two CPUs")
    if harness.FORCED and harness.FORCED[1] != "rss_stat":
        pytest.skip("sources on faults ask once a fault: whose change it was is not always known")
    if what == "churn" and os.environ.get("RT_BPF_OBJECT") == "old":
        pytest.skip("the programs for kernels before 5.17 do not know a fault from a system call")
    program = compile_native("meeting.c", os.path.join(directory, "meeting"), "-pthread")
    log, ndjson = os.path.join(directory, "log"), os.path.join(directory, "ndjson")
    files = [os.path.join(directory, name) for name in ("first", "second")]
    for path in files if what == "file" else ():
        with open(path, "wb") as file:
            file.write(bytes(PAGES * PAGE))
    for _ in range(4):
        done = run_tool("-o", log, "-j", ndjson, "--json-growth", *harness.FORCED, "--", program, what, *files)
        assert done.returncode == 0, (done.stdout, done.stderr)
        true = dict(map(int, line.split()) for line in done.stdout.split("\n") if len(line.split()) == 2)
        # Of a file the kernel maps around a fault what is cached and not locked just then: mostly all.
        assert len(true) == 2 and max(true.values()) > PAGES * 3 // 4, done.stdout
        records = harness.read_ndjson(ndjson)
        assert records[-1]["unaccounted_bytes"] == 0
        kind = "file_bytes" if what == "file" else "anon_bytes"
        told = {tid: sum(r[kind] for r in records if r["type"] == "growth" and r["tid"] == tid) // PAGE for tid in true}
        guessed = min(records[-1]["counters"]["rss_folds_met"], MEETINGS) * BATCH if what == "churn" else 0
        assert all(abs(told[tid] - true[tid]) <= OFF[what] + guessed for tid in true), (told, true, records[-1]["counters"])
        print(what, {tid: told[tid] - true[tid] for tid in true}, records[-1]["counters"]["rss_folds_met"])
