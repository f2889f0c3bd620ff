/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "nativeanswer.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"

#define MOVE_MAX 64 /* bytes from a function's first one to its site */
#define ERRNO_MAX 4095
#define ALL_FLAGS (RT_SITE_STEPPED | RT_SITE_NO_ARGS | RT_SITE_FALLBACK | RT_SITE_CLONE | RT_SITE_LOOP)

/* Ended, and as rt_text_escape makes texts. */
static bool text_is_sound(const char *text, size_t size, bool may_be_empty)
{
	size_t len = strnlen(text, size);
	char *escaped;
	bool sound;

	if (len == size || (!len && !may_be_empty))
		return false;
	escaped = rt_text_escape(text, 0);
	sound = escaped && !strcmp(escaped, text);
	free(escaped);
	return sound;
}

static bool offset_is_code(const struct rt_elf *elf, uint64_t offset)
{
	for (size_t i = 0; i < elf->n_loads; i++) {
		const struct rt_elf_load *load = &elf->load[i];

		if (load->flags & PF_X && offset >= load->offset && offset - load->offset < load->filesz)
			return true;
	}
	return false;
}

static bool site_is_sound(const struct rt_elf *elf, uint64_t mask, const struct rt_native_site *site, const struct rt_native_site *before)
{
	return site->rule < RT_NATIVE_RULES_MAX && mask >> site->rule & 1 && !(site->flags & ~(uint32_t)ALL_FLAGS) && offset_is_code(elf, site->entry) &&
	       offset_is_code(elf, site->offset) && site->offset >= site->entry && site->offset - site->entry <= MOVE_MAX &&
	       (!before || before->offset < site->offset) && text_is_sound(site->name, sizeof(site->name), false);
}

static bool rules_are_sound(uint64_t mask, const struct rt_native_rule_result *rule)
{
	for (uint32_t i = 0; i < RT_NATIVE_RULES_MAX; i++) {
		bool asked = mask >> i & 1;

		if ((uint32_t)rule[i].found > RT_NATIVE_NOT_FOUND || asked != (rule[i].found != RT_NATIVE_NOT_ASKED) ||
		    !text_is_sound(rule[i].reason, sizeof(rule[i].reason), true))
			return false;
	}
	return true;
}

static int failed(const struct rt_elf *elf, const struct rt_native_answer *a, char *err, size_t errlen)
{
	char *text = rt_text_escape(memchr(a->error, 0, sizeof(a->error)) ? a->error : "", 0);

	snprintf(err, errlen, "%s", text && *text ? text : elf->name);
	free(text);
	return a->status;
}

int rt_native_answer_take(const void *buf, size_t len, const struct rt_elf *elf, uint64_t mask, struct rt_native_sites *out, char *err, size_t errlen)
{
	struct rt_native_site *site;
	struct rt_native_answer a;

	if (len < sizeof(a))
		return -EBADMSG;
	memcpy(&a, buf, sizeof(a));
	if (a.magic != RT_NATIVE_MAGIC || a.status > 0 || a.status < -ERRNO_MAX || (a.status && a.n_sites) || a.n_sites > RT_NATIVE_SITES_MAX ||
	    len != sizeof(a) + a.n_sites * sizeof(*site))
		return -EBADMSG;
	if (a.status)
		return failed(elf, &a, err, errlen);
	if (!rules_are_sound(mask, a.rule))
		return -EBADMSG;
	site = malloc(a.n_sites * sizeof(*site) + 1);
	if (!site)
		return -ENOMEM;
	memcpy(site, (const char *)buf + sizeof(a), a.n_sites * sizeof(*site));
	for (uint32_t i = 0; i < a.n_sites; i++) {
		if (site_is_sound(elf, mask, &site[i], i ? &site[i - 1] : NULL))
			continue;
		free(site);
		return -EBADMSG;
	}
	*out = (struct rt_native_sites){.site = site, .n = a.n_sites, .symtab = a.symtab != 0, .symbols = a.symbols, .cpu_ns = a.cpu_ns};
	memcpy(out->rule, a.rule, sizeof(out->rule));
	return 0;
}
