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


@pytest.mark.parametrize("ids", [{"SUDO_UID": "x", "SUDO_GID": "1"}, {"SUDO_UID": "65534", "SUDO_GID": "-5"}, {"SUDO_UID": "65534"}])
def test_nobody_becomes_root_by_a_bad_number(run_tool, directory, ids):
    """The command is the invoking user's; where nobody can say who that is, it is not started as root."""
    made = os.path.join(directory, "made")
    done = run_tool("--", "/usr/bin/touch", made, env=ids)
    assert done.returncode == 1 and "SUDO_" in done.stderr and "to start the command as root" in done.stderr, done.stderr
    assert not os.path.exists(made)


def test_switched_off_is_said_once_a_process(run_tool, directory):
    """However often it executes another program."""
    script = "exec sh -c 'exec sh -c \"sleep 0.3; exec true\"'"
    done = run_tool("-o", os.path.join(directory, "log"), "--", "/bin/sh", "-c", script, env={}, prefix=["env", "-u", "VLLM_ENABLE_RAM_TRACKING"])
    assert done.returncode == 0 and "VLLM_ENABLE_RAM_TRACKING" not in done.stderr
    done = run_tool("-o", os.path.join(directory, "log"), "--", "/usr/bin/env", "VLLM_ENABLE_RAM_TRACKING=0", "/bin/sh", "-c", script)
    said = re.findall(r"process (\d+): VLLM_ENABLE_RAM_TRACKING=0 in its environment", done.stderr)
    assert done.returncode == 0 and said and len(said) == len(set(said)), done.stderr


def test_a_chain_of_programs_is_no_error(run_tool, directory):
    """A process that is in the middle of an exec when it is looked at: nothing keeps it from anybody, and nothing is said."""
    script = 'n=$1; [ $n -gt 0 ] || exit 0; exec /usr/bin/env sh "$0" $((n - 1))'
    path = os.path.join(directory, "chain.sh")
    with open(path, "w") as file:
        file.write(script)
    for _ in range(5):
        done = run_tool("-o", os.devnull, "--", "/bin/sh", path, 60)
        assert done.returncode == 0 and not done.stderr, done.stderr
