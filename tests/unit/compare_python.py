#!/usr/bin/python3
# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Compares pyprobe with the running interpreter's own account of its standard library.

    compare_python.py PYPROBE [MODULES]

(a) logical lines against `tokenize`; (b) the lines of every instruction of every code object against co_positions(),
and of line tables cut anywhere; (c) the statements found in functions, classes and modules against `ast`, and lambdas
and comprehensions, which have none. The sample of modules is the same at every run.
Exit status 1: there are differences, 77: the interpreter is older than 3.11.
"""
import ast
import collections
import concurrent.futures
import io
import json
import os
import random
import re
import subprocess
import sys
import sysconfig
import tempfile
import tokenize
import warnings

SILENT = {tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER}
FUNCTIONS = 3    # of one module, besides its body
STATEMENTS = 6   # of one function
TABLE_MAX = 8192 # longer line tables are cut, as the tracer cuts them
SHOWN = 20       # differences printed

# What the standard library has little of. Those that this interpreter refuses are skipped.
ODDITIES = [
    "", "\n", "# only a comment", "x = 1", "x = 1 # no newline", "\ufeffx = 1\n",
    "if x:\n\ty = 1\n\tif y:\n\t  \tz = 2\n", "x = 1\r\ny = (2,\r\n  3)\r\n'''a\r\n  b'''\r\n",
    "x = 1 \\\n  + 2 \\\n  # gone\ny = 2\n", "\f\nx = 1\n\f\ndef f():\n  \f  return 1\n",
    "a = '#'; b = \"\\\"#\"; c = '\\\\'\nd = r'\\'' + rb'\\''\n", "x = '''a\\\n b\\''' c\n  '''  # end\ny = 1\n",
    "s = 'a\\\n   b'\nt = f'a\\\n   b{1}'\n", "x = [  # one\n  # two\n\n  1,\n]  # three\n",
    "x = 1 if'a'else 2\nz = 1if 2else 3\n", "f'{{}}{x!r:>{w}}' f\"\"\"{\n  x\n}\n\"\"\"\ny = 1\n",
    "f'{x:\"}'\ny = f'{d[\"a:b\"]:{w}.{p}}#'\n", "rf'\\{x}\\' {y}'\nf'\\{x}'\n",
    "f'\\N{LEFT CURLY BRACKET}'\nx = 1\n", "x = f'{lambda_}' # '\ny = f'{(lambda: 1)()!r}'\n",
    "class A(\n  B,\n): pass\n", "f'{f\"{f'''{1}'''}\"}'\nx = 1\n", "def f(\n  a=':',  # c\n) -> 'x': return a\n",
    "x = b'''\n\n'''\n@(\n d\n)\ndef f(): pass\n",
    # 3.12 and later: PEP 701
    "f'{d['a']}'\nx = 1\n", "f'{\n  d[1]  # '}\n  }'\nx = 1\n", "f\"{f\"{f\"{1}\"}\"}\"\n",
    "f'{x:{y:{z}}}' '#'\nx = 1\n", "f'{'\\n'.join(a)}'\n",
    "type X = int\ndef f[T: (int, str)](x: T) -> T:\n  return x\n",
]


class Source:
    """A source file: its logical lines by `tokenize`, its tree, its code objects."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as f:
            data = f.read()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
        self.encoding = encoding.removesuffix("-sig")
        self.text = text.replace("\r\n", "\n").replace("\r", "\n")
        self.tree = ast.parse(data, path)
        self.code = compile(data, path, "exec", dont_inherit=True)
        self.rows = self.text.split("\n")
        self.lines = list(self.logical_lines())
        self.by_first = {line[0]: line for line in self.lines}
        first_of = {row: line[0] for line in self.lines for row in range(line[0], line[1] + 1)}
        statements = (node for node in ast.walk(self.tree) if isinstance(node, ast.stmt))
        self.statements_on = collections.Counter(first_of[node.lineno] for node in statements)

    def logical_lines(self):
        tokens, comments, columns = [], [], [0]
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type == tokenize.INDENT:
                columns.append(len(token.string.rpartition("\f")[2].expandtabs(8)))
            elif token.type == tokenize.DEDENT:
                columns.pop()
            elif token.type == tokenize.COMMENT:
                comments.append(token)
            elif token.type == tokenize.NEWLINE:
                if tokens:
                    first, last = tokens[0].start, tokens[-1].end
                    yield first[0], last[0], columns[-1], self.slice(first, last, comments)
                tokens, comments = [], []
            elif token.type not in SILENT:
                tokens.append(token)

    def slice(self, first, last, comments):
        """The text between two positions without comments, the physical lines joined by one blank."""
        cut = {c.start[0]: c.start[1] for c in comments}
        rows = []
        for row in range(first[0], last[0] + 1):
            text = self.rows[row - 1][:last[1] if row == last[0] else cut.get(row)]
            rows.append(text[first[1]:] if row == first[0] else text)
        return join_rows(rows)


def join_rows(rows):
    out = rows[0]
    for row in rows[1:]:
        backslashes = len(out) - len(out.rstrip("\\"))
        if backslashes % 2:
            out = out[:-1]
        out = out.rstrip(" \t\f") + " " + row.lstrip(" \t\f")
    return out


def code_objects(code):
    yield code
    for const in code.co_consts:
        if hasattr(const, "co_code"):
            yield from code_objects(const)


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


def sample(count):
    root, paths = sysconfig.get_paths()["stdlib"], []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(set(folders) - {"site-packages", "dist-packages", "__pycache__", "test"})
        paths += [os.path.join(folder, name) for name in sorted(files) if name.endswith(".py")]
    paths = [path for path in paths if os.path.isfile(path) and 0 < os.path.getsize(path) < 150000]
    return random.Random(1).sample(paths, min(count, len(paths)))


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
