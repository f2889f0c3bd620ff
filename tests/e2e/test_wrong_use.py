# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Mistakes of the user and of the system: exit status and message by the interface, and the target untouched."""

import json
import os
import select
import shutil
import signal
import subprocess
import time

import pytest

from harness import kill_hard, phase, wait_until, write_profile

GOOD = "name: good\nphases:\n  - id: one\n    function: f\n    label: one\n"


STEPPING = """
import mmap, time
def step():
    memory = mmap.mmap(-1, 1 << 20)
    for offset in range(0, 1 << 20, 4096):
        memory[offset] = 1
    memory.close()
while True:
    step()
    time.sleep(0.02)
"""


@pytest.fixture
def profile(directory):
    return write_profile(os.path.join(directory, "profile.yaml"), [phase("step", "step")])


@pytest.fixture
def stepping():
    """A process that enters and leaves a phase fifty times a second."""
    process = subprocess.Popen(["/usr/bin/python3", "-S", "-c", STEPPING])
    yield process
    kill_hard(process)


def says(done, status, *words):
    assert (
        done.returncode == status
    ), f"exit status {done.returncode}, not {status}\nstdout: {done.stdout}\nstderr: {done.stderr}"
    for word in words:
        assert word in done.stderr, f"{word!r} is not in the message: {done.stderr!r}"


def free_pid():
    with open("/proc/sys/kernel/pid_max") as file:
        pid = int(file.read()) - 1
    while os.path.exists(f"/proc/{pid}"):
        pid -= 1
    return pid


def test_no_such_pid(run_tool, profile):
    pid = free_pid()
    says(run_tool("-P", profile, "-p", pid), 3, str(pid))


def test_kernel_thread(run_tool, profile):
    with open("/proc/2/cmdline") as cmdline, open("/proc/2/comm") as comm:
        if cmdline.read() or comm.read() != "kthreadd\n":
            pytest.skip("PID 2 is no kernel thread here (a PID namespace)")
    says(run_tool("-P", profile, "-p", 2), 3, "2")


def test_zombie(run_tool, profile):
    process = subprocess.Popen(["/bin/true"])
    assert wait_until(lambda: open(f"/proc/{process.pid}/stat").read().rsplit(")", 1)[1].split()[0] == "Z")
    says(run_tool("-P", profile, "-p", process.pid), 3, str(process.pid))
    process.wait()


def test_pid_1(run_tool, profile):
    done = run_tool("-P", profile, "--no-follow", "-d", "1", "-p", "1")
    assert done.returncode in (0, 3, 4), done.stderr
    assert done.returncode == 0 or "1" in done.stderr
    assert os.path.exists("/proc/1")


def test_one_good_and_one_missing_target(run_tool, sleeper, profile):
    pid = free_pid()
    says(run_tool("-P", profile, "-p", sleeper.pid, "-p", pid, "-d", "1"), 3, str(pid))
    assert sleeper.poll() is None


