# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Calls fast, then slowly, twice: paced.py STAGE FAST SLOW, in seconds. Writes down how often it called, and when each of the slow calls began and ended."""
import json
import os
import sys
import time

stage = sys.argv[1]
fast_for, slow_for = (float(word) for word in sys.argv[2:4])
count = {"work": 0, "slow": []}


def work(n):
    return n + 0


def other(n):
    return n + 0


def fast():
    end = time.monotonic() + fast_for
    while time.monotonic() < end:
        for _ in range(500):
            work(1)
            other(1)
        count["work"] += 500


def slow():
    end = time.monotonic() + slow_for
    while time.monotonic() < end:
        before = time.monotonic_ns()
        work(1)
        count["slow"].append((before, time.monotonic_ns()))
        count["work"] += 1
        time.sleep(0.02)


class Slow:
    def __add__(self, other):
        time.sleep(0.3)
        return 0


work(Slow())  # long enough to be met on a stack
count["work"] += 1
for _ in range(2):
    fast()
    slow()
with open(os.path.join(stage, "counts.json"), "w") as file:
    json.dump(count, file)
