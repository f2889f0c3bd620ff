/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "pyoff.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RT_PY_MINOR_FIRST 11
#define RT_PY_MINOR_TABLES 12 /* the last one with a table */
#define RT_PY_MINOR_LAST 13

/* PyObject, PyBytesObject and the head of PyASCIIObject have not changed since 3.11 in builds with a GIL. */
#define RT_PY_OBJECTS \
	.ob_type = 8, .bytes_size = 16, .bytes_data = 32, .str_length = 16, .str_hash = 24, .str_state = 32

static const struct rt_pyoff rt_py311 = {
	.version = 3 << 8 | 11,
	.flags = RT_PYOFF_CFRAME,
	.runtime_interp_head = 40,
	.interp_next = 0,
	.interp_threads_head = 16,
	.tstate_next = 8,
	.tstate_thread_id = 152,
	.tstate_frame = 56,
	.cframe_frame = 8,
	.frame_code = 32,
	.frame_previous = 48,
	.frame_instr = 56,
	.frame_owner = 69,
	.frame_func = 0,
	.frame_globals = 8,
	.owner_shim = 0xffff,
	.code_firstlineno = 72,
	.code_version = 0,
	.code_filename = 112,
	.code_name = 120,
	.code_qualname = 128,
	.code_linetable = 136,
	.code_adaptive = 184,
	RT_PY_OBJECTS,
	.str_ascii_data = 48,
	.str_compact_data = 72,
};

static const struct rt_pyoff rt_py312 = {
	.version = 3 << 8 | 12,
	.flags = RT_PYOFF_CFRAME,
	.runtime_interp_head = 40,
	.interp_next = 0,
	.interp_threads_head = 72,
	.tstate_next = 8,
	.tstate_thread_id = 136,
	.tstate_frame = 56,
	.cframe_frame = 0,
	.frame_code = 0,
	.frame_previous = 8,
	.frame_instr = 56,
	.frame_owner = 70,
	.frame_func = 16,
	.frame_globals = 24,
	.owner_shim = 3, /* FRAME_OWNED_BY_CSTACK */
	.code_firstlineno = 68,
	.code_version = 92,
	.code_filename = 112,
	.code_name = 120,
	.code_qualname = 128,
	.code_linetable = 136,
	.code_adaptive = 192,
	RT_PY_OBJECTS,
	.str_ascii_data = 40,
	.str_compact_data = 56,
};

/* What _Py_DebugOffsets of 3.13 leaves out. */
static const struct rt_pyoff rt_py313 = {
	.version = 3 << 8 | 13,
	.frame_func = 16,
	.frame_globals = 24,
	.owner_shim = 3, /* FRAME_OWNED_BY_CSTACK */
	.code_version = 92,
	.str_hash = 24,
};

int rt_pyoff_by_version(unsigned int major, unsigned int minor, struct rt_pyoff *out)
{
	if (major == 3 && minor == 11)
		*out = rt_py311;
	else if (major == 3 && minor == 12)
		*out = rt_py312;
	else
		return -ENOTSUP;
	return 0;
}

void rt_pyoff_version_text(uint32_t version_hex, char *buf, size_t len)
{
	unsigned int level = version_hex >> 4 & 0xf, serial = version_hex & 0xf;
	const char *name = level == 0xa ? "a" : level == 0xb ? "b" : level == 0xc ? "rc" : "?";
	char tail[8] = "";

	if (level != 0xf)
		snprintf(tail, sizeof(tail), "%s%u", name, serial);
	snprintf(buf, len, "%u.%u.%u%s", version_hex >> 24, version_hex >> 16 & 0xff, version_hex >> 8 & 0xff, tail);
}

int rt_pyoff_supported(uint32_t version_hex, bool *from_debug, char *err, size_t errlen)
{
	unsigned int major = version_hex >> 24, minor = version_hex >> 16 & 0xff, level = version_hex >> 4 & 0xf;
	bool newer = major > 3 || (major == 3 && minor > RT_PY_MINOR_LAST);
	char version[24];

	rt_pyoff_version_text(version_hex, version, sizeof(version));
	if (major != 3 || minor < RT_PY_MINOR_FIRST || newer) {
		snprintf(err, errlen,
			 "CPython %s: its memory layout is not known to this version of ramtrack-bpf, which reads "
			 "3.%u to 3.%u; run the program with one of these%s",
			 version, RT_PY_MINOR_FIRST, RT_PY_MINOR_LAST,
			 newer ? ", or look for a newer ramtrack-bpf" : "");
		return -ENOTSUP;
	}
	if (level != 0xf && level != 0xc) {
		snprintf(err, errlen,
			 "CPython %s is a pre-release, whose memory layout differs from the release's; use 3.%u.0 or "
			 "newer",
			 version, minor);
		return -ENOTSUP;
	}
	*from_debug = minor > RT_PY_MINOR_TABLES;
	return 0;
}

