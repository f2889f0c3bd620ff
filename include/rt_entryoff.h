/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * rt_entryoff.h - where CPython keeps what tells a call from other references to a code object, as byte offsets by version (major << 8 | minor), x86-64.
 *
 * From the headers of 3.11 to 3.15 (Include/cpython/pystate.h, Include/cpython/code.h, Include/cpython/funcobject.h, Include/internal/pycore_frame.h, from 3.14 on
 * pycore_interpframe.h, Include/refcount.h); tests/unit/check_pyoff.py compares them with every header package at hand. Free-threaded builds (`free` != 0) have a larger object
 * head, and defer the counts of code objects (PEP 703). Up to 3.10 a frame is an object that is linked nowhere while its code's count moves.
 */
#ifndef RT_ENTRYOFF_H
#define RT_ENTRYOFF_H

#define RT_ENTRY_KNOWN(version) ((version) >= 0x30b && (version) <= 0x30f)
#define RT_TSTATE_DATASTACK(version) ((version) == 0x30b ? 296 : (version) == 0x30f ? 256 : 232) /* PyThreadState.datastack_chunk; datastack_top follows */
#define RT_CODE_FRAMESIZE(version) 76	/* 3.12+: PyCodeObject.co_framesize, words of a frame; 3.11: co_nlocalsplus, */
#define RT_CODE_STACKSIZE_311 68	/* to which co_stacksize */
#define RT_FRAME_SPECIALS 9		/* and FRAME_SPECIALS_SIZE are added */
#define RT_CODE_FLAGS(version, free) ((version) <= 0x30a ? 36 : (free) ? 64 : 48) /* PyCodeObject.co_flags */
#define RT_FUNC_CODE(free) ((free) ? 64 : 48) /* 3.11+: PyFunctionObject.func_code */
#define RT_CODE_SUSPENDS 0x2a0		/* CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR: calls that begin and end elsewhere than their frames */
#define RT_IMMORTAL(version, count) ((version) >= 0x30c && (count) >= 0x80000000u) /* lower half of an object's count that is not kept (PEP 683) */

#endif
