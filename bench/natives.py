#!/usr/bin/env python3
# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""What a probe on a native function costs, by kind, in one run: natives.py [CALLS] (as root; needs g++). One library with the same function several times over, which
allocates 100 bytes or maps and fills 64 KiB; each copy is probed in another way. Nanoseconds of processor time a call are the target's own, medians of 5, the ways in turn."""
import json
import os
import statistics
import subprocess
import sys
import tempfile

CALLS = int(sys.argv[1]) if len(sys.argv) > 1 else 100000
TOOL = os.environ.get("RT_TOOL", "build/ramtrack-bpf")
PYTHON = os.environ.get("PYTHON", "/usr/bin/python3")
SOURCE = """
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <sys/mman.h>
#define F(name) extern "C" __attribute__((noinline)) void name(long n) { \\
	if (n < 4096) { void *p = malloc(n); asm volatile("" ::"r"(p) : "memory"); free(p); return; } \\
	void *p = mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); memset(p, 1, n); munmap(p, n); }
F(unprobed) F(normal) F(hot) F(mapped)
asm(".globl stepped\\n.type stepped, @function\\nstepped:\\n\\tmov %rdi, %rax\\n\\tmov %rax, %rcx\\n\\tmov %rcx, %rdi\\n\\tjmp unprobed\\n.size stepped, . - stepped\\n");
extern "C" void stepped(long n);
extern "C" double timed(int which, long calls, long n)
{
	void (*const f[])(long) = {unprobed, normal, hot, mapped, stepped};
	timespec a, b;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	for (long i = 0; i < calls; i++)
		f[which](n);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	return ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / calls;
}
"""
TARGET = f"""
import ctypes, sys, time
lib = ctypes.CDLL(sys.argv[1])
lib.timed.restype = ctypes.c_double
lib.timed.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_long]
time.sleep(1)
def phase():
    for size in (100, 65536):
        for which in range(5):
            # few calls of the one that is single-stepped: its probe comes off above 1000 a second
            calls = 400 if which == 4 else {CALLS} if size == 100 else {CALLS} // 20
            lib.timed(which, 10, size)
            print("ns", size, which, lib.timed(which, calls, size))
            time.sleep(0.1)
    time.sleep(1)
phase()
"""
WAYS = ("no probe", "entry probe, records and sums", "the same, marked hot (sums only)", "the same, size by what is mapped", "single-stepped instruction")
RULES = [
    {"symbol": "normal", "bytes": "arg1"},
    {"symbol": "hot", "bytes": "arg1", "hot": True},
    {"symbol": "mapped", "bytes": "mapped"},
    {"symbol": "stepped", "bytes": "arg1"},
]


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True)
    assert "was taken off" not in done.stderr, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("ns ")]
    return {(int(size), int(which)): float(ns) for _, size, which, ns in lines}


with tempfile.TemporaryDirectory() as directory:
    library, profile, script, source = (os.path.join(directory, name) for name in ("libbench.so", "p.yaml", "target.py", "bench.cpp"))
    with open(source, "w") as file:
        file.write(SOURCE)
    with open(script, "w") as file:
        file.write(TARGET)
    with open(profile, "w") as file:
        rules = [{"library": "libbench.so", "kind": "other", **rule} for rule in RULES]
        json.dump({"name": "bench", "phases": [{"id": "p", "function": "phase", "label": "p"}], "native": rules}, file)
    subprocess.run(["g++", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    alone, traced = [], []
    for _ in range(5):
        alone.append(run([PYTHON, script, library]))
        traced.append(run([TOOL, "-P", profile, "-o", "/dev/null", "--native-alloc", "--", PYTHON, script, library]))

print("| probe | malloc(100) and free | ratio | 64 KiB mapped, filled, unmapped | ratio |\n|---|---|---|---|---|")
for name, runs, which in [("not traced", alone, 0), *((way, traced, number) for number, way in enumerate(WAYS))]:
    cells = []
    for size in (100, 65536):
        ns, base = (statistics.median(one[size, n] for one in rows) for rows, n in ((runs, which), (alone, 0)))
        cells.append(f"{ns:.0f} ns | {ns / base:.2f}x")
    print(f"| {name} | {' | '.join(cells)} |")
