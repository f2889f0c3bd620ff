# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Children of every kind. argv: work directory, scenario, further words."""

import multiprocessing
import os
import subprocess
import sys
import time

from truth import Truth, grow, mapping, open_target, parse_rollup, set_comm, touch

PAGES = {"fork": 512, "spawn": 600, "forkserver": 700, "exec": 800}


def child_phase(truth, pages):
    truth.begin("child_phase")
    grow(pages)
    truth.end("child_phase")


def child_main(work, pages):
    """In a fresh or forked process: a truth of its own."""
    truth = Truth(work, 64)
    child_phase(truth, pages)
    truth.expect("child_phase", pages)
    truth.facts["parent"] = os.getppid()
    truth.dump()


def forked(truth, work):
    pid = os.fork()
    if pid == 0:
        code = 9
        try:
            child_main(work, PAGES["fork"])
            code = 4
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), pid


def started(method, work):
    process = multiprocessing.get_context(method).Process(target=child_main, args=(work, PAGES[method]))
    process.start()
    process.join()
    return process.exitcode, process.pid


def executed(work):
    process = subprocess.Popen([sys.executable, "-B", __file__, work, "as_child", str(PAGES["exec"])])
    return process.wait(), process.pid


def shelled():
    process = subprocess.Popen(["/bin/sh", "-c", "read line < /proc/self/stat; exit 3"])
    return process.wait(), process.pid


def with_child_inside(truth, work):
    """A phase at whose end a child stands there with what it grew."""
    truth.begin("with_child")
    told, tell = os.pipe()
    stay, leave = os.pipe()
    pid = os.fork()
    if pid == 0:
        own = Truth(work, 16)
        child_phase(own, 1500)
        own.dump()
        os.write(tell, b"x")
        os.read(stay, 1)
        os._exit(0)
    os.read(told, 1)
    truth.end("with_child")
    with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        truth.facts["standing"] = parse_rollup(file.read())
    return pid, leave


def every_kind(work):
    truth, _ = open_target(work)
    facts = {}
    facts["fork"] = forked(truth, work)
    facts["spawn"] = started("spawn", work)
    facts["forkserver"] = started("forkserver", work)
    facts["exec"] = executed(work)
    if os.path.exists("/bin/sh"):
        facts["sh"] = shelled()
    pid, leave = with_child_inside(truth, work)
    time.sleep(0.05)  # asleep outside the phase while the child stands: what ended is seen to have ended
    os.write(leave, b"x")
    os.waitpid(pid, 0)
    facts["inside"] = (0, pid)
    wanted = {"fork": 4, "spawn": 0, "forkserver": 0, "exec": 0, "sh": 3, "inside": 0}
    for kind, (status, _pid) in facts.items():
        if status != wanted[kind]:
            raise SystemExit(f"child by {kind} ended with {status}")
    truth.facts["children"] = {kind: list(fact) for kind, fact in facts.items()}
    truth.dump()


class OwnSize:
    """Readings of a child's own rollup, for whoever runs the test; the first ones bring in the code for the others."""

    def __init__(self, work, number):
        self._buffers = [[bytearray(4096)] for _ in range(3)]
        self._rollup = os.open("/proc/self/smaps_rollup", os.O_RDONLY)
        self._out = os.open(os.path.join(work, f"kid.{number:02}.{os.getpid()}"), os.O_WRONLY | os.O_CREAT, 0o644)
        for _ in range(4):
            for place in range(3):
                self.read(place)
            self.write()

    def read(self, place):
        os.preadv(self._rollup, self._buffers[place], 0)

    def write(self):
        for place, buffer in enumerate(self._buffers):
            os.pwrite(self._out, buffer[0], place * 4096)


def kid_phase(own, number):
    own.read(0)
    memory = mapping(512 + number)
    touch(memory, 512 + number)
    own.read(1)
    return memory


def forked_kid(work, number):
    born = time.monotonic()
    set_comm(f"kid{number:02}")
    own = OwnSize(work, number)
    memory = kid_phase(own, number)
    time.sleep(max(0, born + 0.03 - time.monotonic()))
    own.read(2)
    own.write()
    return memory


def forked_kids(work):
    truth, _ = open_target(work)
    for number in range(20):
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                forked_kid(work, number)
                code = number
            finally:
                os._exit(code)
        expect_status(pid, number)
    truth.dump()


def executed_kids(work, program):
    """Five at a time; the program lies in the work directory."""
    program = os.path.join(work, program)
    truth, _ = open_target(work)
    for first in range(0, 20, 5):
        pids = [os.posix_spawn(program, [program, work, str(number)], os.environ) for number in range(first, first + 5)]
        for number, pid in enumerate(pids, first):
            expect_status(pid, number)
    truth.dump()


def expect_status(pid, number):
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status != number:
        raise SystemExit(f"kid {number} ended with {status}")


def main():
    work, scenario = sys.argv[1], sys.argv[2]
    if scenario == "as_child":
        child_main(work, int(sys.argv[3]))
    elif scenario == "every_kind":
        every_kind(work)
    elif scenario == "forked_kids":
        forked_kids(work)
    else:
        executed_kids(work, sys.argv[3])


if __name__ == "__main__":
    main()
