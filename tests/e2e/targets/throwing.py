# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Calls C++ that throws and catches, inside phases. argv: work directory, library in it."""

import ctypes
import os
import sys

from truth import grow, open_target


def calling(library):
    grow(20)
    return library.catch_throws(50)


def main():
    open_target(sys.argv[1], 16)
    library = ctypes.CDLL(os.path.join(sys.argv[1], sys.argv[2]))
    for _ in range(10):
        if calling(library) != 50:
            raise SystemExit("an exception was not caught")


if __name__ == "__main__":
    main()
