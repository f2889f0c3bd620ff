# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The tool ends while processes of the target come and go: every page is accounted for, whichever moment it was."""

import json
import os
import subprocess

from harness import clean_environment, kill_hard, phase, write_profile

# Six children at a time, each with 2 MiB; it says each time that all of them have ended.
CHURN = """
import os
while True:
    children = []
    for number in range(6):
        pid = os.fork()
        if not pid:
            filled = bytearray(2 << 20)
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    os.write(1, b".")
"""
ROUNDS = 1 if "RT_NATIVE" in os.environ else 8  # moments of the end (RT_NATIVE: an emulated machine, where one takes half a minute); before ends stayed attached to while threads are collected, every second one was wrong


def test_every_page_is_accounted_for_when_the_tool_ends_first(run_tool, tmp_path):
    profile = write_profile(tmp_path / "p.yaml", [phase("none", "no_such_function", "nothing.py")])
    wrong = []
    for number in range(ROUNDS):
        churn = subprocess.Popen(["/usr/bin/python3", "-S", "-c", CHURN], stdout=subprocess.PIPE, env=clean_environment())
        try:
            churn.stdout.read(1)
            said_at = tmp_path / f"{number}.ndjson"
            done = run_tool("-q", "-P", profile, "-p", churn.pid, "-j", said_at, "-d", f"{600 + 7 * number}ms")
            assert done.returncode == 0, done.stderr
        finally:
            kill_hard(churn)
        summary = json.loads(said_at.read_text().splitlines()[-1])
        assert summary["type"] == "summary"
        ended = [process for process in summary["processes"] if process["ended"]]
        assert len(ended) >= 6, "the target forked nothing"
        assert summary["lost"]["records"] == 0, summary["lost"]
        off = [(one["pid"], one["ended"], one["unaccounted_bytes"]) for one in summary["processes"] if one["unaccounted_bytes"]]
        if summary["unaccounted_bytes"] or off:
            wrong.append((number, summary["unaccounted_bytes"], off))
    assert not wrong, wrong
