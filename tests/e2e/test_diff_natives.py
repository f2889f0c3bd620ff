# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Native functions of runs, compared: a program that calls C++ functions other numbers of times and for other sizes. What diff says is the arithmetic difference, and what the
library itself read of its page tables."""

import os
import re
import shutil
import tempfile
from collections import Counter

import pytest

import harness
from harness import PAGE
from test_diff import MIB, Page, compare  # noqa: F401
from test_native import Run, library, plain  # noqa: F401

ASKED = 2 * MIB + 100  # no multiple of a page
SHARED, MORE_SHARED = 3 * MIB, 8 * MIB + 5


class Amounts:
    """What natives.py's `sized` does: so many blocks of ASKED bytes, of them so many given back, a segment, calls within a call."""

    def __init__(self, times, given=0, shared=0, outer=0):
        self.times, self.given, self.shared, self.outer = times, given, shared, outer

    def key(self):
        return self.times, self.given, self.shared, self.outer

    def rows(self):
        """{(symbol, op, inner): (calls, bytes, pages inside, of them its own)}, by arithmetic."""

        def pages(size):
            return -(-size // PAGE)

        n, most = pages(ASKED), pages(self.outer)
        rows = {
            ("my_malloc", "alloc", False): (self.times, self.times * ASKED, self.times * n, self.times * n),
            ("my_free", "free", False): (self.given, self.given * ASKED, -self.given * n, -self.given * n),
            ("init_shm", "alloc", False): (1, self.shared, pages(self.shared), pages(self.shared)) if self.shared else (0, 0, 0, 0),
            # three times itself and two inner calls, of twice and three times as much
            ("outer_alloc", "alloc", False): (1, self.outer, 8 * most, 3 * most) if self.outer else (0, 0, 0, 0),
            ("inner_alloc", "alloc", True): (2, 5 * self.outer, 5 * most, 5 * most) if self.outer else (0, 0, 0, 0),
        }
        return {key: row for key, row in rows.items() if row[0]}


@pytest.fixture(scope="module")
def record(tool_path, compile_native):
    """record(Amounts, number) -> a ledger; the same amounts and number are recorded once."""
    out, ledgers = tempfile.mkdtemp(prefix="ramtrack-e2e-"), {}
    os.chmod(out, 0o755)

    def build(directory):
        path = os.path.join(directory, "libnatives.so")
        compile_native("natives.cpp", path, "-shared", "-fPIC", "-O2", "-pthread", "-static-libstdc++", "-static-libgcc")
        os.chmod(path, 0o755)

    def run(amounts, number=0):
        key = (*amounts.key(), number)
        if key not in ledgers:
            path = os.path.join(out, "-".join(map(str, key)) + ".ledger")
            sizes = (ASKED, amounts.times, amounts.given, amounts.shared, amounts.outer)
            made = Run(harness.Tool(tool_path, out), harness.Interpreter("/usr/bin/python3"), build, "sized", *map(str, sizes), options=["--record", path])
            check_truth(amounts, made)
            ledgers[key] = path
        return ledgers[key]

    yield run
    shutil.rmtree(out, ignore_errors=True)


def check_truth(amounts, run):
    """The library's own reading of its page tables says the same as the arithmetic."""
    pages, calls = Counter(), Counter()
    for call in run.notes[run.said.pid]["calls"]:
        pages[call["symbol"]] += call["rss"] // PAGE
        calls[call["symbol"]] += 1
    rows = amounts.rows()
    assert calls == {symbol: row[0] for (symbol, _, _), row in rows.items()}, calls
    assert {symbol: n for symbol, n in pages.items() if n} == {symbol: row[2] for (symbol, _, _), row in rows.items()}, pages


def natives(said):
    """Rows of the phase `sized`, by name; those of the warming up are in none."""
    (process,) = said["processes"]
    rows = [one for one in process["native"] if one["phase"] == "sized"]
    found = {(plain(one["symbol"]), one["op"], one["inner"]): one for one in rows}
    assert len(found) == len(rows)
    return found


def check_difference(said, old, new):
    """Each figure of each function, of one old run and the new one."""
    was, now, found = old.rows(), new.rows(), natives(said)
    assert found.keys() == was.keys() | now.keys()
    for key, one in found.items():
        a, b = was.get(key, (0, 0, 0, 0)), now.get(key, (0, 0, 0, 0))
        for index, name, unit in ((0, "calls", 1), (1, "bytes", 1), (2, "rss_delta_bytes", PAGE), (3, "own_bytes", PAGE)):
            value = one[name]
            assert (value["old"], value["new"], value["difference"]) == ([a[index] * unit], b[index] * unit, (b[index] - a[index]) * unit), (key, name, value)
        kind = "shmem" if key[0] == "init_shm" else "anon"
        assert one[f"{kind}_bytes"]["difference"] == (b[2] - a[2]) * PAGE, (key, one)
        assert one["library"] == "libnatives.so", one
    return found


OLD = Amounts(4, 1, SHARED, MIB)
NEW = Amounts(7, 4, MORE_SHARED, MIB)


def test_calls_sizes_and_pages(record, compare):
    """Three blocks more, three more given back, a larger segment, and calls within a call that are the same."""
    said = compare(record(OLD), record(NEW))
    found = check_difference(said, OLD, NEW)
    assert {key[0] for key, one in found.items() if one["said"]} == {"my_malloc", "my_free", "init_shm"}
    assert found["my_malloc", "alloc", False]["bytes"]["difference"] == 3 * ASKED == 3 * (2 * MIB + 100)
    assert found["init_shm", "alloc", False]["shmem_bytes"]["difference"] == 1281 * PAGE
    assert {one["kind"] for one in found.values()} == {"device", "shm", "other"}
    # The whole of the phase: what its functions' own parts differ by.
    inside = next(one for one in said["processes"][0]["phases"] if one["path"] == ["sized"])
    own = sum(one["own_bytes"]["difference"] for one in found.values())
    assert own == (1281 * PAGE) and abs(inside["rss_delta_bytes"]["difference"] - own) <= harness.TOLERANCE


def test_new_gone_and_min_size(record, compare):
    without = Amounts(4, 1, 0, 0)
    said = compare(record(OLD), record(without))
    found = check_difference(said, OLD, without)
    assert {key[0]: one["state"] for key, one in found.items() if one["said"]} == {"init_shm": "gone", "outer_alloc": "gone", "inner_alloc": "gone"}
    said = compare(record(without), record(OLD))
    found = check_difference(said, without, OLD)
    assert {key[0]: one["state"] for key, one in found.items()} == {
        "my_malloc": "both", "my_free": "both", "init_shm": "new", "outer_alloc": "new", "inner_alloc": "new",
    }
    # 1 MiB asked and 8 MiB inside; 5 and 5; 3 and 3
    assert {key[0] for key, one in natives(compare("-z", "3145729", record(without), record(OLD))).items() if one["said"]} == {"outer_alloc", "inner_alloc"}
    assert {key[0] for key, one in natives(compare("-z", "5242881", record(without), record(OLD))).items() if one["said"]} == {"outer_alloc"}
    assert not any(one["said"] for one in natives(compare("-z", "8388609", record(without), record(OLD))).values())


def test_noise(record, compare, run_tool):
    """Old runs with 3, 4 and 5 blocks: 7 are noise (4 +- 11.5), the segment that was the same in all of them is not."""
    old = [record(Amounts(times, 1, SHARED, MIB)) for times in (3, 4, 5)]
    said = compare(*old, record(NEW))
    found = natives(said)
    blocks, segment = found["my_malloc", "alloc", False], found["init_shm", "alloc", False]
    assert blocks["bytes"]["old"] == [3 * ASKED, 4 * ASKED, 5 * ASKED] and blocks["bytes"]["mean"] == 4 * ASKED
    # Student's t for 99 % and two degrees of freedom; the deviation of the three is one block.
    half = 9.925 * ASKED * (4 / 3) ** 0.5
    assert abs(blocks["bytes"]["noise"][1] - (4 * ASKED + half)) <= 1 and blocks["bytes"]["within_noise"] and not blocks["said"]
    assert segment["bytes"]["noise"] == [SHARED, SHARED] and segment["said"] and segment["bytes"]["difference"] == MORE_SHARED - SHARED
    far = natives(compare(*old, record(Amounts(20, 1, SHARED, MIB))))
    assert {key[0] for key, one in far.items() if one["said"]} == {"my_malloc"} and far["my_malloc", "alloc", False]["bytes"]["difference"] == 16 * ASKED
    text = run_tool("diff", "--lang", "en", *old, record(NEW)).stdout
    assert re.search(r"^ +\(anonymous namespace\)::SharedMemory::init_shm +3\.00 +3\.00\.\.3\.00 +8\.00 +\+5\.00 +\+166\.7% ", text, re.M) and "my_malloc" not in text, text
    assert re.search(r"^Of \d+ parts that differ by 1\.00 or more, \d+ are within the noise$", text, re.M), text


def mib(size):
    return f"{size / MIB:+.2f}"


def test_text_and_page(record, run_tool, directory):
    done = run_tool("diff", "--lang", "en", record(OLD), record(NEW))
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert "native functions (C/C++), by what they asked for or gave back:\n" in done.stdout
    pages = -(-ASKED // PAGE) * PAGE
    for symbol, remark, more, calls, inside, kind in (
        ("my_malloc", "", 3 * ASKED, "4 -> 7", 3 * pages, "device"), ("my_free", r" \(free\)", 3 * ASKED, "1 -> 4", -3 * pages, "device"),
        (r"\(anonymous namespace\)::SharedMemory::init_shm", "", MORE_SHARED - SHARED, "1", 1281 * PAGE, "shm"),
    ):
        line = rf"^ +{symbol}{remark} +\d+\.\d\d +\d+\.\d\d +{re.escape(mib(more))} +\+\d+\.\d% +{calls} +{re.escape(mib(inside))} +.* {kind} +phase sized +libnatives\.so$"
        assert re.search(line, done.stdout, re.M), (line, done.stdout)
    assert "outer_alloc" not in done.stdout  # no difference
    chinese = run_tool("diff", record(OLD), record(NEW)).stdout
    assert "本地函数 (C/C++), 按申请或归还的大小:\n" in chinese and re.search(r"^ +my_free \(释放\) ", chinese, re.M), chinese
    alike = run_tool("diff", "--lang", "en", record(OLD), record(OLD, 1)).stdout
    assert "native functions" not in alike, alike
    path = os.path.join(directory, "d.html")
    assert run_tool("diff", "--format", "html", "--lang", "en", "-o", path, record(OLD), record(NEW)).returncode == 0
    page = Page()
    with open(path, encoding="utf-8") as file:
        page.feed(file.read())
    at = page.cells.index("my_malloc")
    assert page.cells[at + 3] == mib(3 * ASKED) and page.cells[at + 5 : at + 7] == ["4 \u2192 7", mib(3 * pages)], page.cells[at : at + 12]
    assert "my_free (free)" in page.cells and "outer_alloc" not in page.cells


@pytest.mark.parametrize(
    "expr, status",  # of what the warming up called, before the probes or after, only some may be seen: exact figures are of the phase
    [
        (f'diff.phase("sized").native("my_malloc").bytes == {3 * ASKED} and diff.phase("sized").native("my_malloc").calls == 3', 7),
        (" and ".join(f'diff.phase("sized").native("device").{field} == {size}' for field, size in (("bytes", 3 * ASKED), ("freed", 3 * ASKED), ("rss", 0), ("calls", 6))), 7),
        (f'diff.role("python*").phase("sized").native("shm").rss == {1281 * PAGE} and diff.phase("sized").native("*init_shm").shmem == {1281 * PAGE}', 7),
        ('diff.phase("sized").native("other").rss != 0 or diff.phase("sized").native("other").calls != 0', 0),
        ('diff.native("shm").bytes > 165% and diff.native("shm").bytes < 167%', 7),
        (f'phase("sized").native("device").freed == {4 * ASKED} and phase("sized").native("device").calls == 11', 7),
        ('phase("sized").native("my_malloc").freed > 0', 0),
        (f'phase("sized").native("other").own == {8 * MIB} and phase("sized").native("other").rss == {8 * MIB} and phase("sized").native("other").calls == 1', 7),
        ('native("my_maloc").freed > 0', 0),
    ],
)
def test_budgets(record, run_tool, expr, status):
    done = run_tool("diff", "--lang", "en", "--fail-if", expr, record(OLD), record(NEW))
    assert done.returncode == status, done.stderr
    assert ("budget broken: " in done.stderr) == (status == 7)
    assert ("it was never called; called there were my_malloc (device), my_free (device), " in done.stderr) == ("maloc" in expr), done.stderr
