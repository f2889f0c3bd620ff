/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "pybin.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "pyoff.h"

#define RT_PYBIN_FINAL 0xf0 /* PY_RELEASE_LEVEL_FINAL << 4 */

enum rt_pybin_symbol {
	RT_SYM_RUNTIME,
	RT_SYM_VERSION,
	RT_SYM_EVAL,
	RT_SYM_PUSH,
	RT_SYMS,
};

bool rt_pybin_is_libpython(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	return !strncmp(name, "libpython", 9) && strstr(name, ".so");
}

int rt_pybin_needed(struct rt_elf *exe, char *buf, size_t len)
{
	char name[RT_ELF_MAX_NAME];

	for (size_t i = 0; i < exe->n_needed; i++) {
		if (rt_elf_string(exe, exe->needed[i], name, sizeof(name)) || !rt_pybin_is_libpython(name))
			continue;
		if (strlen(name) >= len)
			return -ENAMETOOLONG;
		strcpy(buf, name);
		return 0;
	}
	return -ENOENT;
}

/* Versions older than 3.11 do not say in a symbol which they are, but _PyRuntime has another size in each, the same in all micro versions and on all platforms
 * with 64 bits (sizeof(_PyRuntimeState): CPython Include/internal/pycore_runtime.h, 3.8: pycore_pystate.h). */
static const struct {
	uint32_t size, hex;
} rt_runtime_sizes[] = {
	{1464, 0x03080000 | RT_PYBIN_FINAL},
	{656, 0x03090000 | RT_PYBIN_FINAL},
	{672, 0x030a0000 | RT_PYBIN_FINAL},
};

static int rt_pybin_old_version(struct rt_elf *elf, const struct rt_elf_symbol *runtime, uint32_t *hex, char *err, size_t errlen)
{
	for (size_t i = 0; i < sizeof(rt_runtime_sizes) / sizeof(rt_runtime_sizes[0]); i++) {
		if (runtime->size != rt_runtime_sizes[i].size)
			continue;
		*hex = rt_runtime_sizes[i].hex;
		return 0;
	}
	snprintf(err, errlen,
		 "%s holds a CPython whose version cannot be told (no Py_Version, and _PyRuntime has %llu bytes): older than 3.8, or a debug build; run the program "
		 "with a release build of CPython 3.8 or newer",
		 elf->name, (unsigned long long)runtime->size);
	return -ENOTSUP;
}

/* Py_Version is an unsigned long with PY_VERSION_HEX in it. */
static int rt_pybin_version(struct rt_elf *elf, const struct rt_elf_symbol *symbol, const struct rt_elf_symbol *runtime, uint32_t *hex,
			    char *err, size_t errlen)
{
	uint64_t value;
	int code;

	if (!symbol->found)
		return rt_pybin_old_version(elf, runtime, hex, err, errlen);
	code = rt_elf_read_vaddr(elf, symbol->value, &value, sizeof(value));
	if (!code && value && value <= UINT32_MAX) {
		*hex = (uint32_t)value;
		return 0;
	}
	snprintf(err, errlen,
		 "%s: cannot read the value of its symbol Py_Version%s; the file may be damaged or still being "
		 "written: install it again",
		 elf->name, code ? "" : " (it is no version)");
	return code ? code : -EINVAL;
}

static int rt_pybin_layout(struct rt_elf *elf, uint32_t hex, uint64_t runtime, struct rt_pyoff *off, char *err,
			   size_t errlen)
{
	uint8_t debug[RT_PYOFF_DEBUG_LEN];
	char why[512];
	bool from_debug;
	uint64_t stated;
	int code = rt_pyoff_supported(hex, &from_debug, why, sizeof(why));

	if (!code && !from_debug)
		return rt_pyoff_by_version(hex >> 24, hex >> 16 & 0xff, off);
	if (!code) {
		code = rt_elf_read_vaddr(elf, runtime, debug, sizeof(debug));
		if (code)
			snprintf(why, sizeof(why), "cannot read the debug offsets at its symbol _PyRuntime");
		else
			code = rt_pyoff_from_debug(debug, sizeof(debug), off, why, sizeof(why));
	}
	if (!code) {
		memcpy(&stated, debug + 8, sizeof(stated));
		if (stated == hex)
			return 0;
		snprintf(why, sizeof(why), "its debug offsets are of another version than Py_Version says");
		code = -EINVAL;
	}
	snprintf(err, errlen, "%s: %s", elf->name, why);
	return code;
}

#define RT_SEARCH_MAX (16u << 20) /* bytes of initialised data: no interpreter has more */
#define RT_SEARCH_BLOCK 65536u

/* Without symbols: from 3.13 on _PyRuntime begins with a cookie, and what follows has to be the layout of a version that it states itself. Returns 0 with both symbols as
 * they would be (the version stands in the layout), 1: not found, or -errno. */
