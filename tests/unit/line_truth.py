# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""What a CPython, 3.8 or newer, knows of the lines of its own standard library, written down for `pyprobe compare`.

    line_truth.py [MODULES] | pyprobe compare

Of each source: the logical lines by `tokenize`; the first and last line of each statement by `ast`; and of each code object the line table, the qualified
name as the bytecode has it, and the lines of each instruction by co_positions(), before 3.11 by co_lines() or dis.findlinestarts(), with the first line
of the logical line that holds them. What is compared is pyprobe's own reading of the same source text and the same tables.
The sample of modules is the same at every run. Sources that this interpreter does not compile are left out."""

import ast
import collections
import dis
import io
import os
import random
import sys
import tokenize
import warnings

SILENT = {tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER}
LOCATIONS, PAIRS, LNOTAB = 0, 1, 2
FORMAT = LOCATIONS if sys.version_info >= (3, 11) else PAIRS if sys.version_info >= (3, 10) else LNOTAB
OPTIMIZED = 1  # co_flags: a function, not the body of a class or module

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
    # lines of statements
    "def f(g):\n  with g(\n    1,\n  ) as x, g(2):\n    y = g(\n      x,\n      3)\n    return (\n      x +\n      y)\n",
    "def f(g):\n  try: x = g(1)\n  except (\n    ValueError): x = g(2)\n  except: raise\n  else: x = g(\n    3)\n  finally: y = g(4)\n  return x\n",
    "def f(g):\n  try:\n    return g(1)\n  finally:\n    g(\n      2)\n",
    "def f(g):\n  for i in g(\n      1): x = i; y = g(2)\n  else:\n    z = 3\n  while g(3): break\n  else: return (\n    4)\n",
    "def f(g):\n  return [\n    g(x)\n    for x in g(1)\n    if g(\n      2)\n  ], {g(y) for y in g(3)}, {\n    k: v for k, v in g(4)}, (\n    lambda z:\n      g(z))\n",
    "def f(g):\n  @g(\n    1)\n  @g\n  async def h(\n    x=g(2),\n    *,\n    y: g(3) = 4,\n  ) -> g(5):\n    async with g(\n      6) as z:\n      await z\n    async for q in g(7): yield q\n  return h\n",
    "class A:\n  x = 1\n  @property\n  def f(self):\n    class B: y = 2\n    class C(B):\n      def g(self): return lambda: self\n    return C\n"
    "  class D:\n    def f(self):\n      global h, made\n      def made(): pass\n      class h:\n        def i(self): pass\n",
    "def f(x):\n  match x:\n    case 1: y = 1\n    case [a,\n          b] if a(\n        b):\n      y = 2\n    case {'k': v}: y = (\n      v)\n  match = y\n  match[\n    1] = 2\n  return match\n",
    "if x: y = (\n  1)\nelif z: y = 2; w = [\n  3]\nelse: y = 4\n",
    "x = 1; y = 2\ndel x, \\\n  y\nassert f(\n  1), g(\n  2)\n",
    "def f():\n" + "\n" * 400 + "  x = 1\n" + "  y = (x,\n" + "\n" * 300 + "    g(x))\n" + "  return y\n",
    "def f(a):\n  x = (" + " +\n    ".join(["a(%d)" % i for i in range(200)]) + ")\n  return x\n",
    "x = [" + ", ".join(["f(%d)" % i for i in range(300)]) + "]\ny = 2\n",
    "def \u00e4(\u4e00):\n  def \U00020000():\n    return \u4e00\n  return '\u20ac'\n",
]


class Source:
    """A source file: its logical lines by `tokenize`, its tree, its code objects."""

    def __init__(self, path, data=None):
        self.path = path
        if data is None:
            with open(path, "rb") as f:
                data = f.read()
        self.data = data
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
        self.encoding = encoding[:-4] if encoding.endswith("-sig") else encoding
        self.text = text.replace("\r\n", "\n").replace("\r", "\n")
        self.tree = ast.parse(data, path)
        self.code = compile(data, path, "exec", dont_inherit=True)
        self.rows = self.text.split("\n")
        self.lines = list(self.logical_lines())
        self.by_first = {line[0]: line for line in self.lines}
        self.first_of = {row: line[0] for line in self.lines for row in range(line[0], line[1] + 1)}
        self.statements = [node for node in ast.walk(self.tree) if isinstance(node, ast.stmt)]
        self.statements_on = collections.Counter(self.first_of[node.lineno] for node in self.statements)

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

    def definitions(self):
        """(name, first line) of each def and class: what their code objects have."""
        for node in self.statements:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield node.name, node.decorator_list[0].lineno if node.decorator_list else node.lineno

    def lone_statements(self):
        """(first, last) of simple statements that have a logical line of their own."""
        for node in self.statements:
            if self.statements_on[self.first_of[node.lineno]] == 1 and not hasattr(node, "body") and not hasattr(node, "cases"):
                if node.lineno in self.by_first:
                    yield node.lineno, node.end_lineno


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


def sample(count):
    root, paths = os.path.dirname(tokenize.__file__), []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(set(folders) - {"site-packages", "dist-packages", "__pycache__", "test"})
        paths += [os.path.join(folder, name) for name in sorted(files) if name.endswith(".py")]
    paths = [path for path in paths if os.path.isfile(path) and 0 < os.path.getsize(path) < 150000]
    return random.Random(1).sample(paths, min(count, len(paths)))


# ---- qualified names ----


def steps(code):
    """(operation, argument) of each instruction of a code object up to 3.10."""
    extended = 0
    for at in range(0, len(code.co_code), 2):
        operation, argument = code.co_code[at], code.co_code[at + 1] | extended
        extended = argument << 8 if operation == dis.EXTENDED_ARG else 0
        if operation != dis.EXTENDED_ARG:
            yield operation, argument


def old_qualnames(code, found):
    """Up to 3.10 the name stands in the code around: behind the code object that a function is made of, and at the beginning of a class's own code."""
    load, store = dis.opmap["LOAD_CONST"], dis.opmap["STORE_NAME"]
    before = last = None
    for operation, argument in steps(code):
        value = code.co_consts[argument] if operation == load else None
        if hasattr(last, "co_code") and isinstance(value, str) and last.co_flags & OPTIMIZED:
            found[id(last)] = value
        if operation == store and code.co_names[argument] == "__qualname__" and isinstance(last, str):
            found.setdefault(id(code), last)
        before, last = last, value
    for const in code.co_consts:
        if hasattr(const, "co_code"):
            old_qualnames(const, found)
    return found


