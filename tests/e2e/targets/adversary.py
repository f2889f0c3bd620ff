# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""The worst case for a tracer that takes a shortcut by the tip of the stack. argv: work directory.

Functions with frames of one size and the same bytecode are called in turn, from one line, each running the same chain
of 30 functions that touches memory at its end. Between two touches nothing changes but one code object far out, at an
instruction of the same offset. The truth is how many pages each asked for; the address space's own reading proves
that nothing else moved."""

import sys

from truth import PAGE, mapping, open_target

WORK = sys.argv[1]
DEPTH = 30
ROUNDS = 150

_source = ["def chain_0(count):\n    touch_pages(count)\n"]
_source += [f"def chain_{level}(count):\n    chain_{level - 1}(count)\n" for level in range(1, DEPTH)]


class Region:
    """Untouched pages handed out one after the other; the offsets exist beforehand, so that a touch is one page and
    nothing else."""

    def __init__(self, pages):
        self.memory = mapping(pages)
        self.offsets = [number * PAGE for number in range(pages)]
        self.next = 0


REGION = Region(16384)


def touch_pages(count):
    region = REGION
    for _ in range(count):
        region.memory[region.offsets[region.next]] = 1
        region.next += 1


exec(compile("".join(_source), "chain.py", "exec"))
chain = globals()[f"chain_{DEPTH - 1}"]


def adv_one(count):
    chain(count)


def adv_two(count):
    chain(count)


def adv_none(count):
    chain(count)


def through(count):
    chain(count)


def two_statements(count, more):
    through(count)  # first
    through(more)


def two_lines_one_phase(count, more):
    marked = through(count)
    unmarked = through(more)
    return marked, unmarked


def nested_outer(count, inside):
    if inside:
        nested_inner(count)
    else:
        nested_other(count)


def nested_inner(count):
    chain(count)


def nested_other(count):
    chain(count)


def in_turn(functions, counts, rounds):
    """Calls every function from this one line."""
    for _ in range(rounds):
        for function, count in zip(functions, counts):
            function(count)


def in_irregular_turn(functions, rounds, pages):
    state = 12345
    for _ in range(rounds):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        choice = (state >> 16) % len(functions)
        pages[choice] += choice + 1
        functions[choice](choice + 1)


def measured(truth, name, function, *args):
    start = REGION.next
    truth.begin(name)
    function(*args)
    truth.end(name)
    truth.facts[name] = REGION.next - start


def main():
    in_turn((adv_one, adv_two, adv_none), (1, 1, 1), 20)  # specialised and warm before anything is measured
    two_statements(1, 1)
    two_lines_one_phase(1, 1)
    nested_outer(1, True), nested_outer(1, False)
    warm_pages = [0, 0, 0]
    in_irregular_turn((adv_one, adv_two, adv_none), 10, warm_pages)
    warm = {"adv_one": 20 + warm_pages[0], "adv_two": 20 + warm_pages[1], "nested_outer": 2}
    truth, _ = open_target(WORK)
    pages = [0, 0, 0]
    measured(truth, "alternating", in_turn, (adv_one, adv_two), (1, 2), ROUNDS)
    measured(truth, "with_none", in_turn, (adv_one, adv_none, adv_two, adv_none), (1, 1, 3, 2), ROUNDS)
    measured(truth, "irregular", in_irregular_turn, (adv_one, adv_two, adv_none), 3 * ROUNDS, pages)
    measured(truth, "statements", lambda: [two_statements(1, 2) for _ in range(ROUNDS)])
    measured(truth, "lines", lambda: [two_lines_one_phase(2, 1) for _ in range(ROUNDS)])
    measured(truth, "nested", lambda: [nested_outer(1 + number % 2, number % 2) for number in range(ROUNDS)])
    truth.facts["pages"] = {
        "adv_one": ROUNDS + ROUNDS + pages[0],
        "adv_two": 2 * ROUNDS + 3 * ROUNDS + pages[1],
        "stmt_first": ROUNDS,
        "stmt_second": 2 * ROUNDS,
        "stmt_marked": 2 * ROUNDS,
        "nested_outer": ROUNDS // 2 + 2 * (ROUNDS // 2),
        "nested_inner": 2 * (ROUNDS // 2),
    }
    # Seen by a tracer that was there from the start only.
    truth.facts["warm"] = {name: warm.get(name, 1) for name in truth.facts["pages"]}
    for name in ("alternating", "with_none", "irregular", "statements", "lines", "nested"):
        truth.expect(name, truth.facts[name], 8)
    truth.dump()


if __name__ == "__main__":
    main()
