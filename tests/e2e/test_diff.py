# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Runs compared: a program recorded several times, with statements that allocate other amounts; what diff says is the arithmetic difference."""

import base64
import hashlib
import html.parser
import json
import os
import re

import pytest

import schema
from harness import PAGE, TOLERANCE, TREE, phase, write_profile

MIB = 1 << 20
SCHEMA = os.path.join(TREE, "docs", "schema", "diff.schema.json")

# The parent's and the child's tables: two statements each that fill memory page by page, by one helper.
PROGRAM = """
import mmap, os, sys, time

def fill(size):
    m = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, size, 4096):
        m[at] = 1
    return m

class Table:
    def __init__(self, first, second):
        self.first = fill(first)
        self.second = fill(second)

def build(first, second):
    return Table(first, second)

def extra(size):
    return fill(size)

def end():
    time.sleep(0.3)  # for the tool to read this source
    os._exit(0)  # and nothing is given back before

sizes = [int(text) for text in sys.argv[1:]]
fill(4096)
pid = os.fork()
if not pid:
    child = build(*sizes[2:4])
    end()
os.waitpid(pid, 0)
table = build(*sizes[0:2])
more = extra(sizes[4]) if sizes[4] else None
end()
"""
PHASES = [
    phase("build", "build", "tables.py"),
    phase("first", "Table.__init__", "tables.py", r"self\.first ="),
    phase("second", "Table.__init__", "tables.py", r"self\.second ="),
    phase("extra", "extra", "tables.py"),
]
USUAL = (16 * MIB, 8 * MIB, 4 * MIB, 12 * MIB, 0)


@pytest.fixture(scope="module")
def record(tool_path, tmp_path_factory):
    """record(sizes) -> a ledger; the same sizes again are recorded once a number."""
    import subprocess

    from harness import clean_environment

    out = tmp_path_factory.mktemp("ledgers")
    profile = write_profile(os.path.join(out, "p.yaml"), PHASES)

    def run(*sizes, number=0, text=PROGRAM):
        path = out / ("-".join(map(str, sizes)) + f".{number}{'' if text == PROGRAM else 'other'}.ledger")
        if not path.exists():
            (out / "tables.py").write_text(text)
            command = [tool_path, "record", "-q", "-P", profile, "-o", path, "--", "/usr/bin/python3", "-S", out / "tables.py", *map(str, sizes)]
            done = subprocess.run(command, capture_output=True, text=True, env=clean_environment(), stdin=subprocess.DEVNULL)
            assert done.returncode == 0, done.stderr
        return path

    return run


@pytest.fixture
def compare(run_tool):
    """compare(ledgers..., options...) -> the JSON, checked against the schema and in itself."""

    def run(*args):
        done = run_tool("diff", "--format", "json", *args)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        if not schema.missing():
            import jsonschema

            with open(SCHEMA) as file:
                jsonschema.Draft202012Validator(schema.closed(json.load(file))).validate(said)
        check(said)
        return said

    return run


def values(node):
    if isinstance(node, dict):
        if "within_noise" in node:
            yield node
        for below in node.values():
            yield from values(below)
    elif isinstance(node, list):
        for below in node:
            yield from values(below)


def check(said):
    """Arithmetic that holds for every comparison."""
    for value in values(said):
        assert value["difference"] == value["new"] - value["mean"], value
        assert value["noise"][0] <= min(value["old"]) <= max(value["old"]) <= value["noise"][1], value
        assert value["within_noise"] == (value["noise"][0] <= value["new"] <= value["noise"][1]), value
    for process in said["processes"]:
        for one in process["phases"]:
            for run in range(len(said["runs"]) - 1):
                kinds = sum(one[f"own_{kind}_bytes"]["old"][run] for kind in ("anon", "file", "shmem"))
                assert one["own_bytes"]["old"][run] == kinds, one
            assert one["own_bytes"]["new"] == sum(one[f"own_{kind}_bytes"]["new"] for kind in ("anon", "file", "shmem")), one
        for one in process["native"]:
            for of in [lambda value, run=run: value["old"][run] for run in range(len(said["runs"]) - 1)] + [lambda value: value["new"]]:
                assert of(one["rss_delta_bytes"]) == sum(of(one[f"{kind}_bytes"]) for kind in ("anon", "file", "shmem")), one
                assert of(one["rss_delta_bytes"]) == of(one["gained_bytes"]) - of(one["released_bytes"]), one
            before, now = any(one["calls"]["old"]), one["calls"]["new"] > 0
            assert one["state"] == ("both" if before and now else "new" if now else "gone"), one
            sizes = [one["bytes"], one["rss_delta_bytes"]]
            assert one["said"] == any(abs(v["difference"]) >= said["min_size_bytes"] and not v["within_noise"] for v in sizes), one
            assert process["said"] or not one["said"], one
        # All that a process has grown by is the own part of some phase, or outside.
        assert sum(one["own_bytes"]["new"] for one in process["phases"]) == process["growth_bytes"]["new"], process["name"]


