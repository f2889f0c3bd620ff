#!/usr/bin/env python3
"""What tracing costs: pairs of traced and untraced runs, one after the other in one session, and the ratio of their medians.

    pairs.py [--rounds N] [--with OPTIONS] [vllm] [imports] [faults]

vllm     a real `vllm serve` from its start to the first 200 of /health (tests/vllm's cached installation)
imports  the imports of vLLM's API server alone
faults   a start-up that does little else than fault pages in and give them back
With --with='--no-mappings' each round has one more run, traced with these options.
Also printed: BPF run time by program and the tracer's own memory. Times are those of this machine; only the ratios mean something elsewhere.
"""
import argparse
import importlib.util
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
TOOL = os.environ.get('RT_TOOL', str(ROOT / 'build' / 'ramtrack-bpf'))
LIMIT = {'vllm': 1.05, 'imports': 1.06, 'faults': 1.05}


def vllm_kit():
    spec = importlib.util.spec_from_file_location('vllm_kit', ROOT / 'tests' / 'vllm' / 'conftest.py')
    kit = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kit)
    return kit


class Tracer:
    """The tool on a process, from right after its start, with some options; `traced` None: untraced."""

    def __init__(self, pid, out, options):
        self.json = out / 'json'
        self.tool = subprocess.Popen([TOOL, '-q', '-p', str(pid), '-j', str(self.json), '-o', str(out / 'log'), *options],
                                     stdout=subprocess.DEVNULL)

    def wait_attached(self):
        end = time.monotonic() + 30
        while '"attach"' not in (self.json.read_text() if self.json.exists() else ''):
            if self.tool.poll() is not None or time.monotonic() > end:
                sys.exit('pairs.py: the tool did not attach; what it says stands above')
            time.sleep(0.02)

    def finish(self):
        if self.tool.poll() is None:
            self.tool.send_signal(signal.SIGINT)
        self.tool.wait(60)
        return json.loads(self.json.read_text().splitlines()[-1])


def run_vllm(kit, traced):
    model = ['--load-format', 'dummy', '--max-model-len', '131072', '--max-num-seqs', '256']
    with tempfile.TemporaryDirectory() as d:
        begin = time.monotonic()
        server, port = kit.serve(kit.CACHE, 'tiny', model)
        tracer = Tracer(server.pid, pathlib.Path(d), traced) if traced is not None else None
        assert kit.wait_ready(server, port)
        took = time.monotonic() - begin
        summary = tracer.finish() if tracer else None
        kit.stop(server)
        return took, summary


# The timed part is told by the program itself, after it was attached to.
IMPORTS = '''
import sys, time
sys.stdin.readline()
t = time.monotonic()
import vllm.entrypoints.openai.api_server
print(time.monotonic() - t, flush=True)
import os
os._exit(0)
'''

FAULTS = '''
import mmap, sys, time
sys.stdin.readline()
t = time.monotonic()
def fill(mib):
    m = mmap.mmap(-1, mib << 20)
    block = bytes(1 << 20)
    for i in range(mib):
        m[i << 20:(i + 1) << 20] = block
    return m
def layer(depth, mib):
    return layer(depth - 1, mib) if depth else fill(mib)
keep = []
for i in range(24):
    keep.append(layer(10 + i, 64))
    if i % 3 == 2:
        keep.pop(0).close()
print(time.monotonic() - t, flush=True)
'''


def run_program(python, text, traced):
    with tempfile.TemporaryDirectory() as d:
        env = dict(os.environ, PYTHONDONTWRITEBYTECODE='1')
        program = pathlib.Path(d) / 'program.py'
        program.write_text(text)
        p = subprocess.Popen([python, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                             env=env)
        tracer = Tracer(p.pid, pathlib.Path(d), traced) if traced is not None else None
        # Attached, else a part would run untraced; and as long untraced: the longer free memory lies idle, the more of it a virtual machine gives back to its host, and has to get again.
        end = time.monotonic() + 2
        if tracer:
            tracer.wait_attached()
        time.sleep(max(0, end - time.monotonic()))
        p.stdin.write('\n')
        p.stdin.flush()
        took = float(p.stdout.readline())
        p.wait()
        return took, tracer.finish() if tracer else None


def show(name, limit, plain, traced, summary):
    ratio = statistics.median(traced) / statistics.median(plain)
    print(f'{name}: untraced {statistics.median(plain):.2f} s {[round(t, 2) for t in plain]}, '
          f'traced {statistics.median(traced):.2f} s {[round(t, 2) for t in traced]}: {ratio:.3f}x (limit {limit}x)')
    me = summary['self']
    print(f"  last traced run: BPF {me['bpf_ns'] / 1e9:.2f} s in {me['bpf_runs']} runs, tracer {me['user_ns'] / 1e9:.2f} s user "
          f"{me['sys_ns'] / 1e9:.2f} s system, its RSS {me.get('rss_bytes', 0) / 2**20:.1f} MiB, maps {me.get('map_bytes', 0) / 2**20:.1f} MiB")
    for p in sorted(me.get('programs', []), key=lambda p: -p['ns'])[:4]:
        print(f"    {p['name']:<16} {p['runs']:>9} runs {p['ns'] / 1e9:8.3f} s {p['ns'] / max(1, p['runs']):7.0f} ns each, missed {p['missed']}")
    return ratio


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=4)
    parser.add_argument('--with', action='append', default=[], dest='more', metavar='OPTIONS')
    parser.add_argument('what', nargs='*', default=[])
    args = parser.parse_args()
    what = args.what or ['vllm', 'imports', 'faults']
    if set(what) - set(LIMIT):
        parser.error(f'choose from {", ".join(LIMIT)}')
    if os.geteuid():
        sys.exit('pairs.py: tracing needs root')
    kit = vllm_kit()
    if set(what) & {'vllm', 'imports'}:
        subprocess.run([str(ROOT / 'tests/vllm/install.sh'), str(kit.CACHE)], check=True)
    venv = str(kit.CACHE / 'venv/bin/python')
    runs = {'vllm': lambda traced: run_vllm(kit, traced), 'imports': lambda traced: run_program(venv, IMPORTS, traced),
            'faults': lambda traced: run_program(sys.executable, FAULTS, traced)}
    kinds = [None, []] + [option.split() for option in args.more]
    for name in what:
        runs[name](None)  # page cache
        times, summaries = [[] for _ in kinds], [None] * len(kinds)
        for i in range(args.rounds):
            order = list(range(len(kinds)))
            for k in order if i % 2 == 0 else reversed(order):
                took, summary = runs[name](kinds[k])
                times[k].append(took)
                summaries[k] = summary
        for k in range(1, len(kinds)):
            show(' '.join([name, *kinds[k]]), LIMIT[name], times[0], times[k], summaries[k])


main()
