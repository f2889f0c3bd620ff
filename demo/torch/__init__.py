# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""A stand-in for the few names of torch that the demo uses: tensors are mappings, filled half by a helper thread.

torch fills a large tensor with a pool of OpenMP threads, which have no Python frame of the caller. `zeros` does the
same with one pool thread, so that half of the memory of a statement is touched by a thread that knows nothing of the
statement."""

import mmap
import queue
import threading

int8, bool_, int32, float32 = "int8", "bool", "int32", "float32"
_BYTES = {int8: 1, bool_: 1, int32: 4, float32: 4}
_PAGE = mmap.PAGESIZE

# What an import of the real package leaves behind: tables that live as long as the process.
_dispatch_table = {
    f"aten::op_{number}.{overload}": bytes(400) for number in range(6000) for overload in ("default", "out")
}


class _Pool:
    """One thread, started at the first large tensor and kept, as OpenMP's is."""

    def __init__(self):
        self._jobs = queue.SimpleQueue()
        self._done = queue.SimpleQueue()
        self._thread = None

    def run(self, job):
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="pool", daemon=True)
            self._thread.start()
        self._jobs.put(job)
        return self._done

    def _serve(self):
        while True:
            job = self._jobs.get()
            job()
            self._done.put(None)


_pool = _Pool()


def _touch(memory, start, end, value=0):
    for offset in range(start, end, _PAGE):
        memory[offset] = value


class Tensor:
    """Bytes in a mapping of their own."""

    def __init__(self, nbytes, memory=None):
        self.nbytes = nbytes
        self.memory = (
            mmap.mmap(-1, max(nbytes, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) if memory is None else memory
        )

    def fill_(self, value):
        half = self.nbytes // 2 // _PAGE * _PAGE
        if half < 16 * _PAGE:
            _touch(self.memory, 0, self.nbytes, value)
            return self
        done = _pool.run(lambda: _touch(self.memory, half, self.nbytes, value))
        _touch(self.memory, 0, half, value)
        done.get()
        return self

    def numpy(self):
        return self

    def free(self):
        self.memory.close()


def _nbytes(shape, dtype):
    count = 1
    for size in shape if isinstance(shape, tuple) else (shape,):
        count *= size
    return count * _BYTES[dtype]


def empty(shape, dtype=float32, device="cpu", pin_memory=False):
    return Tensor(_nbytes(shape, dtype))


def zeros(shape, dtype=float32, device="cpu", pin_memory=False):
    return empty(shape, dtype, device, pin_memory).fill_(0)