def named(said):
    """{(number of the process, path): own difference} of the phases whose own part is said."""
    return {
        (process["number"], "/".join(one["path"])): one["own_bytes"]["difference"]
        for process in said["processes"]
        for one in process["phases"]
        if not one["own_bytes"]["within_noise"] and abs(one["own_bytes"]["difference"]) >= said["min_size_bytes"]
    }


def near(found, expected):
    """The same places, and sizes but for what a first call of something costs, or file pages that the kernel maps beside the one asked for."""
    assert found.keys() == expected.keys(), (found, expected)
    assert all(abs(found[key] - expected[key]) <= TOLERANCE for key in expected), (found, expected)
    return True


def test_one_statement_more_to_the_page(record, compare):
    """37 MiB and 3 pages more in the child's second statement, and nothing else."""
    more = 37 * MIB + 3 * PAGE
    other = (*USUAL[:3], USUAL[3] + more, 0)
    said = compare(record(*USUAL), record(*other))
    assert named(said) == {(2, "build/second"): more}
    child = said["processes"][1]
    (stack,) = child["stacks"]
    assert stack["path"] == ["build", "second"] and stack["net_bytes"]["difference"] == stack["anon_bytes"]["difference"] == more
    text = PROGRAM.splitlines()
    lines = [(frame["function"], text[frame["line"] - 1].strip()) for frame in stack["frames"][:3]]
    assert lines == [("fill", "m[at] = 1"), ("Table.__init__", "self.second = fill(second)"), ("build", "return Table(first, second)")]
    by_path = {"/".join(one["path"]): one for one in child["phases"]}
    inside = [by_path[path] for path in ("build", "build/first", "build/second")]
    assert sum(one["own_anon_bytes"]["difference"] for one in inside) == by_path["build/second"]["own_anon_bytes"]["difference"] == more
    # File pages come in the sixteens that the kernel maps around a fault, as far as they are cached: in a new process that differs from run to run.
    assert by_path["build"]["rss_delta_bytes"]["difference"] == sum(one["own_bytes"]["difference"] for one in inside)
    assert abs(child["rss_end_bytes"]["difference"] - more) < MIB
    assert abs(child["rss_peak_bytes"]["difference"] - more) < MIB


def test_shrunk_new_and_gone(record, compare):
    other = (10 * MIB, 8 * MIB, 4 * MIB, 12 * MIB, 5 * MIB)
    said = compare(record(*USUAL), record(*other))
    assert near(named(said), {(1, "build/first"): -6 * MIB, (1, "extra"): 5 * MIB})
    states = {one["path"][-1]: one["state"] for one in said["processes"][0]["phases"] if one["path"]}
    assert states == {"build": "both", "first": "both", "second": "both", "extra": "new"}
    back = compare(record(*other), record(*USUAL))
    assert near(named(back), {(1, "build/first"): 6 * MIB, (1, "extra"): -5 * MIB})
    gone = [one for one in back["processes"][0]["phases"] if one["path"] == ["extra"]]
    assert gone[0]["state"] == "gone" and gone[0]["rss_delta_bytes"]["new"] == 0 and gone[0]["calls"]["old"] == [1]
    assert {stack["state"] for stack in said["processes"][0]["stacks"] if stack["path"] == ["extra"]} == {"new"}
    assert {stack["state"] for stack in back["processes"][0]["stacks"] if stack["path"] == ["extra"]} == {"gone"}


