# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""One call each from Python and from C, and when it began: pushed.py STAGE. What is called lasts long enough to be seen without a probe."""
import json
import os
import sys
import time

times = {}


def wait():
    time.sleep(0.03)


def from_python(n):
    wait()
    return n


def from_c(n):
    wait()
    return n


def with_keywords(n, *, by=1, **more):
    wait()
    return n


class Held:
    @property
    def held(self):
        wait()
        return 1


def generating():
    wait()
    yield 1
    wait()


def timed(name, call):
    before = time.monotonic_ns()
    call()
    times[name] = before, time.monotonic_ns()


before = time.monotonic_ns()
from_python(1)
times["from_python"] = before, time.monotonic_ns()
before = time.monotonic_ns()
list(map(from_c, [1]))
times["from_c"] = before, time.monotonic_ns()
before = time.monotonic_ns()
with_keywords(1, by=2, also=3)
times["with_keywords"] = before, time.monotonic_ns()
timed("held", lambda: Held().held)
timed("generating", lambda: list(generating()))
with open(os.path.join(sys.argv[1], "counts.json"), "w") as file:
    json.dump(times, file)
