"""Native functions of a real vLLM server on the CPU: the shared memory of its ranks, by local symbols and by what stands in for them, and PyTorch's allocator.

What must come out is known from outside: the kernel's list of mappings of each worker and the files in /dev/shm."""
import json
import os
import shutil
import subprocess
import time

import pytest

from conftest import HERE, ROOT, TOOL
from test_vllm import MIB, check_whole

PAGE = os.sysconf('SC_PAGE_SIZE')
SMALL = ['--load-format', 'dummy', '--max-model-len', '8192', '--max-num-seqs', '16']
TWO_RANKS = [*SMALL, '--tensor-parallel-size', '2']
# Two threads' buffers of 4 MiB and two contexts of 256 bytes (csrc/cpu/shm.cpp), on this machine: VLLM_CPU_OMP_THREADS_BIND=nobind and two cores.
GROWTH = 16456 << 10  # of a worker from before the first segment until after the second, measured from inside the process


@pytest.fixture(scope='module')
def ended(run):
    return run('tiny', TWO_RANKS, whole=True)


def strip(library, copy):
    if not shutil.which('strip'):
        pytest.skip('strip is not installed (binutils)')
    subprocess.run(['strip', '-o', str(copy), str(library)], check=True)


@pytest.fixture(scope='module')
def stripped(run, vllm, tmp_path_factory):
    """The same server on libraries without local symbols, laid over vLLM's own in a mount namespace of the server."""
    where = tmp_path_factory.mktemp('stripped')
    script = []
    for library in sorted((vllm / 'venv').glob('lib/python3*/site-packages/vllm/_C*.so')):
        strip(library, where / library.name)
        script.append(f"mount --bind '{where / library.name}' '{library}'")
    assert script
    trace = run('tiny', TWO_RANKS, prefix=['unshare', '--mount', '--propagation', 'private', 'sh', '-c', ' && '.join([*script, 'exec "$0" "$@"'])])
    shutil.rmtree(where)
    return trace


@pytest.fixture(scope='module')
def allocations(run):
    return run('tiny', ['--load-format', 'dummy', '--max-model-len', '131072', '--max-num-seqs', '256'], ['--native-alloc'])


def workers(trace):
    found = [p for p in trace.summary['processes'] if p['name'].startswith('Worker_TP')]
    assert [p['name'] for p in found] == ['Worker_TP0', 'Worker_TP1']
    return [p['pid'] for p in found]


