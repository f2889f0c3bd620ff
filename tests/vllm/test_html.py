"""--html of a real start-up, tensor-parallel 2 and weights on disk, in a real browser: phases, stacks and timeline against the NDJSON of the same run."""
import json
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'e2e'))
import browser  # noqa: E402

MIB = 1 << 20


@pytest.fixture(scope='module')
def paged(run, tmp_path_factory):
    if browser.missing():
        pytest.skip(browser.missing())
    path = tmp_path_factory.mktemp('page') / 'vllm.html'
    trace = run('weights600', ['--max-model-len', '8192', '--max-num-seqs', '16', '--tensor-parallel-size', '2', '--safetensors-load-strategy', 'lazy'], ['--html', str(path)])
    page = browser.Page(path, patience=120)
    yield trace, page, path
    page.close()


def test_page_is_whole(paged, capsys):
    trace, page, path = paged
    marks = page.js("Object.fromEntries(performance.getEntriesByType('mark').map(m => [m.name, m.startTime]))")
    with capsys.disabled():
        print(f"\n  page of vLLM's start-up: {path.stat().st_size / 1e6:.1f} MB, drawn after {marks['first'] / 1e3:.2f} s, with stacks after {marks['stacks'] / 1e3:.2f} s; "
              f"the tracer's own RSS was {trace.tool_rss / MIB:.0f} MiB at most")
    assert path.stat().st_size < 12e6
    assert trace.tool_rss < 112 * MIB  # nodes, cells and names of the page are kept until the end
    assert trace.summary['unaccounted_bytes'] == 0 and trace.summary['lost'] == {'records': 0, 'stacks': 0}
    assert page.said() == [] and page.js('violations') == [] and page.requests() == ['file://' + str(path)]
    for said in trace.summary['processes']:
        rss = page.js(f"ramtrack.data.procs.find(p => p && p.pid === {said['pid']}).rss")
        unit = page.js('ramtrack.data.page')
        assert unit * max(rss['top']) == said['rss_peak_bytes']
        assert unit * (rss['anon'][-1] + rss['file'][-1] + rss['shmem'][-1]) == said['rss_end_bytes']


def test_stacks_of_each_phase_are_its_gains(paged):
    trace, page, _ = paged
    checked = 0
    for said in trace.summary['processes']:
        index = page.js(f"ramtrack.data.procs.findIndex(p => p && p.pid === {said['pid']})")
        for f in said['phases']:
            path = page.js("(w => ramtrack.data.paths.findIndex((_, i) => (function p(i) { return i ? [...p(ramtrack.data.paths[i][0]), ramtrack.data.phases[ramtrack.data.paths[i][1]][0]] : []; })(i)"
                           f".join() === w))({json.dumps(','.join(f['path']))})")
            page.js(f'ramtrack.set({{proc: {index}, path: [{index}, {path}]}})')
            sums = page.js('ramtrack.sums()')
            assert (sums['gained'], sums['released']) == (f['gained_bytes'], f['released_bytes']), f['path']
            checked += f['gained_bytes'] > MIB
    assert checked > 30


def test_kv_cache_is_where_it_is_made(paged):
    """1 GiB for each worker: half on the calling thread, half by OpenMP helpers, which have no Python stack (facts of the CPU back end)."""
    trace, page, _ = paged
    workers = [p for p in trace.summary['processes'] if p['name'].startswith('Worker')]
    assert len(workers) == 2
    for worker in workers:
        index = page.js(f"ramtrack.data.procs.findIndex(p => p && p.pid === {worker['pid']})")
        page.js(f"ramtrack.set({{proc: {index}, path: null, value: 'gained'}})")
        made = page.js("ramtrack.boxes().filter(b => b.name === 'allocate_kv_cache').reduce((a, b) => a + b.bytes, 0)")
        assert 400 * MIB < made < 1100 * MIB
