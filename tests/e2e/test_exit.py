# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The command's own end is the run's end, and programs that throw survive every option."""

import os

import pytest

from harness import check_conservation, phase, trace, write_profile


@pytest.fixture
def profile(directory):
    return write_profile(os.path.join(directory, "p.yaml"), [phase("a", "f")])


@pytest.mark.parametrize(
    "command, status",
    [
        (["/bin/true"], 0),
        (["/bin/false"], 1),
        (["/bin/sh", "-c", "exit 7"], 7),
        (["/bin/sh", "-c", "kill -TERM $$"], 143),
        (["/bin/sh", "-c", "kill -KILL $$"], 137),
        (["/bin/sh", "-c", "kill -SEGV $$"], 139),
        (["/usr/bin/python3", "-S", "-c", "import sys; sys.exit(3)"], 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_exit_status_of_the_command(run_tool, profile, command, status):
    done = run_tool("-P", profile, "--", *command)
    assert done.returncode == status, done.stderr


def test_status_of_a_traced_python(tool, python):
    said = trace(tool, python, "live.py", "exits", 42, phases=[phase("growing", "growing", "live.py")], status=42)
    assert said.of("process", pid=said.pid, event="exit")[0]["exit_code"] == 42


def test_command_is_missing(run_tool, profile, directory):
    done = run_tool("-P", profile, "--", os.path.join(directory, "no-such-command"))
    assert done.returncode == 127 and "no-such-command" in done.stderr, (done.returncode, done.stderr)


def test_command_is_not_executable(run_tool, profile, directory):
    path = os.path.join(directory, "text")
    with open(path, "w") as file:
        file.write("just text\n")
    for command in (path, directory):
        done = run_tool("-P", profile, "--", command)
        assert done.returncode == 126 and command in done.stderr, (done.returncode, done.stderr)


def test_command_keeps_its_own_input_and_output(run_tool, profile, directory):
    log = os.path.join(directory, "log")
    done = run_tool("-P", profile, "-o", log, "--", "/bin/sh", "-c", "echo to-out; echo to-err >&2")
    assert done.returncode == 0 and "to-out\n" in done.stdout and "to-err\n" in done.stderr
    with open(log) as file:
        assert "to-out" not in file.read()


def test_command_runs_as_the_invoking_user(run_tool, profile):
    done = run_tool(
        "-P",
        profile,
        "-o",
        "/dev/null",
        "--",
        "/usr/bin/id",
        env={"SUDO_UID": "65534", "SUDO_GID": "65534", "SUDO_USER": "nobody"},
    )
    assert done.returncode == 0 and "uid=65534" in done.stdout and "gid=65534" in done.stdout, (
        done.stdout,
        done.stderr,
    )


def test_strict_on_a_good_run(tool, python):
    said = trace(tool, python, "live.py", "told", phases=[phase("growing", "growing", "live.py")], options=["--strict"])
    check_conservation(said)


OPTIONS = [
    [],
    ["--python-entry", "uprobe"],
    ["--python-entry", "off"],
    ["--sample-hz", "0"],
    ["--sample-hz", "1000"],
    ["--json-growth"],
    ["--no-follow"],
    ["--native-alloc"],
    ["--no-mappings"],
    ["--python-entry", "uprobe", "--sample-hz", "999", "--json-growth", "--strict"],
]


def option_names(options):
    return " ".join(options) or "default"


@pytest.mark.parametrize("options", OPTIONS, ids=option_names)
def test_a_program_that_throws_ends_normally(run_tool, compile_native, directory, options):
    if options and options[0] not in run_tool("--help").stdout:
        pytest.skip(f"this version has no {options[0]}")
    program = compile_native("throw.cpp", os.path.join(directory, "thrower"))
    native = [{"symbol": "my_malloc_like", "library": "thrower", "kind": "device"}]
    profile = write_profile(os.path.join(directory, "native.yaml"), [phase("a", "f")], native=native)
    done = run_tool("-P", profile, "-o", "/dev/null", "-j", os.path.join(directory, "j"), *options, "--", program)
    assert done.returncode == 0 and "caught 400" in done.stdout, (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[-1]], ids=option_names)
def test_python_that_calls_what_throws(tool, python, compile_native, options):
    """Exceptions unwind C++ frames between Python's; the library is linked to run in an older root too."""

    def build(folder):
        compile_native(
            "throw.cpp",
            os.path.join(folder, "libthrow.so"),
            "-shared",
            "-fPIC",
            "-DAS_LIBRARY",
            "-static-libstdc++",
            "-static-libgcc",
        )

    said = trace(
        tool,
        python,
        "throwing.py",
        "libthrow.so",
        phases=[phase("calling", "calling", "throwing.py")],
        options=options,
        prepare=build,
    )
    assert sum(record["rss_delta_bytes"] for record in said.of("phase", pid=said.pid, phase="calling")) >= 200 * 4096
