/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "terminal.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define RT_CELLS 80 /* of a terminal that does not say */
#define RT_ERASE "\r\033[K" /* ECMA-48: CR, EL */

bool rt_terminal_usable(void)
{
	const char *term = getenv("TERM");

	return isatty(STDERR_FILENO) && term && *term && strcmp(term, "dumb");
}

void rt_terminal_init(struct rt_terminal *terminal, bool color)
{
	*terminal = (struct rt_terminal){.fd = STDERR_FILENO, .color = color};
}

size_t rt_terminal_cells(const struct rt_terminal *terminal)
{
	struct winsize size;

	if (ioctl(terminal->fd, TIOCGWINSZ, &size) || !size.ws_col)
		return RT_CELLS - 1;
	return size.ws_col - 1u;
}

static bool rt_terminal_takes(const struct rt_terminal *terminal)
{
	struct pollfd poll_fd = {.fd = terminal->fd, .events = POLLOUT};
	pid_t front = tcgetpgrp(terminal->fd);

	return (front <= 0 || front == getpgrp()) && poll(&poll_fd, 1, 0) == 1 && poll_fd.revents & POLLOUT;
}

/* What cannot be written is left out: the next one is a moment away. */
static bool rt_terminal_write(const struct rt_terminal *terminal, const char *text)
{
	size_t len = strlen(text);

	return write(terminal->fd, text, len) == (ssize_t)len;
}

void rt_terminal_draw(struct rt_terminal *terminal, const char *text)
{
	char *line;

	if (!rt_terminal_takes(terminal) ||
	    asprintf(&line, "%s%s%s%s\r", RT_ERASE, terminal->color ? "\033[2m" : "", text, terminal->color ? "\033[0m" : "") < 0)
		return;
	rt_terminal_write(terminal, line);
	terminal->drawn = true;
	free(line);
}

void rt_terminal_erase(struct rt_terminal *terminal)
{
	if (!terminal->drawn)
		return;
	terminal->drawn = false;
	rt_terminal_write(terminal, RT_ERASE);
}
