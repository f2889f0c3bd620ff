# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""--html: pinned memory in the curve, and the table of native functions. The truth is what a target read of its own mappings and wrote down of its calls, and the NDJSON's
record of each call; it is compared with what the browser draws and writes."""

import contextlib
import os
import tempfile

import pytest

import gpu_libraries
import harness
import test_gpu
import test_native
from harness import PAGE
from test_html import LUMINANCE, _browser, generate, mib, opened, proc_index, small  # noqa: F401
from test_native import RULES, UNIT

HEADS = "[...document.querySelectorAll('#natives th')].map(e => e.dataset.c)"
CELLS = "[...document.querySelectorAll('#natives tbody tr')].map(e => [...e.cells].map(c => c.textContent))"
SELECTED = "[...document.querySelectorAll('#natives tbody tr')].map((e, i) => e.getAttribute('aria-selected') === 'true' ? i : -1).filter(i => i >= 0)"
FOCUS = "[...document.querySelectorAll('#natives tbody tr')].indexOf(document.activeElement)"


@contextlib.contextmanager
def public_directory():
    with tempfile.TemporaryDirectory(prefix="ramtrack-e2e-") as directory:
        os.chmod(directory, 0o755)
        yield directory


@pytest.fixture(scope="module")
def pinned(tool_path, compile_native):
    """Page, ledger and what was said of a target that pins memory with pauses, by a driver that is a stand-in."""
    with public_directory() as directory:
        folder = os.path.join(directory, "lib")
        os.mkdir(folder)
        gpu = ["paced", folder, *gpu_libraries.build(compile_native, folder, None)]
        tool = harness.Tool(tool_path, directory)
        page, ledger = os.path.join(directory, "page.html"), os.path.join(directory, "run.ledger")
        yield page, ledger, test_gpu.run(tool, gpu, "launch", ["--lang", "en", "--html", page, "--record", ledger])


@pytest.fixture(scope="module")
def natives(tool_path, compile_native):
    """Page and what was said of two processes that call the functions of natives.cpp; some of the rules are of a kind of their own."""
    with public_directory() as directory:
        tool = harness.Tool(tool_path, directory)
        page = os.path.join(directory, "page.html")
        rules = [{**one, "kind": "cache"} if one["symbol"] in ("outer_alloc", "inner_alloc") else one for one in RULES]
        rules = [{**one, "bytes": "arg3"} if one["symbol"] == "my_free" else one for one in rules]  # by how many addresses it was told: not what it releases
        run = test_native.Run(tool, harness.Interpreter("/usr/bin/python3"), test_native.builder(compile_native), "both", rules=rules, options=["--lang", "en", "--html", page])
        yield page, run.said


def added_up(said, pids):
    """The NDJSON's calls by process, function, library, kind, what it does, and phase: what a row of the table is to say."""
    rows = {}
    for pid in pids:
        for r in said.of("native", pid=pid):
            row = rows.setdefault((pid, r["symbol"], r["library"], r["kind"], r["op"], r["inner"], r["phase"]), dict.fromkeys(("calls", "bytes", "rss_delta_bytes", "own_bytes", "shmem_bytes", "released_bytes"), 0))
            for key in row:
                row[key] += r[key]
    return rows


def near(text, size):
    return text != "" and mib(text) == pytest.approx(size / 2**20, abs=0.0101 if "<" in text else 0.00501)


def check_rows(page, said, pids, labels):
    """Each row of the table is one of the sums, and none is missing. `labels`: of phases, by id."""
    heads, cells, wanted = page.js(HEADS), page.js(CELLS), added_up(said, pids)
    names = {pid: f"{said.summary_of(pid)['name']} {pid}" for pid in pids}
    assert len(cells) == len(wanted) > 5
    for (pid, symbol, library, kind, op, inner, phase), sums in wanted.items():
        remark = [word for word, there in (("free", op == "free"), ("inner", inner)) if there]
        texts = {"function": symbol + (f" ({', '.join(remark)})" if remark else ""), "library": library, "nativeKind": kind, "phase": labels[phase], **({"name": names[pid]} if "name" in heads else {})}
        found = [row for row in cells if all(row[heads.index(key)] == text for key, text in texts.items())]
        assert len(found) == 1, (texts, cells)
        row = dict(zip(heads, found[0]))
        assert row["calls"].replace("\u00a0", "") == str(sums["calls"])
        assert row["asked"] == "" if op == "free" else near(row["asked"], sums["bytes"]), row
        assert near(row["delta"], sums["rss_delta_bytes"]) and near(row["own"], sums["own_bytes"]) and near(row["shmem"], sums["shmem_bytes"]), (row, sums)
        assert near(row["given"], sums["bytes"] if op == "free" and sums["bytes"] else sums["released_bytes"]), (row, sums)
    return cells


