# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Pages of every kind of mapping, so and so many, each touched and given back in phases of its own, and all in one.
argv: work directory, scenario.

The sizes are chosen here; before anything is given back, the kernel's own list (/proc/self/smaps) must hold them."""

import ctypes
import mmap
import os
import re
import sys
import threading
import time

from truth import PAGE, PRIVATE, Truth, mapping, open_target, touch

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = LIBC.malloc.restype = LIBC.sbrk.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
LIBC.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
LIBC.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
LIBC.mremap.restype = ctypes.c_void_p
LIBC.sbrk.argtypes = [ctypes.c_long]
LIBC.pread.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long]
MAP_POPULATE, MAP_FIXED = 0x8000, 0x10

# phase: pages, name as the tool is to say it (None: the work directory's file of this name)
SIZES = {
    "file_shared": (300, "shared.bin"),
    "file_copied": (310, "copied.bin"),
    "file_populated": (320, "populated.bin"),
    "heap": (330, "[heap]"),
    "stack": (200, "[stack]"),
    "shm": (340, "shm"),
    "memfd": (350, "/memfd:rt-test"),
    "shared_anon": (360, "/dev/zero (deleted)"),
    "private_anon": (370, "[anon]"),
    "populated_anon": (380, "[anon]"),
    "helper_anon": (390, "/dev/zero (deleted)"),
    "read_into": (400, "/dev/zero (deleted)"),
}


def shown(path):
    """A mapping's Rss in pages as /proc/self/smaps has it, all pieces of the name added up."""
    total, ours = 0, False
    with open("/proc/self/smaps") as file:
        for line in file:
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                ours = line.rstrip("\n").split(None, 5)[5:] == [path]
            elif ours and line.startswith("Rss:"):
                total += int(line.split()[1]) * 1024 // PAGE
    return total


class Regions:
    """Everything is opened, sized and mapped beforehand, so that in its phase nothing but the pages happens."""

    def __init__(self, work):
        self.number = os.getpid()
        self.paths, self.fds = {}, {}
        for name in ("file_shared", "file_copied", "file_populated"):
            self.paths[name] = os.path.join(work, f"{self.number}.{SIZES[name][1]}")
            with open(self.paths[name], "wb") as file:
                file.write(b"x" * (SIZES[name][0] * PAGE))
            self.fds[name] = os.open(self.paths[name], os.O_RDWR)
        self.paths["shm"] = f"/dev/shm/rt-test-{self.number}"
        self.fds["shm"] = os.open(self.paths["shm"], os.O_RDWR | os.O_CREAT | os.O_EXCL)
        self.fds["memfd"] = os.memfd_create("rt-test")
        for name in ("shm", "memfd"):
            os.ftruncate(self.fds[name], SIZES[name][0] * PAGE)
        self.at = {}
        for name, flags in (("file_shared", mmap.MAP_SHARED), ("file_copied", mmap.MAP_PRIVATE), ("shm", mmap.MAP_SHARED),
                            ("memfd", mmap.MAP_SHARED), ("shared_anon", mmap.MAP_SHARED | mmap.MAP_ANONYMOUS),
                            ("private_anon", PRIVATE), ("helper_anon", mmap.MAP_SHARED | mmap.MAP_ANONYMOUS),
                            ("read_into", mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)):
            self.at[name] = self.map(name, flags)
        self.heap_end = LIBC.sbrk(SIZES["heap"][0] * PAGE)
        self.at["heap"] = (self.heap_end + PAGE - 1) & -PAGE
        with open("/proc/self/maps") as file:
            stack = next(line for line in file if line.endswith("[stack]\n"))
        self.at["stack"] = int(stack.split("-")[0], 16) - SIZES["stack"][0] * PAGE
        self.helper = None

    def map(self, name, flags):
        at = LIBC.mmap(None, SIZES[name][0] * PAGE, mmap.PROT_READ | mmap.PROT_WRITE, flags, self.fds.get(name, -1), 0)
        if at in (None, ctypes.c_void_p(-1).value):
            raise SystemExit(f"mmap for {name}: errno {ctypes.get_errno()}")
        return at

    def fill(self, name, at=None):
        pages = SIZES[name][0] - (1 if name == "heap" else 0)  # the break need not stand at a page's edge
        LIBC.madvise(at or self.at[name], pages * PAGE, 15)  # MADV_NOHUGEPAGE
        ctypes.memset(at or self.at[name], 1, pages * PAGE)

    def name_of(self, name):
        return self.paths.get(name, SIZES[name][1])


def touch_file_shared(regions):
    regions.fill("file_shared")


def touch_file_copied(regions):
    regions.fill("file_copied")


def touch_file_populated(regions):
    regions.at["file_populated"] = regions.map("file_populated", mmap.MAP_SHARED | MAP_POPULATE)


def touch_heap(regions):
    regions.fill("heap")


def touch_stack(regions):
    regions.fill("stack")


def touch_shm(regions):
    regions.fill("shm")


def touch_memfd(regions):
    regions.fill("memfd")


def touch_shared_anon(regions):
    regions.fill("shared_anon")


def touch_private_anon(regions):
    regions.fill("private_anon")


def touch_populated_anon(regions):
    regions.at["populated_anon"] = regions.map("populated_anon", PRIVATE | MAP_POPULATE)


def touch_helper_anon(regions):
    regions.helper.set()
    regions.filled.wait()


