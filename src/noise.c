/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "noise.h"

#include <math.h>

/* 0.995 quantiles of Student's t distribution by degrees of freedom; R: qt(0.995, 1:30). */
static const double rt_t995[] = {
	0,     63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169, 3.106, 3.055, 3.012, 2.977, 2.947,
	2.921, 2.898,  2.878, 2.861, 2.845, 2.831, 2.819, 2.807, 2.797, 2.787, 2.779, 2.771, 2.763, 2.756, 2.750,
};
_Static_assert(sizeof(rt_t995) / sizeof(rt_t995[0]) == RT_NOISE_RUNS, "one for each number of old runs");

static int64_t rt_noise_round(double value)
{
	if (value >= 9.2e18)
		return INT64_MAX;
	if (value <= -9.2e18)
		return INT64_MIN;
	return (int64_t)llround(value);
}

int64_t rt_noise_minus(int64_t a, int64_t b)
{
	int64_t result;

	if (__builtin_sub_overflow(a, b, &result))
		return a < 0 ? INT64_MIN : INT64_MAX;
	return result;
}

struct rt_noise rt_noise_of(const int64_t *old, size_t n)
{
	struct rt_noise noise = {.mean = n ? old[0] : 0, .lo = n ? old[0] : 0, .hi = n ? old[0] : 0};
	double mean = 0, squares = 0, half;

	if (n < 2)
		return noise;
	if (n > RT_NOISE_RUNS)
		n = RT_NOISE_RUNS;
	for (size_t i = 0; i < n; i++) {
		noise.lo = old[i] < noise.lo ? old[i] : noise.lo;
		noise.hi = old[i] > noise.hi ? old[i] : noise.hi;
		mean += (double)old[i] / (double)n;
	}
	if (noise.lo == noise.hi)
		return noise;
	for (size_t i = 0; i < n; i++)
		squares += ((double)old[i] - mean) * ((double)old[i] - mean);
	half = rt_t995[n - 1] * sqrt(squares / (double)(n - 1) * (1 + 1 / (double)n));
	noise.mean = rt_noise_round(mean);
	if (rt_noise_round(mean - half) < noise.lo)
		noise.lo = rt_noise_round(mean - half);
	if (rt_noise_round(mean + half) > noise.hi)
		noise.hi = rt_noise_round(mean + half);
	return noise;
}

int64_t rt_noise_growth(const int64_t *old, size_t n, int64_t now, int64_t *base)
{
	struct rt_noise noise = rt_noise_of(old, n);

	if (base)
		*base = noise.mean;
	return rt_noise_holds(&noise, now) ? 0 : rt_noise_minus(now, noise.mean);
}
