/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * doctor.h - `ramtrack-bpf doctor`: what this kernel, these privileges and a process allow.
 */
#ifndef RT_DOCTOR_H
#define RT_DOCTOR_H

/* The words from `doctor` on. Returns the exit status. */
int rt_doctor_main(int argc, char **argv);

#endif
