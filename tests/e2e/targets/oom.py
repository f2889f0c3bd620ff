# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Fills anonymous memory in a phase until it is killed, and counts the pages where that can be read afterwards. argv: file for the count (a page of it), who fills:
main, thread or child."""

import mmap
import os
import struct
import sys
import threading

PAGE = mmap.PAGESIZE
CHUNK = 256
COUNT = struct.Struct("=QQ")  # pages touched, thread

with open(sys.argv[1], "r+b") as file:
    COUNTED = mmap.mmap(file.fileno(), PAGE)
KEPT = []


def fill(limit):
    """Pages one by one, each counted once it is there."""
    done, tid = 0, threading.get_native_id()
    COUNT.pack_into(COUNTED, 0, done, tid)
    while done < limit:
        memory = mmap.mmap(-1, CHUNK * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            memory.madvise(mmap.MADV_NOHUGEPAGE)
        KEPT.append(memory)
        for offset in range(0, CHUNK * PAGE, PAGE):
            memory[offset] = 1
            done += 1
            COUNT.pack_into(COUNTED, 0, done, tid)


def filling(limit=1 << 40):
    fill(limit)


def by_thread():
    helper = threading.Thread(target=fill, args=(1 << 40,))
    helper.start()
    helper.join()


def by_child():
    pid = os.fork()
    if not pid:
        filling()
        os._exit(0)
    os.waitpid(pid, 0)


filling(CHUNK)  # what it runs is there
KEPT.clear()
{"main": filling, "thread": by_thread, "child": by_child}[sys.argv[2]]()