def labels_of(phases):
    return {None: "Outside any phase", **{one["id"]: one["label"]["en"] for one in phases}}


# ---- pinned memory over time ----

# At a place of the curve: by the colour of each area, how many pixels of the column it fills.
COLUMN = """(x => { const out = {}, p = document.querySelector('#chart svg').createSVGPoint(); p.x = x;
  for (const a of document.querySelectorAll('#chart path.area')) { let n = 0; for (p.y = 0.5; p.y < 300; p.y++) n += a.isPointInFill(p); out[a.getAttribute('fill')] = (out[a.getAttribute('fill')] || 0) + n; }
  return out; })(%r)"""


def shown_at(page, ns):
    """What the tip says at a moment, by label, in MiB; and the parts of the curve's column there, by kind."""
    us, end = ns / 1000 - page.js("ramtrack.data.t0_us"), page.js("Math.max(...ramtrack.data.procs.slice(1).map(p => p.rss.t[p.rss.t.length - 1]))")
    x, y, w, h = page.place("#chart .brush .overlay")
    page.mouse("mouseMoved", x + w * us / end, y + h / 2)
    rows = page.js("[...document.querySelectorAll('#tip .r')].map(e => [...e.children].map(c => c.textContent.trim()))")
    told = {}
    for row in rows:
        if len(row) == 2:
            number, unit = row[1].split("\u00a0") if "\u00a0" in row[1] else (row[1], "MiB")
            told[row[0]] = float(number) * {"B": 2**-20, "KiB": 2**-10, "MiB": 1, "GiB": 1024}[unit]
    left = page.js("document.querySelector('#chart svg').getBoundingClientRect().left")
    filled = page.js(COLUMN % (x - left + w * us / end))
    colors = {kind: page.js(f"getComputedStyle(document.documentElement).getPropertyValue('--{kind}').trim()") for kind in ("anon", "file", "shmem", "pinned")}
    return told, {kind: filled.get(color, 0) / sum(filled.values()) for kind, color in colors.items()}


