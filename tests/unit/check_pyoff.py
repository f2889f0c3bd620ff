#!/usr/bin/env python3
# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Checks the CPython layouts of src/pyoff.c against offsetof in CPython's own headers.

    check_pyoff.py [--require X.Y]... [INCLUDE_DIR]...

Looks at /usr/include/python3.8 to 3.15 (and /usr/local, and what tests/e2e/fetch_interpreter.sh has brought) and at the
directories given, which hold a Python.h. For a version with debug offsets they are built from the headers and read by
the code under test, and for builds without a GIL as well. Exit status: 0 all that was
there is right, 1 something differs (or a required version was not there), 77 no headers at all.
"""
import argparse
import glob
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VERSIONS = ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15"]
FREE_THREADED = {13, 14, 15}  # minor versions that are checked for builds without a GIL too


def by_minor(**values):
    """Expression by minor version: up_to_10=... holds for 3.10 and older, the last one for all that are newer; t: without a GIL."""
    free_threaded = values.pop("t", None)

    def find(minor, free):
        if free and free_threaded:
            return free_threaded
        for name, value in values.items():
            if not name.startswith("up_to_") or minor <= int(name[6:]):
                return value
        raise KeyError(minor)

    return find


def first(free, since, expression):
    return lambda minor, t: expression if minor >= since and (t or not free) else "0"


FRAME = "_PyInterpreterFrame"
# field of struct rt_pyoff: C expression, by minor version where it differs
FIELDS = {
    "version": "(PY_MAJOR_VERSION << 8 | PY_MINOR_VERSION)",
    "flags": by_minor(up_to_9="2", up_to_10="2 | 4", up_to_12="1", t="8", newer="0"),
    "runtime_interp_head": "offsetof(_PyRuntimeState, interpreters.head)",
    "interp_next": "offsetof(PyInterpreterState, next)",
    "interp_threads_head": by_minor(
        up_to_10="offsetof(PyInterpreterState, tstate_head)", newer="offsetof(PyInterpreterState, threads.head)"),
    "tstate_next": "offsetof(PyThreadState, next)",
    "tstate_thread_id": "offsetof(PyThreadState, thread_id)",
    "tstate_frame": by_minor(up_to_10="offsetof(PyThreadState, frame)", up_to_12="offsetof(PyThreadState, cframe)",
                             newer="offsetof(PyThreadState, current_frame)"),
    "cframe_frame": by_minor(up_to_10="0", up_to_12="offsetof(_PyCFrame, current_frame)", newer="0"),
    "frame_bytes": by_minor(up_to_10="(offsetof(PyFrameObject, f_lasti) + 8)",
                            newer=f"offsetof({FRAME}, localsplus)"),
    "frame_code": by_minor(up_to_10="offsetof(PyFrameObject, f_code)", up_to_12=f"offsetof({FRAME}, f_code)",
                           newer=f"offsetof({FRAME}, f_executable)"),
    "frame_previous": by_minor(up_to_10="offsetof(PyFrameObject, f_back)", newer=f"offsetof({FRAME}, previous)"),
    "frame_instr": by_minor(up_to_10="offsetof(PyFrameObject, f_lasti)", up_to_12=f"offsetof({FRAME}, prev_instr)",
                            newer=f"offsetof({FRAME}, instr_ptr)"),
    "frame_owner": by_minor(up_to_10="0", newer=f"offsetof({FRAME}, owner)"),
    "frame_func": by_minor(up_to_10="offsetof(PyFrameObject, f_code)", up_to_11=f"offsetof({FRAME}, f_func)",
                           newer=f"offsetof({FRAME}, f_funcobj)"),
    "frame_globals": by_minor(up_to_10="offsetof(PyFrameObject, f_globals)", newer=f"offsetof({FRAME}, f_globals)"),
    "frame_tlbc": first(True, 14, f"offsetof({FRAME}, tlbc_index)"),
    "owner_shim": by_minor(up_to_11="0xffff", up_to_13="FRAME_OWNED_BY_CSTACK", newer="FRAME_OWNED_BY_INTERPRETER"),
    "code_tag": by_minor(up_to_13="0", newer="Py_TAG_BITS_OF_POINTER"),
    "code_firstlineno": "offsetof(PyCodeObject, co_firstlineno)",
    "code_version": first(False, 12, "offsetof(PyCodeObject, co_version)"),
    "code_filename": "offsetof(PyCodeObject, co_filename)",
    "code_name": "offsetof(PyCodeObject, co_name)",
    "code_qualname": by_minor(up_to_10="offsetof(PyCodeObject, co_name)", newer="offsetof(PyCodeObject, co_qualname)"),
    "code_linetable": by_minor(up_to_9="offsetof(PyCodeObject, co_lnotab)", newer="offsetof(PyCodeObject, co_linetable)"),
    "code_adaptive": by_minor(up_to_10="0", newer="offsetof(PyCodeObject, co_code_adaptive)"),
    "code_tlbc": first(True, 14, "offsetof(PyCodeObject, co_tlbc)"),
    "ob_type": "offsetof(PyObject, ob_type)",
    "bytes_size": "offsetof(PyVarObject, ob_size)",
    "bytes_data": "offsetof(PyBytesObject, ob_sval)",
    "str_length": "offsetof(PyASCIIObject, length)",
    "str_hash": "offsetof(PyASCIIObject, hash)",
    "str_state": "offsetof(PyASCIIObject, state)",
    "str_kind_shift": "kind_shift()",
    "str_ascii_data": "sizeof(PyASCIIObject)",
    "str_compact_data": "sizeof(PyCompactUnicodeObject)",
    "line_format": by_minor(up_to_9="RT_LINES_LNOTAB", up_to_10="RT_LINES_PAIRS_310", newer="RT_LINES_LOCATIONS"),
}


def expression(field, minor, free):
    want = FIELDS[field]
    return want if isinstance(want, str) else want(minor, free)


# widths in bytes that the walker reads
WIDTHS = {
    "sizeof(((PyThreadState *)0)->thread_id)": 8,
    "sizeof(((PyCodeObject *)0)->co_firstlineno)": 4,
    "sizeof(((PyASCIIObject *)0)->state)": 4,
    "sizeof(((PyASCIIObject *)0)->hash)": 8,
    "sizeof(((PyASCIIObject *)0)->length)": 8,
}

# constants of include/rt_entryoff.h, for the versions that it knows
ENTRY = {
    "RT_TSTATE_DATASTACK(V)": by_minor(newer="offsetof(PyThreadState, datastack_chunk)"),
    "RT_TSTATE_DATASTACK(V) + 8": by_minor(newer="offsetof(PyThreadState, datastack_top)"),
    "RT_CODE_FRAMESIZE(V)": by_minor(up_to_11="offsetof(PyCodeObject, co_nlocalsplus)", newer="offsetof(PyCodeObject, co_framesize)"),
    "RT_CODE_SUSPENDS": by_minor(newer="CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR"),
    "RT_FUNC_CODE(0)": by_minor(newer="offsetof(PyFunctionObject, func_code)"),
    # as the header itself decides, of counts on both sides of the border
    "RT_IMMORTAL(V, 0x7fffffffu)": by_minor(newer="0"),
    "RT_IMMORTAL(V, 0x80000000u)": by_minor(up_to_11="0", newer="_Py_IsImmortal(&mortal) == 0 && _Py_IsImmortal(&immortal) != 0"),
}
ENTRY_311 = {
    "RT_CODE_STACKSIZE_311": "offsetof(PyCodeObject, co_stacksize)",
    "RT_FRAME_SPECIALS": "FRAME_SPECIALS_SIZE",
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

PYTHON = """
#define Py_BUILD_CORE 1
#include <Python.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <frameobject.h>
#if PY_MINOR_VERSION >= 11
#include "internal/pycore_frame.h"
#include "internal/pycore_runtime.h"
#include "internal/pycore_interp.h"
#include "internal/pycore_code.h"
#else
#include "internal/pycore_pystate.h"
#if PY_MINOR_VERSION >= 9
#include "internal/pycore_runtime.h"
#include "internal/pycore_interp.h"
#endif
#endif
#if PY_MINOR_VERSION == 14
#include "internal/pycore_interpframe_structs.h"
#include "internal/pycore_interpframe.h"
#endif
#if PY_MINOR_VERSION >= 14
#include "internal/pycore_stackref.h"
#define Py_TAG_BITS_OF_POINTER 3 /* Include/internal/pycore_stackref.h: Py_TAG_BITS, and the one for integers */
_Static_assert((Py_TAG_BITS & ~3) == 0, "tags");
#endif
#include "rt_pyoff.h"

