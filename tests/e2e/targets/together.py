# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""A family that is largest together when neither the parent nor all of its children have been largest: a stop at each standing. argv: work directory."""

import mmap
import os
import sys

from truth import grow, open_target

WORK = sys.argv[1]
T, C = open_target(WORK, 4)
C.prepare("warm", "alone", "first", "second", "third", "end")


def child(pages, name):
    pid = os.fork()
    if not pid:
        # A forked child has no file pages of its own yet: what runs between the stop and the release is run once before.
        for size, stop in ((1, "warm"), (pages, name)):
            memory = grow(size)
            C.stop(stop)
            memory.close()
        os._exit(0)
    os.waitpid(pid, 0)


memory = grow(9000)
memory.madvise(mmap.MADV_DONTFORK)  # none of it is a child's
C.stop("alone")
child(2000, "first")
memory.close()
grow(3000).madvise(mmap.MADV_DONTFORK)
child(12000, "second")
child(4000, "third")
grow(5000)
C.stop("end")
T.dump()
