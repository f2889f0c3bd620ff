# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""An import-heavy program that writes down its own stack at moments of its choice. argv: work directory, seed, number
of moments.

At each moment it notes the chain of frames (function, file, line) and then touches one fresh page: exactly one RSS
change with that very stack. Moments lie inside imports of the standard library (a finder at the head of
sys.meta_path) and inside made-up modules that call each other through decorators, generators, comprehensions,
lambdas, callbacks from C, properties, exceptions and exec'd code, in two threads."""

import importlib
import os
import random
import sys
import threading

from truth import PAGE, mapping, open_target

WORK, SEED, WANTED = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
MODULES = 60
LIBRARY = """
    argparse asyncio ast bz2 calendar cmd codecs concurrent.futures configparser csv ctypes.util datetime decimal
    difflib dis doctest email.mime.text email.parser fileinput fractions ftplib gettext glob gzip html.parser
    http.client http.cookiejar http.server imaplib inspect json.tool logging.config logging.handlers lzma mailbox
    mimetypes multiprocessing.managers netrc optparse pathlib pdb pickle pickletools platform plistlib poplib pprint
    profile pstats py_compile pyclbr quopri sched secrets selectors shelve shlex smtplib socketserver sqlite3 ssl
    statistics string subprocess symtable tarfile tempfile textwrap timeit tokenize trace turtle typing
    unittest.mock urllib.request uuid wave webbrowser wsgiref.simple_server xml.dom.minidom xml.etree.ElementTree
    xml.sax xmlrpc.client zipapp zipfile zoneinfo
""".split()

with open(__file__) as _file:
    TOUCH_LINE = next(number for number, line in enumerate(_file, 1) if line.rstrip().endswith("# the touch"))
REGION = mapping(WANTED + 1)
OFFSETS = [number * PAGE for number in range(WANTED + 1)]
chains = []
chance = random.Random(SEED)


def moment():
    frame, chain = sys._getframe(), []
    while frame is not None:
        code = frame.f_code
        chain.append((getattr(code, "co_qualname", code.co_name), code.co_filename, frame.f_lineno or 0))
        frame = frame.f_back
    chain[0] = chain[0][:2] + (TOUCH_LINE,)
    offset = OFFSETS[len(chains)]
    chains.append(chain)
    REGION[offset] = 1  # the touch


def maybe(probability=0.5):
    if len(chains) < WANTED and chance.random() < probability:
        moment()


class Watcher:
    """Finds nothing; is asked for every module."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        maybe(0.2)
        return None


MODULE = """
import functools
from moments_hook import maybe

maybe()
{imports}


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(
            *args,
            **kwargs
        )
    return wrapper


class Thing_{n}:
    maybe()

    def __init__(self):
        maybe()

    @property
    def size(self):
        maybe()
        return 1

    @decorated
    def work(self, depth):
        if depth:
            return self.work(
                depth - 1,
            )
        maybe(); return [maybe() for _ in range(2)]


def counting(n):
    for number in range(n):
        maybe()
        yield number


def failing():
    try:
        raise KeyError
    except KeyError:
        maybe()
    finally:
        maybe()


def key(value):
    maybe()
    return value


list(counting(2))
sorted(
    [2, 1],
    key=key,
)
(lambda: maybe())()
failing()
thing = Thing_{n}()
thing.size
thing.work({n} % 9)
exec("def made(count):\\n    maybe(count)\\n\\nmade(0.5)\\n")
"""


def write_modules():
    """Names sort the way they import each other: m_00 imports m_01 and m_02, and so on, nested."""
    folder = os.path.join(WORK, "made")
    os.mkdir(folder)
    for number in range(MODULES):
        follow = [other for other in (2 * number + 1, 2 * number + 2) if other < MODULES]
        with open(os.path.join(folder, f"m_{number:02}.py"), "w") as file:
            file.write(MODULE.format(n=number, imports="\n".join(f"import m_{other:02}" for other in follow)))
    sys.path.insert(0, folder)


def import_library(names):
    for name in names:
        try:
            importlib.import_module(name)
        except Exception:
            pass  # a minimal installation lacks some, and a library of a neighbouring version does not fit


def main():
    sys.modules["moments_hook"] = sys.modules[__name__]
    sys.setrecursionlimit(3000)
    write_modules()
    truth, _ = open_target(WORK, slots=64)
    sys.meta_path.insert(0, Watcher)
    names = list(LIBRARY)
    chance.shuffle(names)
    import_library(names[:40])
    importlib.import_module("m_01")
    thread = threading.Thread(target=import_library, args=(["m_00"] + names[40:],), name="importer")
    thread.start()
    thread.join()
    if len(chains) != WANTED:
        raise SystemExit(f"{len(chains)} moments came, {WANTED} wanted")
    truth.facts["chains"] = chains
    truth.facts["touch_line"] = TOUCH_LINE
    truth.dump()


if __name__ == "__main__":
    main()