/* ---- 3.13: struct _Py_DebugOffsets ---- */

/* Include/internal/pycore_runtime.h: after the cookie, 64-bit words in this order. */

enum rt_dbg313 {
	RT_DBG_COOKIE,
	RT_DBG_VERSION,
	RT_DBG_FREE_THREADED,
	RT_DBG_RUNTIME_SIZE,
	RT_DBG_RUNTIME_FINALIZING,
	RT_DBG_RUNTIME_INTERP_HEAD,
	RT_DBG_INTERP_SIZE,
	RT_DBG_INTERP_ID,
	RT_DBG_INTERP_NEXT,
	RT_DBG_INTERP_THREADS_HEAD,
	RT_DBG_TSTATE_SIZE = RT_DBG_INTERP_SIZE + 13,
	RT_DBG_TSTATE_PREV,
	RT_DBG_TSTATE_NEXT,
	RT_DBG_TSTATE_INTERP,
	RT_DBG_TSTATE_FRAME,
	RT_DBG_TSTATE_THREAD_ID,
	RT_DBG_FRAME_SIZE = RT_DBG_TSTATE_SIZE + 9,
	RT_DBG_FRAME_PREVIOUS,
	RT_DBG_FRAME_EXECUTABLE,
	RT_DBG_FRAME_INSTR,
	RT_DBG_FRAME_LOCALS,
	RT_DBG_FRAME_OWNER,
	RT_DBG_CODE_SIZE,
	RT_DBG_CODE_FILENAME,
	RT_DBG_CODE_NAME,
	RT_DBG_CODE_QUALNAME,
	RT_DBG_CODE_LINETABLE,
	RT_DBG_CODE_FIRSTLINENO,
	RT_DBG_CODE_ADAPTIVE = RT_DBG_CODE_SIZE + 10 - 1,
	RT_DBG_OBJECT_SIZE,
	RT_DBG_OBJECT_TYPE,
	RT_DBG_BYTES_SIZE = RT_DBG_OBJECT_SIZE + 2 + 4 + 3 + 3 + 3 + 2 + 3, /* type, tuple, list, dict, float, long */
	RT_DBG_BYTES_LEN,
	RT_DBG_BYTES_DATA,
	RT_DBG_STR_SIZE,
	RT_DBG_STR_STATE,
	RT_DBG_STR_LENGTH,
	RT_DBG_STR_ASCII_SIZE,
	RT_DBG_WORDS = RT_DBG_STR_ASCII_SIZE + 1 + 2, /* gc */
};
static_assert(RT_DBG_WORDS * 8 == RT_PYOFF_DEBUG_LEN, "_Py_DebugOffsets of 3.13");

/* One field: where it stands in the debug offsets, the size that bounds it, how wide it is, where it goes. */
struct rt_dbg_field {
	uint8_t word, size_word, width;
	uint8_t out; /* offset in struct rt_pyoff */
	const char *name;
};