def test_old_runs_that_differ_are_noise(record, compare):
    """Three old runs whose first statement varies by 2 MiB: a new one in between or little outside is noise, the other statement's difference is not."""
    old = [record(size * MIB, *USUAL[1:]) for size in (14, 16, 18)]
    said = compare(*old, record(20 * MIB, 11 * MIB, *USUAL[2:]))
    assert near(named(said), {(1, "build/second"): 3 * MIB})
    first = next(one for one in said["processes"][0]["phases"] if one["path"][-1:] == ["first"])["own_bytes"]
    assert abs(first["difference"] - 4 * MIB) <= TOLERANCE and first["within_noise"]
    assert all(abs(was - size * MIB) <= TOLERANCE for was, size in zip(first["old"], (14, 16, 18))), first
    # one of them alone knows of no noise
    said = compare(old[1], record(20 * MIB, 11 * MIB, *USUAL[2:]))
    assert near(named(said), {(1, "build/first"): 4 * MIB, (1, "build/second"): 3 * MIB})
    # far outside is no noise
    said = compare(*old, record(60 * MIB, *USUAL[1:]))
    assert near(named(said), {(1, "build/first"): 44 * MIB})


def test_runs_that_are_alike(record, compare, run_tool):
    ledgers = [record(*USUAL, number=number) for number in range(4)]
    said = compare(*ledgers)
    assert named(said) == {} and not any(process["said"] or process["stacks"] for process in said["processes"])
    done = run_tool("diff", "--lang", "en", *ledgers)
    assert "No difference of 1.00 or more outside of the noise" in done.stdout
    # smaller ones, with one old run: each says where
    assert compare("-z", "0", *ledgers[:2])["min_size_bytes"] == 0


def test_text_says_the_same(record, run_tool):
    ledgers = record(*USUAL), record(*USUAL[:3], USUAL[3] + 37 * MIB, 0)
    done = run_tool("diff", "--lang", "en", *ledgers)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert re.search(r"^ +phase second +12\.\d\d +49\.\d\d +\+37\.00 +\+\d+\.\d% +\+37\.00 +\+37\.00 +0\.00 +0\.00$", done.stdout, re.M), done.stdout
    assert re.search(r"^ +\+37\.00 \(anon \+37\.00\) phase second\n +fill  \S+/tables\.py:\d+\n +Table\.__init__  \S+/tables\.py:13$", done.stdout, re.M), done.stdout
    chinese = run_tool("diff", *ledgers).stdout
    assert "内存对比" in chinese and re.search(r"^ +阶段second +12\.\d\d ", chinese, re.M), chinese


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.styles, self.policy, self.cells, self._in = [], [], None, [], None

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._in = tag
        if dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attrs)["content"]

    def handle_endtag(self, tag):
        self._in = None

    def handle_data(self, data):
        if self._in == "style":
            self.styles.append(data)
        elif self._in == "td":
            self.cells.append(data)


def test_page(record, run_tool, directory):
    """Well formed, nothing from elsewhere, its style is what its policy allows, and the figures are in it."""
    ledgers, path = (record(*USUAL), record(*USUAL[:3], USUAL[3] + 37 * MIB, 0)), os.path.join(directory, "d.html")
    done = run_tool("diff", "--format", "html", "--lang", "en", "-o", path, *ledgers)
    assert done.returncode == 0 and not done.stdout and not done.stderr, done.stderr
    with open(path, encoding="utf-8") as file:
        text = file.read()
    page = Page()
    page.feed(text)
    (style,) = page.styles
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert page.policy.startswith("default-src 'none';") and f"style-src 'sha256-{digest}'" in page.policy
    assert not {"script", "img", "link", "iframe", "object", "form", "a"} & {tag for tag, _ in page.tags}
    assert not any(key in attrs for _, attrs in page.tags for key in ("style", "src", "href", "onclick"))
    assert "phase second" in page.cells and page.cells.count("+37.00") >= 3, page.cells


@pytest.mark.parametrize(
    "expr, status",
    [
        ("diff.growth > 5%", 7),
        ("diff.growth > 5000%", 0),
        ('diff.phase("second").growth > 36M', 7),
        ('diff.phase("second").growth > 37M', 0),
        ('diff.phase("first").growth > 1M or diff.phase("first").growth < -1M', 0),
        ('diff.role("python3").phase("build").growth > 36M and diff.phase("second").anon > 100%', 7),
        ("tree.peak > 1G", 0),
        ('phase("second").peak > 40M', 7),
        ('phase("extra").peak > 40M', 0),
    ],
)
def test_budgets(record, run_tool, expr, status):
    done = run_tool("diff", "--lang", "en", "--fail-if", expr, record(*USUAL), record(*USUAL[:3], USUAL[3] + 37 * MIB, 0))
    assert done.returncode == status, done.stderr
    assert ("budget broken: " in done.stderr) == (status == 7)
    assert ("budget not evaluated: " in done.stderr) == ("extra" in expr)


