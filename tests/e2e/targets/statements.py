# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Statements of every form as phases. Each says itself what came while it ran. argv: work directory."""

import contextlib
import functools
import sys

from truth import grow, open_target

WORK = sys.argv[1]
T = None
# Up to 3.9 the end of a `with` block is on the line of the last statement in it, so that what __exit__ does there is that statement's.
EXIT_ON_WITH_LINE = sys.version_info >= (3, 10)
# Up to 3.10 a decorator is evaluated on its line and called on that of the `def`.
CALLED_ON_DECORATOR_LINE = sys.version_info >= (3, 11)


def told(name, pages):
    """Growth that belongs to the statement `name`, from a function of its own."""
    T.begin(name)
    if pages:
        grow(pages)
    T.end(name)
    return pages


def pair(*parts, **more):
    return parts


def decorator(name, pages):
    told(name, pages)

    def wrap(function):
        if CALLED_ON_DECORATOR_LINE:
            told(name, pages)

        @functools.wraps(function)
        def wrapper(*args):
            return function(*args)

        return wrapper

    return wrap


@contextlib.contextmanager
def block(name, pages):
    told(name, pages)
    yield
    if EXIT_ON_WITH_LINE:
        told(name, pages + 1)


def calls(k):
    grow(2)
    several = pair(
        told("several_lines", 20),
        [told("several_lines", 21)],
        key=told(
            "several_lines",
            22,
        ),
    )
    chained = pair(1) + pair(
        2) + pair(
            told("chained", 23)) + \
        pair(told("chained", 24))
    grow(2)
    text = f"""{
        told("in_a_string", 25)
    } and {told("in_a_string", 26)}"""
    grow(2); packed = told("two_on_a_line", 27); del packed
    return several, chained, text


def inside(k):
    listed = [
        told("comprehension", number)
        for number in (20, 21)
        if told(
            "comprehension", 22)
    ]
    grow(2)
    nested = {key: [
        told("nested_comprehension", value) for value in (5, 6)]
        for key in {told("nested_comprehension", 7) + i for i in range(2)}}
    grow(2)
    called = sorted([2, 1], key=lambda value: told(
        "lambda_body", 20 + value))
    grow(2)
    lazy = sum(
        told("generator_inside", 8 + i)
        for i in range(3))
    return listed, nested, called, lazy


def blocks(k):
    with block(
        "with_header", 20
    ), block("with_header", 22):
        told("with_body", 24)
    grow(2)

    @decorator(
        "decorators", 20)
    @decorator("decorators", 21)
    def decorated(
        a=told("default", 22),
    ):
        return told("nested_body", 23)

    decorated()

    class Local(
        functools.partial, metaclass=pair(type, told("class_header", 24))[0]
    ):
        T.begin("class_header")  # the body is called by it
        told("class_body", 25)
        T.end("class_header")

    for _ in range(told("for_header", 3)):
        told("for_body", 26)
    else:
        told("for_else", 27)
    while told("while_header", 4) and k:
        k -= 1
    return Local


def branches(k):
    if told("if_test", 0): told("never", 99)
    elif told("elif_test", 20): told("elif_test", 21)
    else: told("never", 99)
    if k:
        pass
    else: told("else_line", 22)
    try: told("try_line", 23); raise KeyError
    except (
        told("except_line", 24) and KeyError
    ): told("except_line", 25)
    finally: told("finally_line", 26)
    try:
        return told("returned", 27)
    finally:
        told("finally_body", 28)


MATCHING = '''
def matching(subject):
    match pair(
        told("match_header", 20), subject):
        case [_, {"k": c}] if told("case_guard", 21) == 0: told("never", 99)
        case [_, {"k": [
            a, b]}] if told(
                "case_lines", 23):
            told("case_body", 24)
            match = [told("soft_name", 25)] * 2
    match[
        told("soft_use", 1)] = 2
    return match
'''

EXPECTED = {
    "several_lines": 63, "chained": 47, "in_a_string": 51, "two_on_a_line": 27,
    "comprehension": 85, "nested_comprehension": 36, "lambda_body": 43, "generator_inside": 27,
    "with_header": 42 + (44 if EXIT_ON_WITH_LINE else 0), "with_body": 24, "decorators": 82 if CALLED_ON_DECORATOR_LINE else 41, "default": 22, "nested_body": 23,
    "class_header": 49, "class_body": 25, "for_header": 3, "for_body": 78, "for_else": 27, "while_header": 4,
    "if_test": 0, "elif_test": 41, "else_line": 22, "try_line": 23, "except_line": 49, "finally_line": 26, "returned": 27, "finally_body": 28,
}
if sys.version_info >= (3, 10):
    EXPECTED.update({"match_header": 20, "case_guard": 21, "case_lines": 23, "case_body": 24, "soft_name": 25, "soft_use": 1})


def main():
    global T
    made = {}
    if sys.version_info >= (3, 10):
        with open(__file__.rpartition("/")[0] + "/matching.py", "w") as file:
            file.write(MATCHING)
        made = {"pair": pair, "told": told}
        exec(compile(MATCHING, file.name, "exec"), made)
        exec("match [0, {'k': [1, 2]}]:\n    case [_, {'k': [a, b]}]: pass")  # brings the interpreter's own code into memory
    T, _ = open_target(WORK)
    calls(3)
    inside(3)
    blocks(0)
    branches(0)
    if made:
        made["matching"]({"k": [1, 2]})
    if getattr(sys, "_is_gil_enabled", lambda: True)():  # else the allocator gives pages back when it likes
        for name, pages in EXPECTED.items():
            T.expect(name, pages, 24)
    T.facts["names"] = list(EXPECTED)
    T.dump()


if __name__ == "__main__":
    main()
