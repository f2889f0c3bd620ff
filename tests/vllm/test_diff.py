"""Starts of a real vLLM compared: --max-num-seqs 64 against 256, with three runs of 64 for the noise."""
import json
import os
import signal
import subprocess
import time

import pytest

import conftest

MIB = 1 << 20
TOKENS = 131072


@pytest.fixture(scope='module')
def record(vllm, tmp_path_factory):
    """record(sequences, number) -> the ledger of a start up to the first answer of /health."""
    out = tmp_path_factory.mktemp('ledgers')

    def run(sequences, number):
        ledger, port = out / f'{sequences}.{number}.ledger', conftest.free_port()
        environment = dict(os.environ, VLLM_CPU_KVCACHE_SPACE='1', VLLM_CPU_OMP_THREADS_BIND='nobind', VLLM_CPU_CI_ENV='1', HF_HUB_OFFLINE='1',
                           TRANSFORMERS_OFFLINE='1', VLLM_NO_USAGE_STATS='1', DO_NOT_TRACK='1')
        with open(out / 'serve.log', 'w') as log:
            tool = subprocess.Popen([conftest.TOOL, 'record', '-o', ledger, '--', vllm / 'venv/bin/vllm', 'serve', vllm / 'tiny', '--port', str(port), '--enforce-eager',
                                     '--dtype', 'float32', '--load-format', 'dummy', '--max-model-len', str(TOKENS), '--max-num-seqs', str(sequences)],
                                    stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        servers = []
        try:
            assert conftest.wait_ready(tool, port), (out / 'serve.log').read_text()[-3000:]
            time.sleep(2)
            servers = conftest.descendants(tool.pid)
            tool.send_signal(signal.SIGINT)
            assert tool.wait(60) == 0, (out / 'serve.log').read_text()[-3000:]
        finally:
            tool.kill()
            for pid in servers:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
        return ledger

    return run


@pytest.fixture(scope='module')
def ledgers(record):
    return [record(64, number) for number in range(4)], record(256, 0)


def compare(*args):
    done = subprocess.run([conftest.TOOL, 'diff', '--format', 'json', *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def named(said):
    """Own parts of phases that count."""
    return {(process['name'], one['path'][-1] if one['path'] else ''): one['own_bytes']['difference']
            for process in said['processes'] for one in process['phases']
            if not one['own_bytes']['within_noise'] and abs(one['own_bytes']['difference']) >= said['min_size_bytes']}


def test_more_sequences_are_named_with_their_arithmetic(ledgers):
    old, new = ledgers
    said = compare(*old[:3], new)
    found = named(said)
    assert abs(found.pop(('Worker', 'input_batch_token_ids')) - 4 * TOKENS * (256 - 64)) < MIB
    assert abs(found.pop(('Worker', 'input_batch_is_token_ids')) - TOKENS * (256 - 64)) < MIB
    # The block table is made there as well: int32, an entry for each block of 128 tokens, a buffer of the device and one of the host.
    assert abs(found.pop(('Worker', 'create_input_batch'), 0) - 2 * 4 * TOKENS // 128 * (256 - 64)) < MIB
    assert found == {}
    stacks = [stack for process in said['processes'] for stack in process['stacks']]
    assert stacks and all('create_input_batch' in stack['path'] for stack in stacks)
    lines = {(stack['path'][-1], frame['function'], frame['file'].rpartition('/')[2]) for stack in stacks for frame in stack['frames'][:1] if frame['file']}
    assert ('input_batch_token_ids', 'InputBatch.__init__', 'gpu_input_batch.py') in lines
    assert ('input_batch_is_token_ids', 'InputBatch.__init__', 'gpu_input_batch.py') in lines


def test_the_same_again_is_noise(ledgers):
    old, _ = ledgers
    assert named(compare(*old)) == {}


def test_budget(ledgers):
    old, new = ledgers
    expr = 'diff.phase("create_input_batch").growth > 100M'
    for args, status in (((*old[:3], new), 7), (tuple(old), 0)):
        done = subprocess.run([conftest.TOOL, 'diff', '--fail-if', expr, *args], capture_output=True, text=True)
        assert done.returncode == status, done.stderr
