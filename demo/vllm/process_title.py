# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Process titles the way setproctitle makes them: the comm by prctl, the command line by writing over the memory of
argv."""

import ctypes
import os

_PR_SET_NAME = 15


def set_process_title(name):
    title = f"VLLM::{name}".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NAME, ctypes.c_char_p(title[:15]), 0, 0, 0)
    area = _argv_area()
    if area is None:
        return
    start, size = area
    room = size - 1  # the last byte stays NUL: otherwise the kernel reads on into the environment
    ctypes.memmove(start, title[:room].ljust(size, b"\0"), size)


def _argv_area():
    """Address and length of this process's command line (fields 48 and 49 of proc(5)'s stat), None where the kernel
    hides it."""
    try:
        with open(f"/proc/{os.getpid()}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        start, end = int(fields[45]), int(fields[46])
    except (OSError, ValueError, IndexError):
        return None
    return (start, end - start) if start and end - start > 1 else None
