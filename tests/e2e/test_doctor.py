# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""doctor says what the tool then does, as root and without privilege; of a process it says what the process itself says."""

import json
import os
import shutil
import subprocess

import pytest

from harness import Target, kill_hard, phase, trace, write_profile
from test_wrong_use import free_pid, says

NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]

SERVER = """
import threading
class Server:
    def serve(self, ready):
        self.wait_for_work(ready)
    def wait_for_work(self, ready):
        print(ready, flush=True); threading.Event().wait()
        table = bytearray(10)
def helper():
    threading.Event().wait()
threading.Thread(target=helper, daemon=True).start()
Server().serve("ready")
"""
SLEEPING_LINE = 7


@pytest.fixture
def server(directory):
    """A Python that sleeps in a function of a known name."""
    path = os.path.join(directory, "server.py")
    with open(path, "w") as file:
        file.write(SERVER)
    process = subprocess.Popen(["/usr/bin/python3", "-S", path], stdout=subprocess.PIPE, text=True, cwd="/")
    assert process.stdout.readline() == "ready\n"
    process.path = path
    yield process
    kill_hard(process)


@pytest.fixture
def readable_tool(tool_path, directory):
    copy = shutil.copy(tool_path, os.path.join(directory, "ramtrack-bpf"))
    os.chmod(copy, 0o755)
    return copy


def as_nobody(tool, *args):
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is not installed")
    return subprocess.run([*NOBODY, tool, *map(str, args)], capture_output=True, text=True, timeout=30)


def checks(done):
    found = json.loads(done.stdout)
    assert found["type"] == "doctor" and found["schema"] == 1
    assert found["status"] == done.returncode, (found["status"], done.returncode, done.stderr)
    return found, {check["id"]: check for check in found["checks"]}


def test_agrees_with_a_run(run_tool, tool, python):
    found, check = checks(run_tool("doctor", "--json"))
    said = trace(tool, python, "deep.py", phases=[phase("a", "f")], status=found["status"])
    assert found["status"] == 0, found["result"]
    assert said.of("start")[0]["mm_source"].startswith(found["mm_source"]["auto"])
    assert all(one["state"] == "yes" for one in check.values() if one["needed"] and one["id"] != "machine")
    assert all(one["reason"] for one in check.values() if one["state"] == "no")
    assert check["release"]["value"] == os.uname().release


def test_hooks_are_what_this_kernel_has(run_tool):
    """The truth is the kernel's own list of event sources."""
    _, check = checks(run_tool("doctor", "--json"))
    for event, source in (("kprobe", "kprobe"), ("uprobe", "uprobe")):
        there = os.path.isdir(f"/sys/bus/event_source/devices/{source}")
        if not there and event == "kprobe":
            assert check[event]["state"] == "no" and "CONFIG_KPROBES" in check[event]["reason"]
        elif there and event == "uprobe":
            assert check[event]["state"] == "yes", check[event]
    assert check["btf"]["state"] == ("yes" if os.path.exists("/sys/kernel/btf/vmlinux") else "no")


def test_table(run_tool):
    done = run_tool("doctor")
    assert done.returncode == 0, done.stderr
    for words in ("rss_stat", "fexit handle_mm_fault", "CAP_BPF", "source of RSS changes that auto takes: rss_stat", "exit status 0"):
        assert words in done.stdout, f"{words!r} is not in\n{done.stdout}"


def test_without_privilege(readable_tool):
    """It needs no root to print what it can; the status is that of a run."""
    done = as_nobody(readable_tool, "doctor", "--json")
    found, check = checks(done)
    assert done.returncode == 4  # as a run's: test_refusals_name_doctor
    assert check["cap_bpf"]["state"] == "no" and check["btf"]["state"] == "yes"
    for hook in ("rss_stat_btf", "sched_switch", "perf_clock"):
        assert check[hook]["state"] == "no" and "CAP_BPF" in check[hook]["reason"], check[hook]
    assert found["mm_source"]["auto"] == "none"


@pytest.mark.parametrize("caps", ["+bpf,+perfmon,+sys_ptrace,+dac_read_search", "+bpf", "+perfmon"])
def test_agrees_with_a_run_by_capabilities(readable_tool, directory, caps):
    profile = write_profile(os.path.join(directory, "profile.yaml"), [phase("a", "f")])
    os.chmod(profile, 0o644)
    prefix = [*NOBODY, "--inh-caps", caps, "--ambient-caps", caps]
    if not shutil.which("setpriv") or subprocess.run([*prefix, "/bin/true"], capture_output=True).returncode:
        pytest.skip("setpriv --ambient-caps does not work here")
    done, run = (
        subprocess.run([*prefix, readable_tool, *args], capture_output=True, text=True, timeout=30)
        for args in (["doctor", "--json"], ["-P", profile, "--", "/bin/true"])
    )
    found, _ = checks(done)
    assert found["status"] == run.returncode, (found["result"], run.stderr)


def test_refusals_name_doctor(readable_tool, directory, server):
    profile = write_profile(os.path.join(directory, "profile.yaml"), [phase("a", "f")])
    os.chmod(profile, 0o644)
    for what in (["-p", server.pid], ["--", "/bin/true"]):
        done = as_nobody(readable_tool, "-P", profile, *what)
        says(done, 4)
        assert done.stderr.strip().endswith("run: ramtrack-bpf doctor"), done.stderr