def whole_pages(size):
    return -(-size // PAGE) * PAGE


def check_truth(trace, pid):
    """Each rank maps its own segment and the other's: as many as there are calls of init_shm. Returns their sizes."""
    mapped = trace.segments[pid]
    assert len(mapped) == 2 and len({path for path, *_ in mapped}) == 2, mapped
    for path, size, length in mapped:
        assert length == whole_pages(size), path
    if os.cpu_count() == 2:
        assert [size for _, size, _ in mapped] == [8389120] * 2
    return [size for _, size, _ in mapped]


def test_segments_by_local_symbols(parallel):
    """init_shm once for each segment that the worker has mapped, the exported functions around it once; sizes and growth are the mappings'."""
    for pid in workers(parallel):
        sizes = check_truth(parallel, pid)
        calls = parallel.natives(pid, 'SHMManager::init_shm')
        assert sorted(call['bytes'] for call in calls) == sorted(sizes), calls
        for call in calls:
            assert call['kind'] == 'shm' and call['op'] == 'alloc' and call['phase'] == 'worker_init', call
            assert call['shmem_bytes'] == whole_pages(call['bytes']), call
            assert 0 <= call['rss_delta_bytes'] - call['shmem_bytes'] <= 64 << 10, call
        outer = [parallel.natives(pid, name) for name in ('init_shm_manager', 'join_shm_manager')]
        assert [len(calls) for calls in outer] == [1, 1]
        assert sum(calls[0]['bytes'] for calls in outer) == sum(sizes)


def lines(trace, pid, edge):
    return [r for r in trace.records if r['type'] == 'checkpoint' and r['pid'] == pid and r['label'] == 'init_shm' and r['edge'] == edge]


def check_growth(trace, pid):
    """From before the first segment until after the last, within 64 KiB of what was measured from inside; in the calls alone, what the segments are."""
    grown = lines(trace, pid, 'exit')[-1]['total_bytes'] - lines(trace, pid, 'enter')[0]['total_bytes']
    if os.cpu_count() == 2:
        assert abs(grown - GROWTH) <= 64 << 10, grown
    inside = sum(call['rss_delta_bytes'] for name in ('init_shm_manager', 'join_shm_manager') for call in trace.natives(pid, name))
    assert abs(inside - sum(whole_pages(size) for size in check_truth(trace, pid))) <= 64 << 10, inside


def test_growth_of_the_segments(parallel):
    for pid in workers(parallel):
        check_growth(parallel, pid)


def test_checkpoints(parallel, stripped):
    """Lines of their own in the log, inside of the worker's initialisation, with the segment's size."""
    for trace in (parallel, stripped):
        for pid in workers(trace):
            assert len(lines(trace, pid, 'enter')) == len(lines(trace, pid, 'exit')) == 2
            for line in lines(trace, pid, 'exit'):
                assert abs(line['delta_bytes'] - 8 * MIB) <= 256 << 10, line
        assert 'init_shm 占用 8.' in trace.log


def test_segments_without_symbols(stripped):
    """The exported functions stand in, and each says the one mapping that was made in it."""
    for pid in workers(stripped):
        sizes = check_truth(stripped, pid)
        assert not stripped.natives(pid, 'SHMManager::init_shm')
        calls = [call for name in ('init_shm_manager', 'join_shm_manager') for call in stripped.natives(pid, name)]
        assert [call['bytes'] for call in calls] == sizes[:1] * 2, calls
        assert {call['phase'] for call in calls} == {'worker_init'}
        check_growth(stripped, pid)


def test_the_server_does_not_mind(parallel, stripped, ended, allocations):
    """Completions are answered and the ledger is whole, with probes in the workers' libraries."""
    for trace in (parallel, stripped, allocations):
        check_whole(trace)
    assert ended.answer['choices']


def test_segments_are_left_by_a_server(ended):
    """destroy_shm is a destructor at a process's ordinary end, and unlinks the files. A server's workers end otherwise: told of as often as files are gone."""
    told = [call for pid in workers(ended) for call in ended.natives(pid, 'SHMManager::destroy_shm')]
    files = {path for pid in workers(ended) for path, *_ in ended.segments[pid]}
    assert len(files) == 2 and bool(told) == (len(ended.left) < len(files)), (told, ended.left)


# ---- the same library without a server: its processes end in the ordinary way ----

RANKS = HERE / 'shm_ranks.py'
THREADS = 3


@pytest.fixture(params=['_C', '_C_AVX512', '_C stripped'])
def library(request, vllm, tmp_path):
    """A library with shm.cpp that this processor can run."""
    name, *how = request.param.split()
    if name == '_C_AVX512' and 'avx512f' not in open('/proc/cpuinfo').read():
        pytest.skip('this processor has no AVX-512')
    [path] = (vllm / 'venv').glob(f'lib/python3*/site-packages/vllm/{name}.abi3.so')
    if not how:
        return path, True
    (tmp_path / 'vllm').mkdir()
    strip(path, tmp_path / 'vllm' / path.name)
    return tmp_path / 'vllm' / path.name, False


def trace_ranks(vllm, tmp_path, path):
    """Traces the two processes to their end: (what they say, records, log)."""
    profile = tmp_path / 'ranks.yaml'
    text = (ROOT / 'profiles/vllm.yaml').read_text()
    phase = {'id': 'make_segments', 'function': 'make_segments', 'label': {'zh': 'make_segments', 'en': 'make_segments'}}
    profile.write_text(f'name: ranks\nphases: [{json.dumps(phase)}]\n' + text[text.index('\nnative:\n'):])
    name = f'ramtrack-test-{os.getpid()}'
    command = [TOOL, '-v', '-P', str(profile), '-j', str(tmp_path / 'json'), '-o', str(tmp_path / 'log'), '--', str(vllm / 'venv/bin/python'), str(RANKS), str(path), name, str(THREADS)]
    err = tmp_path / 'err'
    with open(err, 'w') as errors, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True) as tool:
        while tool.stdout.readline() not in ('loaded\n', ''):
            pass
        # The probes come some ten milliseconds after the library.
        end = time.monotonic() + 30
        while f'{path}: probes at' not in err.read_text() and time.monotonic() < end:
            time.sleep(0.01)
        answer, _ = tool.communicate('go on\n', timeout=120)
    assert tool.returncode == 0, err.read_text()
    assert not [left for left in os.listdir('/dev/shm') if left.startswith(name)], 'the destructor unlinks the files'
    said = [json.loads(line) for line in answer.splitlines() if line.startswith('{"rank"')]
    assert sorted(one['rank'] for one in said) == [0, 1], answer
    records = [json.loads(line) for line in (tmp_path / 'json').read_text().splitlines()]
    return said, records, (tmp_path / 'log').read_text()