def test_pinned_memory_is_drawn_as_it_was(pinned):
    """At each moment that the target looked at its mappings: to the page in the page's data, to three digits in the tip, to a pixel or two in the curve."""
    path, _, said = pinned
    moments = said.truth["facts"]["moments"]
    assert [m["pinned"] > 0 for m in moments] == [False, True, True, True, True, True] and [m["other"] > 0 for m in moments] == [False, False, True, True, True, True]
    with opened(path) as page:
        index = proc_index(page, said.pid)
        page.js(f"ramtrack.set({{proc: {index}}})")
        rss, unit, t0 = page.js(f"ramtrack.data.procs[{index}].rss"), page.js("ramtrack.data.page"), page.js("ramtrack.data.t0_us")
        for moment in moments:
            told = sum(r["shmem_bytes"] for r in said.of("native", pid=said.pid, inner=False) if r["kind"] == "pinned" and r["end_ns_max"] <= moment["ns"])
            assert told == moment["pinned"] * PAGE
            i = max(i for i, us in enumerate(rss["t"]) if us <= moment["ns"] // 1000 - t0)
            assert (rss["pinned"][i] * unit, (rss["shmem"][i] - rss["pinned"][i]) * unit) == (moment["pinned"] * PAGE, moment["other"] * PAGE), moment
            tip, parts = shown_at(page, moment["ns"])
            total = (rss["anon"][i] + rss["file"][i] + rss["shmem"][i]) * unit
            assert tip.get("Pinned", 0) == pytest.approx(moment["pinned"] * PAGE / 2**20, rel=0.005), tip
            assert tip.get("Other shared", 0) == pytest.approx(moment["other"] * PAGE / 2**20, rel=0.005), tip
            assert tip["RSS"] == pytest.approx(total / 2**20, rel=0.005) and "Shared" not in tip
            pixels = 3 / (240 * total / (unit * max(rss["top"])))
            assert parts["pinned"] == pytest.approx(moment["pinned"] * PAGE / total, abs=pixels) and parts["shmem"] == pytest.approx(moment["other"] * PAGE / total, abs=pixels), (moment, parts)
        # the whole is what it was
        assert unit * (rss["anon"][-1] + rss["file"][-1] + rss["shmem"][-1]) == said.summary_of(said.pid)["rss_end_bytes"]
        legend = "[...document.querySelectorAll('#time-legend span')].map(e => e.textContent)"
        assert page.js(legend) == ["Anonymous", "File", "Other shared", "Pinned"]
        page.press("#lang-zh")
        assert page.js(legend) == ["匿名", "文件", "其他共享", "锁页内存"]


def test_who_pins_nothing_has_no_such_series(small, natives):
    """Neither in the data nor in the legend; and the table is there only for who calls native functions."""
    for path in (small[0], natives[0]):
        with opened(path) as page:
            page.js("ramtrack.set({proc: 1})")
            assert page.js("ramtrack.data.procs.slice(1).every(p => p.rss.t.length && !('pinned' in p.rss))")
            assert "Pinned" not in page.js("document.getElementById('time-legend').textContent")
            assert page.js("document.querySelectorAll('#chart path.area').length") == page.js("document.querySelectorAll('#time-legend span').length") in (2, 3)
            assert (page.js("getComputedStyle(document.getElementById('natives-card')).display") == "none") == (path == small[0]) == page.js("!('natives' in ramtrack.data)")


def test_the_report_is_the_live_page(pinned, run_tool):
    path, ledger, _ = pinned
    out = path + ".again"
    profile = os.path.join(os.path.dirname(path), "gpu.yaml")
    assert run_tool("report", "--format", "html", "--lang", "en", "-P", profile, "-o", out, ledger).returncode == 0
    with open(path, "rb") as live, open(out, "rb") as again:
        text = again.read()
        assert text == live.read() and b'"pinned":[' in text and b'"natives":{' in text


# ---- the table ----


def test_rows_are_the_calls_added_up(natives, pinned):
    path, said = natives
    pids = [p["pid"] for p in said.summary["processes"] if p["native"]]
    assert len(pids) == 2
    with opened(path) as page:
        labels = labels_of(test_native.PHASES)
        assert page.js("ramtrack.state.proc") == 0 and "name" in page.js(HEADS)
        check_rows(page, said, pids, labels)
        for pid in pids:
            page.js(f"ramtrack.set({{proc: {proc_index(page, pid)}}})")
            assert "name" not in page.js(HEADS)
            cells = check_rows(page, said, [pid], labels)
        page.press("#lang-zh")
        assert page.js("[...document.querySelectorAll('#natives th')].map(e => e.textContent)") == ["函数", "库", "种类", "阶段", "次数", "时间", "申请", "RSS变化", "自身", "共享", "归还"]
        remarks = {"free": "释放", "inner": "内层"}
        for row, other in zip(cells, page.js(CELLS)):
            symbol, _, remark = row[0].partition(" (")
            assert other[0] == symbol + (f" ({', '.join(remarks[word] for word in remark[:-1].split(', '))})" if remark else "")
            assert other[3] == ("阶段之外" if row[3] == "Outside any phase" else "阶段" + row[3].removeprefix("phase ")) and other[4:] == row[4:]
        assert any("(free" in row[0] for row in cells) and any("inner)" in row[0] for row in cells)
    path, _, said = pinned
    with opened(path) as page:
        check_rows(page, said, [said.pid], labels_of(test_gpu.PHASES))


def test_a_row_is_what_one_call_was(natives):
    """By arithmetic: outer_alloc asks for one unit and calls inner_alloc for two and for three; each of these pages is touched."""
    path, said = natives
    with opened(path) as page:
        page.js(f"ramtrack.set({{proc: {proc_index(page, said.pid)}}})")
        heads = page.js(HEADS)
        found = {row[0]: row for row in page.js(CELLS) if "_alloc" in row[0]}
        assert set(found) == {"outer_alloc", "inner_alloc (inner)"}, found
        for symbol, calls, units, touched in (("outer_alloc", 1, 1, 8), ("inner_alloc (inner)", 2, 5, 5)):
            row = dict(zip(heads, found[symbol]))
            assert (row["calls"], row["nativeKind"], row["phase"]) == (str(calls), "cache", "phase phase_two") and row["library"].startswith("libnatives")
            assert near(row["asked"], units * UNIT) and mib(row["delta"]) == pytest.approx(touched * UNIT / 2**20, abs=0.2), row


# ---- its controls ----


def test_sort(natives):
    path, said = natives
    with opened(path) as page:
        heads, every = page.js(HEADS), len(page.js(CELLS))
        at = heads.index("asked")
        column = lambda i: [row[i] for row in page.js(CELLS)]  # noqa: E731
        before = page.js(CELLS)
        page.press("#natives th button", at)
        values = [mib(text) for text in column(at) if text]
        assert values == sorted(values, reverse=True) and len(set(values)) > 3
        assert column(at) == [text for text in column(at) if text] + [""] * (every - len(values)) and len(values) < every  # who gives back asks for nothing: last
        assert page.js(f"document.querySelectorAll('#natives th')[{at}].getAttribute('aria-sort')") == "descending"
        page.press("#natives th button", at)
        again = [mib(text) for text in column(at) if text]
        assert again == values[::-1] and column(at)[-1] == "" and page.js(f"document.querySelectorAll('#natives th')[{at}].getAttribute('aria-sort')") == "ascending"
        page.press("#natives th button", at)
        assert page.js(CELLS) == before and page.js(f"document.querySelectorAll('#natives th')[{at}].getAttribute('aria-sort')") is None
        # texts upwards first; by the keyboard; the head keeps the focus
        page.js(f"document.querySelectorAll('#natives th button')[{heads.index('function')}].focus()")
        page.key("Enter")
        names = [text.split(" (")[0].lower() for text in column(0)]
        assert names == sorted(names) and names[0] != names[-1] and page.js("document.activeElement.closest('th').dataset.c") == "function"


def test_choose_by_mouse(natives):
    """A row's phase, where it is nested in one way, and its process; again: no more. A row of no phase is its process alone."""
    path, said = natives
    with opened(path) as page:
        row = next(i for i, c in enumerate(page.js(CELLS)) if c[0] == "outer_alloc" and c[1].endswith(f" {said.pid}"))
        page.press("#natives tbody tr td:nth-child(5)", row)
        phase = next(f for f in said.summary_of(said.pid)["phases"] if f["path"] == ["phase_two"])
        assert page.js("ramtrack.state.proc") == proc_index(page, said.pid)
        assert page.js("ramtrack.sums().gained") == phase["gained_bytes"] > 0
        chosen, cells = page.js(SELECTED), page.js(CELLS)
        assert chosen == [i for i, c in enumerate(cells) if c[page.js(HEADS).index("phase")] == "phase phase_two"]
        page.press("#natives tbody tr td:nth-child(4)", chosen[0])
        assert page.js("ramtrack.state.path") is None and page.js(SELECTED) == []


def test_everything_of_it_by_keyboard(natives):
    path, said = natives
    with opened(path) as page:
        reached = []
        for _ in range(60):
            page.key("Tab")
            reached.append(page.js("(e => e.dataset.k || (e.closest('th') || { dataset: {} }).dataset.c)(document.activeElement)"))
        rows = [key for key in reached if key and key.startswith("n") and key[1:].isdigit()]
        assert rows == ["n0"] and {"asked", "nativeKind", "given"} <= set(reached), reached  # one row is a stop of Tab, each head is
        page.js("document.querySelector('#natives tbody tr').focus()")
        last = len(page.js(CELLS)) - 1
        for key, at in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("End", last), ("ArrowDown", last), ("Home", 0), ("ArrowUp", 0)):
            page.key(key)
            assert page.js(FOCUS) == at, key
            assert page.js("document.querySelectorAll('#natives tbody tr[tabindex=\"0\"]').length") == 1
        row = next(i for i, c in enumerate(page.js(CELLS)) if c[page.js(HEADS).index("phase")] == "phase phase_two")
        page.js(f"document.querySelectorAll('#natives tbody tr')[{row}].focus()")
        key = page.js("document.activeElement.dataset.k")
        page.key("Enter")
        assert page.js("ramtrack.state.path") and page.js("document.activeElement.dataset.k") == key
        page.key(" ")
        assert page.js("ramtrack.state.path") is None and page.js("document.activeElement.dataset.k") == key


