# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Greenlets: whole stacks that are put away and taken up again, in phases of their own. argv: work directory (with the package greenlet in it)."""

import ctypes
import os
import sys

WORK = sys.argv[1]
sys.path.insert(0, WORK)
if os.path.exists(WORK + "/libstdc++.so.6"):  # of a root that has none
    ctypes.CDLL(WORK + "/libstdc++.so.6")

from greenlet import getcurrent, greenlet  # noqa: E402

from truth import grow, open_target  # noqa: E402

T = None
ROUNDS = 10


def left(other):
    for _ in range(ROUNDS):
        T.begin("left")
        grow(20)
        T.end("left")
        deep_switch(6)
    T.begin("left")
    grow(1)
    T.end("left")


def deep_switch(depth):
    """Away from the middle of a stack, and back into it."""
    if depth:
        return deep_switch(depth - 1)
    T.begin("left")
    grow(2)
    T.end("left")
    RIGHT.switch()
    T.begin("left")
    grow(3)
    T.end("left")


def right():
    while True:
        T.begin("right")
        grow(30)
        T.end("right")
        LEFT.switch()


def around():
    """Starts them; what they bring is theirs."""
    T.begin("around")
    grow(5)
    T.end("around")
    LEFT.switch(None)
    T.begin("around")
    grow(6)
    T.end("around")


def throwing():
    try:
        T.begin("throwing")
        grow(8)
        T.end("throwing")
        getcurrent().parent.switch()
    finally:
        T.begin("throwing")
        grow(9)
        T.end("throwing")


def warming():
    """As throwing(), so that what throws is in memory."""
    try:
        getcurrent().parent.switch()
    finally:
        getcurrent()


LEFT, RIGHT = greenlet(left), greenlet(right)


def main():
    global T
    if sys.argv[2:] == ["try"]:
        return
    T, _ = open_target(WORK)
    warm = greenlet(warming)
    warm.switch()
    del warm
    around()
    thrown = greenlet(throwing)
    thrown.switch()
    del thrown  # ends it with GreenletExit, on a stack of its own
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        for name, pages in {"left": 25 * ROUNDS + 1, "right": 30 * ROUNDS, "around": 11, "throwing": 17}.items():
            T.expect(name, pages, 40)
    T.dump()


if __name__ == "__main__":
    main()
