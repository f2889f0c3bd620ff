/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Preloaded: a program that is loaded and does not begin. The file that HELD names is there once it stands still. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void hold(void)
{
	const char *path = getenv("HELD");

	if (!path)
		return;
	close(open(path, O_CREAT | O_WRONLY, 0644));
	sleep(60);
}
