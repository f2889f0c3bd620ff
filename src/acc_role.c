/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "acc_role.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* Does the word [at, end) name this file, with or without a directory before it? */
static bool rt_role_is(const char *at, const char *end, const char *base)
{
	size_t len = strlen(base);

	return (size_t)(end - at) >= len && !memcmp(end - len, base, len) &&
		(end - len == at || end[-(long)len - 1] == '/');
}

static bool rt_role_serves(const char *title)
{
	bool vllm = false;

	while (*title) {
		const char *end = title + strcspn(title, " ");

		if (vllm && end - title == 5 && !memcmp(title, "serve", 5))
			return true;
		vllm = rt_role_is(title, end, "vllm");
		title = end + strspn(end, " ");
	}
	return false;
}

size_t rt_role_find(const char *title, const char **role)
{
	const char *at = title;
	size_t len;

	while (isalnum((unsigned char)*at) || *at == '_' || *at == '.' || *at == '-')
		at++;
	if (at > title && !strncmp(at, "::", 2)) {
		len = strcspn(at + 2, " ");
		if (len) {
			*role = at + 2;
			return len;
		}
	}
	if (rt_role_serves(title)) {
		*role = "APIServer";
		return strlen(*role);
	}
	return 0;
}
