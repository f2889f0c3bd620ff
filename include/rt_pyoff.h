/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * rt_pyoff.h - where CPython keeps what a frame walk needs, as byte offsets. Read by the BPF walker and by user space.
 *
 * Up to 3.12 the values come from tables per minor version (src/pyoff_tables.h, generated from the headers); from 3.13 on
 * from _Py_DebugOffsets, which the runtime itself carries (CPython Include/internal/pycore_debug_offsets.h), and from the
 * tables only what that leaves out. What differs between versions is a value here rather than a branch in the walker.
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
	/* _PyInterpreterFrame; up to 3.10 PyFrameObject */
	__rt_u16 frame_bytes; /* of a frame that are read: all fields below, and no further */
	__rt_u16 frame_code;
	__rt_u16 frame_previous;
	__rt_u16 frame_instr;
	__rt_u16 frame_owner;	/* one byte */
	__rt_u16 frame_func;	/* part of a frame's identity, with frame_globals (up to 3.10: its code object) */
	__rt_u16 frame_globals;
	__rt_u16 frame_tlbc;	/* 4 bytes: whose copy of the bytecode it runs (free-threaded 3.14+); 0: there are no copies */
	__rt_u16 owner_shim;	/* frames with this owner are no Python frames (0xffff: there are none) */
	__rt_u16 code_tag;	/* bits of the frame's pointer to its code object that are no part of the address */
	/* PyCodeObject */
	__rt_u16 code_firstlineno;
	__rt_u16 code_version; /* unique number of a code object (3.12+), 0: none */
	__rt_u16 code_filename;
	__rt_u16 code_name;
	__rt_u16 code_qualname; /* up to 3.10: the plain name, for want of another */
	__rt_u16 code_linetable;
	__rt_u16 code_adaptive; /* first instruction; with RT_PYOFF_LASTI 0 */
	__rt_u16 code_tlbc;	/* with frame_tlbc: _PyCodeArray of the copies */
	/* PyObject, PyBytesObject, PyASCIIObject */
	__rt_u16 ob_type;
	__rt_u16 bytes_size;
	__rt_u16 bytes_data;
	__rt_u16 str_length;
	__rt_u16 str_hash;
	__rt_u16 str_state;	   /* 32 bits: kind in the 3 bits from str_kind_shift on, compact the 4th, ascii the 5th */
	__rt_u16 str_kind_shift;
	__rt_u16 str_ascii_data;   /* sizeof(PyASCIIObject) */
	__rt_u16 str_compact_data; /* sizeof(PyCompactUnicodeObject) */
	__rt_u16 line_format; /* enum rt_line_format */
	__rt_u16 pad[3];
};
static_assert(sizeof(struct rt_pyoff) == 80, "rt_pyoff");

enum rt_pyoff_flags {
	RT_PYOFF_CFRAME = 1,	    /* 3.11, 3.12: tstate->cframe->current_frame */
	RT_PYOFF_LASTI = 2,	    /* up to 3.10: frame_instr is the 32 bit f_lasti, not a pointer */
	RT_PYOFF_LASTI_WORDS = 4,   /* 3.10: in units of two bytes */
	RT_PYOFF_FREE_THREADED = 8,
};

/* Of code objects' line tables. Instructions are bytes from the start of the code in all of them. */
enum rt_line_format {
	RT_LINES_LOCATIONS = 0, /* 3.11 and newer: Objects/locations.md (InternalDocs/code_objects.md) */
	RT_LINES_PAIRS_310 = 1, /* 3.10: Objects/lnotab_notes.txt, "The 3.10 line number table" */
	RT_LINES_LNOTAB = 2,	/* up to 3.9: co_lnotab */
};

/* struct _PyCodeArray: the number of copies of a code object's bytecode, then their addresses (CPython Include/cpython/code.h). */
#define RT_TLBC_ENTRIES 8

/* Largest frame_bytes: PyFrameObject of 3.8 and 3.9 up to f_lasti and f_lineno. */
#define RT_FRAME_MAX 112

#endif
