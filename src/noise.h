/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * noise.h - how far runs of the same program differ, and whether another run differs by more.
 *
 * The band is the interval in which one more run of the same kind lies with 99 % (the prediction interval of Student's t distribution: mean ± t(n - 1) s sqrt(1 + 1/n)),
 * widened to the least and the greatest value seen. 99 % and not less, because a comparison looks at many figures at once. With one old run there is no
 * band: every difference counts. With two it is wide, with three or more it is of use.
 */
#ifndef RT_NOISE_H
#define RT_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RT_NOISE_RUNS 31u /* old runs at most */

struct rt_noise {
	int64_t mean, lo, hi;
};

/* Of 1 to RT_NOISE_RUNS values. */
struct rt_noise rt_noise_of(const int64_t *old, size_t n);

/* `now` less the mean; 0 inside the band. `*base`, if given, is the mean. */
int64_t rt_noise_growth(const int64_t *old, size_t n, int64_t now, int64_t *base);

static inline bool rt_noise_holds(const struct rt_noise *noise, int64_t now)
{
	return now >= noise->lo && now <= noise->hi;
}

/* a - b, at the ends of the range where it does not fit. */
int64_t rt_noise_minus(int64_t a, int64_t b);

#endif
