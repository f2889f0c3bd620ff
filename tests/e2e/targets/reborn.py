# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""A watched process forks, and executes itself anew: reborn.py STAGE [again]. Each of the three processes' lives is met first, then calls `work` a number of times of its own."""
import json
import os
import sys
import time

stage, again = sys.argv[1], len(sys.argv) > 2


class Slow:
    def __add__(self, other):
        time.sleep(0.3)
        return 0


def work(n):
    return n + 0


def live(name, calls):
    work(Slow())
    for i in range(calls):
        work(i)
    with open(os.path.join(stage, f"counts.{name}.json"), "w") as file:
        json.dump({"pid": os.getpid(), "work": calls + 1}, file)


if again:
    live("executed", 40)
else:
    live("parent", 20)
    child = os.fork()
    if not child:
        live("child", 30)
        os._exit(0)
    os.waitpid(child, 0)
    os.execv(sys.executable, [sys.executable, "-B", *sys.argv, "again"])
