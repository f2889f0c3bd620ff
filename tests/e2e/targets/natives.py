# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Calls the functions of natives.cpp in phases. argv: work directory, library in it, what to do, more."""

import ctypes
import os
import sys
import threading
import time

from truth import PAGE, Control, open_target

UNIT = 64 * PAGE
LONG = ctypes.c_long


def load(work, name):
    library = ctypes.CDLL(os.path.join(work, name))
    library.my_malloc.restype = library.own_stack.restype = ctypes.c_void_p
    library.my_malloc.argtypes = [LONG, ctypes.c_int]
    library.my_free.argtypes = [ctypes.c_void_p, LONG, ctypes.c_int]
    for one in ("make_shared", "many_allocs"):
        getattr(library, one).argtypes = [LONG, LONG]
    for one in ("switching", "interrupted"):
        getattr(library, one).argtypes = [LONG, LONG, ctypes.c_void_p, LONG]
    for one in ("outer_alloc", "inner_alloc", "plain", "catching", "caught_jump", "catch_many", "run_threads", "threaded", "many_steps", "own_stack", "hot_alloc", "clones", "leaving"):
        getattr(library, one).argtypes = [LONG]
    library.open_notes()
    return library


def phase_one(library):
    memory = library.my_malloc(3 * UNIT + 100, 1)
    library.plain(UNIT)
    library.make_shared(5 * UNIT + 48, 2)
    library.plain(UNIT)
    library.my_free(memory, 3 * UNIT + 100, 1)


def phase_two(library):
    library.outer_alloc(UNIT)
    library.plain(UNIT)
    if library.catching(2 * UNIT) != 1:
        raise SystemExit("the exception was not caught")
    library.caught_jump(2 * UNIT)
    library.mapping()


def sized(library, asked, times, given, shared, outer):
    """`times` blocks of `asked` bytes, of which `given` are given back; a segment of `shared` bytes, calls within a call by `outer` bytes; 0: none."""
    blocks = [library.my_malloc(asked, 1) for _ in range(times)]
    for block in blocks[:given]:
        library.my_free(block, asked, 1)
    if shared:
        library.make_shared(shared, 1)
    if outer:
        library.outer_alloc(outer)


def warm(library):
    """What `sized` calls, once, in small: code that runs for the first time brings pages of files."""
    library.my_free(library.my_malloc(PAGE, 1), PAGE, 1)
    library.make_shared(PAGE, 1)
    library.outer_alloc(PAGE)


def shapes(library):
    phase_one(library)
    phase_two(library)


def many(library, count):
    if library.catch_many(count) != count:
        raise SystemExit("an exception was not caught")


def hot_phase(library, count):
    library.many_allocs(count, 100)
    library.hot_alloc(1 << 20)


def phase_clones(library):
    if library.clones(UNIT) != 2:
        raise SystemExit("the cold part was not run")


def one_instruction(library):
    """One call instruction of Python, and of libffi: only what it calls differs."""
    calls = [library.inner_alloc, library.plain, library.plain] * 4
    for call in calls:
        call(UNIT)


def stacks(library):
    """Stacks above and below the thread's own, at some distance and near."""
    local = library.own_stack(16 * UNIT)
    library.switching(UNIT, 3 * UNIT, local, 16 * UNIT)
    library.interrupted(UNIT, 3 * UNIT, local, 16 * UNIT)


def forked(library, work):
    child = os.fork()
    if not child:
        library.open_notes()
        library.forget_notes()
        phase_one(library)
        library.write_notes(os.path.join(work, f"native.{os.getpid()}.json").encode())
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit("the child failed")


def spawned(work, name):
    status = os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-B", __file__, work, name, "child"])
    if status:
        raise SystemExit(f"the child failed: {status}")


def executed(library, work, name):
    """Another program from inside of the function's caller: what was open ends with it."""
    phase_one(library)
    library.write_notes(os.path.join(work, f"native.{os.getpid()}.json").encode())
    os.execv(sys.executable, [sys.executable, "-c", "pass"])


def child(work, name):
    library = load(work, name)
    shapes(library)
    library.forget_notes()
    shapes(library)
    library.write_notes(os.path.join(work, f"native.{os.getpid()}.json").encode())


def early(library, control):
    """Calls from the moment of its loading on, then a stop, and again."""
    calls, deadline = 0, time.monotonic() + 1.0
    while time.monotonic() < deadline:
        library.inner_alloc(PAGE)
        calls += 1
    return calls


def work_of(library, control, work, what, name, more):
    if what == "shapes":
        shapes(library)
    elif what == "sized":
        sized(library, *map(int, more))
    elif what == "many":
        many(library, int(more[0]))
    elif what == "hot":
        hot_phase(library, int(more[0]))
    elif what == "stepped":
        for _ in range(20):
            library.many_steps(int(more[0]) // 20)
            time.sleep(0.1)
    elif what == "stacks":
        # On a thread with a stack of its own the other stacks may lie above or below it.
        stacks(library)
        thread = threading.Thread(target=stacks, args=(library,))
        thread.start()
        thread.join()
    elif what == "clones":
        phase_clones(library)
    elif what == "leaving":
        library.leaving(UNIT)
    elif what == "one":
        one_instruction(library)
    elif what == "threads":
        library.threaded(PAGE)  # its code
        library.run_threads(8)
    elif what == "fork":
        forked(library, work)
    elif what == "spawn":
        spawned(work, name)
    elif what == "both":
        shapes(library)
        spawned(work, name)
    elif what == "exec":
        executed(library, work, name)
    else:
        raise SystemExit(f"{what}?")


def main():
    work, name, what, *more = sys.argv[1:]
    if what == "child":
        child(work, name)
        return
    _, control = open_target(work, 16)
    if what == "early":
        library = load(work, name)
        calls = early(library, control)
        control.stop("loaded")
        control.note(f"calls-{calls}")
        return
    library = load(work, name)
    control.prepare("loaded", "done")
    if what in ("shapes", "fork", "exec", "one", "leaving"):  # code that runs for the first time brings pages of files
        shapes(library)
        library.write_notes(b"/dev/null")
    if what == "clones":
        library.clones(UNIT)
    if what == "sized":
        warm(library)
    library.forget_notes()
    control.stop("loaded")
    control.note("work")
    work_of(library, control, work, what, name, more)
    control.stop("done")
    library.write_notes(os.path.join(work, f"native.{os.getpid()}.json").encode())


if __name__ == "__main__":
    main()
