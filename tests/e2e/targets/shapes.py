# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Phases of every shape that Python code has. argv: work directory."""

import contextlib
import ctypes
import functools
import os
import queue
import sys
import threading
import time

from truth import KEEP, PAGE, grow, mapping, mmap, open_target, touch

WORK = sys.argv[1]
T = None


def plain():
    T.begin("plain")
    grow(512)
    T.end("plain")


class Box:

    def __init__(self, pages):
        T.begin("constructor")
        self.memory = grow(pages)
        T.end("constructor")

    def method(self):
        T.begin("method")
        grow(300)
        T.end("method")

    @staticmethod
    def static():
        T.begin("static")
        grow(120)
        T.end("static")

    @classmethod
    def made(cls):
        T.begin("class_method")
        grow(130)
        T.end("class_method")

    @property
    def attribute(self):
        T.begin("attribute")
        grow(140)
        T.end("attribute")
        return 1


def wrapped(function):

    @functools.wraps(function)
    def sync_wrapper(*args):
        grow(40)
        try:
            return function(*args)
        finally:
            grow(40)

    return sync_wrapper


@wrapped
@wrapped
def decorated(pages):
    T.begin("decorated")
    grow(pages)
    T.end("decorated")


@contextlib.contextmanager
def managed():
    T.begin("managed")
    grow(70)
    T.end("managed")
    yield
    T.begin("managed")
    grow(71)
    T.end("managed")


def generating(count):
    for _ in range(count):
        T.begin("generating")
        grow(64)
        T.end("generating")
        yield


async def awaited():
    T.begin("awaited")
    grow(90)
    T.end("awaited")


async def awaiting():
    grow(33)
    await awaited()
    grow(34)


def recursive(depth, top=True):
    if top:
        T.begin("recursive")
    grow(8)
    if depth:
        recursive(depth - 1, False)
    grow(8)
    if top:
        T.end("recursive")


def raising():
    T.begin("raising")
    grow(150)
    T.end("raising")
    raise LookupError("meant")


def unwinding(depth):
    if depth:
        return unwinding(depth - 1)
    return raising()


def catching():
    T.begin("catching")
    for _ in range(5):
        try:
            unwinding(7)
        except LookupError:
            grow(50)
    T.end("catching")


def combine(*parts):
    return len(parts)


@contextlib.contextmanager
def holding(*parts):
    yield parts


def building():
    grow(11)
    first = combine(
        T.begin("stmt_first"),
        grow(200),  # a comment ) that closes nothing
        T.end("stmt_first"),
    )
    grow(12)
    second = "x" \
        .join(str(part) for part in (
            T.begin("stmt_second"), grow(210) and None, T.end("stmt_second")))
    with holding(
        T.begin("stmt_with"),
        grow(220),
        T.end("stmt_with"),
    ) as held:
        grow(100)
    return first, second, held


def outer_phase():
    T.begin("outer_phase")
    grow(100)
    inner_phase()
    grow(100)
    inner_phase()
    T.end("outer_phase")


def inner_phase():
    T.begin("inner_phase")
    grow(77)
    T.end("inner_phase")


def enclosing():

    def local_phase():
        T.begin("local_phase")
        grow(99)
        T.end("local_phase")

    local_phase()


def called_from_c(_key):
    T.begin("from_c")
    grow(60)
    T.end("from_c")
    return 0


def filling(memory):
    T.begin("filling")
    touch(memory, 1024)
    T.end("filling")


def releasing(memory):
    T.begin("releasing")
    memory.close()
    T.end("releasing")


def reusing():
    T.begin("reusing")
    grow(700)
    T.end("reusing")


def dropping():
    """Mappings rather than malloc, which may take resident pages from its heap and keep what is freed."""
    T.begin("dropping")
    blocks = [mapping(100) for _ in range(8)]
    for block in blocks:
        touch(block, 100)
    for block in blocks:
        block.close()
    T.end("dropping")


def mapping_file(path):
    T.begin("mapping_file")
    with open(path, "rb") as file:
        memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    for offset in range(0, len(memory), PAGE):
        memory[offset]
    T.end("mapping_file")
    return memory


def unmapping_file(memory):
    T.begin("unmapping_file")
    memory.close()
    T.end("unmapping_file")


