# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""What a process on a GPU calls to get device memory and pinned host memory, over a stand-in for the driver (standin_cuda.c): there is no GPU.
argv: work directory, scenario, directory of the libraries, then the names of those to load first, in order.

It stops when they are loaded; the scenario `paced`, pinned memory with pauses, looks at its mappings in between. It writes down every call: which function, what was asked, in which phase, how many pages became resident in it. The pages follow from arithmetic; before
anything is given back, the kernel's own list of mappings must hold them."""

import ctypes
import mmap
import os
import re
import sys
import time

from truth import KEEP, PAGE, PRIVATE, grow, mapping, open_target, touch

MIB = 1 << 20
PAUSE = 0.08  # between a change and a look, and after it
OTHER = 2300  # pages of shared memory that is not pinned
CALLBACK_PAGES = 40  # what the Python callback of my_malloc makes resident inside of the call


def pages_of(size):
    return -(-size // PAGE)


def resident_pages(*names):
    """Resident pages of mappings of files of these names."""
    total, ours = 0, False
    with open("/proc/self/smaps") as file:
        for line in file:
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                ours = line.rstrip("\n").split(None, 5)[5:] in [[name] for name in names]
            elif ours and line.startswith("Rss:"):
                total += int(line.split()[1]) * 1024 // PAGE
    return total


def pinned_pages():
    """Resident pages of shared mappings of /dev/zero."""
    return resident_pages("/dev/zero (deleted)", "/dev/zero")


class Log:
    """Calls in order, as the tool is to tell them."""

    def __init__(self):
        self.calls = []

    def add(self, symbol, op, asked, phase, pages):
        """The first call of each function, in the phase `warm`, also makes the libraries' own pages resident: a linker's table, code, variables."""
        self.calls.append({"symbol": symbol, "op": op, "asked": asked, "phase": phase, "pages": pages})


class DeviceMemory:
    """vLLM's allocator for the sleep mode, used as vLLM uses it: a module that is told two functions, and two C functions that PyTorch calls."""

    def __init__(self, directory, log):
        sys.path.insert(0, directory)
        import cumem_allocator

        self.log, self.handles, self.pages = log, {}, 0
        self.heard = []
        self.callbacks = self.on_malloc, self.on_free  # the module borrows them
        cumem_allocator.init_module(*self.callbacks)
        library = ctypes.CDLL(cumem_allocator.__file__)  # calls give up the interpreter's lock, as PyTorch's do
        self.c_malloc, self.c_free = library.my_malloc, library.my_free
        self.c_malloc.restype, self.c_malloc.argtypes = ctypes.c_void_p, [ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p]
        self.c_free.restype, self.c_free.argtypes = None, [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p]

    def on_malloc(self, handle):
        self.handles[handle[2]] = handle
        self.heard.append(handle[1])
        touch(self.pool.pop(), CALLBACK_PAGES)

    def on_free(self, address):
        return self.handles.pop(address)

    def prepare(self, calls):
        """Memory for the callbacks to touch: mapped beforehand, so that nothing else happens in a call."""
        self.pool = [mapping(CALLBACK_PAGES) for _ in range(calls)]
        KEEP.extend(self.pool)

    def malloc(self, size, phase):
        at = self.c_malloc(size, 0, None)
        if not at:
            raise SystemExit(f"my_malloc({size}) gave nothing")
        self.log.add("my_malloc", "alloc", size, phase, CALLBACK_PAGES)
        return at

    def free(self, at, size, phase):
        self.c_free(at, size, 0, None)
        self.log.add("my_free", "free", size, phase, 0)


WEIGHTS = [6 * MIB, 20 * MIB, 5 * MIB + 4321]  # the last is no multiple of the granularity: asked is what counts
CACHE = [64 * MIB, 2 * MIB]


def load_weights(device):
    return [(device.malloc(size, "load_weights"), size) for size in WEIGHTS]


def make_cache(device):
    return [(device.malloc(size, "make_cache"), size) for size in CACHE]


def give_back(device, blocks):
    for at, size in blocks:
        device.free(at, size, "give_back")


def warm_device(device):
    device.free(device.malloc(2 * MIB, "warm"), 2 * MIB, "warm")


def device_memory(directory, log, control):
    device = DeviceMemory(directory, log)
    control.stop("loaded")
    device.prepare(len(WEIGHTS) + len(CACHE) + 1)
    warm_device(device)
    weights = load_weights(device)
    cache = make_cache(device)
    give_back(device, weights[:2] + cache)
    whole = [-(-size // (2 * MIB)) * 2 * MIB for size in WEIGHTS + CACHE]
    if device.heard[1:] != whole:
        raise SystemExit(f"the allocator told Python of {device.heard[1:]}, not of {whole}")
    return 2  # the block that was kept: its addresses and its handle


class Pinned:
    """Host memory that the driver pins: six ways to get some, four to give it back."""

    def __init__(self, runtime, driver, log):
        self.runtime, self.driver, self.log = runtime, driver, log

    def call(self, library, name, *args):
        error = getattr(library, name)(*args)
        if error:
            raise SystemExit(f"{name}{args} answered {error}")

    def get(self, library, name, size, phase, *flags):
        at = ctypes.c_void_p()
        # A size of 32 bits leaves the upper half of its register undefined.
        passed = ctypes.c_ulong(size | 0xDEAD << 32) if name == "cuMemAllocHost" else ctypes.c_size_t(size)
        self.call(library, name, ctypes.byref(at), passed, *flags)
        self.log.add(name, "alloc", size, phase, pages_of(size))
        return at, size

    def register(self, library, name, memory, phase, pages):
        at = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
        self.call(library, name, at, ctypes.c_size_t(len(memory)), ctypes.c_uint(0))
        self.log.add(name, "alloc", len(memory), phase, pages)
        return at, len(memory)

    def give(self, library, name, block, phase, pages):
        self.call(library, name, block[0])
        self.log.add(name, "free", block[1], phase, -pages)


def pin_by_runtime(pinned):
    return [
        pinned.get(pinned.runtime, "cudaHostAlloc", 37 * MIB + 100, "pin_by_runtime", ctypes.c_uint(1)),
        pinned.get(pinned.runtime, "cudaMallocHost", 11 * MIB, "pin_by_runtime"),
    ]


def pin_by_driver(pinned):
    return [
        pinned.get(pinned.driver, "cuMemHostAlloc", 5 * MIB + 1, "pin_by_driver", ctypes.c_uint(2)),
        pinned.get(pinned.driver, "cuMemAllocHost_v2", 3 * MIB, "pin_by_driver"),
        pinned.get(pinned.driver, "cuMemAllocHost", 7 * MIB, "pin_by_driver"),
    ]


def register(pinned, untouched, touched):
    """Memory of one's own: what is not there yet becomes resident by it, and is anonymous."""
    return [
        pinned.register(pinned.runtime, "cudaHostRegister", untouched, "register", 300),
        pinned.register(pinned.driver, "cuMemHostRegister_v2", touched, "register", 0),
    ]


def unpin(pinned, by_runtime, by_driver, registered):
    for block in by_runtime:
        pinned.give(pinned.runtime, "cudaFreeHost", block, "unpin", pages_of(block[1]))
    for block in by_driver[:2]:
        pinned.give(pinned.driver, "cuMemFreeHost", block, "unpin", pages_of(block[1]))
    pinned.give(pinned.runtime, "cudaHostUnregister", registered[0], "unpin", 0)
    pinned.give(pinned.driver, "cuMemHostUnregister", registered[1], "unpin", 0)


def warm_pinned(pinned, memory):
    for name, how in (("cudaHostAlloc", (ctypes.c_uint(1),)), ("cudaMallocHost", ())):
        pinned.give(pinned.runtime, "cudaFreeHost", pinned.get(pinned.runtime, name, PAGE, "warm", *how), "warm", 1)
    for name, how in (("cuMemHostAlloc", (ctypes.c_uint(2),)), ("cuMemAllocHost_v2", ()), ("cuMemAllocHost", ())):
        pinned.give(pinned.driver, "cuMemFreeHost", pinned.get(pinned.driver, name, PAGE, "warm", *how), "warm", 1)
    for library, get, give in ((pinned.runtime, "cudaHostRegister", "cudaHostUnregister"), (pinned.driver, "cuMemHostRegister_v2", "cuMemHostUnregister")):
        pinned.give(library, give, pinned.register(library, get, memory, "warm", 0), "warm", 0)


class Looks:
    """What the kernel's own list of mappings says at moments at which nothing moves: pages of pinned memory, and of other shared memory."""

    def __init__(self, paced):
        self.paced, self.moments = paced, []

    def look(self):
        if not self.paced:
            return
        time.sleep(PAUSE)
        self.moments.append({"ns": time.monotonic_ns(), "pinned": pinned_pages(), "other": resident_pages("/memfd:other (deleted)")})
        time.sleep(PAUSE)

    def share(self, pages):
        """Shared memory that is not pinned."""
        if not self.paced:
            return
        with os.fdopen(os.memfd_create("other"), "rb+") as file:
            file.truncate(pages * PAGE)
            KEEP.append(mmap.mmap(file.fileno(), pages * PAGE))
        touch(KEEP[-1], pages)


def pinned_memory(libraries, log, control, looks):
    control.stop("loaded")
    pinned = Pinned(libraries["libcudart.so.13"], libraries["libcuda.so.1"], log)
    warm_pinned(pinned, grow(1, PRIVATE))
    untouched, touched = mapping(300), grow(200, PRIVATE)
    KEEP.append(untouched)
    looks.look()
    by_runtime = pin_by_runtime(pinned)
    looks.look()
    looks.share(OTHER)
    looks.look()
    by_driver = pin_by_driver(pinned)
    looks.look()
    registered = register(pinned, untouched, touched)
    looks.look()
    wanted = sum(pages_of(size) for _, size in by_runtime + by_driver)
    if pinned_pages() != wanted:
        raise SystemExit(f"{pinned_pages()} pages of /dev/zero are resident, meant {wanted}")
    unpin(pinned, by_runtime, by_driver, registered)
    if pinned_pages() != pages_of(by_driver[2][1]):
        raise SystemExit(f"{pinned_pages()} pages of /dev/zero are still resident, meant {pages_of(by_driver[2][1])}")
    looks.look()
    return 1  # the block that was kept


def main():
    work, scenario, directory, names = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
    truth, control = open_target(work)
    libraries = {name: ctypes.CDLL(os.path.join(directory, name), ctypes.RTLD_GLOBAL) for name in names}
    driver, log, looks = libraries["libcuda.so.1"], Log(), Looks(scenario == "paced")
    if scenario == "device":
        alive = device_memory(directory, log, control)
    else:
        alive = pinned_memory(libraries, log, control, looks)
    if driver.standin_mistakes() or driver.standin_alive() != alive:
        raise SystemExit(f"the stand-in refused {driver.standin_mistakes()} calls; alive: {driver.standin_alive()}, meant {alive}")
    truth.facts["calls"], truth.facts["moments"] = log.calls, looks.moments
    truth.dump()


if __name__ == "__main__":
    main()
