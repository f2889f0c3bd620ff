/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "memtext.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

int rt_memtext_begin(struct rt_memtext *memory)
{
	*memory = (struct rt_memtext){.out = NULL};
	memory->out = open_memstream(&memory->text, &memory->len);
	return memory->out ? 0 : -ENOMEM;
}

int rt_memtext_put(struct rt_memtext *memory, int err, FILE *to)
{
	bool whole = !ferror(memory->out);

	whole = !fclose(memory->out) && whole; /* text and len are not good before */
	memory->out = NULL;
	if (!err && !whole)
		err = -ENOMEM;
	errno = 0;
	if (!err && (fwrite(memory->text, 1, memory->len, to) != memory->len || fflush(to)))
		err = errno ? -errno : -EIO;
	free(memory->text);
	memory->text = NULL;
	return err;
}