def test_roles_contrast_and_width(pinned):
    path, _, said = pinned
    with opened(path) as page:
        page.js(f"ramtrack.set({{path: [1, ramtrack.data.procs[1].phases[0].path], proc: 1}})")
        assert page.js(SELECTED)
        tree = page.call("Accessibility.getFullAXTree")["nodes"]
        grid = [n for n in tree if not n.get("ignored") and n["role"]["value"] == "grid"]
        assert [n["name"]["value"] for n in grid] == ["Native functions (C/C++)"]
        assert [n for n in tree if not n.get("ignored") and n["role"]["value"] in ("button", "columnheader") and not n["name"]["value"]] == []
        for dark in (False, True):
            page.media(dark)
            page.wait(f"getComputedStyle(document.documentElement).colorScheme === '{'dark' if dark else 'light'}'")
            ratio, where = page.js(LUMINANCE)
            assert ratio >= 4.5, where
    for width in (1900, 700):
        with opened(path, width=width) as page:
            assert page.js("document.documentElement.scrollWidth") <= width
            assert page.js("[...document.querySelectorAll('.card')].every(c => c.getBoundingClientRect().right <= innerWidth)")


# ---- hostile names, many rows ----


def test_hostile_names_of_functions(generate, tmp_path):  # noqa: F811
    path = str(tmp_path / "page.html")
    generate(path, 6, 400, "hostile", "natives")
    with opened(path) as page:
        text = page.js("document.getElementById('natives-card').innerText")
        assert "</script><script>document.title" in text and "\\u202e\\u2066evil" in text and len(text) < 100000
        assert page.js("document.querySelectorAll('img, iframe, object, [onerror]').length") == 0 and page.js("document.scripts.length") == 4
        assert page.js("document.title").startswith("ramtrack-bpf: ")
        for at in range(page.js("document.querySelectorAll('#natives th').length")):
            page.press("#natives th button", at)
        page.js("document.querySelector('#natives tbody tr').focus()")
        page.key("Enter")


