# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""One process, several programs: executes one command after the other, each of which ends in this script. argv: work directory, number of
this step, commands of the steps to come as JSON, to each of which the next number and the rest are added.

Each step has two phases whose size is its own, a function and one inside it, and leaves its truth in a file of its own: the process is
the same."""

import json
import os
import sys

from truth import grow, open_target

WORK, STEP, COMMANDS = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])


def first():
    T.begin("first")
    grow(200 + 50 * STEP)
    second()
    T.end("first")


def second():
    T.begin("second")
    grow(300 + 50 * STEP)
    T.end("second")


T, _ = open_target(WORK, slots=512)
first()
T.expect("first", 500 + 100 * STEP, 24)
T.expect("second", 300 + 50 * STEP, 24)
T.dump()
os.rename(os.path.join(WORK, f"truth.{os.getpid()}.json"), os.path.join(WORK, f"step.{STEP}.json"))
if COMMANDS:
    os.execv(COMMANDS[0][0], [*COMMANDS[0], str(STEP + 1), json.dumps(COMMANDS[1:])])
