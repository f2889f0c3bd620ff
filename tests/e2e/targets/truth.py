# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""What a target knows about its own memory, written down without changing it.

The kernel's page-table walk (/proc/self/smaps_rollup) is read at the edges of each phase into memory that was touched
beforehand; the text is parsed when the work is done. Reading it that way changes no page, which `Truth.check_quiet`
proves in each run."""

import gc
import json
import mmap
import os
import re
import time

PAGE = mmap.PAGESIZE
KIB = 1024
SLOT = 2048  # bytes kept of one reading; the kernel writes less than 1 KiB
PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
KEEP = []  # mappings that must outlive the function that made them


def mapping(pages, flags=PRIVATE):
    """An anonymous mapping of base pages, untouched."""
    memory = mmap.mmap(-1, pages * PAGE, flags=flags)
    if hasattr(memory, "madvise") and hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory


def touch(memory, pages, first=0):
    for offset in range(first * PAGE, (first + pages) * PAGE, PAGE):
        memory[offset] = 1


def grow(pages, flags=PRIVATE):
    """`pages` more resident pages, kept until the process ends."""
    memory = mapping(pages, flags)
    touch(memory, pages)
    KEEP.append(memory)
    return memory


def parse_rollup(raw):
    """Bytes of RSS and of its anonymous part in the kernel's text."""
    text = bytes(raw).split(b"\0", 1)[0].decode()
    sizes = {key: int(value) * KIB for key, value in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.M)}
    return {"rss": sizes["Rss"], "anon": sizes["Anonymous"]}


class Truth:
    """Readings at the edges of phases, in order."""

    def __init__(self, work, slots=2048):
        self._work = work
        self._memory = mmap.mmap(-1, slots * SLOT, flags=PRIVATE)
        view = memoryview(self._memory)
        self._buffers = [[view[number * SLOT : (number + 1) * SLOT]] for number in range(slots)]
        self._names = [None] * slots
        self._edges = bytearray(slots)
        touch(self._memory, slots * SLOT // PAGE)
        self.facts = {}
        self.reopen()

    def reopen(self):
        """After a fork: the file belongs to the address space of whoever opened it."""
        self._fd = os.open("/proc/self/smaps_rollup", os.O_RDONLY)
        for _ in range(64):  # code paths, specialised bytecode, free lists
            self.begin("warm")
            self.end("warm")
            self._next = 0
        return self

    _next = 0

    def begin(self, name):
        self._read(name, 1)

    def end(self, name):
        self._read(name, 2)

    def _read(self, name, edge):
        number = self._next
        self._names[number] = name
        self._edges[number] = edge
        os.preadv(self._fd, self._buffers[number], 0)
        self._next = number + 1

    def check_quiet(self):
        """Two readings in a row must be equal: then reading changes nothing. Code not run for long may need a few."""
        for _ in range(32):
            self.begin("quiet")
            self.end("quiet")
            first, second = (self._parsed(number) for number in (self._next - 2, self._next - 1))
            self._next -= 2
        if first != second:
            raise SystemExit(f"reading the truth changes it: {first} then {second}")

    def _parsed(self, number):
        return parse_rollup(self._buffers[number][0])

    def calls(self):
        """One entry a call: phase, and sizes before and after."""
        done, open_ones = [], []
        for number in range(self._next):
            name, sizes = self._names[number], self._parsed(number)
            if self._edges[number] == 1:
                open_ones.append({"phase": name, "before": sizes})
                done.append(open_ones[-1])
                continue
            call = next(call for call in reversed(open_ones) if call["phase"] == name)
            open_ones.remove(call)
            call["after"] = sizes
        if open_ones:
            raise SystemExit(f"phases without an end: {[call['phase'] for call in open_ones]}")
        return done

    def dump(self):
        self.check_quiet()
        path = os.path.join(self._work, f"truth.{os.getpid()}.json")
        with open(path + ".part", "w") as file:
            json.dump({"pid": os.getpid(), "calls": self.calls(), "facts": self.facts}, file)
        os.rename(path + ".part", path)

    def expect(self, name, pages, tolerance=16, kind="rss"):
        """Self-check of a target: all calls of a phase together made this many pages resident."""
        found = (
            sum(call["after"][kind] - call["before"][kind] for call in self.calls() if call["phase"] == name) // PAGE
        )
        if abs(found - pages) > tolerance:
            raise SystemExit(f"target is not what it says: {name} changed {found} pages, meant {pages}")


class Control:
    """Two FIFOs to whoever runs the target. A stop changes no memory, so RSS can be read from outside meanwhile."""

    def __init__(self, work):
        self._out = os.open(os.path.join(work, "from_target"), os.O_RDWR)
        self._in = os.open(os.path.join(work, "to_target"), os.O_RDWR)
        self._answer = [bytearray(1)]
        self._stops = {}

    def prepare(self, *names):
        for name in names:
            self._stops[name] = f"stop {name} {os.getpid()}\n".encode()

    def stop(self, name):
        if name not in self._stops:
            self.prepare(name)
        os.write(self._out, self._stops[name])
        os.readv(self._in, self._answer)

    def note(self, text):
        os.write(self._out, f"note {text} {time.monotonic_ns()}\n".encode())


def open_target(work, slots=2048):
    """What each target does first: no garbage collection by surprise, truth, control, and the stop at which a tracer
    attaches."""
    truth, control = Truth(work, slots), Control(work)
    gc.collect()
    gc.freeze()
    gc.disable()
    control.stop("start")
    return truth, control


def set_comm(name):
    import ctypes  # not everywhere

    ctypes.CDLL(None).prctl(15, ctypes.c_char_p(name.encode()), 0, 0, 0)  # PR_SET_NAME