static int rt_pybin_search_load(struct rt_elf *elf, const struct rt_elf_load *load, struct rt_elf_symbol *sym)
{
	uint8_t block[RT_SEARCH_BLOCK + 8], debug[RT_PYOFF_DEBUG_LEN];
	struct rt_pyoff off;
	char why[256];

	for (uint64_t at = 0; at + 16 <= load->filesz; at += RT_SEARCH_BLOCK) {
		uint64_t left = load->filesz - at;
		size_t n = left < sizeof(block) ? left : sizeof(block);
		const uint8_t *hit = block;
		int code = rt_elf_read_vaddr(elf, load->vaddr + at, block, n);

		if (code)
			return code;
		while ((hit = memmem(hit, n - (size_t)(hit - block), "xdebugpy", 8))) {
			uint64_t vaddr = load->vaddr + at + (uint64_t)(hit - block);

			hit++;
			if (vaddr % 8 || rt_elf_read_vaddr(elf, vaddr, debug, sizeof(debug)) ||
			    rt_pyoff_from_debug(debug, sizeof(debug), &off, why, sizeof(why)))
				continue;
			sym[RT_SYM_RUNTIME].found = sym[RT_SYM_VERSION].found = true;
			sym[RT_SYM_RUNTIME].value = vaddr;
			sym[RT_SYM_VERSION].value = vaddr + 8;
			return 0;
		}
	}
	return 1;
}

static int rt_pybin_search(struct rt_elf *elf, struct rt_elf_symbol *sym)
{
	uint64_t total = 0;
	int code = 1;

	for (size_t i = 0; i < elf->n_loads; i++)
		total += elf->load[i].flags & PF_W ? elf->load[i].filesz : 0;
	if (total > RT_SEARCH_MAX)
		return 1;
	for (size_t i = 0; i < elf->n_loads && code == 1; i++)
		if (elf->load[i].flags & PF_W)
			code = rt_pybin_search_load(elf, &elf->load[i], sym);
	return code;
}

/* _PyRuntime has to lie in a segment; how large it really is, only the layout's author knows. */
static bool rt_pybin_is_mapped(const struct rt_elf *elf, uint64_t vaddr)
{
	for (size_t i = 0; i < elf->n_loads; i++)
		if (vaddr >= elf->load[i].vaddr && vaddr - elf->load[i].vaddr < elf->load[i].memsz)
			return true;
	return false;
}

static const uint8_t endbr64[4] = {0xf3, 0x0f, 0x1e, 0xfa};

/* What compilers begin a function with: endbr64, push, nop, mov between or into registers, sub from %rsp (Intel's manual, volume 2, appendix A). */
static bool rt_pybin_begins(const uint8_t *b)
{
	bool rex = (b[0] & 0xf0) == 0x40; /* one REX prefix */
	const uint8_t *op = rex ? b + 1 : b;

	if (!memcmp(b, endbr64, sizeof(endbr64)))
		return true;
	if (b[0] == 0x90 || (b[0] == 0x66 && b[1] == 0x90) || (b[0] == 0x0f && b[1] == 0x1f) || (b[0] == 0x66 && b[1] == 0x0f && b[2] == 0x1f))
		return true;
	if ((op[0] & 0xf8) == 0x50) /* push */
		return true;
	if ((op[0] == 0x89 || op[0] == 0x8b) && op[1] >= 0xc0) /* mov, both registers */
		return true;
	return b[0] == 0x48 && (b[1] == 0x83 || b[1] == 0x81) && b[2] == 0xec; /* sub */
}

/* For an entry probe, which overwrites what is there: a symbol whose place does not look like the beginning of a function that is really there (a stripped-down or
 * patched file, a jump that somebody else put there) is refused by leaving the offset 0. */
static void rt_pybin_begin(struct rt_elf *elf, const struct rt_elf_symbol *symbol, struct rt_pybin_begin *begin)
{
	uint8_t first[8];
	uint64_t offset, avail;
	bool endbr;

	if (!symbol->found || symbol->type != STT_FUNC)
		return;
	begin->refused = true;
	if (elf->machine != EM_X86_64 || rt_elf_read_vaddr(elf, symbol->value, first, sizeof(first)) || !rt_pybin_begins(first))
		return;
	endbr = !memcmp(first, endbr64, sizeof(endbr64));
	if (endbr && !rt_pybin_begins(first + sizeof(endbr64)))
		return;
	for (size_t i = 0; i < elf->n_loads; i++) {
		const struct rt_elf_load *load = &elf->load[i];

		if ((load->flags & PF_X) && symbol->value >= load->vaddr && symbol->value - load->vaddr < load->filesz &&
		    !rt_elf_offset(elf, symbol->value, &offset, &avail)) {
			*begin = (struct rt_pybin_begin){.offset = offset, .endbr = endbr};
		}
	}
}

/* 3.8 to 3.10 and 3.15 pass both probes in every call. 3.11 has them in the file, but passes the one at entry only while something else traces (Python/ceval.c, DO_TRACING); no
 * build of 3.12 that passes both is known, and 3.13 and 3.14 have neither. */
