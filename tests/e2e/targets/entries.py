# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Counts how often its functions are called, by itself: entries.py STAGE CALLS. Each watched function is first called in a way that lets it be met on a stack."""
import json
import os
import sys
import threading
import time

stage, calls = sys.argv[1], int(sys.argv[2])
count = {"method": 0, "recursive": 0, "thrower": 0, "looked_into": 0}


class Slow:
    def __add__(self, other):
        time.sleep(0.3)
        return 0


class Counted:
    def method(self, n):
        return n + 0

    def recursive(self, n, slow=0):
        slow + 0
        return n and self.recursive(n - 1)

    def thrower(self, n):
        raise ValueError(n + 0)

    def looked_into(self, n):
        n + 0
        return len(bytearray(3 << 20))


def many(counted, n):
    for i in range(n):
        counted.method(i)


def throw(counted, n):
    try:
        counted.thrower(n)
    except ValueError:
        pass
    count["thrower"] += 1


counted = Counted()
counted.method(Slow())
counted.recursive(0, Slow())
throw(counted, Slow())
counted.looked_into(Slow())
count.update(method=1, recursive=1, looked_into=1)


class Built:
    for i in range(calls):
        counted.method(i)


count["method"] += calls
counted.recursive(20)
count["recursive"] += 1
for i in range(50):
    throw(counted, i)
for i in range(20):
    counted.looked_into(i)
count["looked_into"] += 20
for i in range(100):  # other references are no calls
    Counted.method.__code__, Counted.recursive.__code__
threads = [threading.Thread(target=many, args=(counted, 100)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
count["method"] += 400
count["method"] += len(list(map(counted.method, range(70))))  # called from C
count["method"] += sum(1 for _ in (counted.method(i) for i in range(30)))  # from a generator
with open(os.path.join(stage, "counts.json"), "w") as file:
    json.dump(count, file)