def test_segments_from_first_to_last(vllm, tmp_path, library):
    """Made in their phase, given back after the interpreter's end, to the byte: by local symbols, and by what stands in for them."""
    path, symbols = library
    said, records, log = trace_ranks(vllm, tmp_path, path)
    for one in said:
        calls = [r for r in records if r['type'] == 'native' and r['pid'] == one['pid'] and r['symbol'] != 'shm_open']
        by_name = {}
        for call in calls:
            by_name.setdefault(call['symbol'].split('::')[-1], []).append(call)
        made = by_name.pop('init_shm') if symbols else [by_name['init_shm_manager'][0], by_name['join_shm_manager'][0]]
        assert [call['bytes'] for call in made] == one['sizes'] == [THREADS * (4 * MIB + 256)] * 2, calls
        assert [call['shmem_bytes'] for call in made] == one['resident'] == [whole_pages(size) for size in one['sizes']]
        assert {call['phase'] for call in made} == {'make_segments'}
        assert [len(by_name.pop(name)) for name in ('init_shm_manager', 'join_shm_manager')] == [1, 1]
        if symbols:
            [given] = by_name.pop('destroy_shm')
            assert (given['op'], given['bytes'], given['shmem_bytes'], given['phase']) == ('free', sum(one['sizes']), -sum(one['resident']), None)
        assert not by_name
    summary = records[-1]
    assert summary['lost'] == {'records': 0, 'stacks': 0} and summary['unaccounted_bytes'] == 0
    assert log.count('init_shm 占用') == 4
    assert ('destroy_shm 释放' in log) == symbols


def test_tensors_of_the_batch(allocations):
    """token_ids is 4 x 131072 x 256 bytes in one piece; the phase asks for little else."""
    [worker] = allocations.processes('Worker')
    asked = [r['bytes'] for r in allocations.natives(worker['pid'], 'c10::alloc_cpu') if r['phase'] == 'input_batch_token_ids']
    assert 134217728 in asked
    rows = [r for r in worker['native'] if r['symbol'].endswith('c10::alloc_cpu') and r['phase'] == 'input_batch_token_ids']
    assert len(rows) == 1
    assert 134217728 <= rows[0]['bytes'] < 134217728 + MIB, rows
    is_token_ids = [r for r in worker['native'] if r['symbol'].endswith('c10::alloc_cpu') and r['phase'] == 'input_batch_is_token_ids']
    assert 33554432 <= sum(r['bytes'] for r in is_token_ids) < 33554432 + MIB
