# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""What the interface promises of every record and message, asked as somebody who has only the interface."""

import os
import re

import pytest

from harness import phase, trace


@pytest.mark.parametrize("mode, event", [("launch", "exec"), ("attach", "attach")])
def test_a_beginning_says_what_the_process_is(tool, python, mode, event):
    """Executable, command line and interpreter are known as soon as the process is told of."""
    said = trace(tool, python, "live.py", "exits", 0, mode=mode, phases=[phase("growing", "growing", "live.py")])
    known = ".".join(map(str, python.version)) + "."
    # Launched through a chroot, the process was other programs first; and a Python met for the first time is read while it runs already.
    record = said.of("process", pid=said.pid, event=event)[-1]
    assert record["exe"] and os.path.basename(record["exe"]).startswith("python"), record
    assert "live.py" in record["cmdline"], record
    if mode == "attach" or not python.root:
        assert record["python"] and record["python"].startswith(known), record
    assert not [later for later in said.of("process", pid=said.pid, event="title") if later["cmdline"] == record["cmdline"]]


@pytest.mark.parametrize(
    "arguments, status, wanted",
    [
        (["-p"], 2, r"^ramtrack-bpf: option requires an argument.*\n.*--help"),
        (["--no-such-option"], 2, r"^ramtrack-bpf: unrecognized option '--no-such-option'\n.*--help"),
        (["report", "/nowhere/run.ledger"], 1, r"^ramtrack-bpf: /nowhere/run\.ledger: No such file or directory; give a ledger"),
        (["diff", "/nowhere/a", "/nowhere/b"], 1, r"^ramtrack-bpf: /nowhere/a: No such file or directory; give a ledger"),
        (["-P", "/nowhere/p.yaml", "--", "/bin/true"], 1, r"^ramtrack-bpf: /nowhere/p\.yaml: the profile cannot be read: No such file or directory; give "),
    ],
)
def test_errors_say_what_to_do_next(run_tool, arguments, status, wanted):
    done = run_tool(*arguments)
    assert done.returncode == status and re.search(wanted, done.stderr), (done.returncode, done.stderr)
    assert not done.stdout
