# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""A start of a real vLLM kept in a ledger: how large it is, the same report, and the shipped profile's phases found in it afterwards."""
import json
import os
import subprocess

import pytest
from conftest import TOOL

MIB = 1 << 20
ARGS = ['--load-format', 'dummy', '--max-model-len', '131072', '--max-num-seqs', '256']


def report(ledger, folder, *options):
    """(log, NDJSON) of a ledger, as bytes."""
    out = [str(folder / name) for name in ('report.log', 'report.json')]
    done = subprocess.run([TOOL, 'report', '-o', out[0], '-j', out[1], *options, str(ledger)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return [open(path, 'rb').read() for path in out]


@pytest.fixture(scope='module')
def unnamed(run, tmp_path_factory):
    """Recorded with a profile that names nothing of vLLM. Returns the trace and the ledger."""
    folder = tmp_path_factory.mktemp('ledger')
    profile = folder / 'never.yaml'
    profile.write_text(json.dumps({'name': 'never', 'phases': [{'id': 'never', 'function': 'never_called', 'label': 'never'}]}))
    ledger = folder / 'run.ledger'
    return run('tiny', ARGS, ['-P', str(profile), '--record', str(ledger)]), ledger


def test_size_and_losses(unnamed):
    trace, ledger = unnamed
    size = os.stat(ledger).st_size
    print(f'{size / MIB:.1f} MiB, RSS {trace.tool_rss / MIB:.1f} MiB, {trace.summary["self"]}')
    assert size <= 30 * MIB, size
    assert trace.summary['lost'] == {'records': 0, 'stacks': 0} and trace.summary['unaccounted_bytes'] == 0
    assert trace.tool_rss <= 56 * MIB, f'the tracer itself: {trace.tool_rss / MIB:.1f} MiB'


def test_report_is_the_live_run(unnamed, tmp_path):
    trace, ledger = unnamed
    log, records = report(ledger, tmp_path)
    assert log.decode() == trace.log
    assert [json.loads(line) for line in records.splitlines()] == trace.records


def test_phases_are_found_afterwards(unnamed, tmp_path):
    """Arithmetic is the truth: int32 and bool of 131072 x 256, and one GiB of KV cache."""
    _, ledger = unnamed
    _, records = report(ledger, tmp_path, '-P', 'vllm')
    summary = json.loads(records.splitlines()[-1])
    worker = next(p for p in summary['processes'] if p['name'] == 'Worker')
    phases = {p['phase']: p for p in worker['phases']}
    for name, meant, room in (('input_batch_token_ids', 4 * 131072 * 256, 1), ('input_batch_is_token_ids', 131072 * 256, 1), ('runner_init_kv_cache', 1 << 30, 4)):
        assert abs(phases[name]['rss_delta_bytes'] - meant) <= room * MIB, (name, phases[name]['rss_delta_bytes'] - meant)
    not_hit = {p['phase']: p['reason'] for p in summary['phases_not_hit']}
    assert set(not_hit) <= {'workspace_manager', 'worker_warm_up'}, not_hit
    # The same edges as in a live run: helpers' pages too, half of these.
    token_ids = phases['input_batch_token_ids']
    assert 0 < token_ids['helper_bytes'] < token_ids['own_bytes'] and abs(token_ids['own_bytes'] - token_ids['rss_delta_bytes']) <= MIB