#define RT_DBG(word, size, width, field) \
	{RT_DBG_##word, RT_DBG_##size##_SIZE, width, offsetof(struct rt_pyoff, field), #field}

static const struct rt_dbg_field rt_dbg_fields[] = {
	RT_DBG(RUNTIME_INTERP_HEAD, RUNTIME, 8, runtime_interp_head),
	RT_DBG(INTERP_NEXT, INTERP, 8, interp_next),
	RT_DBG(INTERP_THREADS_HEAD, INTERP, 8, interp_threads_head),
	RT_DBG(TSTATE_NEXT, TSTATE, 8, tstate_next),
	RT_DBG(TSTATE_THREAD_ID, TSTATE, 8, tstate_thread_id),
	RT_DBG(TSTATE_FRAME, TSTATE, 8, tstate_frame),
	RT_DBG(FRAME_EXECUTABLE, FRAME, 8, frame_code),
	RT_DBG(FRAME_PREVIOUS, FRAME, 8, frame_previous),
	RT_DBG(FRAME_INSTR, FRAME, 8, frame_instr),
	RT_DBG(FRAME_OWNER, FRAME, 1, frame_owner),
	RT_DBG(CODE_FIRSTLINENO, CODE, 4, code_firstlineno),
	RT_DBG(CODE_FILENAME, CODE, 8, code_filename),
	RT_DBG(CODE_NAME, CODE, 8, code_name),
	RT_DBG(CODE_QUALNAME, CODE, 8, code_qualname),
	RT_DBG(CODE_LINETABLE, CODE, 8, code_linetable),
	RT_DBG(CODE_ADAPTIVE, CODE, 1, code_adaptive),
	RT_DBG(OBJECT_TYPE, OBJECT, 8, ob_type),
	RT_DBG(BYTES_LEN, BYTES, 8, bytes_size),
	RT_DBG(BYTES_DATA, BYTES, 1, bytes_data),
	RT_DBG(STR_LENGTH, STR, 8, str_length),
	RT_DBG(STR_STATE, STR, 4, str_state),
	RT_DBG(STR_ASCII_SIZE, STR, 8, str_ascii_data),
};

static uint64_t rt_dbg_word(const uint8_t *runtime, unsigned int index)
{
	uint64_t value;

	memcpy(&value, runtime + index * sizeof(value), sizeof(value));
	return value;
}

/* The structs grow with every micro version, but not without end: a size beyond this is no size. */
#define RT_DBG_MAX_STRUCT (16u << 20)

static int rt_dbg_read_fields(const uint8_t *runtime, struct rt_pyoff *out, char *err, size_t errlen)
{
	for (size_t i = 0; i < sizeof(rt_dbg_fields) / sizeof(rt_dbg_fields[0]); i++) {
		const struct rt_dbg_field *field = &rt_dbg_fields[i];
		uint64_t offset = rt_dbg_word(runtime, field->word), size = rt_dbg_word(runtime, field->size_word);
		uint16_t value = (uint16_t)offset;

		if (size > RT_DBG_MAX_STRUCT || offset > size || field->width > size - offset || offset > UINT16_MAX ||
		    offset % field->width) {
			snprintf(err, errlen, "its debug offsets make no sense: %s at %llu in a struct of %llu bytes",
				 field->name, (unsigned long long)offset, (unsigned long long)size);
			return -EINVAL;
		}
		memcpy((uint8_t *)out + field->out, &value, sizeof(value));
	}
	return 0;
}

/* The constants of a minor have to fit what the interpreter says of itself, else they belong to another build. */
static int rt_dbg_check_constants(const uint8_t *runtime, const struct rt_pyoff *off, char *err, size_t errlen)
{
	if (off->code_version + 4u <= rt_dbg_word(runtime, RT_DBG_CODE_SIZE) &&
	    off->frame_globals + 8u <= rt_dbg_word(runtime, RT_DBG_FRAME_SIZE) &&
	    off->str_hash + 8u <= off->str_ascii_data && off->ob_type == 8)
		return 0;
	snprintf(err, errlen, "its debug offsets do not fit a build with a GIL; use the regular build of this version");
	return -EINVAL;
}

int rt_pyoff_from_debug(const uint8_t *runtime, size_t len, struct rt_pyoff *out, char *err, size_t errlen)
{
	struct rt_pyoff off = rt_py313;
	char version[24];
	uint64_t hex;
	bool from_debug;
	int code;

	if (len < 16 || memcmp(runtime, "xdebugpy", 8)) {
		snprintf(err, errlen, "the runtime does not start with debug offsets");
		return -EINVAL;
	}
	hex = rt_dbg_word(runtime, RT_DBG_VERSION);
	if (hex > UINT32_MAX) {
		snprintf(err, errlen, "its debug offsets make no sense: version %#llx", (unsigned long long)hex);
		return -EINVAL;
	}
	/* First the version: it decides the order of everything that follows. */
	code = rt_pyoff_supported((uint32_t)hex, &from_debug, err, errlen);
	if (code)
		return code;
	if (!from_debug || len < RT_PYOFF_DEBUG_LEN) {
		snprintf(err, errlen, "its debug offsets make no sense: %s",
			 from_debug ? "cut short" : "this version has none");
		return -EINVAL;
	}
	if (rt_dbg_word(runtime, RT_DBG_FREE_THREADED)) {
		rt_pyoff_version_text((uint32_t)hex, version, sizeof(version));
		snprintf(err, errlen,
			 "CPython %s is a free-threaded build, which this version of ramtrack-bpf cannot read; run the "
			 "program with the regular build (the one with a GIL)",
			 version);
		return -ENOTSUP;
	}
	code = rt_dbg_read_fields(runtime, &off, err, errlen);
	if (!code) {
		/* sizeof(PyCompactUnicodeObject): the ASCII part, utf8_length and utf8 */
		off.str_compact_data = (uint16_t)(off.str_ascii_data + 16);
		code = rt_dbg_check_constants(runtime, &off, err, errlen);
	}
	if (!code)
		*out = off;
	return code;
}
