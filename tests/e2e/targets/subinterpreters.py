# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Phases in subinterpreters that the main thread enters and leaves, twice each, and between them in the main interpreter. argv: work directory.

Code in a subinterpreter cannot share objects: it appends its page counts to nothing and touches memory of its own; the truth is read by the main
interpreter before and after."""

import os
import sys

from truth import grow, open_target

try:
    import _interpreters
except ImportError:
    import _xxsubinterpreters as _interpreters

WORK = sys.argv[1]
SOURCE = """
def inside_{name}():
    memory = mmap.mmap(-1, {pages} * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for offset in range(0, {pages} * 4096, 4096):
        memory[offset] = 1
    keep.append(memory)
"""


def run(interpreter, text):
    done = (_interpreters.exec if hasattr(_interpreters, "exec") else _interpreters.run_string)(interpreter, text)
    if done is not None:
        raise SystemExit(f"the subinterpreter's code failed: {done}")


def created(name, pages):
    """An interpreter whose code comes from a file, so that its functions have one."""
    path = os.path.join(WORK, f"sub_{name}.py")
    with open(path, "w") as file:
        file.write(SOURCE.format(name=name, pages=pages))
    interpreter = _interpreters.create()
    run(interpreter, f"import mmap, sys\nkeep = []\nexec(compile(open({path!r}).read(), {path!r}, 'exec'), globals())")
    return interpreter


def outside(pages):
    T.begin("outside")
    grow(pages)
    T.end("outside")


def main():
    one, two = created("one", 500), created("two", 700)
    for name, interpreter in (("one", one), ("two", two), ("one", one), ("two", two)):
        T.begin(f"inside_{name}")
        run(interpreter, f"inside_{name}()")
        T.end(f"inside_{name}")
        outside(300)
    for name, pages in (("inside_one", 1000), ("inside_two", 1400), ("outside", 1200)):
        T.expect(name, pages, 64)
    T.dump()


if __name__ == "__main__":
    T, _ = open_target(WORK)
    main()
