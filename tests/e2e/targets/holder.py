# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Holds memory of known sizes before a tracer attaches. argv: work directory."""

import ctypes
import mmap
import os
import sys

from truth import KEEP, PAGE, PRIVATE, grow, open_target, touch

WORK = sys.argv[1]
FILE, SHM, SHARED, MEMFD, ANON, HEAP, PRIVATE_COPY = 700, 300, 150, 90, 1200, 512, 40


def map_file(path, pages, copied=0):
    """A file's pages, of which the first `copied` are written to, which makes them private copies. That comes first: a
    write takes a large folio's whole mapping away."""
    with open(path, "wb") as file:
        file.write(b"x" * pages * PAGE)
    with open(path, "r+b") as file:
        memory = mmap.mmap(file.fileno(), pages * PAGE, flags=mmap.MAP_PRIVATE)
    touch(memory, copied)
    for page in range(copied, pages):
        memory[page * PAGE]
    KEEP.append(memory)


def map_shared(descriptor, pages):
    os.ftruncate(descriptor, pages * PAGE)
    memory = mmap.mmap(descriptor, pages * PAGE)
    touch(memory, pages)
    KEEP.append(memory)
    os.close(descriptor)


def heap(pages):
    libc = ctypes.CDLL(None)
    libc.sbrk.restype, libc.sbrk.argtypes = ctypes.c_void_p, [ctypes.c_ssize_t]
    start = libc.sbrk(pages * PAGE)
    assert start != ctypes.c_void_p(-1).value, "sbrk failed"
    ctypes.memset(start, 1, pages * PAGE)


def main():
    shm = os.path.join("/dev/shm", os.path.basename(WORK))
    map_file(os.path.join(WORK, "weights.bin"), FILE, PRIVATE_COPY)
    try:
        map_shared(os.open(shm, os.O_CREAT | os.O_RDWR), SHM)
        map_shared(os.memfd_create("held"), MEMFD)
        grow(SHARED, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
        grow(ANON, PRIVATE)
        heap(HEAP)
        truth, control = open_target(WORK)
        truth.facts["shm"] = shm
        truth.facts["pages"] = {"file": FILE, "copied": PRIVATE_COPY, "shm": SHM, "memfd": MEMFD, "shared": SHARED}
        control.stop("held")
        truth.dump()
    finally:
        os.unlink(shm)


if __name__ == "__main__":
    main()