static unsigned kind_shift(void)
{
	PyASCIIObject str;
	unsigned state;

	memset(&str, 0, sizeof(str));
	str.state.kind = 1;
	memcpy(&state, &str.state, sizeof(state));
	return __builtin_ctz(state);
}
"""

HEAD = PYTHON + """
#include "pyoff.c"
#include "rt_entryoff.h"

#define V (PY_MAJOR_VERSION << 8 | PY_MINOR_VERSION)

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


def program(minor, free):
    text = [HEAD]
    if minor >= 13:
        text.append("\t_Py_DebugOffsets d = {.cookie = \"xdebugpy\", .version = PY_VERSION_HEX, "
                    f".free_threaded = {int(free)}}};\n")
        text.append("\tcheck(\"RT_PYOFF_DEBUG_LEN\", RT_PYOFF_DEBUG_LEN >= sizeof(d), 1);\n")
        for part, (struct, members) in DEBUG.items():
            text.append(f"\td.{part}.size = sizeof({struct});\n")
            for member, path in members.items():
                text.append(f"\td.{part}.{member} = offsetof({struct}, {path});\n")
        text.append("\td.unicode_object.asciiobject_size = sizeof(PyASCIIObject);\n")
        if free and minor >= 14:
            text.append("\td.interpreter_frame.tlbc_index = offsetof(_PyInterpreterFrame, tlbc_index);\n"
                        "\td.code_object.co_tlbc = offsetof(PyCodeObject, co_tlbc);\n")
        text.append("\tstatic uint8_t bytes[RT_PYOFF_DEBUG_LEN];\n\tmemcpy(bytes, &d, sizeof(d));\n")
        text.append("\tif (rt_pyoff_from_debug(bytes, sizeof(bytes), &off, err, sizeof(err))) {\n"
                    "\t\tprintf(\"debug offsets refused: %s\\n\", err);\n\t\treturn 1;\n\t}\n")
    else:
        text.append("\tif (rt_pyoff_by_version(PY_MAJOR_VERSION, PY_MINOR_VERSION, &off)) {\n"
                    "\t\tprintf(\"no table\\n\");\n\t\treturn 1;\n\t}\n")
    for field in FIELDS:
        text.append(f"\tcheck(\"{field}\", off.{field}, {expression(field, minor, free)});\n")
    for what, width in WIDTHS.items():
        text.append(f"\tcheck(\"width of {what[9:-1]}\", {width}, {what});\n")
    text.append(f"\tcheck(\"RT_CODE_FLAGS\", RT_CODE_FLAGS(V, {int(free)}), offsetof(PyCodeObject, co_flags));\n")
    if free:
        text.append("\tcheck(\"RT_FUNC_CODE\", RT_FUNC_CODE(1), offsetof(PyFunctionObject, func_code));\n")
    if 11 <= minor <= 15 and not free:
        if minor >= 12:
            text.append("\tPyObject mortal = {.ob_refcnt = 0x7fffffff}, immortal = {.ob_refcnt = 0x80000000};\n")
        text.append("\tcheck(\"RT_ENTRY_KNOWN\", RT_ENTRY_KNOWN(V), 1);\n")
        entry = {name: want(minor, free) for name, want in ENTRY.items()}
        entry.update(ENTRY_311 if minor == 11 else {})
        for name, want in entry.items():
            text.append(f"\tcheck(\"{name}\", {name}, {want});\n")
    text.append("\treturn bad;\n}\n")
    return "".join(text)


