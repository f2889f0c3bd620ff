# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Deep recursion with the phase far out and far in. argv: work directory."""

import sys

from truth import grow, open_target

WORK = sys.argv[1]
T = None


def descend(depth, bottom):
    if depth:
        descend(depth - 1, bottom)
    else:
        bottom()


def bottom_outside():
    grow(256)


def outermost_600():
    T.begin("outermost_600")
    descend(600, bottom_outside)
    T.end("outermost_600")


def outermost_900():
    T.begin("outermost_900")
    descend(900, bottom_outside)
    T.end("outermost_900")


def innermost_600():
    T.begin("innermost_600")
    grow(300)
    T.end("innermost_600")


def innermost_900():
    T.begin("innermost_900")
    grow(310)
    T.end("innermost_900")


def between():
    """Many shallow calls after a deep one: what was left out of the deep stack must not stick."""
    T.begin("between")
    grow(100)
    T.end("between")


def main():
    global T
    sys.setrecursionlimit(4000)
    descend(1000, list)
    T, _ = open_target(WORK)
    for _ in range(2):
        outermost_600()
        between()
        outermost_900()
        between()
        descend(600, innermost_600)
        between()
        descend(900, innermost_900)
        between()
    T.expect("outermost_900", 512, 64)
    T.expect("innermost_900", 620)
    T.expect("between", 800)
    T.dump()


if __name__ == "__main__":
    main()