static void rt_pybin_usdt(struct rt_elf *elf, struct rt_pybin *py)
{
	uint32_t version = py->bin.version_hex >> 16;
	struct rt_usdt entry, leave;

	if ((version >= 0x30b && version <= 0x30e) || rt_usdt_read(elf, "python", "function__entry", &entry) ||
	    rt_usdt_read(elf, "python", "function__return", &leave))
		return;
	py->usdt_entry = entry;
	py->usdt_return = leave;
}

/* The fields of struct rt_bin that say where the interpreter is. */
static int rt_pybin_place(struct rt_elf *exe, struct rt_elf *lib, const struct rt_elf_symbol *sym, struct rt_bin *bin,
			  char *err, size_t errlen)
{
	struct rt_elf *elf = lib ? lib : exe;

	bin->kind = lib ? RT_BIN_SHARED : RT_BIN_STATIC;
	bin->version_off = sym[RT_SYM_VERSION].value;
	if (rt_elf_exec_vaddr(exe, &bin->exec_vaddr)) {
		snprintf(err, errlen, "%s: has no executable segment", exe->name);
		return -ENOEXEC;
	}
	if (!rt_pybin_is_mapped(elf, sym[RT_SYM_RUNTIME].value)) {
		snprintf(err, errlen, "%s: its symbol _PyRuntime lies outside of the program", elf->name);
		return -ENOEXEC;
	}
	if (!lib) {
		bin->runtime_vaddr = sym[RT_SYM_RUNTIME].value;
		return 0;
	}
	bin->lib_runtime_off = sym[RT_SYM_RUNTIME].value;
	bin->lib_dynamic_vaddr = lib->dyn_vaddr;
	if (!lib->n_dyn || rt_elf_debug_vaddr(exe, &bin->debug_vaddr)) {
		snprintf(err, errlen,
			 "%s: has no dynamic section that leads to its libraries (DT_DEBUG), so libpython cannot be "
			 "found in its processes; start the interpreter directly, not through the dynamic linker",
			 exe->name);
		return -ENOTSUP;
	}
	return 0;
}

int rt_pybin_read(struct rt_elf *exe, struct rt_elf *lib, struct rt_pybin *out, char *err, size_t errlen)
{
	struct rt_elf_symbol sym[RT_SYMS] = {
		[RT_SYM_RUNTIME] = {.name = "_PyRuntime"},
		[RT_SYM_VERSION] = {.name = "Py_Version"},
		[RT_SYM_EVAL] = {.name = "_PyEval_EvalFrameDefault"},
		[RT_SYM_PUSH] = {.name = "_PyEvalFramePushAndInit"},
	};
	struct rt_elf *elf = lib ? lib : exe;
	struct rt_pybin py = {0};
	int code = rt_elf_find_symbols(elf, sym, RT_SYMS, err, errlen);

	if (code)
		return code;
	if (!sym[RT_SYM_RUNTIME].found && (code = rt_pybin_search(elf, sym)) != 0) {
		if (code < 0)
			snprintf(err, errlen, "%s: cannot read its data: %s", elf->name, strerror(-code));
		return code;
	}
	py.runtime_vaddr = sym[RT_SYM_RUNTIME].value;
	code = rt_pybin_version(elf, &sym[RT_SYM_VERSION], &sym[RT_SYM_RUNTIME], &py.bin.version_hex, err, errlen);
	if (!code)
		code = rt_pybin_layout(elf, py.bin.version_hex, py.runtime_vaddr, &py.off, err, errlen);
	if (!code)
		code = rt_pybin_place(exe, lib, sym, &py.bin, err, errlen);
	if (code)
		return code;
	rt_pyoff_version_text(py.bin.version_hex, py.version, sizeof(py.version));
	if (!sym[RT_SYM_VERSION].found) /* the micro version is not known */
		*strrchr(py.version, '.') = '\0';
	rt_pybin_begin(elf, &sym[RT_SYM_EVAL], &py.eval);
	rt_pybin_begin(elf, &sym[RT_SYM_PUSH], &py.push);
	rt_pybin_usdt(elf, &py);
	*out = py;
	return 0;
}

int rt_pybin_at(struct rt_elf *exe, struct rt_elf *lib, uint64_t runtime, uint32_t version_hex, const struct rt_pyoff *off, struct rt_pybin *out,
		char *err, size_t errlen)
{
	struct rt_elf_symbol sym[RT_SYMS] = {[RT_SYM_RUNTIME] = {.found = true, .value = runtime}};
	struct rt_pybin py = {.runtime_vaddr = runtime, .off = *off};
	int code;

	py.bin.version_hex = version_hex;
	code = rt_pybin_place(exe, lib, sym, &py.bin, err, errlen);
	if (code)
		return code;
	rt_pyoff_version_text(version_hex, py.version, sizeof(py.version));
	*out = py;
	return 0;
}