def header_version(include):
    try:
        with open(os.path.join(include, "patchlevel.h"), encoding="utf-8") as file:
            found = re.search(r'#define PY_VERSION\s+"((\d+)\.(\d+)[^"]*)"', file.read())
    except OSError:
        return None
    return found and (found.group(1), f"{found.group(2)}.{found.group(3)}", int(found.group(3)))


def compile_and_run(text, include, compiler, free):
    """Returns (complaint or None, what the program printed, its exit status)."""
    with tempfile.TemporaryDirectory() as scratch:
        source, binary = os.path.join(scratch, "check.c"), os.path.join(scratch, "check")
        with open(source, "w", encoding="utf-8") as file:
            file.write(text)
        # Debian keeps pyconfig.h in a folder per architecture beside the others.
        built = subprocess.run([compiler, "-std=gnu11", "-w", *(["-DPy_GIL_DISABLED=1"] if free else []), "-I" + include,
                                "-I" + os.path.dirname(include), "-I" + os.path.join(ROOT, "include"),
                                *(f"-I{folder}" for folder in glob.glob(os.path.join(os.path.dirname(include), "*-linux-gnu"))
                                  if not os.path.exists(os.path.join(folder, "sys"))),
                                "-I" + os.path.join(ROOT, "src"), source, "-o", binary],
                               capture_output=True, text=True, check=False)
        if built.returncode:
            return "does not compile: " + "\n".join(built.stderr.splitlines()[:5]), "", 1
        ran = subprocess.run([binary], capture_output=True, text=True, check=False)
        return None, ran.stdout, ran.returncode


def check(include, minor, free, compiler):
    """Returns a list of complaints."""
    complaint, out, status = compile_and_run(program(minor, free), include, compiler, free)
    if complaint:
        return [complaint]
    return (out.splitlines() or [f"exit status {status}"]) if status else []


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
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ramtrack-bpf")
    places = [f"{prefix}/include/python{v}" for v in VERSIONS
              for prefix in ("/usr", "/usr/local", os.path.join(cache, f"python{v}", "root", "usr"))] + args.include
    checked, failed = set(), False
    for place in dict.fromkeys(places):
        found = header_version(place)
        if found and found[1] not in VERSIONS:
            print(f"skip {place}: CPython {found[0]} has no layout in src/pyoff.c")
            continue
        if not found or not os.path.exists(os.path.join(place, "internal", "pycore_pystate.h")):
            if place in args.include:
                print(f"not ok {place}: no Python.h with its internal headers there")
                failed = True
            continue
        version, short, minor = found
        for free in [False, True] if minor in FREE_THREADED else [False]:
            complaints = check(place, minor, free, args.cc)
            failed |= bool(complaints)
            print(f"{'not ok' if complaints else 'ok'} {place}: CPython {version}{'t' if free else ''}, {len(FIELDS)} fields")
            for complaint in complaints:
                print("    " + complaint)
        checked.add(short)
    for version in VERSIONS:
        if version not in checked:
            required = version in args.require
            failed |= required
            print(f"{'not ok' if required else 'skip'} {version}: no headers (Debian: python{version}-dev)")
    return 1 if failed else 0 if checked else 77


if __name__ == "__main__":
    sys.exit(main())
