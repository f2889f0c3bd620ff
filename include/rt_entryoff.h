/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * rt_entryoff.h - where CPython keeps what tells a call from other references to a code object, as byte offsets by version (major << 8 | minor), x86-64.
 *
 * From the headers of 3.11.7, 3.12.1 and 3.13.0 (Include/cpython/pystate.h, Include/cpython/code.h, Include/internal/pycore_frame.h); tests/unit/check_pyoff.py compares
 * them with every header package at hand. Only these versions, with a GIL: free-threaded builds defer the counts of code objects (PEP 703).
 */
#ifndef RT_ENTRYOFF_H
#define RT_ENTRYOFF_H

#define RT_ENTRY_KNOWN(version) ((version) >= 0x30b && (version) <= 0x30d)
#define RT_TSTATE_DATASTACK(version) ((version) == 0x30b ? 296 : 232) /* PyThreadState.datastack_chunk; datastack_top follows */
#define RT_CODE_FRAMESIZE(version) 76	/* 3.12+: PyCodeObject.co_framesize, words of a frame; 3.11: co_nlocalsplus, */
#define RT_CODE_STACKSIZE_311 68	/* to which co_stacksize */
#define RT_FRAME_SPECIALS 9		/* and FRAME_SPECIALS_SIZE are added */
#define RT_CODE_FLAGS 48		/* PyCodeObject.co_flags */
#define RT_CODE_FLAGS_310 36		/* the same up to 3.10 */
#define RT_CODE_SUSPENDS 0x2a0		/* CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR: calls that begin and end elsewhere than their frames */
#define RT_IMMORTAL(version) ((version) >= 0x30c ? 0xffffffffu : 0u) /* lower half of an immortal object's count (PEP 683) */

#endif
