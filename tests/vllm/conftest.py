"""A real vLLM server on the CPU, traced from right after its start until it answers, then ended."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TOOL = os.environ.get('RT_TOOL', str(ROOT / 'build' / 'ramtrack-bpf'))
CACHE = pathlib.Path(os.environ.get('RT_VLLM_CACHE') or
                     pathlib.Path(os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache') / 'ramtrack-bpf' / 'vllm')


@pytest.fixture(scope='session')
def vllm():
    if os.geteuid() != 0:
        pytest.skip('tracing needs root')
    done = subprocess.run([str(HERE / 'install.sh'), str(CACHE)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip('vLLM could not be installed here: ' + (done.stderr.strip().splitlines() or ['no reason given'])[-1])
    return CACHE


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def serve(cache, model, args, env=(), prefix=()):
    """Starts `vllm serve`, with `prefix` before it; returns its process and its port."""
    port = free_port()
    e = dict(os.environ, VLLM_CPU_KVCACHE_SPACE='1', VLLM_CPU_OMP_THREADS_BIND='nobind', VLLM_CPU_CI_ENV='1',
             HF_HUB_OFFLINE='1', TRANSFORMERS_OFFLINE='1', VLLM_NO_USAGE_STATS='1', DO_NOT_TRACK='1', **dict(env))
    if model == 'tiny':  # vLLM 0.32's AMX attention (bfloat16 only) kills the worker at the first request of so small a model
        args = ['--dtype', 'float32', *args]
    log = open(cache / 'serve.log', 'w')
    server = subprocess.Popen([*prefix, str(cache / 'venv/bin/vllm'), 'serve', str(cache / model), '--port', str(port), '--enforce-eager',
                               *args], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=e, start_new_session=True)
    return server, port


def wait_ready(server, port, seconds=240):
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f'http://127.0.0.1:{port}/health', timeout=1) as answer:
                if answer.status == 200:
                    return True
        except OSError:
            time.sleep(0.05)
    return False


def complete(port, model):
    body = json.dumps({'model': str(model), 'prompt': [1, 5, 6, 7], 'max_tokens': 4}).encode()
    request = urllib.request.Request(f'http://127.0.0.1:{port}/v1/completions', body, {'Content-Type': 'application/json'})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def rollup(pid):
    out = {}
    for line in open(f'/proc/{pid}/smaps_rollup'):
        key, _, rest = line.partition(':')
        if rest.strip().endswith('kB'):
            out[key] = int(rest.split()[0]) * 1024
    return out


def stop(process, how=signal.SIGTERM):
    if process.poll() is None:
        os.killpg(process.pid, how)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


SEGMENT = re.compile(r'^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+ +(/dev/shm/vllm_dist_\S*cpushm\S*)', re.M)


def segments(pid):
    """What the kernel says of the shared memory of vLLM's CPU ranks in a process: [(path, size of the file, size of the mapping)]."""
    found = SEGMENT.findall(pathlib.Path(f'/proc/{pid}/maps').read_text())
    return [(path, os.stat(path).st_size, int(end, 16) - int(begin, 16)) for begin, end, path in found]


class Trace:
    """What the tracer wrote, and what was seen beside it. `segments`: by process, at rest; `left`: those whose file was still there when all had ended."""

    def __init__(self, records, log, err, truth, tool_rss, first_line_s, answer, shm, left):
        self.records, self.log, self.err, self.truth = records, log, err, truth
        self.tool_rss, self.first_line_s, self.answer = tool_rss, first_line_s, answer
        self.segments, self.left = shm, left
        self.summary = records[-1]
        assert self.summary['type'] == 'summary'

    def processes(self, name):
        return [p for p in self.summary['processes'] if p['name'] == name]

    def natives(self, pid, symbol):
        """Records of calls of one function of a process, in order; `symbol` is the end of its name."""
        return [r for r in self.records if r['type'] == 'native' and r['pid'] == pid and r['symbol'].endswith(symbol)]

    def phase(self, name, phase):
        found = [ph for p in self.processes(name) for ph in p['phases'] if ph['phase'] == phase]
        assert len(found) == 1, f'{name}/{phase}: {len(found)} rows'
        return found[0]


@pytest.fixture(scope='session')
def run(vllm, tmp_path_factory):
    """run(model, args): serves, traces from right after the start, waits until it is ready, asks for a completion, compares RSS at rest. `whole`: the server is
    ended first, as by its service manager, and the trace ends with it."""

    def run_(model, args, options=(), prefix=(), whole=False):
        out = tmp_path_factory.mktemp('trace')
        server, port = serve(vllm, model, args, prefix=prefix)
        started = time.monotonic()
        tool = subprocess.Popen([TOOL, '-p', str(server.pid), '-j', str(out / 'json'), '-o', str(out / 'log'), *options],
                                stdout=subprocess.DEVNULL, stderr=open(out / 'err', 'w'))
        first = None
        try:
            while first is None and time.monotonic() < started + 20:
                if (out / 'log').exists() and (out / 'log').stat().st_size:
                    first = time.monotonic() - started
                time.sleep(0.005)
            assert wait_ready(server, port), open(vllm / 'serve.log').read()[-3000:]
            answer = complete(port, vllm / model)
            time.sleep(2)
            pids = [server.pid, *descendants(server.pid)]
            truth = {pid: rollup(pid) for pid in pids}
            shm = {pid: segments(pid) for pid in pids}
            tool_rss = rss(tool.pid)
            (server if whole else tool).send_signal(signal.SIGTERM if whole else signal.SIGINT)
            assert tool.wait(60) == 0, (out / 'err').read_text()
        finally:
            if tool.poll() is None:
                tool.kill()
            stop(server)
        left = [path for path in {path for of in shm.values() for path, *_ in of} if os.path.exists(path)]
        for path in left:  # vLLM leaves them when it is ended by a signal
            os.unlink(path)
        records = [json.loads(line) for line in (out / 'json').read_text().splitlines()]
        return Trace(records, (out / 'log').read_text(), (out / 'err').read_text(), truth, tool_rss, first, answer, shm, left)

    return run_


@pytest.fixture(scope='session')
def parallel(run):
    """Two ranks."""
    return run('tiny', ['--load-format', 'dummy', '--max-model-len', '8192', '--max-num-seqs', '16', '--tensor-parallel-size', '2'])


def rss(pid):
    for line in open(f'/proc/{pid}/status'):
        if line.startswith('VmHWM:'):
            return int(line.split()[1]) * 1024
    return 0


def descendants(pid):
    out = []
    for task in pathlib.Path(f'/proc/{pid}/task').iterdir():
        for child in (task / 'children').read_text().split():
            out += [int(child), *descendants(int(child))]
    return out
