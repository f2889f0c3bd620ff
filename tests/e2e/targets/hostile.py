# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Names that would break a format: of the process, of functions, of source files, of a mapped file. argv: work directory; what follows is only there to be
in the command line."""

import ctypes
import mmap
import os
import sys

NAME = "<script>alert(1)<script>\"';|\\ \n\t\x1b[2J\x07\u202egnp\u2066\u200b\x85\udcff\u5927 7"
KEEP = []


def fill(pages):
    memory = mmap.mmap(-1, pages * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, len(memory), mmap.PAGESIZE):
        memory[at] = 1
    KEEP.append(memory)


def map_file(pages):
    path = os.fsencode(os.path.join(sys.argv[1], NAME))
    with open(path, "wb+") as file:
        file.write(bytes(pages * mmap.PAGESIZE))
        file.flush()
        memory = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED)
    KEEP.append(memory)
    return sum(memory[at] for at in range(0, len(memory), mmap.PAGESIZE))


def named():
    """fill(), under a name and in a file that are no good."""
    code = compile("def f(fill):\n    fill(50)\n", NAME, "exec").co_consts[0]
    new = {"co_name": NAME, **({"co_qualname": NAME} if hasattr(code, "co_qualname") else {})}
    made = {}
    exec(compile("def f(fill):\n    fill(50)\n", NAME, "exec"), made)
    made["f"].__code__ = code.replace(**new)
    made["f"](fill)


def main():
    ctypes.CDLL(None).prctl(15, ctypes.c_char_p(b"</p>\";\n\x1b\xe2\x80\xae\xff\\"), 0, 0, 0)  # PR_SET_NAME
    fill(20)
    named()
    map_file(30)


main()
