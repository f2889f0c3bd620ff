# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""3,000 code objects made, run and dropped, so that their addresses come back under other names. argv: work
directory.

Each touches a number of pages that depends on its name; nothing else is done inside them. Half are functions with
made-up file names, half are lambdas run by eval."""

import sys

from truth import PAGE, mapping, open_target

WORK = sys.argv[1]
COUNT = 3000
NAMES = ("f_a", "f_b", "g_a", "h_a")  # the first two and the file of the lambdas are phases
PAGES = {"f_a": 1, "f_b": 2, "g_a": 1, "h_a": 3}
REGION = mapping(16384)
OFFSETS = [number * PAGE for number in range(16384)]
cursor = 0


def run_function(name, number):
    namespace = {"region": REGION, "offsets": OFFSETS}
    lines = [f"def {name}(first):"] + [f"    region[offsets[first + {k}]] = 1" for k in range(PAGES[name])]
    exec(compile("\n".join(lines), f"made_up_{number % 7}.py", "exec"), namespace)
    namespace[name](cursor)
    del namespace[name]
    namespace.clear()
    return PAGES[name]


def run_lambda(number):
    """The same name, <lambda>, in two files of which one is a phase."""
    file = "lambda_phase.py" if number % 3 == 0 else "lambda_other.py"
    function = eval(compile("lambda region, offset: region.__setitem__(offset, 1)", file, "eval"))
    function(REGION, OFFSETS[cursor])
    del function
    return 1


def main():
    global cursor
    truth, _ = open_target(WORK)
    pages = dict.fromkeys(NAMES, 0)
    pages.update({"lambda_phase": 0, "lambda_other": 0})
    addresses = set()
    truth.begin("all")
    for number in range(COUNT):
        if number % 2:
            touched = run_lambda(number)
            pages["lambda_phase" if number % 3 == 0 else "lambda_other"] += touched
        else:
            name = NAMES[(number // 2) * 5 % 4]
            touched = run_function(name, number)
            pages[name] += touched
        cursor += touched
    truth.end("all")
    for number in range(200):
        addresses.add(id(compile("def f(): pass", "again.py", "exec").co_consts[0]))
    truth.facts["pages"] = pages
    truth.facts["addresses"] = len(addresses)
    if len(addresses) > 100:
        raise SystemExit(f"addresses do not come back: {len(addresses)} of 200 differ")
    truth.dump()


if __name__ == "__main__":
    main()
