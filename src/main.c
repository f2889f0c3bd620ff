/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "diffcmd.h"
#include "doctor.h"
#include "log.h"
#include "opts.h"
#include "reportcmd.h"
#include "session.h"

int main(int argc, char **argv)
{
	struct rt_opts opts;
	int status;

	setlocale(LC_CTYPE, "");
	if (argc > 1 && !strcmp(argv[1], "doctor"))
		return rt_doctor_main(argc - 1, argv + 1);
	if (argc > 1 && !strcmp(argv[1], "diff"))
		return rt_diffcmd_main(argc - 1, argv + 1);
	status = rt_opts_parse(argc, argv, stdout, stderr, &opts);
	if (status)
		return status;
	if (!opts.shown) {
		rt_log_set_level(opts.verbosity);
		status = opts.what == RT_COMMAND_REPORT ? rt_reportcmd_run(&opts) : rt_session_run(&opts);
	}
	rt_opts_free(&opts);
	return status;
}