def touch_read_into(regions):
    """Faults of the kernel's own, in a system call. The file need not be that long."""
    for page in range(SIZES["read_into"][0]):
        LIBC.pread(regions.fds["file_shared"], regions.at["read_into"] + page * PAGE, PAGE // 2, 0)


def give(regions, name):
    if LIBC.munmap(regions.at[name], SIZES[name][0] * PAGE):
        raise SystemExit(f"munmap of {name}: errno {ctypes.get_errno()}")


def give_file_shared(regions):
    give(regions, "file_shared")


def give_file_copied(regions):
    give(regions, "file_copied")


def give_file_populated(regions):
    LIBC.mremap(regions.at["file_populated"], SIZES["file_populated"][0] * PAGE, PAGE, 0)


def give_heap(regions):
    LIBC.sbrk(-SIZES["heap"][0] * PAGE)


def give_stack(regions):
    LIBC.madvise(regions.at["stack"], SIZES["stack"][0] * PAGE, 4)  # MADV_DONTNEED


def give_shm(regions):
    give(regions, "shm")


def give_memfd(regions):
    os.ftruncate(regions.fds["memfd"], 0)


def give_shared_anon(regions):
    LIBC.mmap(regions.at["shared_anon"], SIZES["shared_anon"][0] * PAGE, 0, PRIVATE | MAP_FIXED, -1, 0)


def give_private_anon(regions):
    LIBC.madvise(regions.at["private_anon"], SIZES["private_anon"][0] * PAGE, 4)


def give_populated_anon(regions):
    give(regions, "populated_anon")


def give_helper_anon(regions):
    give(regions, "helper_anon")


def give_read_into(regions):
    give(regions, "read_into")


def help_out(regions):
    regions.helper.wait()
    regions.fill("helper_anon")
    regions.filled.set()


def with_helper(regions):
    regions.helper, regions.filled = threading.Event(), threading.Event()
    thread = threading.Thread(target=help_out, args=(regions,))
    thread.start()
    return thread


def check(regions):
    """The target is what it says. The name of anonymous memory is shared with all of malloc's: only the others."""
    for name in ("file_shared", "file_copied", "file_populated", "shm"):
        if shown(regions.paths[name]) != SIZES[name][0]:
            raise SystemExit(f"{name}: {shown(regions.paths[name])} pages resident, meant {SIZES[name][0]}")
    for name, pages in (("/memfd:rt-test (deleted)", 350), ("/dev/zero (deleted)", 360 + 390 + 400)):
        if shown(name) != pages:
            raise SystemExit(f"{name}: {shown(name)} pages resident, meant {pages}")


def everything(regions):
    for name in SIZES:
        globals()[f"touch_{name}"](regions)
    return regions


def one_by_one(work, warm):
    regions = Regions(work)
    helper = with_helper(regions)
    everything(regions)
    helper.join()
    if not warm:
        check(regions)
    for name in SIZES:
        globals()[f"give_{name}"](regions)
    for name in ("file_shared", "file_copied", "file_populated", "shm"):
        os.unlink(regions.paths[name])
    for fd in regions.fds.values():
        os.close(fd)
    return {name: regions.name_of(name) for name in SIZES}


def kept(work):
    """A process of 30 ms that gives nothing back."""
    regions = Regions(work)
    helper = with_helper(regions)
    everything(regions)
    helper.join()
    os.unlink(regions.paths["shm"])
    return {name: regions.name_of(name) for name in SIZES}


def child(work):
    pid = os.fork()
    if pid == 0:
        code = 9
        try:
            born = time.monotonic()
            truth = Truth(work, 16)
            truth.facts["names"] = kept(work)
            truth.dump()
            time.sleep(max(0, born + 0.03 - time.monotonic()))
            code = 0
        finally:
            os._exit(code)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise SystemExit("the child failed")
    return pid


def fill_again(flags):
    """Maps, fills and unmaps 16 MiB over and over while other threads hold the address space's lock most of the time."""
    size = 4096 * PAGE
    for _ in range(8):
        at = LIBC.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, flags | mmap.MAP_ANONYMOUS, -1, 0)
        LIBC.madvise(at, size, 15)  # MADV_NOHUGEPAGE
        ctypes.memset(at, 1, size)
        LIBC.munmap(at, size)


def fill_private():
    fill_again(mmap.MAP_PRIVATE)


def fill_shared():
    fill_again(mmap.MAP_SHARED)


def churn(stop):
    while not stop.is_set():
        LIBC.munmap(LIBC.mmap(None, 16 * PAGE, mmap.PROT_READ, PRIVATE, -1, 0), 16 * PAGE)


def contended():
    stop = threading.Event()
    churners = [threading.Thread(target=churn, args=(stop,)) for _ in range(2)]
    fillers = [threading.Thread(target=fill) for fill in (fill_private, fill_shared)]
    for thread in churners + fillers:
        thread.start()
    for thread in fillers:
        thread.join()
    stop.set()
    for thread in churners:
        thread.join()


def main():
    work, scenario = sys.argv[1], sys.argv[2]
    truth, _ = open_target(work)
    truth.facts["pages"] = {name: pages for name, (pages, _name) in SIZES.items()}
    if scenario == "contended":
        contended()
    elif scenario == "child":
        truth.facts["child"] = child(work)
    else:
        truth.facts["names"] = one_by_one(work, False)
    truth.dump()


if __name__ == "__main__":
    main()
