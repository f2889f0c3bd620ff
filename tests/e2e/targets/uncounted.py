# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""A function that is watched, and whose references are then not counted any more (CPython 3.12 and newer): uncounted.py STAGE."""
import ctypes
import time


class Slow:
    def __add__(self, other):
        time.sleep(0.3)
        return 0


def work(n):
    return n + 0


work(Slow())
work(1)
time.sleep(0.2)
ctypes.c_uint32.from_address(id(work.__code__)).value = 0xFFFFFFFF  # an immortal object's
time.sleep(1)
for _ in range(4):
    work(Slow())
    time.sleep(0.05)  # seen without it in between: another call
time.sleep(0.5)