def test_many_rows(generate, tmp_path):  # noqa: F811
    """All are sorted, the first are drawn, and that is said; a made-up run asks for 4 KiB in its first row, for 8 in its second, and so on."""
    path = str(tmp_path / "page.html")
    generate(path, 200, 400, "natives")
    with opened(path) as page:
        rows = page.js("ramtrack.data.natives.proc.length")
        assert rows == 200 * 6
        cells = page.js(CELLS)
        assert len(cells) == 400 and "The first 400 of 1\u00a0200 rows" in page.js("document.getElementById('natives-note').textContent")
        at = page.js(HEADS).index("asked")
        page.press("#natives th button", at)
        asked = [mib(row[at]) for row in page.js(CELLS)]
        frees = sum(1 for i in range(rows) if i % 6 == 5)
        assert len(asked) == 400 and asked == pytest.approx([4096 * (i + 1) / 2**20 for i in range(rows - 1, -1, -1) if i % 6 != 5][:400], abs=0.0051) and frees == 200
        drawn = page.js("ramtrack.data.procs.slice(1).map(p => p.rss.pinned ? [p.rss.pinned[p.rss.pinned.length - 1], p.rss.shmem[p.rss.shmem.length - 1]] : null)")
        assert all(p is None or 0 < p[0] <= p[1] for p in drawn) and sum(p is not None for p in drawn) > 100
