# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Functions of the same name in several classes and functions, names in every width of characters, a file whose name is no UTF-8. argv: work directory,
whether the sources are deleted before anything of them runs."""

import os
import sys

from truth import grow, open_target

WORK, DELETED = sys.argv[1], sys.argv[2] == "deleted"
T = None

SOURCE = '''
def told(name, pages):
    T.begin(name)
    grow(pages)
    T.end(name)


def work():
    told("plain", 20)

    def work():
        told("local", 21)

    work()


class One:
    def work(self):
        told("one", 22)

    class Two:
        def work(self):
            told("two", 23)
            {line}

    @property
    def size(self):
        return [told("size", 24) for _ in range(1)]


class Three(One.Two):
    def work(
        self,
    ):
        told("three", 25)
        super().work()


def gr\u00f6\u00dfe(): told("latin1", 26)


def \u5927\u5c0f(): told("ucs2", 27)


def \U00020000(): told("ucs4", 28)


def run():
    work()
    One().work()
    One.Two().work()
    One().size
    Three().work()
    gr\u00f6\u00dfe()
    \u5927\u5c0f()
    \U00020000()
'''


def load(name, line):
    path = os.path.join(WORK, name)
    text = SOURCE.replace("{line}", line)
    with open(os.fsencode(path), "w", encoding="utf-8") as file:
        file.write(text)
    made = {"grow": grow, "T": T}
    exec(compile(text, path, "exec"), made)
    if DELETED:
        os.unlink(os.fsencode(path))
    return made["run"]


def main():
    global T
    T, _ = open_target(WORK)
    for name, line in (("named.py", "pass"), ("\u00e9\u5927.py", "pass"), ("b\udcff\udc80.py", 'more = told("raw", 29)')):
        load(name, line)()
    T.dump()


if __name__ == "__main__":
    main()
