/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stats: counters, one set per CPU, summed when somebody looks.
 */
#ifndef CIRCLE_STATS_H
#define CIRCLE_STATS_H

#include <linux/percpu.h>
#include <linux/types.h>

enum circle_stat {
	CIRCLE_STAT_READ_HIT,
	CIRCLE_STAT_READ_MISS,
	CIRCLE_STAT_WRITE_HIT,
	CIRCLE_STAT_WRITE_MISS,
	CIRCLE_STAT_DEMOTION,
	CIRCLE_STAT_PROMOTION,
	CIRCLE_STAT_WRITEBACK,		/* pages */
	CIRCLE_STAT_THROUGH,		/* writes that went through to the origin */
	CIRCLE_STAT_REPLICATED,		/* writes that holders stored */
	CIRCLE_STAT_SERVED,		/* writes stored for others */
	CIRCLE_STAT_HEALED,		/* blocks that were copied to one more holder */
	CIRCLE_STAT_REVIVED,		/* of these, without sending their data */
	CIRCLE_STAT_CACHE_ERROR,	/* I/O of ours that the cache device failed */
	CIRCLE_STAT_ORIGIN_ERROR,	/* writes and FLUSHes of ours that the origin failed */
	CIRCLE_STAT_NR
};

struct circle_stats {
	u64 n[CIRCLE_STAT_NR];
};

static inline u64 circle_stat_sum(struct circle_stats __percpu *stats, enum circle_stat which)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += per_cpu_ptr(stats, cpu)->n[which];
	return sum;
}

#define circle_stat_add(stats, which, by)	this_cpu_add((stats)->n[which], by)

#endif