def test_other_pid_namespace(run_tool, directory):
    """There a PID means another process: a run that showed nothing would be worse than a refusal."""
    profile = write_profile(os.path.join(directory, "profile.yaml"), [phase("a", "f")])
    prefix = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("unshare --pid --mount-proc does not work here")
    says(run_tool("-P", profile, "--", "/bin/true", prefix=prefix), 3, "PID namespace", "ramtrack-bpf doctor")
    found, check = checks(run_tool("doctor", "--json", prefix=prefix))
    assert found["status"] == 3 and check["initial_pidns"]["state"] == "no"
    assert check["rss_stat_btf"]["state"] == "yes", "hits are counted in any PID namespace"


def test_stack_of_a_process(run_tool, server, directory):
    profile = write_profile(
        os.path.join(directory, "p.yaml"),
        [
            phase("waits", "Server.wait_for_work", "server.py"),
            phase("table", "Server.wait_for_work", "server.py", r"^table = bytearray\("),
            phase("no_statement", "Server.serve", "server.py", "^nothing"),
            phase("no_function", "Server.stop", "server.py"),
            phase("no_file", "f", "no/such/file.py"),
        ],
    )
    done = run_tool("doctor", "--json", "-P", profile, "-p", server.pid)
    found, check = checks(done)
    target = found["target"]
    version = subprocess.run(
        ["/usr/bin/python3", "-c", "import platform; print(platform.python_version())"], capture_output=True, text=True
    )
    assert target["pid"] == server.pid and target["python"] == version.stdout.strip()
    main, other = target["threads"]
    names = [frame["function"] for frame in main["frames"]]
    assert names[-3:] == ["Server.wait_for_work", "Server.serve", "<module>"] and "Event.wait" in names, names
    assert main["frames"][-3]["line"] == SLEEPING_LINE and main["frames"][-3]["file"] == server.path
    assert "helper" in [frame["function"] for frame in other["frames"]]
    assert check["frames_readable"]["state"] == "yes"
    phases = {one["phase"]: one for one in target["phases"]}
    assert {name for name, one in phases.items() if one["found"]} == {"waits", "table"}
    assert phases["table"]["file"] == server.path
    assert "no statement" in phases["no_statement"]["reason"] and "Server.stop" in phases["no_function"]["reason"]
    assert phases["no_file"]["reason"]
    assert server.poll() is None and done.returncode == 0
    text = run_tool("doctor", "-P", profile, "-p", server.pid).stdout
    assert "Server.wait_for_work" in text and f"{server.path}:{SLEEPING_LINE}" in text


def test_every_interpreter(run_tool, python):
    """At its first stop the outermost frame is the script that the target was started with."""
    with python.stage() as stage:
        target = Target(python, stage, "shapes.py")
        try:
            target.start()
            assert target.next_stop(target.process) == "start", target.output()
            found, check = checks(run_tool("doctor", "--json", "-p", target.pid))
            frames = found["target"]["threads"][0]["frames"]
            assert frames and frames[-1]["function"] == "<module>", frames
            assert frames[-1]["file"] == target.script_there, frames
            assert check["frames_readable"]["state"] == "yes"
        finally:
            target.close()


def test_busy_stack(run_tool, directory):
    """A stack that never stands still gives some stack, or says that it moved; never a crash."""
    code = "def f(n):\n    return f(n - 1) if n else 0\nprint('ready', flush=True)\nwhile True: f(20)\n"
    process = subprocess.Popen(["/usr/bin/python3", "-S", "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        for _ in range(5):
            found, _ = checks(run_tool("doctor", "--json", "-p", process.pid))
            thread = found["target"]["threads"][0]
            assert {frame["function"] for frame in thread["frames"]} <= {"f", "<module>"} or thread["moved"], thread
    finally:
        kill_hard(process)


def test_process_without_python(run_tool):
    process = subprocess.Popen(["/bin/sleep", "60"])
    try:
        found, check = checks(run_tool("doctor", "--json", "-p", process.pid))
        assert found["target"]["python"] is None and check["python"]["state"] == "no" and found["status"] == 0
    finally:
        kill_hard(process)


def test_process_of_somebody_else(readable_tool, server, directory):
    profile = write_profile(os.path.join(directory, "profile.yaml"), [phase("a", "f")])
    os.chmod(profile, 0o644)
    found, check = checks(as_nobody(readable_tool, "doctor", "--json", "-P", profile, "-p", server.pid))
    assert found["status"] == 4 and found["target"]["threads"] == []
    assert "root" in check["python"]["reason"]


def test_wrong_pids(run_tool, directory):
    """The words are a run's."""
    profile = write_profile(os.path.join(directory, "profile.yaml"), [phase("a", "f")])
    pids = [free_pid()]
    with open("/proc/2/comm") as comm:
        pids += [2] if comm.read() == "kthreadd\n" else []
    zombie = subprocess.Popen(["/bin/true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    for pid in [*pids, zombie.pid]:
        done, run = (run_tool(*words, "-P", profile, "-p", pid) for words in (["doctor"], []))
        says(done, 3, str(pid))
        assert done.stderr == run.stderr and not done.stdout
    zombie.wait()


@pytest.mark.parametrize("args", [["--nothing"], ["-p"], ["-p", "abc"], ["-p", "0"], ["17"], ["-p", "1", "-p", "2"]], ids=" ".join)
def test_usage(run_tool, args):
    says(run_tool("doctor", *args), 2)


def test_help(run_tool):
    done = run_tool("doctor", "--help")
    assert done.returncode == 0 and "--json" in done.stdout and "ramtrack-bpf doctor" in done.stdout
    assert "doctor" in run_tool("--help").stdout


def test_wrong_profile_and_full_disk(run_tool, server):
    says(run_tool("doctor", "-P", "no-such-profile", "-p", server.pid), 1, "no-such-profile")
    with open("/dev/full", "w") as full:
        says(run_tool("doctor", stdout=full), 1, os.strerror(28))
