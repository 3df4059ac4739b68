/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * string.h of the simulator: as the unit tests', but that a copy of the label area which nobody has
 * written in this schedule is known to be zero. core/label.c looks through all of the area each
 * time; it must never be told so of a copy that somebody has written.
 */
#ifndef SIM_LINUX_STRING_H
#define SIM_LINUX_STRING_H

#include_next <linux/string.h>

bool area_is_blank(const void *p, size_t n);

static inline void *sim_memchr_inv(const void *p, int c, size_t n)
{
	return !c && area_is_blank(p, n) ? NULL : memchr_inv(p, c, n);
}

#define memchr_inv	sim_memchr_inv

#endif
