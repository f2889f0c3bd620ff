# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Starts other programs in every way there is, each on this process's memory until it executes, and grows afterwards. argv: work directory."""

import os
import subprocess
import sys

from truth import grow, open_target

T, _ = open_target(sys.argv[1])


def growing(number):
    T.begin("growing")
    grow(100 + number)
    T.end("growing")


def others(number):
    if number == 0:
        subprocess.run([sys.executable, "-S", "-c", ""], check=True)
    elif number == 1:
        os.waitpid(os.posix_spawn(sys.executable, [sys.executable, "-S", "-c", ""], os.environ), 0)
    elif number == 2:
        os.system("exit 0")
    elif number == 3:
        try:
            subprocess.run(["/nonexistent"])
        except FileNotFoundError:
            pass


for turn in range(4):
    others(turn)
    growing(turn)
T.dump()
