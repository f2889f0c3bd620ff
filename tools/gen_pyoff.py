#!/usr/bin/env python3
# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Writes src/pyoff_tables.h: the CPython layouts, from CPython's own headers.

    gen_pyoff.py [-o FILE] INCLUDE_DIR...

Each directory holds a Python.h with its internal headers. A minor version whose headers are not given keeps the rows that
FILE has. The expressions are those of tests/unit/check_pyoff.py, which checks the result against all headers at hand.
"""
import argparse
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "unit"))
sys.dont_write_bytecode = True

import check_pyoff  # noqa: E402

# Words of struct _Py_DebugOffsets by their names in src/pyoff.c; those that a version lacks are 0.
WORDS = {
    "RUNTIME_SIZE": "runtime_state.size",
    "RUNTIME_INTERP_HEAD": "runtime_state.interpreters_head",
    "INTERP_SIZE": "interpreter_state.size",
    "INTERP_NEXT": "interpreter_state.next",
    "INTERP_THREADS_HEAD": "interpreter_state.threads_head",
    "TSTATE_SIZE": "thread_state.size",
    "TSTATE_NEXT": "thread_state.next",
    "TSTATE_FRAME": "thread_state.current_frame",
    "TSTATE_THREAD_ID": "thread_state.thread_id",
    "FRAME_SIZE": "interpreter_frame.size",
    "FRAME_PREVIOUS": "interpreter_frame.previous",
    "FRAME_EXECUTABLE": "interpreter_frame.executable",
    "FRAME_INSTR": "interpreter_frame.instr_ptr",
    "FRAME_OWNER": "interpreter_frame.owner",
    "FRAME_TLBC": (14, "interpreter_frame.tlbc_index"),
    "CODE_SIZE": "code_object.size",
    "CODE_FILENAME": "code_object.filename",
    "CODE_NAME": "code_object.name",
    "CODE_QUALNAME": "code_object.qualname",
    "CODE_LINETABLE": "code_object.linetable",
    "CODE_FIRSTLINENO": "code_object.firstlineno",
    "CODE_ADAPTIVE": "code_object.co_code_adaptive",
    "CODE_TLBC": (14, "code_object.co_tlbc"),
    "OBJECT_SIZE": "pyobject.size",
    "OBJECT_TYPE": "pyobject.ob_type",
    "BYTES_SIZE": "bytes_object.size",
    "BYTES_LEN": "bytes_object.ob_size",
    "BYTES_DATA": "bytes_object.ob_sval",
    "STR_SIZE": "unicode_object.size",
    "STR_STATE": "unicode_object.state",
    "STR_LENGTH": "unicode_object.length",
    "STR_ASCII_SIZE": "unicode_object.asciiobject_size",
}


def program(minor, free):
    """A C program that prints the rows of this version."""
    text = [check_pyoff.PYTHON, "int main(void)\n{\n"]
    text.append('\tprintf("\\t{\\n");\n')
    for field in check_pyoff.FIELDS:
        form = "0x%lx" if field in ("version", "owner_shim") else "%lu"
        value = check_pyoff.expression(field, minor, free)
        text.append(f'\tprintf("\\t\\t.{field} = {form},\\n", (unsigned long)({value}));\n')
    text.append('\tprintf("\\t},\\n");\n')
    if minor >= 13 and not free:
        text.append('\tprintf("-- debug\\n\\t{\\n\\t\\t.minor = %d,\\n\\t\\t.word = {\\n", PY_MINOR_VERSION);\n')
        for name, member in WORDS.items():
            since, member = member if isinstance(member, tuple) else (13, member)
            if minor >= since:
                text.append(f'\tprintf("\\t\\t\\t[RT_DBG_{name}] = %lu,\\n", '
                            f"(unsigned long)offsetof(_Py_DebugOffsets, {member}) / 8);\n")
        text.append('\tprintf("\\t\\t},\\n\\t},\\n");\n')
    text.append("\treturn 0;\n}\n")
    return "".join(text)


def old_rows(path):
    """Rows of the table as it is, by their titles."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return {}, {}
    rows = dict(re.findall(r"\t/\* (3\.\d+t?) \*/\n(\t\{\n.*?\n\t\},\n)", text, re.S))
    debug = dict(re.findall(r"\t/\* debug offsets of (3\.\d+) \*/\n(\t\{\n.*?\n\t\},\n)", text, re.S))
    return rows, debug


def order(version):
    return int(version.rstrip("t").split(".")[1]), version.endswith("t")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", default=os.path.join(ROOT, "src", "pyoff_tables.h"))
    parser.add_argument("--cc", default=os.environ.get("CC", "cc"))
    parser.add_argument("include", nargs="+")
    args = parser.parse_args()
    rows, debug = old_rows(args.output)
    for place in args.include:
        found = check_pyoff.header_version(place)
        if not found:
            sys.exit(f"{place}: no Python headers there (Debian: pythonX.Y-dev)")
        _, short, minor = found
        for free in [False, True] if minor in check_pyoff.FREE_THREADED else [False]:
            complaint, out, status = check_pyoff.compile_and_run(program(minor, free), place, args.cc, free)
            if complaint or status:
                sys.exit(f"{place}: {complaint or 'the program failed'}")
            row, _, words = out.partition("-- debug\n")
            rows[short + ("t" if free else "")] = row
            if words:
                debug[short] = words
    with open(args.output, "w", encoding="utf-8") as file:
        file.write("/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */\n/*\n * pyoff_tables.h - layouts of CPython, written "
                   "by tools/gen_pyoff.py from CPython's headers; included by pyoff.c only.\n */\n\n"
                   "/* t: free-threaded. From 3.13 on only what the interpreter's own debug offsets leave out is used. */\n"
                   "static const struct rt_pyoff rt_py_layouts[] = {\n")
        for version in sorted(rows, key=order):
            file.write(f"\t/* {version} */\n{rows[version]}")
        file.write("};\n\n/* Where struct _Py_DebugOffsets has what. */\nstatic const struct rt_dbg_layout rt_dbg_layouts[] = {\n")
        for version in sorted(debug, key=order):
            file.write(f"\t/* debug offsets of {version} */\n{debug[version]}")
        file.write("};\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
