# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""--html: the page in a real browser. Its figures against the NDJSON of the same run and against arithmetic; every control by mouse and by key; hostile names; 256
processes and 100,000 stacks; nothing asked of the network, nothing that its policy forbids."""

import contextlib
import json
import os
import re
import subprocess
import time

import pytest

import browser
from harness import PAGE, PATIENCE, TREE, clean_environment, read_ndjson, write_profile

TARGET = '''
import mmap, time

def touch(m, n):
    for i in range(n):
        m[i * 4096] = 1

def give_back(m):
    m.close()

def fill(n):
    m = mmap.mmap(-1, n << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    touch(m, n << 8)
    time.sleep(0.15)
    return m

def first():
    keep = fill(24)
    other = fill(8)
    give_back(other)
    time.sleep(0.15)
    return keep

def second():
    return fill(16)

if __name__ == "__main__":
    a = first()
    time.sleep(0.3)
    b = second()
    time.sleep(0.3)
'''

PHASES = [{"id": name, "function": name, "label": {"zh": name + "阶段", "en": name + " phase"}} for name in ("first", "second", "fill")]


@pytest.fixture(scope="module", autouse=True)
def _browser():
    why = browser.missing()
    if why:
        pytest.skip(why)


@contextlib.contextmanager
def opened(path, **how):
    """The page, open; at the end it has said nothing, asked for nothing, and broken no rule of its own."""
    page = browser.Page(path, patience=PATIENCE, **how)
    try:
        yield page
        assert page.said() == []
        assert page.js("violations") == []
        assert page.requests() == ["file://" + os.path.abspath(path)]
    finally:
        page.close()


def traced(tool_path, directory, command, *options):
    files = {kind: os.path.join(directory, kind) for kind in ("page.html", "ndjson", "log")}
    done = subprocess.run([tool_path, "--html", files["page.html"], "-j", files["ndjson"], "-o", files["log"], *options, "--", *command], env=clean_environment(), capture_output=True,
                          text=True, timeout=PATIENCE * 4)
    assert done.returncode == 0, done.stderr
    return files["page.html"], read_ndjson(files["ndjson"])


@pytest.fixture(scope="module")
def demo(tool_path, tmp_path_factory):
    """Four processes with phases: the demonstration."""
    return traced(tool_path, str(tmp_path_factory.mktemp("demo")), ["/usr/bin/python3", os.path.join(TREE, "demo", "start.py")], "--lang", "en")


@pytest.fixture(scope="module")
def small(tool_path, tmp_path_factory):
    """One process whose sizes are arithmetic."""
    directory = str(tmp_path_factory.mktemp("small"))
    script = os.path.join(directory, "target.py")
    with open(script, "w") as f:
        f.write(TARGET)
    return traced(tool_path, directory, ["/usr/bin/python3", script], "--lang", "en", "-P", write_profile(os.path.join(directory, "profile.yaml"), PHASES))


@pytest.fixture(scope="module")
def generate():
    program = os.path.join(TREE, "build", "pagegen")
    assert os.access(program, os.X_OK), "build/pagegen is not there: run make build/pagegen"

    def run(path, *args):
        with open(path, "wb") as f:
            return json.loads(subprocess.run([program, *map(str, args)], stdout=f, stderr=subprocess.PIPE, check=True, timeout=PATIENCE * 4).stderr)

    return run


def summary_of(records):
    return next(r for r in records if r["type"] == "summary")


def proc_index(page, pid):
    return page.js(f"ramtrack.data.procs.findIndex(p => p && p.pid === {pid})")


def mib(text):
    """A cell of a table, as a number of MiB with two decimals."""
    text = text.replace("\u00a0", "").replace("\u2212", "-")
    return 0.0 if "<" in text else float(text)


# ---- figures ----


def test_figures_of_processes_and_phases_equal_the_ndjson(demo):
    path, records = demo
    summary = summary_of(records)
    with opened(path) as page:
        procs = page.js("ramtrack.data.procs.slice(1).map(p => ({...p, path: p.phases.map(f => { const out = []; for (let i = f.path; i; i = ramtrack.data.paths[i][0])"
                        " out.unshift(ramtrack.data.phases[ramtrack.data.paths[i][1]][0]); return out; })}))")
        assert [p["pid"] for p in procs] == [p["pid"] for p in summary["processes"]]
        assert sum(len(p["phases"]) for p in procs) > 20
        for shown, said in zip(procs, summary["processes"]):
            assert (shown["name"], shown["peak"], sum(shown["rss_start"]), sum(shown["rss_end"])) == \
                (said["name"], said["rss_peak_bytes"], said["rss_start_bytes"], said["rss_end_bytes"])
            assert shown["path"] == [f["path"] for f in said["phases"]]
            for a, b in zip(shown["phases"], said["phases"]):
                keys = {"calls": "calls", "time": "duration_ns", "delta": "rss_delta_bytes", "own": "own_bytes", "gained": "gained_bytes", "released": "released_bytes",
                        "reused": "reused_bytes", "helper": "helper_bytes", "peak": "peak_rss_bytes", "minor": "minor_faults", "major": "major_faults"}
                assert {k: a[k] for k in keys} == {k: b[v] for k, v in keys.items()}
                assert a["kinds"] == [b["anon_bytes"], b["file_bytes"], b["shmem_bytes"]]
                assert a["maps"] and sum(m[2] for m in a["maps"]) == b["gained_bytes"] - b["released_bytes"] or not b["mappings"]


def test_cells_of_the_table_are_the_figures(demo):
    path, records = demo
    said = max(summary_of(records)["processes"], key=lambda p: p["rss_peak_bytes"])
    with opened(path) as page:
        page.js(f"ramtrack.set({{proc: {proc_index(page, said['pid'])}}})")
        page.press("#unfold")
        heads = page.js("[...document.querySelectorAll('#phases th')].map(e => e.dataset.c)")
        rows = page.js("[...document.querySelectorAll('#phases tbody tr[data-path]')].filter(e => +e.dataset.path).map(e => [...e.cells].map(c => c.textContent))")
        assert len(rows) == len(said["phases"])
        by_label = sorted(rows, key=lambda r: (r[0].strip(), mib(r[heads.index("peak")])))
        for cells, f in zip(by_label, sorted(said["phases"], key=lambda f: (f["label"], round(f["peak_rss_bytes"] / 2**20, 2)))):
            assert cells[0].strip().startswith(f["label"])
            for key, field in (("delta", "rss_delta_bytes"), ("own", "own_bytes"), ("anon", "anon_bytes"), ("gained", "gained_bytes"), ("released", "released_bytes"), ("peak", "peak_rss_bytes")):
                assert mib(cells[heads.index(key)]) == pytest.approx(f[field] / 2**20, abs=0.0101), (f["phase"], key)


def test_timelines_end_and_peak_exactly(demo):
    path, records = demo
    with opened(path) as page:
        unit = page.js("ramtrack.data.page")
        assert unit % PAGE == 0
        for said in summary_of(records)["processes"]:
            rss = page.js(f"ramtrack.data.procs[{proc_index(page, said['pid'])}].rss")
            assert unit * (rss["anon"][-1] + rss["file"][-1] + rss["shmem"][-1]) == said["rss_end_bytes"]
            assert unit * (rss["anon"][0] + rss["file"][0] + rss["shmem"][0]) == said["rss_start_bytes"]
            assert unit * max(rss["top"]) == said["rss_peak_bytes"]
            assert rss["t"] == sorted(rss["t"])


def test_stacks_of_a_phase_add_up_to_what_it_gained_and_released(demo):
    path, records = demo
    checked = 0
    with opened(path) as page:
        for said in summary_of(records)["processes"]:
            index = proc_index(page, said["pid"])
            for f in said["phases"]:
                wanted = page.js(f"ramtrack.data.procs[{index}].phases.find(f => JSON.stringify((function p(i) {{ return i ? [...p(ramtrack.data.paths[i][0]), "
                                 f"ramtrack.data.phases[ramtrack.data.paths[i][1]][0]] : []; }})(f.path)) === {json.dumps(json.dumps(f['path'], separators=(',', ':')))}).path")
                page.js(f"ramtrack.set({{proc: {index}, path: [{index}, {wanted}], span: null, zoom: 0}})")
                sums = page.js("ramtrack.sums()")
                assert (sums["gained"], sums["released"]) == (f["gained_bytes"], f["released_bytes"]), f["path"]
                checked += f["gained_bytes"] > 0
    assert checked > 15


def test_arithmetic(small):
    """24 + 8 - 8 MiB in the one phase, 16 in the other, all of it in touch(), given back in give_back(); and by time."""
    path, records = small
    near = 64 * 1024
    with opened(path) as page:
        boxes = "ramtrack.boxes().filter(b => b.name === '%s').reduce((a, b) => a + b.bytes, 0)"
        path_of = "ramtrack.data.paths.findIndex(p => p[0] === 0 && ramtrack.data.phases[p[1]][0] === '%s')"
        page.js("ramtrack.set({proc: 1, value: 'gained'})")
        assert page.js(boxes % "touch") == pytest.approx(48 << 20, abs=near)
        page.js("ramtrack.set({path: [1, %s]})" % (path_of % "second"))
        assert page.js(boxes % "touch") == pytest.approx(16 << 20, abs=near)
        page.js("ramtrack.set({path: [1, %s]})" % (path_of % "first"))
        assert page.js(boxes % "touch") == pytest.approx(32 << 20, abs=near)
        page.js("ramtrack.set({value: 'released'})")
        assert page.js(boxes % "give_back") == pytest.approx(8 << 20, abs=near)
        page.js("ramtrack.set({value: 'held'})")
        sums = page.js("ramtrack.sums()")
        assert sums["gained"] - sums["released"] == pytest.approx(24 << 20, abs=near)
        assert sums["under"] == pytest.approx(8 << 20, abs=near)
        # the time of the phase `second` alone, taken from the NDJSON
        call = next(r for r in records if r["type"] == "phase" and r["phase"] == "second")
        t0 = page.js("ramtrack.data.t0_us")
        slice_us = page.js("JSON.parse(document.getElementById('stacks').textContent).slice_us")
        page.js(f"ramtrack.set({{path: null, value: 'gained', span: [{call['start_ns'] // 1000 - t0 - slice_us}, {call['end_ns'] // 1000 - t0 + slice_us}]}})")
        assert page.js(boxes % "touch") == pytest.approx(16 << 20, abs=near)


# ---- controls ----


def test_drag_zooms_and_the_stacks_follow(small):
    path, _ = small
    with opened(path) as page:
        whole = page.js("ramtrack.sums().gained")
        x, y, w, h = page.place("#chart .brush .overlay")
        page.drag(x + w * 0.62, y + h / 2, x + w * 0.97, y + h / 2)
        a, b = page.js("ramtrack.state.span")
        end = page.js("ramtrack.data.procs[1].rss.t.slice(-1)[0]")
        assert a == pytest.approx(0.62 * end, rel=0.03) and b == pytest.approx(0.97 * end, rel=0.03)
        assert 0 < page.js("ramtrack.sums().gained") < whole
        assert "Time" in page.js("document.getElementById('scope').textContent")
        page.press("#zoom-in")
        c, d = page.js("ramtrack.state.span")
        assert (d - c) == pytest.approx((b - a) / 2, rel=0.02)
        page.press("#zoom-reset")
        assert page.js("ramtrack.state.span") is None
        assert page.js("ramtrack.sums().gained") == whole


def test_hover_tells_the_moment(small):
    path, _ = small
    with opened(path) as page:
        x, y, w, h = page.place("#chart .brush .overlay")
        page.mouse("mouseMoved", x + w * 0.9, y + h / 2)
        tip = page.js("document.getElementById('tip').innerText")
        assert "RSS" in tip and "Anonymous" in tip and "MiB" in tip
        page.mouse("mouseMoved", 2, 2)
        assert page.js("getComputedStyle(document.getElementById('tip')).display") == "none"


def test_choose_a_phase_by_row_and_by_band(small):
    path, records = small
    second = next(f for f in summary_of(records)["processes"][0]["phases"] if f["path"] == ["second"])
    with opened(path) as page:
        row = page.js("[...document.querySelectorAll('#phases tbody tr')].findIndex(r => r.textContent.includes('second phase'))")
        page.press("#phases tbody tr td:nth-child(2)", row)
        assert page.js("ramtrack.sums().gained") == second["gained_bytes"]
        assert page.js(f"document.querySelectorAll('#phases tbody tr')[{row}].getAttribute('aria-selected')") == "true"
        assert page.js("document.querySelectorAll('#chart .sel').length") == 1
        page.press("#phases tbody tr td:nth-child(2)", row)  # again: no more
        assert page.js("ramtrack.state.path") is None
        lane = page.js("[...document.querySelectorAll('#chart .lane')].findIndex(g => ramtrack.data.phases[ramtrack.data.paths[g.__data__.c.path][1]][0] === 'second')")
        page.press("#chart .lane rect", lane)
        assert page.js("ramtrack.sums().gained") == second["gained_bytes"]
        page.press("#scope .chip button", 1)
        assert page.js("ramtrack.state.path") is None


def test_sort_and_unfold(demo):
    path, records = demo
    said = max(summary_of(records)["processes"], key=lambda p: len(p["phases"]))
    with opened(path) as page:
        page.js(f"ramtrack.set({{proc: {proc_index(page, said['pid'])}}})")
        page.press("#unfold")
        every = page.js("document.querySelectorAll('#phases tbody tr').length")
        page.press("#fold")
        assert page.js("document.querySelectorAll('#phases tbody tr').length") < every
        assert page.js("[...document.querySelectorAll('#phases tbody tr')].every(r => r.getAttribute('aria-level') === '1')")
        column = "[...document.querySelectorAll('#phases tbody tr[data-path]')].map(r => parseFloat(r.cells[%d].textContent.replace(/\\u00a0/g, '').replace('\\u2212', '-').replace('<', '')) || 0)"
        at = page.js("[...document.querySelectorAll('#phases th')].findIndex(e => e.dataset.c === 'own')")
        page.press("#phases th button", at)
        values = page.js(column % at)
        assert values == sorted(values, reverse=True) and len(set(values)) > 2
        assert page.js(f"document.querySelectorAll('#phases th')[{at}].getAttribute('aria-sort')") == "descending"
        page.press("#phases th button", at)
        values = page.js(column % at)
        assert values == sorted(values)
        page.press("#phases .tog")
        assert page.js("document.querySelectorAll('#phases tbody tr[aria-level=\"2\"]').length") > 0


def test_icicle_by_mouse(small):
    path, _ = small
    with opened(path) as page:
        box = page.js("ramtrack.boxes().find(b => b.name === 'first')")
        x, y, _, _ = page.place("#icicle canvas")
        page.mouse("mouseMoved", x + box["x"] + box["w"] / 2, y + box["y"] + 8)
        assert "first" in page.js("document.getElementById('tip').innerText")
        page.click(x + box["x"] + box["w"] / 2, y + box["y"] + 8)
        zoomed = page.js("ramtrack.boxes().find(b => b.name === 'first')")
        assert zoomed["w"] == pytest.approx(page.place("#icicle canvas")[2], abs=1) and zoomed["bytes"] == box["bytes"]
        assert "first" in page.js("document.getElementById('detail').textContent")
        assert page.js("ramtrack.boxes().some(b => b.name === 'second')") is False
        x, y, _, _ = page.place("#icicle canvas")
        page.click(x + 20, y + 8)  # the row of all stacks
        assert page.js("ramtrack.state.zoom") == 0
        page.press("#value [data-v=released]")
        assert page.js("ramtrack.state.value") == "released"
        assert page.js("ramtrack.sums().total === ramtrack.sums().released")
        page.press("#find")
        page.call("Input.insertText", text="GIVE_back")
        page.wait("ramtrack.state.find === 'GIVE_back'")
        assert "%" in page.js("document.getElementById('stacks-note').textContent")


def test_everything_by_keyboard(small):
    path, _ = small
    with opened(path) as page:
        reached, focus = [], "(e => e.id || (e.closest('tr') && e.closest('tr').dataset.k) || (e.closest('section') || {}).id + ' ' + e.textContent.slice(0, 12))(document.activeElement)"
        for _ in range(60):
            page.key("Tab")
            reached.append(page.js(focus))
        for wanted in ("lang-zh", "theme-dark", "zoom-in", "chart", "unfold", "icicle", "find", "hide-imports"):
            assert wanted in reached, reached
        # the chart
        page.js("document.getElementById('chart').focus()")
        page.key("ArrowRight")
        page.key("ArrowRight")
        assert "RSS" in page.js("document.getElementById('readout').textContent")
        page.key("+")
        a, b = page.js("ramtrack.state.span")
        page.key("ArrowRight", shift=True)
        c, d = page.js("ramtrack.state.span")
        assert c > a and d > b and d - c == pytest.approx(b - a, abs=2)
        page.key("0")
        assert page.js("ramtrack.state.span") is None
        # the table
        page.js("document.querySelector('#phases tbody tr').focus()")
        page.key("ArrowDown")
        key = page.js("document.activeElement.dataset.k")
        page.key("Enter")
        assert page.js("ramtrack.state.path") and page.js("document.activeElement.dataset.k") == key
        page.key("Enter")
        assert page.js("ramtrack.state.path") is None
        page.key("Home")
        page.key("ArrowLeft")
        before = page.js("document.querySelectorAll('#phases tbody tr').length")
        page.key("ArrowRight")
        assert page.js("document.querySelectorAll('#phases tbody tr').length") > before
        # the value, the icicle
        page.js("document.querySelector('#value [data-v=gained]').focus()")
        page.key("ArrowRight")
        assert page.js("ramtrack.state.value") == "released" and page.js("document.activeElement.dataset.v") == "released"
        page.key("ArrowLeft")
        page.js("document.getElementById('icicle').focus()")
        page.key("ArrowDown")
        page.key("ArrowDown")
        name = page.js("ramtrack.sums().focus")
        page.key("Enter")
        assert page.js("ramtrack.state.zoom") > 0 and page.js("ramtrack.sums().focus") == name
        page.key("Escape")
        page.key("Escape")
        assert page.js("ramtrack.state.zoom") == 0


LUMINANCE = """(() => {
  const rgb = s => s.match(/[\\d.]+/g).map(Number), lum = c => { const [r, g, b] = c.map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const back = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] === 1) return c.slice(0, 3); } return [255, 255, 255]; };
  let worst = [99, ''];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !e.getClientRects().length || e.closest('svg, script, noscript, .skip')) continue;
    const a = lum(rgb(getComputedStyle(e).color).slice(0, 3)), b = lum(back(e)), ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, e.outerHTML.slice(0, 120)];
  }
  return worst; })()"""


def test_dark_and_light_both_readable(demo):
    """WCAG 2.1, 1.4.3: text has at least 4.5 times the contrast of its ground."""
    path, _ = demo
    with opened(path) as page:
        ground = "getComputedStyle(document.body).backgroundColor"
        light = page.js(ground)
        ratio, where = page.js(LUMINANCE)
        assert ratio >= 4.5, where
        page.media(True)  # the system turns dark
        page.wait(f"{ground} !== '{light}'")
        ratio, where = page.js(LUMINANCE)
        assert ratio >= 4.5, where
        page.press("#theme-light")
        assert page.js(ground) == light
        page.press("#theme-dark")
        assert page.js(ground) != light
        page.press("#theme-auto")
        page.media(False)
        page.wait(f"{ground} === '{light}'")


def test_languages(small):
    path, _ = small
    with opened(path) as page:
        assert page.js("document.documentElement.lang") == "en"
        assert "first phase" in page.js("document.getElementById('phases').textContent")
        page.press("#lang-zh")
        assert page.js("document.documentElement.lang") == "zh"
        text = page.js("document.body.innerText")
        assert "first阶段" in text and "进程" in text and "Processes" not in text and "{0}" not in text and "undefined" not in text


def test_every_element_has_a_name_and_a_role(demo):
    path, _ = demo
    with opened(path) as page:
        tree = page.call("Accessibility.getFullAXTree")["nodes"]
        nameless = [n for n in tree if not n.get("ignored") and n["role"]["value"] in ("button", "checkbox", "searchbox", "radio", "columnheader") and not n["name"]["value"]]
        assert nameless == []
        roles = {n["role"]["value"] for n in tree}
        assert {"treegrid", "row", "columnheader", "radiogroup", "heading", "main"} <= roles


def test_prints(demo):
    path, _ = demo
    with opened(path) as page:
        pdf = page.pdf()
        assert pdf.startswith(b"%PDF") and 1 < len(re.findall(rb"/Type\s*/Page\b", pdf)) < 40


@pytest.mark.parametrize("width", [1900, 1100, 700])
def test_nothing_sticks_out(demo, width):
    path, _ = demo
    with opened(path, width=width) as page:
        assert page.js("document.documentElement.scrollWidth") <= width
        assert page.js("[...document.querySelectorAll('.card')].every(c => c.getBoundingClientRect().right <= innerWidth)")


# ---- hostile names, policy, sizes ----


def test_hostile_names_do_nothing(generate, tmp_path):
    path = str(tmp_path / "page.html")
    generate(path, 6, 400, "hostile")
    with opened(path) as page:
        page.press("#unfold")
        for value in ("released", "held"):
            page.js(f"ramtrack.set({{value: '{value}'}})")
        page.js("ramtrack.set({proc: 2, zoom: 3})")
        page.js("ramtrack.set({proc: 0, zoom: 0, hide: false})")
        assert page.js("document.title").startswith("ramtrack-bpf: ")
        assert page.js("document.querySelectorAll('img, iframe, object, [onerror]').length") == 0
        assert page.js("document.scripts.length") == 4
        text = page.js("document.body.innerText")
        assert "</script><script>document.title" in text  # shown, as text
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u2028\u2029\x00-\x08\x0b-\x1f\x7f]", text)
        assert "\\u202e\\u2066evil" in text
        assert len(text) < 200000  # the name of 100,000 characters is cut
        names = page.js("ramtrack.data.procs.slice(1).map(p => p.name)")
        assert names[2] == "\u202e\u2066evil\u2029\u2028" and len(names[1]) <= 4097  # the data has it as it is


def test_policy_is_in_force(small):
    """What the page forbids is really forbidden: otherwise the absence of violations says nothing."""
    page = browser.Page(small[0], patience=PATIENCE)
    try:
        page.js("(() => { const s = document.createElement('script'); s.textContent = 'window.broken = 1'; document.body.append(s); })()")
        page.js("(() => { const s = document.createElement('style'); s.textContent = 'body { color: red }'; document.body.append(s); })()")
        page.js("(() => { const i = new Image(); i.src = 'https://example.invalid/x.png'; document.body.append(i); })()")
        page.js("document.body.setAttribute('onclick', 'window.broken = 2')")
        page.press("#title")
        page.js("fetch('https://example.invalid/').catch(() => 0)")
        assert page.js("typeof window.broken") == "undefined"
        end = time.monotonic() + PATIENCE
        while len(page.js("violations")) < 5 and time.monotonic() < end:
            time.sleep(0.05)
        directives = {v.split()[0].split("-")[0] for v in page.js("violations")}
        assert {"script", "style", "img", "connect"} <= directives, page.js("violations")
        assert [u for u in page.requests() if "example" in u and not u.startswith("https://example.invalid")] == []
        with pytest.raises(AssertionError):
            page.js("new Function('return 1')()")
    finally:
        page.close()


def test_large_page(generate, tmp_path, capsys):
    """256 processes, 100,000 stacks: how large, how soon; the sums are whole."""
    path = str(tmp_path / "page.html")
    truth = generate(path, 256, 100000)
    size = os.path.getsize(path)
    with opened(path) as page:
        marks = page.js("Object.fromEntries(performance.getEntriesByType('mark').map(m => [m.name, m.startTime]))")
        with capsys.disabled():
            print(f"\n  page of 256 processes and 100,000 stacks: {size / 1e6:.1f} MB, drawn after {marks['first'] / 1e3:.2f} s, with stacks after {marks['stacks'] / 1e3:.2f} s")
        assert size < 32e6
        assert marks["first"] < 20e3 * PATIENCE / 30 and marks["stacks"] < 40e3 * PATIENCE / 30
        sums = page.js("ramtrack.sums()")
        assert (sums["gained"], sums["released"]) == (truth["gained"], truth["released"])
        assert page.js("ramtrack.data.procs.slice(1).map(p => Math.max(...p.rss.top) * ramtrack.data.page)") == truth["peaks"]
        assert page.js("document.querySelectorAll('#procs button').length") == 257
        page.js("ramtrack.set({proc: 200})")
        page.js("ramtrack.set({span: [2e7, 3e7], value: 'held'})")
        assert 0 < page.js("ramtrack.sums().gained") < truth["gained"]


# ---- the option ----


@pytest.mark.parametrize("where, says", [("/nonexistent/page.html", "cannot be written"), ("-", "name of a file")])
def test_a_file_that_cannot_be_written_is_said_before_anything_runs(tool_path, tmp_path, where, says):
    done = subprocess.run([tool_path, "--html", where, "--", "/bin/touch", str(tmp_path / "ran")], capture_output=True, text=True, env=clean_environment(), timeout=PATIENCE)
    assert done.returncode in (1, 2) and says in done.stderr and "--html" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_full_disk_is_an_error(tool_path):
    done = subprocess.run([tool_path, "--html", "/dev/full", "-o", "/dev/null", "--", "/usr/bin/python3", "-c", "x = [1] * 100000"], capture_output=True, text=True, env=clean_environment(), timeout=PATIENCE)
    assert done.returncode == 1 and "/dev/full: writing failed: No space left on device" in done.stderr


def test_growth_is_no_part_of_the_ndjson_unless_asked(small):
    assert {r["type"] for r in small[1]} == {"start", "process", "checkpoint", "phase", "summary"}
