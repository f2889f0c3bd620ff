/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * rt_pyoff.h - where CPython keeps what a frame walk needs, as byte offsets. Read by the BPF walker and by user space.
 *
 * Up to 3.12 the values come from tables per minor version (src/pyoff.c, checked against the headers); from 3.13 on
 * from _Py_DebugOffsets, which the runtime itself carries (CPython Include/internal/pycore_runtime.h).
 */
#ifndef RT_PYOFF_H
#define RT_PYOFF_H

#include "rt_abi.h"

struct rt_pyoff {
	__rt_u16 version; /* major << 8 | minor */
	__rt_u16 flags;	  /* enum rt_pyoff_flags */
	/* _PyRuntimeState, PyInterpreterState */
	__rt_u16 runtime_interp_head;
	__rt_u16 interp_next;
	__rt_u16 interp_threads_head;
	/* PyThreadState */
	__rt_u16 tstate_next;
	__rt_u16 tstate_thread_id; /* pthread_self() = the thread pointer */
	__rt_u16 tstate_frame;	   /* current frame, or with RT_PYOFF_CFRAME the struct _PyCFrame that holds it */
	__rt_u16 cframe_frame;
	/* _PyInterpreterFrame */
	__rt_u16 frame_code;
	__rt_u16 frame_previous;
	__rt_u16 frame_instr;
	__rt_u16 frame_owner;	/* one byte */
	__rt_u16 frame_func;	/* part of a frame's identity, with frame_globals */
	__rt_u16 frame_globals;
	__rt_u16 owner_shim;	/* frames with this owner are no Python frames (0xffff: there are none) */
	/* PyCodeObject */
	__rt_u16 code_firstlineno;
	__rt_u16 code_version; /* unique number of a code object (3.12+), 0: none */
	__rt_u16 code_filename;
	__rt_u16 code_name;
	__rt_u16 code_qualname;
	__rt_u16 code_linetable;
	__rt_u16 code_adaptive; /* first instruction */
	/* PyObject, PyBytesObject, PyASCIIObject */
	__rt_u16 ob_type;
	__rt_u16 bytes_size;
	__rt_u16 bytes_data;
	__rt_u16 str_length;
	__rt_u16 str_hash;
	__rt_u16 str_state;	   /* 32 bits: kind in bits 2..4, compact 5, ascii 6 */
	__rt_u16 str_ascii_data;   /* sizeof(PyASCIIObject) */
	__rt_u16 str_compact_data; /* sizeof(PyCompactUnicodeObject) */
	__rt_u16 pad;
};
static_assert(sizeof(struct rt_pyoff) == 64, "rt_pyoff");

enum rt_pyoff_flags {
	RT_PYOFF_CFRAME = 1, /* 3.11, 3.12: tstate->cframe->current_frame */
};

/* Of code objects' line tables. Instructions are bytes from the start of the code in all of them. */
enum rt_line_format {
	RT_LINES_LOCATIONS = 0, /* 3.11 and newer: Objects/locations.md (InternalDocs/code_objects.md) */
	RT_LINES_PAIRS_310 = 1, /* 3.10: Objects/lnotab_notes.txt, "The 3.10 line number table" */
	RT_LINES_LNOTAB = 2,	/* up to 3.9: co_lnotab */
};

#endif
