"""Two ranks of vLLM's shared memory for the CPU back end, without a server: shm_ranks.py LIBRARY NAME THREADS. Loads the real library, says "loaded" and waits for
a line. Then two processes call its two functions as vLLM's communicator does; each writes one line of JSON (rank, pid, sizes of the segments, what the kernel shows of them as resident) and ends in the
ordinary way, so that the library's destructors run: a server's workers are killed before."""
import json
import os
import re
import sys

import torch


def make_segments(name, rank, threads, barrier):
    handle = torch.ops._C.init_shm_manager(name, 2, rank, threads)
    barrier()
    torch.ops._C.join_shm_manager(handle, name)
    barrier()


def main():
    library, name, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    torch.ops.load_library(library)
    print('loaded', flush=True)
    sys.stdin.readline()
    pipes = [os.pipe(), os.pipe()]
    # One fork, before any thread is made: rank 1 is the child's.
    child = os.fork()
    rank = 0 if child else 1

    def barrier():
        os.write(pipes[rank][1], b'x')
        os.read(pipes[1 - rank][0], 1)

    make_segments(name, rank, threads, barrier)
    with open('/proc/self/smaps') as file:
        resident = [int(kib) * 1024 for kib in re.findall(re.escape('/dev/shm/' + name) + r'_\d\n(?:\w+: .*\n)*?Rss: +(\d+) kB', file.read())]
    sizes = [os.stat(f'/dev/shm/{name}_{n}').st_size for n in range(2)]
    sys.stdout.write(json.dumps({'rank': rank, 'pid': os.getpid(), 'sizes': sizes, 'resident': resident}) + '\n')
    sys.stdout.flush()
    barrier()
    if child:
        assert os.waitpid(child, 0)[1] == 0


main()
