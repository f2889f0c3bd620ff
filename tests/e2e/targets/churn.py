# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Four threads that fault, unmap and MADV_DONTNEED at once, without the interpreter's lock. argv: work directory,
seconds.

Two of them are inside a phase, two are not. At the end the target stands still, and at any time before every page was
somebody's."""

import ctypes
import mmap
import sys
import threading
import time

from truth import PAGE, open_target

WORK, SECONDS = sys.argv[1], float(sys.argv[2])
PAGES = 256
SIZE = PAGES * PAGE
MADV_DONTNEED = 4

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
rounds = [0] * 4


def map_pages():
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    address = libc.mmap(None, SIZE, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise SystemExit("mmap failed")
    return address


def one_round():
    address = map_pages()
    libc.memset(address, 1, SIZE)
    libc.madvise(address + SIZE // 4, SIZE // 2, MADV_DONTNEED)
    libc.memset(address + SIZE // 2, 2, SIZE // 4)
    libc.munmap(address, SIZE)


def churn(number, until):
    while time.monotonic() < until:
        one_round()
        rounds[number] += 1


def churn_first(until):
    churn(0, until)


def churn_second(until):
    churn(1, until)


def hold(control):
    control.stop("hold")


def main():
    truth, control = open_target(WORK)
    control.prepare("hold")
    until = time.monotonic() + SECONDS
    threads = [
        threading.Thread(target=churn_first, args=(until,)),
        threading.Thread(target=churn_second, args=(until,)),
    ]
    threads += [threading.Thread(target=churn, args=(number, until)) for number in (2, 3)]
    truth.begin("all")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    truth.end("all")
    hold(control)
    hold(control)
    truth.facts["rounds"] = rounds
    if min(rounds) < 10:
        raise SystemExit(f"threads did not all run: {rounds}")
    truth.dump()


if __name__ == "__main__":
    main()