def test_growth_inside_the_noise_breaks_no_budget(record, run_tool):
    old = [record(size * MIB, *USUAL[1:]) for size in (14, 16, 18)]
    new = record(20 * MIB, *USUAL[1:])
    assert run_tool("diff", "--fail-if", 'diff.phase("first").growth > 1%', *old, new).returncode == 0
    assert run_tool("diff", "--fail-if", 'diff.phase("first").growth > 1%', old[1], new).returncode == 7


def test_another_profile(record, run_tool, compare, directory):
    """Both runs told by phases that neither was recorded with."""
    profile = write_profile(os.path.join(directory, "other.yaml"), [phase("fill", "fill", "tables.py")])
    said = compare("-P", profile, record(*USUAL), record(*USUAL[:3], USUAL[3] + 37 * MIB, 0))
    assert near(named(said), {(2, "fill"): 37 * MIB})


def test_lines_that_moved(record, compare):
    """The same program with two comments on top: other lines, and with --no-lines the same stacks."""
    usual, moved = record(*USUAL), record(24 * MIB, *USUAL[1:], text="#\n#\n" + PROGRAM)
    with_lines, without = compare(usual, moved), compare("--no-lines", usual, moved)
    assert near(named(with_lines), {(1, "build/first"): 8 * MIB}) and named(with_lines) == named(without)
    assert sorted(stack["state"] for stack in with_lines["processes"][0]["stacks"]) == ["gone", "new"]
    (stack,) = without["processes"][0]["stacks"]
    assert stack["state"] == "both" and abs(stack["net_bytes"]["difference"] - 8 * MIB) <= TOLERANCE and stack["frames"][0] == {**stack["frames"][0], "function": "fill", "line": None}


def test_wrong_use(record, run_tool, directory):
    usual, torn, alone = record(*USUAL), os.path.join(directory, "torn.ledger"), os.path.join(directory, "no.ledger")
    with open(usual, "rb") as file:
        data = file.read()
    with open(torn, "wb") as file:
        file.write(data[: len(data) - 100])
    with open(alone, "w") as file:
        file.write("no ledger\n")
    for args, status, words in (
        ([], 2, "0 ledgers; give two or more, the new one last"),
        ([usual], 2, "1 ledgers; give two or more"),
        ([usual] * 33, 2, "more than 32 ledgers"),
        ([usual, usual, "--format", "xml"], 2, "--format: 'xml' is not allowed; give text, json or html"),
        ([usual, usual, "-z", "x"], 2, "-z/--min-size: 'x' is not allowed"),
        ([usual, usual, "-o", usual], 2, "-o/--output would overwrite the ledger"),
        ([usual, usual, "--fail-if", "diff.growth > "], 2, "--fail-if 'diff.growth > ': column 15: expected a limit"),
        ([usual, usual, "--fail-if", 'diff.phase("nope").growth > 1'], 2, "column 12 of the expression: profile test has no phase 'nope'"),
        ([usual, usual, "--junit", "x"], 2, "--junit reports budgets"),
        ([usual, alone], 1, alone),
        ([usual, usual.parent / "none"], 1, "No such file"),
        ([usual, usual, "-o", "/nowhere/x"], 1, "-o /nowhere/x: cannot be written"),
        ([usual, usual, "-o", "/dev/full"], 1, "/dev/full: writing failed: No space left on device"),
        ([usual, torn, "--strict"], 6, "--strict: incomplete"),
        ([usual, torn], 0, torn),
    ):
        done = run_tool("diff", *args)
        assert done.returncode == status and words in done.stderr, (args, done.returncode, done.stderr)


def test_the_manual_and_the_help_agree(run_tool):
    said = run_tool("diff", "--help").stdout
    with open(os.path.join(TREE, "doc", "ramtrack-bpf.1")) as file:
        manual = file.read()
    section = manual.split(".Ss Differences", 1)[1].split(".Ss ", 1)[0].split(".Sh ", 1)[0]
    for name in re.findall(r"--([a-z-]+)", said):
        assert f"Fl -{name}" in section, name
