#!/usr/bin/env python3
# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Checks the CPython layouts of src/pyoff.c against offsetof in CPython's own headers.

    check_pyoff.py [--require X.Y]... [INCLUDE_DIR]...

Looks at /usr/include/python3.11, 3.12, 3.13 (and /usr/local) and at the directories given, which hold a Python.h. For a
version with debug offsets they are built from the headers and read by the code under test. Exit status: 0 all that was
there is right, 1 something differs (or a required version was not there), 77 no headers at all.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VERSIONS = ["3.11", "3.12", "3.13"]

# field of struct rt_pyoff: C expression, by minor version where it differs
FIELDS = {
    "version": "(PY_MAJOR_VERSION << 8 | PY_MINOR_VERSION)",
    "flags": {11: "1", 12: "1", 13: "0"},
    "runtime_interp_head": "offsetof(_PyRuntimeState, interpreters.head)",
    "interp_next": "offsetof(PyInterpreterState, next)",
    "interp_threads_head": "offsetof(PyInterpreterState, threads.head)",
    "tstate_next": "offsetof(PyThreadState, next)",
    "tstate_thread_id": "offsetof(PyThreadState, thread_id)",
    "tstate_frame": {11: "offsetof(PyThreadState, cframe)", 12: "offsetof(PyThreadState, cframe)",
                     13: "offsetof(PyThreadState, current_frame)"},
    "cframe_frame": {11: "offsetof(_PyCFrame, current_frame)", 12: "offsetof(_PyCFrame, current_frame)", 13: "0"},
    "frame_code": {11: "offsetof(_PyInterpreterFrame, f_code)", 12: "offsetof(_PyInterpreterFrame, f_code)",
                   13: "offsetof(_PyInterpreterFrame, f_executable)"},
    "frame_previous": "offsetof(_PyInterpreterFrame, previous)",
    "frame_instr": {11: "offsetof(_PyInterpreterFrame, prev_instr)", 12: "offsetof(_PyInterpreterFrame, prev_instr)",
                    13: "offsetof(_PyInterpreterFrame, instr_ptr)"},
    "frame_owner": "offsetof(_PyInterpreterFrame, owner)",
    "frame_func": {11: "offsetof(_PyInterpreterFrame, f_func)", 12: "offsetof(_PyInterpreterFrame, f_funcobj)",
                   13: "offsetof(_PyInterpreterFrame, f_funcobj)"},
    "frame_globals": "offsetof(_PyInterpreterFrame, f_globals)",
    "owner_shim": {11: "0xffff", 12: "FRAME_OWNED_BY_CSTACK", 13: "FRAME_OWNED_BY_CSTACK"},
    "code_firstlineno": "offsetof(PyCodeObject, co_firstlineno)",
    "code_version": {11: "0", 12: "offsetof(PyCodeObject, co_version)", 13: "offsetof(PyCodeObject, co_version)"},
    "code_filename": "offsetof(PyCodeObject, co_filename)",
    "code_name": "offsetof(PyCodeObject, co_name)",
    "code_qualname": "offsetof(PyCodeObject, co_qualname)",
    "code_linetable": "offsetof(PyCodeObject, co_linetable)",
    "code_adaptive": "offsetof(PyCodeObject, co_code_adaptive)",
    "ob_type": "offsetof(PyObject, ob_type)",
    "bytes_size": "offsetof(PyVarObject, ob_size)",
    "bytes_data": "offsetof(PyBytesObject, ob_sval)",
    "str_length": "offsetof(PyASCIIObject, length)",
    "str_hash": "offsetof(PyASCIIObject, hash)",
    "str_state": "offsetof(PyASCIIObject, state)",
    "str_ascii_data": "sizeof(PyASCIIObject)",
    "str_compact_data": "sizeof(PyCompactUnicodeObject)",
    "pad": "0",
}

# widths in bytes that the walker reads
WIDTHS = {
    "sizeof(((PyThreadState *)0)->thread_id)": 8,
    "sizeof(((_PyInterpreterFrame *)0)->owner)": 1,
    "sizeof(((PyCodeObject *)0)->co_firstlineno)": 4,
    "sizeof(((PyASCIIObject *)0)->state)": 4,
    "sizeof(((PyASCIIObject *)0)->hash)": 8,
    "sizeof(((PyASCIIObject *)0)->length)": 8,
}

# members of _Py_DebugOffsets that the code under test reads
DEBUG = {
    "runtime_state": ("_PyRuntimeState", {"interpreters_head": "interpreters.head"}),
    "interpreter_state": ("PyInterpreterState", {"next": "next", "threads_head": "threads.head"}),
    "thread_state": ("PyThreadState", {"next": "next", "thread_id": "thread_id", "current_frame": "current_frame"}),
    "interpreter_frame": ("_PyInterpreterFrame", {"previous": "previous", "executable": "f_executable",
                                                  "instr_ptr": "instr_ptr", "owner": "owner"}),
    "code_object": ("PyCodeObject", {"filename": "co_filename", "name": "co_name", "qualname": "co_qualname",
                                     "linetable": "co_linetable", "firstlineno": "co_firstlineno",
                                     "co_code_adaptive": "co_code_adaptive"}),
    "pyobject": ("PyObject", {"ob_type": "ob_type"}),
    "bytes_object": ("PyBytesObject", {"ob_size": "ob_base.ob_size", "ob_sval": "ob_sval"}),
    "unicode_object": ("PyUnicodeObject", {"state": "_base._base.state", "length": "_base._base.length"}),
}

