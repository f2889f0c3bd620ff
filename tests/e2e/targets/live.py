# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Phases that are watched while they run. argv: work directory, scenario, further words."""

import os
import signal
import sys
import time

from truth import grow, mapping, open_target, touch

WORK, SCENARIO = sys.argv[1], sys.argv[2]
T = C = None


def hold():
    C.stop("hold")


def growing(pages):
    T.begin("growing")
    grow(pages)
    T.end("growing")


def shrinking(memory):
    T.begin("shrinking")
    memory.close()
    T.end("shrinking")


def holding_inside(pages):
    grow(pages)
    C.stop("inside")
    grow(pages)


def dying(memory):
    touch(memory, 1536)
    os.kill(os.getpid(), signal.SIGKILL)


def holds():
    hold()
    hold()
    for pages in (1, 33, 700):
        growing(pages)
        hold()
    memory = grow(900)
    hold()
    shrinking(memory)
    hold()
    holding_inside(250)
    hold()


def ended_then_asleep():
    growing(1024)
    C.note("ended")
    time.sleep(3)
    T.dump()


def killed():
    dying(mapping(1536))


def steady():
    """Works a little for as long as it is let."""
    while os.path.exists(os.path.join(WORK, "keep_running")):
        growing(16)
        time.sleep(0.02)


def until_told():
    growing(64)
    C.stop("ready")
    growing(64)


def exits():
    growing(16)
    sys.exit(int(sys.argv[3]))


def main():
    global T, C
    T, C = open_target(WORK)
    C.prepare("hold", "inside", "ready")
    {
        "holds": holds,
        "ended": ended_then_asleep,
        "killed": killed,
        "steady": steady,
        "told": until_told,
        "exits": exits,
    }[SCENARIO]()
    if SCENARIO in ("holds", "told"):
        T.dump()


if __name__ == "__main__":
    main()