def test_process_that_ends_during_attach(run_tool, profile):
    for delay in (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5):
        process = subprocess.Popen(["/usr/bin/python3", "-S", "-c", f"import time; time.sleep({delay})"])
        tool = subprocess.Popen(
            [run_tool.path, "-P", profile, "-p", str(process.pid)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            process.wait(10)
            _, errors = tool.communicate(timeout=20)
            assert tool.returncode in (0, 3), f"target lived {delay} s: exit status {tool.returncode}\n{errors}"
            assert tool.returncode == 0 or str(process.pid) in errors, errors
        finally:
            kill_hard(tool)


@pytest.mark.parametrize(
    "args",
    [
        ["--no-such-option"],
        ["-p"],
        ["-p", "abc"],
        ["-p", "-3"],
        ["-p", "0"],
        ["-p", "99999999999999999999"],
        [],
        ["--"],
        ["-d", "soon", "-p", "1"],
        ["-z", "much", "-p", "1"],
        ["--lang", "xx", "-p", "1"],
        ["--sample-hz", "-1", "-p", "1"],
        ["--python-entry", "magic", "-p", "1"],
        ["-p", "1", "--", "/bin/true"],
    ],
    ids=lambda args: " ".join(args) or "nothing",
)
def test_usage(run_tool, args):
    says(run_tool(*args), 2)


def test_usage_message_names_the_mistake(run_tool):
    says(run_tool("--no-such-option"), 2, "no-such-option")
    says(run_tool("-p", "abc"), 2, "abc")
    says(run_tool("-d", "soon", "-p", "1"), 2, "soon")


def test_help_and_version(run_tool):
    done = run_tool("--help")
    assert done.returncode == 0 and "--profile" in done.stdout and "--json" in done.stdout
    done = run_tool("--version")
    assert done.returncode == 0 and done.stdout.strip()


BAD_PROFILES = {
    "unknown key": ("name: x\nphases:\n  - id: a\n    function: f\n    colour: red\n    label: a\n", 5, "colour"),
    "unknown top key": ("name: x\nphase:\n  - id: a\n", 2, "phase"),
    "duplicate id": (GOOD + "  - id: one\n    function: g\n    label: x\n", 6, "one"),
    "bad regex": (GOOD + "  - id: two\n    function: g\n    label: x\n    statement: 'a('\n", 9, "a("),
    "no phases": ("name: x\nphases: []\n", 2, "phases"),
    "phases missing": ("name: x\n", None, "phases"),
    "no id": ("name: x\nphases:\n  - function: f\n    label: a\n", 3, "id"),
    "no function": ("name: x\nphases:\n  - id: a\n    label: a\n", 3, "function"),
    "phases is no list": ("name: x\nphases: 7\n", 2, "phases"),
    "not YAML": ("name: x\nphases: [\n  - {{{\n", None, ""),
    "empty": ("", None, ""),
    "a list on top": ("- a\n- b\n", 1, ""),
    "binary": ("\x00\x01\x02", None, ""),
}


@pytest.mark.parametrize("kind", BAD_PROFILES)
def test_bad_profile(run_tool, directory, sleeper, kind):
    text, line, word = BAD_PROFILES[kind]
    path = os.path.join(directory, "bad.yaml")
    with open(path, "w") as file:
        file.write(text)
    done = run_tool("-P", path, "-d", "1", "-p", sleeper.pid)
    says(done, 1, path, word)
    if line:
        assert f"{path}:{line}:" in done.stderr, f"not at line {line}: {done.stderr}"
    assert sleeper.poll() is None


def test_profile_that_cannot_be_read(run_tool, directory, sleeper):
    for name in ("missing.yaml", "no-such-profile", "folder.yaml"):
        os.makedirs(os.path.join(directory, "folder.yaml"), exist_ok=True)
        path = os.path.join(directory, name) if name.endswith(".yaml") else name
        says(run_tool("-P", path, "-d", "1", "-p", sleeper.pid), 1, name)


FILES = ["-o", "-j", "--perfetto", "--folded", "--prom"]


@pytest.mark.parametrize("option", FILES)
def test_unwritable_output(run_tool, directory, profile, sleeper, option):
    for path in (os.path.join(directory, "no-such-folder", "out"), directory):
        says(run_tool(option, path, "-P", profile, "-d", "1", "-p", sleeper.pid), 1, path)
    assert sleeper.poll() is None


@pytest.mark.parametrize("option", FILES)
def test_full_disk(run_tool, profile, stepping, option):
    """There is something to write: the target enters and leaves a phase all the time."""
    says(run_tool(option, "/dev/full", "-P", profile, "-d", "1", "-p", stepping.pid), 1, "/dev/full", os.strerror(28))
    assert stepping.poll() is None


def test_full_disk_on_standard_output(run_tool, profile, stepping):
    with open("/dev/full", "w") as full:
        done = run_tool("-P", profile, "-d", "1", "-p", stepping.pid, stdout=full)
    says(done, 1, os.strerror(28))


def test_closed_pipe(run_tool, profile, stepping):
    """`ramtrack-bpf ... | head -1`: it ends, without a crash, and the target runs on."""
    command = [run_tool.path, "-P", profile, "-p", str(stepping.pid)]
    tool = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert select.select([tool.stdout], [], [], 10)[0] and tool.stdout.readline(), "no line within 10 s"
        tool.stdout.close()
        tool.stdout = None
        status = tool.wait(10)
        errors = tool.stderr.read().decode()
        assert status in (0, 1, 128 + signal.SIGPIPE, -signal.SIGPIPE), f"exit status {status}\n{errors}"
        assert len(errors.splitlines()) <= 5, errors
        assert stepping.poll() is None, "the target ended with the pipe"
    finally:
        kill_hard(tool)


@pytest.mark.parametrize("option", ["--perfetto", "--folded", "--prom"])
def test_closed_pipe_of_a_format(run_tool, directory, profile, stepping, option):
    """Whoever reads it goes: it is said, once, and the target runs on."""
    command = [run_tool.path, "-P", profile, "-d", "1", "-o", os.path.join(directory, "log"), option, "/dev/stdout", "-p", str(stepping.pid)]
    with subprocess.Popen(["/bin/true"], stdin=subprocess.PIPE) as reader:
        reader.wait(10)
        done = subprocess.run(command, stdout=reader.stdin, stderr=subprocess.PIPE, text=True, timeout=60)
    says(done, 1, "/dev/stdout", os.strerror(32))
    assert stepping.poll() is None


def test_two_outputs_to_one_file(run_tool, directory, profile, sleeper):
    path = os.path.join(directory, "out")
    for one, other in (("-o", "--prom"), ("-j", "--perfetto"), ("--folded", "--prom")):
        done = run_tool("-P", profile, "-d", "1", one, path, other, path, "-p", sleeper.pid)
        says(done, 2, other, path)
    for wrong in (["--value", "held"], ["--value", "most", "--folded", path], ["--prom", "-"], ["--folded", ""]):
        says(run_tool("-P", profile, "-d", "1", *wrong, "-p", sleeper.pid), 2, wrong[0])


def test_no_privilege(run_tool, tool_path, directory, sleeper):
    """As nobody, without capabilities; the tool is copied to where nobody may read it."""
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is not installed")
    copy = shutil.copy(tool_path, os.path.join(directory, "ramtrack-bpf"))
    os.chmod(copy, 0o755)
    profile = write_profile(os.path.join(directory, "profile.yaml"), [phase("a", "f")])
    os.chmod(profile, 0o644)
    for what in (["-p", str(sleeper.pid)], ["--", "/bin/true"]):
        done = subprocess.run(
            ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", copy, "-P", profile, *what],
            capture_output=True,
            text=True,
            timeout=20,
        )
        says(done, 4)
        assert "sudo" in done.stderr or "CAP_" in done.stderr, f"does not say what to do: {done.stderr}"
    assert sleeper.poll() is None


def test_output_is_not_touched_when_the_target_is_wrong(run_tool, directory, profile):
    """A run that never began must not cost the result of an earlier one."""
    path = os.path.join(directory, "out.ndjson")
    with open(path, "w") as file:
        json.dump({"kept": True}, file)
    says(run_tool("-P", profile, "-j", path, "-p", free_pid()), 3)
    with open(path) as file:
        assert json.load(file) == {"kept": True}


def test_messages_end_lines_and_hold_no_control_characters(run_tool, directory, profile):
    """Names come from the target and from the command line: nothing of theirs may steer the terminal."""
    program = os.path.join(directory, "evil\x1b[31m\n.py")
    with open(program, "w") as file:
        file.write("import time; time.sleep(0.5)\n")
    done = run_tool(
        "-P",
        profile,
        "--",
        "/usr/bin/python3",
        "-S",
        program,
    )
    assert done.returncode == 0, done.stderr
    assert "\x1b[31m" not in done.stdout + done.stderr


def test_nothing_is_left_running(run_tool, profile):
    """A command that outlives its parent's pipes still ends with the run's own end."""
    start = time.monotonic()
    done = run_tool("-P", profile, "--", "/bin/sh", "-c", "sleep 0.2")
    assert done.returncode == 0 and time.monotonic() - start < 10, done.stderr