def qualnames(code):
    if sys.version_info >= (3, 11):
        return {id(one): one.co_qualname for one in code_objects(code)}
    return old_qualnames(code, {})


# ---- lines of instructions ----


def lines_of(code):
    """(end, first line, last line) of consecutive instructions; 0, 0: no line."""
    if FORMAT == LOCATIONS:
        runs, end = [], 0
        for first, last, _, _ in code.co_positions():
            end += 2
            place = (first or 0, (last or 0) if first is not None else 0)
            if runs and runs[-1][1:] == place:
                runs[-1] = (end, *place)
            else:
                runs.append((end, *place))
        return runs
    if FORMAT == PAIRS:
        return [(end, line or 0, line or 0) for _, end, line in code.co_lines()]
    starts = list(dis.findlinestarts(code))
    ends = [start for start, _ in starts[1:]] + [len(code.co_code)]
    return [(end, line, line) for end, (_, line) in zip(ends, starts)]


# ---- the dump ----


def dump_code(source, code, name, out):
    table = code.co_lnotab if FORMAT == LNOTAB else code.co_linetable
    runs = ("%d:%d:%d:%d" % (*run, source.first_of.get(run[1], 0)) for run in lines_of(code))
    out.write(("code %d %d %d %s %s %s\n" % (FORMAT, code.co_firstlineno, len(code.co_code), table.hex() or "-", code.co_name.replace(" ", "_"),
                                             name or "-")).encode("utf-8", "replace"))
    out.write(("at %s\n" % " ".join(runs)).encode())


def dump(source, out):
    out.write(b"source %d %s\n" % (len(source.data), source.path.encode()))
    out.write(source.data + b"\n")
    for line in source.lines:
        out.write(b"line %d %d %d %s\n" % (*line[:3], line[3].encode(source.encoding)))
    for place in source.lone_statements():
        out.write(b"statement %d %d\n" % place)
    names, defined = qualnames(source.code), set(source.definitions())
    for code in code_objects(source.code):
        # An identifier in another encoding or normal form than the name that is made of it is not found in the source.
        plain = source.encoding == "utf-8" and code.co_name in source.text and (code.co_name, code.co_firstlineno) in defined
        dump_code(source, code, names.get(id(code)) if plain else None, out)
    out.write(b"end\n")


def main():
    warnings.simplefilter("ignore")
    out = sys.stdout.buffer
    todo = [(path, None) for path in sample(int(sys.argv[1]) if len(sys.argv) > 1 else 320)]
    todo += [("oddity %d" % number, text.encode()) for number, text in enumerate(ODDITIES)]
    for path, data in todo:
        try:
            source = Source(path, data)
        except (SyntaxError, UnicodeDecodeError, tokenize.TokenError, ValueError):
            continue
        dump(source, out)
    out.flush()


if __name__ == "__main__":
    main()
