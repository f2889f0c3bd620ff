# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Fixtures: the tool, the interpreters, and directories that a tool without privilege can read too."""

import os
import shutil
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import gpu_libraries  # noqa: E402
import harness  # noqa: E402


def interpreter_specs():
    """RT_PYTHONS is separated by colons, and so are the three parts of chroot:ROOT:EXE."""
    words = [word for word in os.environ.get("RT_PYTHONS", "").split(":") if word]
    specs = []
    while words:
        word = words.pop(0)
        specs.append(":".join([word, words.pop(0), words.pop(0)]) if word == "chroot" and len(words) >= 2 else word)
    return specs or ["/usr/bin/python3"]


def pytest_generate_tests(metafunc):
    if "python" in metafunc.fixturenames:
        interpreters = [harness.Interpreter(spec) for spec in interpreter_specs()]
        metafunc.parametrize("python", interpreters, ids=[one.label for one in interpreters], indirect=True)


def pytest_terminal_summary(terminalreporter):
    """What a result must not be read without."""
    for line in gpu_libraries.said:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def _why_missing():
    return {}


@pytest.fixture
def python(request, _why_missing):
    """An interpreter to run targets with; skipped with the reason where it cannot be used."""
    one = request.param
    if one.label not in _why_missing:
        _why_missing[one.label] = one.missing()
    if _why_missing[one.label]:
        pytest.skip(_why_missing[one.label])
    return one


@pytest.fixture(scope="session")
def tool_path():
    """RT_TOOL, or what make builds. Its absence is a failure: a suite that skips everything proves nothing."""
    path = os.path.abspath(os.environ.get("RT_TOOL", os.path.join(harness.TREE, "build", "ramtrack-bpf")))
    if os.geteuid() != 0:
        pytest.skip("needs root: BPF programs are loaded")
    if not os.access(path, os.X_OK):
        pytest.fail(f"{path} is not there; run make first, or set RT_TOOL", pytrace=False)
    return path


@pytest.fixture
def directory():
    """A directory that other users may read too, unlike pytest's own."""
    path = tempfile.mkdtemp(prefix="ramtrack-e2e-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def tool(tool_path, directory):
    one = harness.Tool(tool_path, directory)
    yield one
    harness.kill_hard(one.process)


@pytest.fixture
def run_tool(tool_path):
    """Runs the tool to its end: run_tool(args...) -> CompletedProcess with text."""

    def run(*args, timeout=harness.PATIENCE, env=None, prefix=(), **more):
        more.setdefault("stdout", subprocess.PIPE)
        return subprocess.run(
            [*prefix, tool_path, *map(str, args)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=timeout,
            env={**harness.clean_environment(), **(env or {})},
            **more,
        )

    run.path = tool_path
    return run


@pytest.fixture
def sleeper():
    """A Python process that does nothing for a minute."""
    process = subprocess.Popen(["/usr/bin/python3", "-S", "-c", "import time; time.sleep(60)"])
    yield process
    harness.kill_hard(process)


@pytest.fixture(scope="session")
def compile_native():
    """compile_native(source, output, *flags), or a skip that says which compiler is missing. RT_NATIVE is a directory
    of programs that were compiled before, by the name of their output, for where there is no compiler."""

    def build(source, output, *flags):
        ready = os.path.join(os.environ.get("RT_NATIVE", ""), os.path.basename(output))
        if "RT_NATIVE" in os.environ and os.path.exists(ready):
            return shutil.copy(ready, output)
        compiler = "g++" if source.endswith(".cpp") else "gcc"
        if not shutil.which(compiler):
            pytest.skip(f"{compiler} is not installed")
        subprocess.run(
            [compiler, "-O1", "-Wall", "-Wextra", *flags, "-o", output, os.path.join(harness.TARGETS, source)],
            check=True,
        )
        return output

    return build
