"""The shipped profile on a real vLLM server (CPU back end): every phase that runs there is seen, with the sizes that arithmetic gives."""
import pytest

MIB = 1 << 20

# Not on this back end: workspace manager (GPU only). Everything else of the profile runs.
ABSENT = {'workspace_manager'}
# Without compilation it sets two random seeds in some ten microseconds and moves no page: seen for certain only by an entry probe.
BRIEF = {'worker_warm_up'}


@pytest.fixture(scope='module')
def wide(run):
    return run('tiny', ['--load-format', 'dummy', '--max-model-len', '131072', '--max-num-seqs', '256'])


@pytest.fixture(scope='module')
def weights(run):
    return run('weights600', ['--max-model-len', '8192', '--max-num-seqs', '16', '--safetensors-load-strategy', 'lazy'])


@pytest.fixture(scope='module')
def probed(run):
    return run('tiny', ['--load-format', 'dummy', '--max-model-len', '8192', '--max-num-seqs', '16'], ['--python-entry', 'uprobe'])


def check_whole(trace, brief=BRIEF):
    """Nothing lost, and the ledger is the kernel's: at rest each process's RSS equals smaps_rollup."""
    s = trace.summary
    assert s['lost'] == {'records': 0, 'stacks': 0}
    assert s['unaccounted_bytes'] == 0
    assert s['late_records'] == 0
    by_pid = {p['pid']: p for p in s['processes']}
    for pid, truth in trace.truth.items():
        assert pid in by_pid, f'process {pid} was not followed'
        off = by_pid[pid]['rss_end_bytes'] - truth['Rss']
        # An idle server still does a little between the reading and the end of the trace.
        assert abs(off) <= 256 << 10, f"{by_pid[pid]['name']} {pid}: {off} bytes beside smaps_rollup"
    assert trace.tool_rss <= 48 * MIB, f'the tracer itself: {trace.tool_rss / MIB:.1f} MiB'
    assert ABSENT <= {p['phase'] for p in s['phases_not_hit']} <= ABSENT | brief
    assert trace.answer['choices']


def test_whole_wide(wide):
    check_whole(wide)


def test_whole_weights(weights):
    check_whole(weights)


def test_whole_parallel(parallel):
    check_whole(parallel)


def test_every_phase_with_entry_probes(probed):
    check_whole(probed, brief=set())


def test_roles(wide, parallel):
    assert [p['name'] for p in wide.summary['processes'] if p['name'] in ('APIServer', 'EngineCore', 'Worker')] == \
        ['APIServer', 'EngineCore', 'Worker']
    names = [p['name'] for p in parallel.summary['processes']]
    assert names.count('EngineCore') == 1 and 'Worker_TP0' in names and 'Worker_TP1' in names


def test_input_batch_to_the_page(wide):
    """Half of the faults are taken by OpenMP's threads."""
    token_ids = wide.phase('Worker', 'input_batch_token_ids')
    assert abs(token_ids['rss_delta_bytes'] - 4 * 131072 * 256) <= MIB
    assert abs(wide.phase('Worker', 'input_batch_is_token_ids')['rss_delta_bytes'] - 131072 * 256) <= MIB
    assert token_ids['own_bytes'] == pytest.approx(token_ids['rss_delta_bytes'], abs=MIB)
    assert 0 < token_ids['helper_bytes'] < token_ids['own_bytes']


def test_kv_cache(wide):
    kv = wide.phase('Worker', 'runner_init_kv_cache')
    assert abs(kv['rss_delta_bytes'] - 1024 * MIB) <= 4 * MIB
    assert abs(wide.phase('EngineCore', 'kv_cache_workers')['tree_delta_bytes'] - 1024 * MIB) <= 4 * MIB


def test_engine_core_waits(wide):
    """Its own few MiB; the worker's gigabyte is its descendants'."""
    executor = wide.phase('EngineCore', 'create_model_executor')
    assert 0 < executor['rss_delta_bytes'] < 16 * MIB
    assert executor['tree_delta_bytes'] > 700 * MIB
    assert executor['duration_ns'] > 2_000_000_000


def test_imports_are_phases(wide):
    for name in ('APIServer', 'EngineCore', 'Worker'):
        rows = {ph['phase']: ph for p in wide.processes(name) for ph in p['phases']}
        assert {'import_transformers', 'import_vllm'} <= set(rows), name
        if name != 'APIServer':  # it was attached to while it ran: some of its imports may have been over
            assert rows['import_torch']['rss_delta_bytes'] > 100 * MIB


def test_mapped_shards_are_file_pages_and_go(weights):
    load = weights.phase('Worker', 'load_weights')
    # The weights are copied out of the mapping: anonymous memory stays, the mapping's pages go when the shard is closed.
    assert load['released_bytes'] > 200 * MIB
    assert abs(load['file_bytes']) < 32 * MIB
    assert load['anon_bytes'] > 500 * MIB
    assert load['peak_rss_bytes'] - load['rss_end_bytes'] > 100 * MIB


def test_log_adds_up(wide):
    """total(n) = total(n-1) + growth(n), process by process, to the page."""
    last = {}
    for r in wide.records:
        if r['type'] == 'checkpoint':
            assert r['total_bytes'] == last.get(r['pid'], 0) + r['delta_bytes']
            last[r['pid']] = r['total_bytes']
    assert len(last) >= 3
    assert '创建ModelExecutor之后 占用' in wide.log and '（第二次改动）' in wide.log


def test_log_begins_before_the_server_is_ready(parallel):
    """It is live: its first line was there before /health was asked for the first time."""
    assert parallel.first_line_s is not None
