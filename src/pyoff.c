/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "pyoff.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RT_PY_MINOR_FIRST 8
#define RT_PY_MINOR_TABLES 12 /* the last one without debug offsets */
#define RT_PY_MINOR_LAST 15

/* Words of struct _Py_DebugOffsets that are read (CPython Include/internal/pycore_runtime.h, from 3.14 on
 * pycore_debug_offsets.h). Cookie, version and whether the build is free-threaded come first in all versions. */
enum rt_dbg_word {
	RT_DBG_NONE,
	RT_DBG_RUNTIME_SIZE,
	RT_DBG_RUNTIME_INTERP_HEAD,
	RT_DBG_INTERP_SIZE,
	RT_DBG_INTERP_NEXT,
	RT_DBG_INTERP_THREADS_HEAD,
	RT_DBG_TSTATE_SIZE,
	RT_DBG_TSTATE_NEXT,
	RT_DBG_TSTATE_FRAME,
	RT_DBG_TSTATE_THREAD_ID,
	RT_DBG_FRAME_SIZE,
	RT_DBG_FRAME_PREVIOUS,
	RT_DBG_FRAME_EXECUTABLE,
	RT_DBG_FRAME_INSTR,
	RT_DBG_FRAME_OWNER,
	RT_DBG_FRAME_TLBC,
	RT_DBG_CODE_SIZE,
	RT_DBG_CODE_FILENAME,
	RT_DBG_CODE_NAME,
	RT_DBG_CODE_QUALNAME,
	RT_DBG_CODE_LINETABLE,
	RT_DBG_CODE_FIRSTLINENO,
	RT_DBG_CODE_ADAPTIVE,
	RT_DBG_CODE_TLBC,
	RT_DBG_OBJECT_SIZE,
	RT_DBG_OBJECT_TYPE,
	RT_DBG_BYTES_SIZE,
	RT_DBG_BYTES_LEN,
	RT_DBG_BYTES_DATA,
	RT_DBG_STR_SIZE,
	RT_DBG_STR_STATE,
	RT_DBG_STR_LENGTH,
	RT_DBG_STR_ASCII_SIZE,
	RT_DBG_WORDS,
};

/* Their places in one minor version's struct: the number of the 64-bit word, 0 for one that it lacks. */
struct rt_dbg_layout {
	uint8_t minor;
	uint8_t word[RT_DBG_WORDS];
};

#include "pyoff_tables.h"

#define RT_COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct rt_pyoff *rt_layout_of(unsigned int minor, bool free_threaded)
{
	for (size_t i = 0; i < RT_COUNT(rt_py_layouts); i++)
		if (rt_py_layouts[i].version == (3 << 8 | minor) &&
		    !!(rt_py_layouts[i].flags & RT_PYOFF_FREE_THREADED) == free_threaded)
			return &rt_py_layouts[i];
	return NULL;
}

int rt_pyoff_by_version(unsigned int major, unsigned int minor, struct rt_pyoff *out)
{
	const struct rt_pyoff *row = major == 3 && minor <= RT_PY_MINOR_TABLES ? rt_layout_of(minor, false) : NULL;

	if (!row)
		return -ENOTSUP;
	*out = *row;
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
	char version[24];

	rt_pyoff_version_text(version_hex, version, sizeof(version));
	if (major != 3 || minor < RT_PY_MINOR_FIRST) {
		snprintf(err, errlen,
			 "CPython %s: its memory layout is not known to this version of ramtrack-bpf, which reads "
			 "3.%u to 3.%u%s; run the program with one of these%s",
			 version, RT_PY_MINOR_FIRST, RT_PY_MINOR_LAST, major > 3 ? "" : " and newer ones",
			 major > 3 ? ", or look for a newer ramtrack-bpf" : "");
		return -ENOTSUP;
	}
	if (level != 0xf && level != 0xc && minor <= RT_PY_MINOR_TABLES) {
		snprintf(err, errlen,
			 "CPython %s is a pre-release, whose memory layout differs from the release's; use 3.%u.0 or "
			 "newer",
			 version, minor);
		return -ENOTSUP;
	}
	*from_debug = minor > RT_PY_MINOR_TABLES;
	return 0;
}

bool rt_pyoff_is_newer(uint32_t version_hex)
{
	unsigned int minor = version_hex >> 16 & 0xff, level = version_hex >> 4 & 0xf;

	return minor > RT_PY_MINOR_LAST || (minor > RT_PY_MINOR_TABLES && level != 0xf && level != 0xc);
}

/* ---- from 3.13 on: struct _Py_DebugOffsets ---- */

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

/* Of builds whose threads have their own copies of the bytecode. */
static const struct rt_dbg_field rt_dbg_tlbc_fields[] = {
	RT_DBG(FRAME_TLBC, FRAME, 4, frame_tlbc),
	RT_DBG(CODE_TLBC, CODE, 8, code_tlbc),
};

struct rt_dbg {
	const uint8_t *runtime;
	const struct rt_dbg_layout *layout;
};

static uint64_t rt_dbg_raw(const uint8_t *runtime, unsigned int index)
{
	uint64_t value;

	memcpy(&value, runtime + index * sizeof(value), sizeof(value));
	return value;
}

static uint64_t rt_dbg_word(const struct rt_dbg *dbg, enum rt_dbg_word word)
{
	return rt_dbg_raw(dbg->runtime, dbg->layout->word[word]);
}

/* The structs grow with every micro version, but not without end: a size beyond this is no size. */
#define RT_DBG_MAX_STRUCT (16u << 20)