HEAD = """
#define Py_BUILD_CORE 1
#include <Python.h>
#include <stddef.h>
#include <stdio.h>
#include "internal/pycore_frame.h"
#include "internal/pycore_runtime.h"
#include "internal/pycore_interp.h"
#include "internal/pycore_code.h"
#include "pyoff.c"

static int bad;

static void check(const char *what, unsigned long have, unsigned long want)
{
	if (have == want)
		return;
	printf("%s: table %lu, headers %lu\\n", what, have, want);
	bad = 1;
}

int main(void)
{
	struct rt_pyoff off = {0};
	char err[512] = "";
	bool debug;

	if (rt_pyoff_supported(PY_VERSION_HEX, &debug, err, sizeof(err))) {
		printf("refused: %s\\n", err);
		return 1;
	}
"""


def program(minor):
    text = [HEAD]
    if minor >= 13:
        text.append("\t_Py_DebugOffsets d = {.cookie = \"xdebugpy\", .version = PY_VERSION_HEX};\n")
        text.append("\tcheck(\"RT_PYOFF_DEBUG_LEN\", RT_PYOFF_DEBUG_LEN, sizeof(d));\n")
        for part, (struct, members) in DEBUG.items():
            text.append(f"\td.{part}.size = sizeof({struct});\n")
            for member, path in members.items():
                text.append(f"\td.{part}.{member} = offsetof({struct}, {path});\n")
        text.append("\td.unicode_object.asciiobject_size = sizeof(PyASCIIObject);\n")
        text.append("\tif (rt_pyoff_from_debug((const uint8_t *)&d, sizeof(d), &off, err, sizeof(err))) {\n"
                    "\t\tprintf(\"debug offsets refused: %s\\n\", err);\n\t\treturn 1;\n\t}\n")
    else:
        text.append("\tif (rt_pyoff_by_version(PY_MAJOR_VERSION, PY_MINOR_VERSION, &off)) {\n"
                    "\t\tprintf(\"no table\\n\");\n\t\treturn 1;\n\t}\n")
    for field, want in FIELDS.items():
        want = want[minor] if isinstance(want, dict) else want
        text.append(f"\tcheck(\"{field}\", off.{field}, {want});\n")
    for what, width in WIDTHS.items():
        text.append(f"\tcheck(\"width of {what[9:-1]}\", {width}, {what});\n")
    text.append("\treturn bad;\n}\n")
    return "".join(text)


def header_version(include):
    try:
        with open(os.path.join(include, "patchlevel.h"), encoding="utf-8") as file:
            found = re.search(r'#define PY_VERSION\s+"((\d+)\.(\d+)[^"]*)"', file.read())
    except OSError:
        return None
    return found and (found.group(1), f"{found.group(2)}.{found.group(3)}", int(found.group(3)))


def check(include, minor, compiler):
    """Returns a list of complaints."""
    with tempfile.TemporaryDirectory() as scratch:
        source, binary = os.path.join(scratch, "check.c"), os.path.join(scratch, "check")
        with open(source, "w", encoding="utf-8") as file:
            file.write(program(minor))
        built = subprocess.run([compiler, "-std=gnu11", "-w", "-I" + include, "-I" + os.path.join(ROOT, "include"),
                                "-I" + os.path.join(ROOT, "src"), source, "-o", binary],
                               capture_output=True, text=True, check=False)
        if built.returncode:
            return ["does not compile: " + "\n".join(built.stderr.splitlines()[:5])]
        ran = subprocess.run([binary], capture_output=True, text=True, check=False)
        if ran.returncode:
            return ran.stdout.splitlines() or [f"exit status {ran.returncode}"]
        return []


def members_covered():
    """Names of struct rt_pyoff's members: a new one has to be checked here too."""
    with open(os.path.join(ROOT, "include", "rt_pyoff.h"), encoding="utf-8") as file:
        return set(re.findall(r"^\s*__rt_u16 (\w+);", file.read(), re.M))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--require", action="append", default=[], metavar="X.Y")
    parser.add_argument("--cc", default=os.environ.get("CC", "cc"))
    parser.add_argument("include", nargs="*")
    args = parser.parse_args()
    missing = members_covered() ^ set(FIELDS)
    if missing:
        print("not ok: members of struct rt_pyoff and this script differ:", ", ".join(sorted(missing)))
        return 1
    places = [f"{prefix}/include/python{v}" for v in VERSIONS for prefix in ("/usr", "/usr/local")] + args.include
    checked, failed = set(), False
    for place in dict.fromkeys(places):
        found = header_version(place)
        if found and found[1] not in VERSIONS:
            print(f"skip {place}: CPython {found[0]} has no layout in src/pyoff.c")
            continue
        if not found or not os.path.exists(os.path.join(place, "internal", "pycore_frame.h")):
            if place in args.include:
                print(f"not ok {place}: no Python.h with its internal headers there")
                failed = True
            continue
        version, short, minor = found
        complaints = check(place, minor, args.cc)
        checked.add(short)
        failed |= bool(complaints)
        print(f"{'not ok' if complaints else 'ok'} {place}: CPython {version}, {len(FIELDS)} fields")
        for complaint in complaints:
            print("    " + complaint)
    for version in VERSIONS:
        if version not in checked:
            required = version in args.require
            failed |= required
            print(f"{'not ok' if required else 'skip'} {version}: no headers (Debian: python{version}-dev)")
    return 1 if failed else 0 if checked else 77


if __name__ == "__main__":
    sys.exit(main())
