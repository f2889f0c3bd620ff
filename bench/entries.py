#!/usr/bin/env python3
# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Cost of the ways to tell calls, in one run: entries.py [CALLS] (as root). A loop of CALLS calls of a marked function, and of one that no phase names; seconds are the
target's own, medians of 5, the ways in turn."""
import json
import os
import statistics
import subprocess
import sys
import tempfile

CALLS = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
TOOL = os.environ.get("RT_TOOL", "build/ramtrack-bpf")
PYTHON = os.environ.get("PYTHON", "/usr/bin/python3")
TARGET = f"""
import time
class S:
    def __add__(self, o): time.sleep(0.3); return 0
def marked(n): return n + 0
def other(n): return n + 0
marked(S())
def timed(f, n):
    begin = time.perf_counter()
    for i in range(n): f(i)
    return time.perf_counter() - begin
timed(other, 1000)
def from_c(f, n):
    begin = time.perf_counter()
    for i in map(f, range(n)): pass
    return time.perf_counter() - begin
print(timed(marked, {CALLS}), timed(other, {CALLS}), from_c(other, {CALLS}))
"""

with tempfile.TemporaryDirectory() as directory:
    profile, script = os.path.join(directory, "p.yaml"), os.path.join(directory, "target.py")
    with open(profile, "w") as file:
        json.dump({"name": "bench", "phases": [{"id": "m", "function": "marked", "watch": True, "label": "m"}]}, file)
    with open(script, "w") as file:
        file.write(TARGET)
    found = {}
    for _ in range(5):
        for way in ("none", "off", "usdt", "uprobe", "watch"):
            tool = [TOOL, "-q", "-P", profile, "-o", "/dev/null", "--python-entry", way, "--"]
            done = subprocess.run(
                [*(tool if way != "none" else []), PYTHON, script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
            )
            line = next(line for line in done.stdout.splitlines() if line.count(".") == 3 and line.count(" ") == 2)
            found.setdefault(way, []).append([float(word) for word in line.split()])
print(f"| way | marked function, {CALLS} calls | other function | other function, called from C |\n|---|---|---|---|")
base = [statistics.median(column) for column in zip(*found["none"])]
for way, rows in found.items():
    cells = [f"{1e6 * (m := statistics.median(column)) / CALLS:.2f} us ({m / b:.1f}x)" for column, b in zip(zip(*rows), base)]
    print(f"| {way} | {' | '.join(cells)} |")
