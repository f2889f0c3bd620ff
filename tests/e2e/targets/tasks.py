# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Frames that leave the stack and come back: coroutines of several phases in turn, generators that wait or are closed late, by whoever drops them, or in
another thread. A phase's growth is what comes while its frame is on the stack. argv: work directory."""

import contextlib
import gc
import os
import sys
import threading

if not hasattr(os, "waitstatus_to_exitcode"):  # a 3.8 with the library of 3.9
    os.waitstatus_to_exitcode = None
import asyncio  # noqa: E402

from truth import PRIVATE, grow, mapping, open_target, touch

WORK = sys.argv[1]
T = None
ROUNDS = 12


# ---- coroutines in turn ----


async def loading(pages):
    for _ in range(ROUNDS):
        T.begin("loading")
        grow(pages)
        T.end("loading")
        await asyncio.sleep(0)


async def serving(pages):
    for _ in range(ROUNDS):
        T.begin("serving")
        grow(pages)
        await nested_step()
        T.begin("serving")
        grow(1)
        T.end("serving")
        await asyncio.sleep(0)


async def nested_step():
    T.begin("nested_step")
    grow(5)
    T.end("nested_step")
    T.end("serving")
    await asyncio.sleep(0)
    T.begin("serving")
    T.begin("nested_step")
    grow(6)
    T.end("nested_step")
    T.end("serving")


async def no_phase(pages):
    for _ in range(ROUNDS):
        grow(pages)
        await asyncio.sleep(0)


async def sleeping():
    """In the middle of a phase for all that time, and never on the stack with a page."""
    await asyncio.sleep(0.05)


async def stepping(number):
    first = combine(number)
    await asyncio.sleep(0)
    T.begin("step_plain")
    second = combine(
        grow(20 + number),
    )
    T.end("step_plain")
    await asyncio.sleep(0)
    third = combine(
        await fetching(30 + number),
        await fetching(7),
    )
    async with opening(
        9
    ) as fourth:
        await asyncio.sleep(0)
        grow(3)
    async for fifth in counting(4):
        grow(2)
        await asyncio.sleep(0)
    return first, second, third, fourth, fifth


def combine(*parts):
    return len(parts)


async def fetching(pages):
    T.begin("step_await")
    grow(pages)
    T.end("step_await")
    await asyncio.sleep(0)
    T.begin("step_await")
    grow(pages)
    T.end("step_await")


@contextlib.asynccontextmanager
async def opening(pages):
    T.begin("step_with")
    grow(pages)
    T.end("step_with")
    await asyncio.sleep(0)
    yield pages


async def counting(count):
    for number in range(count):
        T.begin("step_for")
        grow(8)
        T.end("step_for")
        await asyncio.sleep(0)
        yield number


async def in_thread():
    T.begin("in_thread")
    grow(11)
    T.end("in_thread")
    await asyncio.get_running_loop().run_in_executor(None, threaded)


def threaded():
    T.begin("threaded")
    grow(70)
    T.end("threaded")


@contextlib.asynccontextmanager
async def warm_opening():
    await asyncio.sleep(0)
    yield


async def warming():
    """Runs once, outside of any phase, what brings pages of its own at its first use: imports, the interpreter's own code, the pool's thread."""
    async with warm_opening():
        await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    await asyncio.get_running_loop().run_in_executor(None, gc.collect)


async def all_tasks():
    for _ in range(3):
        await warming()
    await asyncio.gather(loading(10), serving(15), no_phase(20), loading(25), sleeping())
    await asyncio.gather(*(stepping(number) for number in range(4)))
    await in_thread()


# ---- generators that wait ----


def waiting_generator(pages):
    head = combine(1)
    T.begin("waiting_generator")
    grow(pages)
    T.end("waiting_generator")
    try:
        yield head
        T.begin("waiting_generator")
        grow(pages)
        T.end("waiting_generator")
        yield head
    finally:
        T.begin("waiting_generator")
        grow(7)
        T.end("waiting_generator")


def dropping():
    """The generator's last reference goes here: its `finally` runs on this stack."""
    T.begin("dropping")
    grow(4)
    HELD.clear()
    T.end("dropping")


def collecting():
    T.begin("collecting")
    gc.collect()
    T.end("collecting")


def releasing_generator(memory):
    """Gives back, when it is closed, what another phase brought."""
    try:
        yield
    finally:
        T.begin("releasing_generator")
        memory.close()
        T.end("releasing_generator")


def bringing():
    T.begin("bringing")
    memory = mapping(300, PRIVATE)
    touch(memory, 300)
    T.end("bringing")
    return memory


def delegating():
    T.begin("delegating")
    grow(2)
    T.end("delegating")
    yield from waiting_generator(21)


HELD = []


class Cycle:
    pass


def generators():
    one, other = waiting_generator(31), waiting_generator(41)
    for _ in range(2):
        next(one)
        grow(3)
        next(other)
    one.close()
    HELD.append(other)
    del other
    dropping()
    cycle = Cycle()
    cycle.itself, cycle.held = cycle, waiting_generator(17)
    next(cycle.held)
    del cycle
    collecting()
    held = releasing_generator(bringing())
    next(held)
    grow(40)
    del held
    list(delegating())
    late = [waiting_generator(13)]
    next(late[0])
    thread = threading.Thread(target=late.clear)
    thread.start()
    thread.join()


EXPECTED = {
    "loading": 35 * ROUNDS,
    "serving": 27 * ROUNDS,
    "nested_step": 11 * ROUNDS,
    "step_plain": 86,
    "step_await": 2 * (126 + 28),
    "step_with": 36,
    "step_for": 128,
    "in_thread": 11,
    "threaded": 70,
    "waiting_generator": 69 + 89 + 24 + 49 + 20,
    "dropping": 11,
    "collecting": 7,
    "bringing": 300,
    "releasing_generator": -300,
    "delegating": 2,
}


def main():
    global T
    T, _ = open_target(WORK)
    asyncio.run(all_tasks())
    generators()
    if getattr(sys, "_is_gil_enabled", lambda: True)():  # else the allocator gives pages back when it likes
        for name, pages in EXPECTED.items():
            T.expect(name, pages, 100)
    T.dump()


if __name__ == "__main__":
    main()
