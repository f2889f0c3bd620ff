/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "mapname.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"

#define RT_LABEL_CHARS 56

const char *rt_mapname_kind(enum rt_map_kind kind)
{
	static const char *const names[] = {
		[RT_MAP_UNKNOWN] = "unknown", [RT_MAP_FILE] = "file",	[RT_MAP_HEAP] = "heap",	  [RT_MAP_STACK] = "stack",
		[RT_MAP_ANON] = "anon",	      [RT_MAP_SHMEM] = "shmem", [RT_MAP_KINDS] = "others",
	};

	return (size_t)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "unknown";
}

char *rt_mapname_label(const struct rt_mapping_view *mapping, enum rt_lang lang)
{
	static const char *const words[][RT_LANGS] = {
		[RT_MAP_UNKNOWN] = { "未知", "not known" },
		[RT_MAP_FILE] = { "文件", "file" },
		[RT_MAP_HEAP] = { "堆", "brk" },
		[RT_MAP_STACK] = { "主线程栈", "main thread" },
		[RT_MAP_ANON] = { "私有匿名内存", "private memory" },
		[RT_MAP_SHMEM] = { "共享内存", "shmem" },
		[RT_MAP_KINDS] = { "其余映射", "all other mappings" },
	};
	const char *slash = mapping->name[0] == '/' ? strrchr(mapping->name, '/') + 1 : mapping->name, *word;
	char *safe, *label = NULL;

	word = words[(size_t)mapping->kind <= RT_MAP_KINDS ? mapping->kind : RT_MAP_UNKNOWN][lang];
	/* Where pinned memory of a GPU's driver shows up as well; nothing else has a name of this kind and form. */
	if (mapping->kind == RT_MAP_SHMEM && !strcmp(mapping->name, "/dev/zero (deleted)")) {
		slash = mapping->name;
		word = lang == RT_LANG_ZH ? "锁页/共享匿名内存" : "pinned/shared memory";
	}
	safe = rt_text_escape(*slash ? slash : mapping->name, RT_LABEL_CHARS);
	if (safe && asprintf(&label, "%s (%s)", safe, word) < 0)
		label = NULL;
	free(safe);
	return label;
}