def sharing():
    T.begin("sharing")
    grow(400, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    T.end("sharing")


def wait_for_threads(count):
    """join() is back before the thread has ended: what it touches on its way out would be the next phase's."""
    while len(os.listdir("/proc/self/task")) > count:
        time.sleep(0.001)


def helped():
    threads = len(os.listdir("/proc/self/task"))
    T.begin("helped")
    helper = threading.Thread(target=grow, args=(512,))
    helper.start()
    grow(256)
    helper.join()
    wait_for_threads(threads)
    T.end("helped")


class Pool:
    """A thread that exists before the phase it works for."""

    def __init__(self):
        self.jobs, self.done = queue.SimpleQueue(), queue.SimpleQueue()
        threading.Thread(target=self.serve, daemon=True).start()
        self.run(4)

    def serve(self):
        while True:
            grow(self.jobs.get())
            self.done.put(None)

    def run(self, pages):
        self.jobs.put(pages)
        self.done.get()


def pooled(pool):
    T.begin("pooled")
    pool.run(600)
    grow(200)
    T.end("pooled")


def native_helped(libc, memory):
    """A thread that never runs Python: it starts in strlen, which reads a mapped file to its terminating zero."""
    T.begin("native_helped")
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    thread, result = ctypes.c_ulong(), ctypes.c_void_p()
    strlen = ctypes.cast(libc.strlen, ctypes.c_void_p)
    if libc.pthread_create(ctypes.byref(thread), None, strlen, ctypes.c_void_p(address)):
        raise SystemExit("pthread_create failed")
    libc.pthread_join(thread, ctypes.byref(result))
    T.end("native_helped")
    if result.value != len(memory) - 1:
        raise SystemExit(f"strlen said {result.value}, file has {len(memory)} bytes")


def waiting():
    T.begin("waiting")
    time.sleep(0.06)
    T.end("waiting")


def write_file(name, size):
    path = os.path.join(WORK, name)
    with open(path, "wb") as file:
        file.write(b"x" * (size - 1) + b"\0")
    return path


def calls_and_methods():
    plain()
    box = Box(256)
    box.method()
    Box.static()
    Box.made()
    box.attribute
    decorated(333)
    with managed():
        grow(30)
    for _ in generating(6):
        grow(32)
    try:
        awaiting().send(None)
    except StopIteration:
        pass
    recursive(20)
    catching()
    building()
    outer_phase()
    enclosing()
    for _ in range(3):
        sorted([1], key=called_from_c)
        grow(10)


def memory_of_all_kinds(pool):
    memory = mapping(1024)
    filling(memory)
    releasing(memory)
    reusing()
    dropping()
    unmapping_file(mapping_file(write_file("weights", 3 << 20)))
    sharing()
    helped()
    pooled(pool)
    libc = ctypes.CDLL(None)
    with open(write_file("native", 2 << 20), "r+b") as file:
        KEEP.append(mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE))
    native_helped(libc, KEEP[-1])
    waiting()


EXPECTED = {
    "plain": 512,
    "constructor": 256,
    "method": 300,
    "static": 120,
    "class_method": 130,
    "attribute": 140,
    "decorated": 333,
    "managed": 141,
    "generating": 384,
    "awaited": 90,
    "recursive": 21 * 16,
    "raising": 750,
    "catching": 1000,
    "stmt_first": 200,
    "stmt_second": 210,
    "stmt_with": 220,
    "outer_phase": 354,
    "inner_phase": 154,
    "local_phase": 99,
    "from_c": 180,
    "filling": 1024,
    "releasing": -1024,
    "reusing": 700,
    "dropping": 0,
    "mapping_file": 768,
    "unmapping_file": -768,
    "sharing": 400,
    "helped": 768,
    "pooled": 800,
    "native_helped": 512,
    "waiting": 0,
}
STARTS_A_THREAD = ("helped", "pooled", "native_helped")  # stack and malloc arena come on top
FIRST_THREAD = ("helped", "pooled")  # and code that was never run before: file pages, as many as the kernel maps around it


def main():
    global T
    pool = Pool()
    T, _ = open_target(WORK)
    calls_and_methods()
    memory_of_all_kinds(pool)
    for name, pages in EXPECTED.items():
        T.expect(name, pages, 128 if name in STARTS_A_THREAD else 24, "anon" if name in FIRST_THREAD else "rss")
    T.dump()


if __name__ == "__main__":
    main()
