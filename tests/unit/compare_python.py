#!/usr/bin/python3
# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Compares pyprobe with the running interpreter's own account of its standard library.

    compare_python.py PYPROBE [MODULES]

(a) logical lines against `tokenize`; (b) the lines of every instruction of every code object against co_positions(),
and of line tables cut anywhere; (c) the statements found in functions, classes and modules against `ast`, and lambdas
and comprehensions, which have none. Lines of whole modules, of older interpreters too, are line_truth.py's. The sample of modules is the same at every run.
Exit status 1: there are differences, 77: the interpreter is older than 3.11.
"""
import ast
import concurrent.futures
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import tokenize
import warnings

sys.dont_write_bytecode = True
from line_truth import ODDITIES, Source, code_objects, sample  # noqa: E402

FUNCTIONS = 3    # of one module, besides its body
STATEMENTS = 6   # of one function
TABLE_MAX = 8192 # longer line tables are cut, as the tracer cuts them
SHOWN = 20       # differences printed


class Comparison:
    def __init__(self, probe):
        self.probe = probe
        self.counts = {"modules": 0, "lines": 0, "code objects": 0, "instructions": 0, "cut tables": 0, "functions": 0,
                       "statements": 0, "without statements": 0}
        self.differences = []

    def run(self, *args, data=None, status=0):
        result = subprocess.run([self.probe, *args], input=data, capture_output=True, check=False)
        if result.returncode != status:
            return "exit status %d: %s" % (result.returncode, result.stderr.decode(errors="replace")[-2000:])
        return result.stdout

    def differ(self, source, what, expected, found):
        self.differences.append("%s: %s\n  python:  %r\n  pyprobe: %r" % (source.path, what, expected, found))

    # (a)
    def split(self, source):
        expected = [b"%d %d %d %s" % (*line[:3], line[3].encode(source.encoding)) for line in source.lines]
        found = self.run("split", source.path)
        if isinstance(found, str):
            return self.differ(source, "split", "", found)
        found = found.split(b"\n")[:-1]
        self.counts["lines"] += len(expected)
        if len(expected) != len(found):
            self.differ(source, "number of logical lines", len(expected), len(found))
        for one, other in zip(expected, found):
            if one != other:
                self.differ(source, "logical line", one, other)
                break

    # (b)
    def line_tables(self, source, rng):
        codes, cuts, data = list(code_objects(source.code)), [], []
        for code in codes:
            table = code.co_linetable
            cuts.append(TABLE_MAX if len(table) > TABLE_MAX else None)
            data.append("%s %d\n" % (table[:TABLE_MAX].hex(), code.co_firstlineno))
        for code in rng.sample(codes, min(3, len(codes))):
            cut = rng.randrange(1, min(len(code.co_linetable), TABLE_MAX) + 1)
            codes.append(code)
            cuts.append(cut)
            data.append("%s %d\n" % (code.co_linetable[:cut].hex(), code.co_firstlineno))
        found = self.run("line", "-", "1", data="".join(data).encode())
        if isinstance(found, str):
            return self.differ(source, "line", "", found)
        for code, cut, answer in zip(codes, cuts, found.decode().split("\n\n")):
            self.line_table(source, code, cut, answer.split("\n"))

    def line_table(self, source, code, cut, answer):
        expected = []
        for i, (start, end, _, _) in enumerate(code.co_positions()):
            expected.append("%d %d %d" % (i * 2, start or 0, end or 0) if start is not None else "%d 0 0" % (i * 2))
        answer = [line for line in answer if line]
        self.counts["cut tables" if cut else "code objects"] += 1
        self.counts["instructions"] += len(answer)
        if cut is None and len(answer) != len(expected):
            return self.differ(source, code.co_qualname + ": instructions", len(expected), len(answer))
        for i, (one, other) in enumerate(zip(expected, answer)):
            # The entry that a cut goes through covers up to 8 instructions, whose lines are then unknown.
            if one != other and not (cut and i >= len(answer) - 8 and other == "%d 0 0" % (i * 2)):
                return self.differ(source, "%s (cut at %s), instruction" % (code.co_qualname, cut), one, other)

    # (c)
    def statements(self, source, rng):
        nodes = {}
        for node in ast.walk(source.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
                nodes[node.name, first] = node
        codes = list(code_objects(source.code))
        named = [code for code in codes if (code.co_name, code.co_firstlineno) in nodes]
        nameless = [code for code in codes if code.co_name.startswith("<") and code.co_name != "<module>"]
        self.count_defs(source, nodes, named)
        picked = rng.sample(named, min(FUNCTIONS, len(named)))
        asked = [(code, own_statements(source, nodes[code.co_name, code.co_firstlineno])) for code in picked]
        asked.append((source.code, own_statements(source, source.tree)))
        for code, lines in asked:
            self.find(source, code, lines, rng)
        if nameless:
            self.find_nothing(source, rng.choice(nameless))

    def count_defs(self, source, nodes, named):
        """Each def of the tree that was compiled is one of the code objects: else the comparison looked at nothing."""
        if len(nodes) and not named:
            self.differ(source, "functions with a code object", len(nodes), 0)

    def find(self, source, code, lines, rng):
        asked = {}
        for line in rng.sample(lines, min(STATEMENTS, len(lines))):
            text = line[3][:80]
            if re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", text):
                continue
            asked["s%d" % len(asked)] = text, [other[:2] for other in lines if other[3].startswith(text)]
        if not asked:
            return
        expected = sorted("%s %d %d" % (key, *place) for key, (_, places) in asked.items() for place in places)
        found = self.run_profile(source, code, {key: text for key, (text, _) in asked.items()})
        if isinstance(found, str):
            return self.differ(source, code.co_qualname, expected, found)
        self.counts["functions"] += 1
        self.counts["statements"] += len(expected)
        found = sorted(found.decode().split("\n")[:-1])
        if expected != found:
            what = "%s, line %d: statements %r" % (code.co_qualname, code.co_firstlineno, asked)
            self.differ(source, what, expected, found)

    def find_nothing(self, source, code):
        found = self.run_profile(source, code, {"s0": ""}, status=3)
        self.counts["without statements"] += 1
        if found != b"":
            self.differ(source, "%s, line %d" % (code.co_qualname, code.co_firstlineno), "no statements", found)

    def run_profile(self, source, code, texts, status=0):
        phases = [{"id": key, "label": "x", "function": code.co_qualname,
                   "statement": "^" + re.sub(r"([][\\.*+?(){}|^$])", r"\\\1", text)} for key, text in texts.items()]
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as f:
            json.dump({"name": "x", "phases": phases}, f, ensure_ascii=False)
            f.flush()
            return self.run("find", f.name, source.path, code.co_qualname, str(code.co_firstlineno), status=status)

    def compare(self, path, seed):
        try:
            source = Source(path)
        except (SyntaxError, UnicodeDecodeError, tokenize.TokenError, ValueError):
            return False
        rng = random.Random(seed)
        self.counts["modules"] += 1
        self.split(source)
        self.line_tables(source, rng)
        if source.encoding == "utf-8":
            self.statements(source, rng)
        return True


def own_statements(source, scope):
    """(first, last, column, text) of the statements that run in this function, class or module."""
    found = {}

    def visit(nodes):
        for node in nodes:
            line = source.by_first.get(node.lineno)
            blocks = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
            blocks += [part.body for name in ("handlers", "cases") for part in getattr(node, name, [])]
            compound = any(blocks)
            if line and line[0] not in found:
                # Several statements on one line, or a block on its header's line, are one logical line.
                last = line[1] if compound or source.statements_on[line[0]] > 1 else node.end_lineno
                found[line[0]] = (line[0], last, line[2], line[3])
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                if line and node.body[0].lineno <= line[1]:
                    found.pop(line[0])  # a nested def on one line is seen without its body
                continue
            for block in blocks:
                visit(block)

    if not isinstance(scope, ast.Module):
        line = source.by_first.get(scope.lineno)
        if line and scope.body[0].lineno <= line[1]:
            return [line]
    visit(scope.body)
    return list(found.values())


def main():
    if sys.version_info < (3, 11):
        print("compare_python: skipped: Python %d.%d has no location table" % sys.version_info[:2])
        return 77
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    warnings.simplefilter("ignore", SyntaxWarning)
    comparison = Comparison(os.path.abspath(sys.argv[1]))
    skipped = 0
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        paths = sample(int(sys.argv[2]) if len(sys.argv) == 3 else 150)
        for i, text in enumerate(ODDITIES):
            paths.append(os.path.join(folder, "oddity%d.py" % i))
            with open(paths[-1], "wb") as f:
                f.write(text.encode())
        for compared in pool.map(comparison.compare, paths, range(len(paths))):
            skipped += not compared
    for difference in comparison.differences[:SHOWN]:
        print(difference)
    print("compare_python: Python %d.%d.%d: " % sys.version_info[:3] +
          ", ".join("%d %s" % (count, what) for what, count in comparison.counts.items()) +
          "; %d sources skipped; %d differences" % (skipped, len(comparison.differences)))
    if not all(comparison.counts.values()):
        print("compare_python: nothing was compared in at least one respect")
        return 1
    return 1 if comparison.differences else 0


if __name__ == "__main__":
    sys.exit(main())
