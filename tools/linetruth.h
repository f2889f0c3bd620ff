/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * linetruth.h - compares what an interpreter wrote down about lines (tests/unit/line_truth.py) with what this tree makes of the same sources and tables.
 */
#ifndef RT_LINETRUTH_H
#define RT_LINETRUTH_H

#include <stdio.h>

/* Reads a dump to its end:
 *
 *	source BYTES PATH, then so many bytes of text and a newline
 *	line FIRST LAST COLUMN TEXT	each logical line
 *	statement FIRST LAST		a simple statement that is alone on its logical line
 *	code FORMAT FIRSTLINE BYTES HEXTABLE NAME QUALNAME	(no table, no qualified name that the source can tell: -)
 *	at END:START:LAST:LOGICAL ...	its instructions up to byte END: their lines, 0 0 none; first line of the logical line around START, 0 none
 *	end
 *
 * Prints the first differences and a line of counts. Returns an exit status: 0, 1 if there are differences or the dump is not of this form. */
int rt_linetruth(FILE *in);

#endif