static int rt_dbg_read_fields(const struct rt_dbg *dbg, const struct rt_dbg_field *fields, size_t n, struct rt_pyoff *out,
			      char *err, size_t errlen)
{
	for (size_t i = 0; i < n; i++) {
		const struct rt_dbg_field *field = &fields[i];
		uint64_t offset = rt_dbg_word(dbg, field->word), size = rt_dbg_word(dbg, field->size_word);
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

/* Does the walker's window cover all that this layout says? Returns 0, or -EINVAL with the reason in `err`. */
static int rt_pyoff_check(const struct rt_pyoff *off, char *err, size_t errlen)
{
	const uint16_t frame[] = {off->frame_code, off->frame_previous, off->frame_instr, off->frame_func, off->frame_globals};
	const uint16_t code[] = {off->code_filename, off->code_qualname, off->code_linetable, off->code_version};
	unsigned int base = off->code_firstlineno & ~15u;
	bool good = off->frame_bytes && off->frame_bytes <= RT_FRAME_MAX && off->frame_owner < off->frame_bytes &&
		    off->frame_tlbc + 4u <= off->frame_bytes;

	/* The walker reads a frame of frame_bytes, and of a code object the bytes from its first line number on (bpf/pycode.bpf.h). */
	for (size_t i = 0; i < RT_COUNT(frame); i++)
		good = good && frame[i] + 8u <= off->frame_bytes;
	for (size_t i = 0; i < RT_COUNT(code); i++)
		good = good && (!code[i] || (code[i] >= base && code[i] + 8u <= base + RT_PYOFF_CODE_BYTES));
	if (good)
		return 0;
	snprintf(err, errlen, "its frames or code objects are larger than any that is known");
	return -EINVAL;
}

/* What the tables add has to fit what the interpreter says of itself, else they belong to another build. */
static int rt_dbg_check_constants(const struct rt_dbg *dbg, const struct rt_pyoff *off, const struct rt_pyoff *row, char *err,
				  size_t errlen)
{
	if (off->code_version + 4u <= rt_dbg_word(dbg, RT_DBG_CODE_SIZE) &&
	    off->frame_globals + 8u <= rt_dbg_word(dbg, RT_DBG_FRAME_SIZE) && off->frame_bytes <= rt_dbg_word(dbg, RT_DBG_FRAME_SIZE) &&
	    off->str_hash + 8u <= off->str_ascii_data && off->ob_type == row->ob_type &&
	    rt_pyoff_check(off, err, errlen) == 0)
		return 0;
	snprintf(err, errlen, "its debug offsets do not fit any build of this version that is known; use the regular build of this version");
	return -EINVAL;
}

static const struct rt_dbg_layout *rt_dbg_layout_of(unsigned int minor)
{
	for (size_t i = 0; i < RT_COUNT(rt_dbg_layouts); i++)
		if (rt_dbg_layouts[i].minor == minor)
			return &rt_dbg_layouts[i];
	return NULL;
}

/* Cookie, version, kind of build: what tells which layout all that follows has. A newer version is read as the last one that is known: whether that
 * is right only a look at its frames can tell. */
static int rt_dbg_begin(const uint8_t *runtime, size_t len, struct rt_dbg *dbg, const struct rt_pyoff **row, char *err, size_t errlen)
{
	uint64_t hex, free_threaded;
	unsigned int minor;
	bool from_debug;
	int code;

	if (len < RT_PYOFF_DEBUG_LEN || memcmp(runtime, "xdebugpy", 8)) {
		snprintf(err, errlen, len < RT_PYOFF_DEBUG_LEN ? "its debug offsets make no sense: cut short"
							       : "the runtime does not start with debug offsets");
		return -EINVAL;
	}
	hex = rt_dbg_raw(runtime, 1);
	free_threaded = rt_dbg_raw(runtime, 2);
	if (hex > UINT32_MAX || free_threaded > 1) {
		snprintf(err, errlen, "its debug offsets make no sense: version %#llx, free-threaded %llu", (unsigned long long)hex,
			 (unsigned long long)free_threaded);
		return -EINVAL;
	}
	code = rt_pyoff_supported((uint32_t)hex, &from_debug, err, errlen);
	if (code)
		return code;
	if (!from_debug) {
		snprintf(err, errlen, "its debug offsets make no sense: this version has none");
		return -EINVAL;
	}
	minor = hex >> 16 & 0xff;
	if (minor > RT_PY_MINOR_LAST)
		minor = RT_PY_MINOR_LAST;
	dbg->runtime = runtime;
	dbg->layout = rt_dbg_layout_of(minor);
	*row = rt_layout_of(minor, free_threaded);
	return dbg->layout && *row ? 0 : -ENOTSUP;
}

int rt_pyoff_from_debug(const uint8_t *runtime, size_t len, struct rt_pyoff *out, char *err, size_t errlen)
{
	const struct rt_pyoff *row;
	struct rt_pyoff off;
	struct rt_dbg dbg;
	int code = rt_dbg_begin(runtime, len, &dbg, &row, err, errlen);

	if (code)
		return code;
	off = *row;
	off.version = (uint16_t)(rt_dbg_raw(runtime, 1) >> 16);
	code = rt_dbg_read_fields(&dbg, rt_dbg_fields, RT_COUNT(rt_dbg_fields), &off, err, errlen);
	if (!code && off.frame_tlbc)
		code = rt_dbg_read_fields(&dbg, rt_dbg_tlbc_fields, RT_COUNT(rt_dbg_tlbc_fields), &off, err, errlen);
	if (!code) {
		/* sizeof(PyCompactUnicodeObject): the ASCII part, utf8_length and utf8 */
		off.str_compact_data = (uint16_t)(off.str_ascii_data + 16);
		code = rt_dbg_check_constants(&dbg, &off, row, err, errlen);
	}
	if (!code)
		*out = off;
	return code;
}
