# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Lines, statements and qualified names of 300 modules of an interpreter's own standard library: what it says of them itself is what the tool reads from
the same tables and sources. No tracing, no root (but for chroot)."""

import os
import re
import shutil
import subprocess

import pytest

from harness import PATIENCE, TREE, clean_environment

DUMPER = os.path.join(TREE, "tests", "unit", "line_truth.py")
MODULES = 320


@pytest.fixture(scope="module")
def dumps():
    return {}


@pytest.fixture
def dump(python, dumps):
    """What this interpreter says, as a dump for `pyprobe compare`."""
    if python.label not in dumps:
        with python.stage() as (here, there):
            shutil.copy(DUMPER, here)
            done = subprocess.run(
                python.command([os.path.join(there, "line_truth.py"), str(MODULES)]),
                capture_output=True,
                timeout=4 * PATIENCE,
                env=clean_environment(),
            )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        dumps.clear()  # one at a time: some 15 MB
        dumps[python.label] = done.stdout
    return dumps[python.label]


def compare(dump):
    """(exit status, counts by name, text)"""
    probe = os.path.join(TREE, "build", "pyprobe")
    if not os.access(probe, os.X_OK):
        pytest.fail(f"{probe} is not there; run make first", pytrace=False)
    done = subprocess.run([probe, "compare"], input=dump, capture_output=True, timeout=4 * PATIENCE)
    text = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
    counts = re.findall(r"(\d+) ([a-z ]+)", text.splitlines()[-1])
    return done.returncode, {name: int(number) for number, name in counts}, text


def test_lines_of_300_modules(dump):
    status, counts, text = compare(dump)
    assert status == 0 and counts["differences"] == 0, text
    assert counts["sources"] >= 300, text
    assert min(counts["statements"], counts["logical lines"]) > 10000, text
    assert min(counts["code objects"], counts["names"]) > 1000 and counts["of them with a line"] > 100000, text
    print(text)


CHANGES = {
    "logical line": (rb"(?m)^line 3\d ", rb"line 30000 "),
    "statement": (rb"(?m)^statement (\d+) (\d+)$", rb"statement \g<1> 0"),
    "instruction": (rb"(?m)^(at .* \d+):(\d+):(\d+):(\d+)$", rb"\1:1\2:1\3:\4"),
    "its logical line": (rb"(?m)^(at .* \d+:\d+:\d+):\d+$", rb"\1:99999"),
    "qualified name": (rb"(?m)^(code .* \w+)\.(\w+)$", rb"\1.<locals>.\2"),
}


def test_a_difference_is_seen(dump):
    """One thing said otherwise, once."""
    start = dump[: dump.index(b"\nend\n", len(dump) // 20) + 5]
    assert compare(start)[0] == 0
    for what, (pattern, change) in CHANGES.items():
        changed, times = re.subn(pattern, change, start, count=1)
        assert times == 1 and changed != start, what
        status, counts, text = compare(changed)
        assert status == 1 and counts["differences"] == 1, f"{what}: {text}"
