// SPDX-License-Identifier: GPL-2.0-only
/*
 * gen: traces of known shapes, always the same ones. Sizes follow the cache, so that each shape
 * means the same for every size. Requests come 2000 a second.
 */
#include <linux/kernel.h>
#include <math.h>
#include <string.h>

#include "sim.h"

#define PERIOD_US	500
#define LENGTH		120u	/* accesses per slot of the cache */
#define SCAN_SECTORS	256u

struct gen {
	struct trace *t;
	u64 seed;
	u32 slots, block_sectors;
	u64 us;
	double *zipf;		/* cumulated */
	u32 zipf_nr;
};

static u64 rnd(struct gen *g)
{
	u64 z = g->seed += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static u32 below(struct gen *g, u32 n)
{
	return (rnd(g) >> 32) * n >> 32;
}

static double unit(struct gen *g)
{
	return (double)(rnd(g) >> 11) / (double)(1ull << 53);
}

static void zipf_init(struct gen *g, u32 nr, double alpha)
{
	double sum = 0;
	u32 i;

	free(g->zipf);
	g->zipf = must_alloc(nr, sizeof(double));
	g->zipf_nr = nr;
	for (i = 0; i < nr; i++)
		g->zipf[i] = sum += 1 / pow(i + 1, alpha);
	for (i = 0; i < nr; i++)
		g->zipf[i] /= sum;
}

static u32 zipf(struct gen *g)
{
	double u = unit(g);
	u32 lo = 0, hi = g->zipf_nr - 1;

	while (lo < hi) {
		u32 mid = (lo + hi) / 2;

		if (g->zipf[mid] < u)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* A number from 0 to n - 1 for each, in no visible order; runs of `run` blocks stay together. */
static u32 *shuffled(struct gen *g, u32 n, u32 run)
{
	u32 *p = must_alloc(n, sizeof(u32)), groups = (n + run - 1) / run, i, j, k, at = 0;
	u32 *order = must_alloc(groups, sizeof(u32));

	for (i = 0; i < groups; i++)
		order[i] = i;
	for (i = groups; i > 1; i--) {
		j = below(g, i);
		k = order[i - 1];
		order[i - 1] = order[j];
		order[j] = k;
	}
	for (i = 0; i < groups; i++)
		for (j = 0; j < run && order[i] * run + j < n; j++)
			p[at++] = order[i] * run + j;
	free(order);
	return p;
}

static void emit(struct gen *g, u64 sector, u32 sectors, bool write)
{
	struct request r = { .us = g->us, .sector = sector, .sectors = sectors, .write = write };

	g->us += PERIOD_US;
	trace_add(g->t, &r);
}

/* 4 KiB somewhere in the block. */
static void touch(struct gen *g, u64 block, bool write)
{
	u32 pages = g->block_sectors / 8;

	emit(g, block * g->block_sectors + below(g, pages) * 8, 8, write);
}

static void zipf_shape(struct gen *g, u32 span, double alpha, u32 run, u32 write_percent)
{
	u32 n = g->slots * span, *at, i;

	zipf_init(g, n, alpha);
	at = shuffled(g, n, run);
	for (i = 0; i < g->slots * LENGTH; i++)
		touch(g, at[zipf(g)], below(g, 100) < write_percent);
	free(at);
}

static void zipf_flat(struct gen *g)
{
	zipf_shape(g, 8, 0.8, 1, 0);
}

static void zipf_steep(struct gen *g)
{
	zipf_shape(g, 8, 1.1, 1, 0);
}

static void zipf_extents(struct gen *g)
{
	zipf_shape(g, 8, 0.9, 32, 0);
}

static void mixed(struct gen *g)
{
	zipf_shape(g, 8, 0.9, 1, 40);
}

/* One long sequential read of `blocks` blocks from `from` on. */
static void scan(struct gen *g, u64 from, u32 blocks)
{
	u64 s = from * g->block_sectors, end = s + (u64)blocks * g->block_sectors;

	for (; s < end; s += SCAN_SECTORS)
		emit(g, s, end - s < SCAN_SECTORS ? end - s : SCAN_SECTORS, false);
}

/* A hot set of half the cache; now and then a table is read through, another each time. */
static void scan_over_hot(struct gen *g)
{
	u32 hot = g->slots / 2, *at, i;
	u64 next = hot;

	zipf_init(g, hot, 0.6);
	at = shuffled(g, hot, 1);
	for (i = 1; i <= g->slots * LENGTH / 2; i++) {
		touch(g, at[zipf(g)], false);
		if (i % (g->slots * 8))
			continue;
		scan(g, next, g->slots * 4);
		next += g->slots * 4;
	}
	free(at);
}

/* The same, but what is read once comes in between, and in no order. */
static void once_over_hot(struct gen *g)
{
	u32 hot = g->slots * 3 / 4, cold = g->slots * LENGTH / 3, *at, *once, i;

	zipf_init(g, hot, 0.6);
	at = shuffled(g, hot, 1);
	once = shuffled(g, cold, 1);
	for (i = 0; i < cold; i++) {
		touch(g, at[zipf(g)], false);
		touch(g, at[zipf(g)], false);
		touch(g, hot + once[i], false);
	}
	free(once);
	free(at);
}

static void loop_in_order(struct gen *g, u32 percent, const u32 *at)
{
	u32 n = (u64)g->slots * percent / 100, i;

	for (i = 0; i < g->slots * LENGTH; i++)
		touch(g, at ? at[i % n] : i % n, false);
}

/* Each round the same blocks in the same order, which is no sequential one. */
static void loop_small(struct gen *g)
{
	u32 *at = shuffled(g, (u64)g->slots * 125 / 100, 1);

	loop_in_order(g, 125, at);
	free(at);
}

static void loop_large(struct gen *g)
{
	u32 *at = shuffled(g, g->slots * 3, 1);

	loop_in_order(g, 300, at);
	free(at);
}

static void loop_sequential(struct gen *g)
{
	u32 rounds = LENGTH / 3, i;

	for (i = 0; i < rounds; i++)
		scan(g, 0, g->slots * 3 / 2);
}

/* A file that fits is read again and again, behind other work. */
static void loop_after_work(struct gen *g)
{
	u32 n = g->slots * 3 / 4, *at = shuffled(g, n, 1), i;

	zipf_init(g, g->slots, 0.8);
	for (i = 0; i < g->slots * LENGTH / 4; i++)
		touch(g, n + zipf(g), false);
	for (i = 0; i < g->slots * LENGTH * 3 / 4; i++)
		touch(g, at[i % n], false);
	free(at);
}

/* Another hot set of 0.8 of the cache, ten times; one access in ten goes anywhere. */
static void shifting(struct gen *g)
{
	u32 hot = g->slots * 4 / 5, phases = 10, span = hot * phases, *at, i, p;

	zipf_init(g, hot, 0.6);
	at = shuffled(g, span, 1);
	for (p = 0; p < phases; p++)
		for (i = 0; i < g->slots * LENGTH / phases; i++)
			touch(g, below(g, 10) ? at[p * hot + zipf(g)] : at[below(g, span)], false);
	free(at);
}

/* The hot set moves on by one block in a while. */
static void drifting(struct gen *g)
{
	u32 hot = g->slots / 2, nr = g->slots * LENGTH, span = nr / 16 + hot, *at, i;

	zipf_init(g, hot, 0.7);
	at = shuffled(g, span, 1);
	for (i = 0; i < nr; i++)
		touch(g, at[i / 16 + zipf(g)], false);
	free(at);
}

/* A log is written in order, tables are read and written at random, and read through at night. */
static void database(struct gen *g)
{
	u32 n = g->slots * 4, *at, i;
	u64 log_at = (u64)g->slots * 12 * g->block_sectors, log_end = log_at;

	zipf_init(g, n, 0.9);
	at = shuffled(g, n, 4);
	log_end += (u64)g->slots * g->block_sectors / 8;
	for (i = 1; i <= g->slots * LENGTH * 2 / 3; i++) {
		u64 s = log_at + (u64)i * 16 % (log_end - log_at);

		if (i % 4 == 0)
			emit(g, s, 16, true);
		else
			touch(g, at[zipf(g)], below(g, 4) == 0);
		if (i % (g->slots * 20) == 0)
			scan(g, 0, n);
	}
	free(at);
}

static const struct shape {
	const char *name, *what;
	void (*make)(struct gen *g);
} shapes[] = {
	{ "zipf-flat", "Zipf 0.8 over 8 times the cache", zipf_flat },
	{ "zipf-steep", "Zipf 1.1 over 8 times the cache", zipf_steep },
	{ "zipf-extents", "Zipf 0.9, hot places of 32 blocks", zipf_extents },
	{ "mixed", "Zipf 0.9, 40 % writes", mixed },
	{ "scan", "hot set, sequential scans in between", scan_over_hot },
	{ "once", "hot set, every third block is read once", once_over_hot },
	{ "loop-small", "loop over 1.25 times the cache", loop_small },
	{ "loop-large", "loop over 3 times the cache", loop_large },
	{ "loop-seq", "sequential loop over 1.5 times the cache", loop_sequential },
	{ "loop-after", "loop over 0.75 of the cache, after a hot set", loop_after_work },
	{ "shifting", "ten hot sets of 0.8 of the cache in turn", shifting },
	{ "drifting", "hot set that moves slowly", drifting },
	{ "database", "log, random reads and writes, table scans", database },
};

bool shape_make(struct trace *t, unsigned int which, u32 slots, u32 block_sectors)
{
	struct gen g = { .t = t, .seed = 1000 + which, .slots = slots,
			 .block_sectors = block_sectors };

	if (which >= ARRAY_SIZE(shapes))
		return false;
	memset(t, 0, sizeof(*t));
	t->name = shapes[which].name;
	t->what = shapes[which].what;
	shapes[which].make(&g);
	free(g.zipf);
	return true;
}

void trace_add(struct trace *t, const struct request *r)
{
	if (t->nr == t->room) {
		t->room = t->room ? t->room * 2 : 65536;
		t->req = realloc(t->req, t->room * sizeof(*r));
		if (!t->req) {
			perror("policy-sim");
			exit(1);
		}
	}
	t->req[t->nr++] = *r;
}

void trace_free(struct trace *t)
{
	free(t->req);
	t->req = NULL;
}
