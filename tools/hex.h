/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * hex.h - bytes from hexadecimal digits.
 */
#ifndef RT_HEX_H
#define RT_HEX_H

#include <stddef.h>
#include <stdint.h>

/* Turns pairs of hexadecimal digits (lower case) into a block of their own size, so that a sanitizer sees each byte
 * read beyond it. NULL: an odd number, another character, or no memory. The caller frees it. */
uint8_t *rt_hex_parse(const char *hex, size_t digits);

#endif
