/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sim: replays block traces against models of caching policies and counts hits. One thread, no
 * clock but the trace's, fixed seeds: every run gives the same numbers.
 */
#ifndef POLICY_SIM_H
#define POLICY_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

#define NONE	0xffffffffu

struct request {		/* of a trace */
	u64 us;			/* microseconds since its start */
	u64 sector;
	u32 sectors;
	bool write;
};

struct trace {
	const char *name, *what;
	struct request *req;
	size_t nr, room;
};

struct setup {
	u32 slots;		/* blocks that the cache holds */
	u32 block_sectors;
	u32 page_sectors;
	u64 nr_blocks;		/* of the origin: highest block of the trace + 1 */
	u32 depth;		/* requests under way at a time: paces smq's ticks */
};

struct access {			/* the part of a request that lies in one block */
	u64 us, block, sector;
	u32 sectors;
	u64 pages;		/* mask of those it touches */
	bool write;
	bool whole;		/* covers the block */
};

struct tally {
	u64 reads, read_hits, writes, write_hits;
	u64 promotions;		/* blocks copied from the origin */
	u64 writebacks;		/* blocks copied to it */
};

struct model {
	const char *name;
	void *(*create)(const struct setup *s);
	/* Returns whether the access is a hit, then lets the policy act. */
	bool (*access)(void *m, const struct access *a, struct tally *t);
	void (*destroy)(void *m);
};

extern const struct model lru_model, sieve_model, s3fifo_model, smq_model, circle_model;

/* index.c: from block to slot, chained. */
struct index {
	u32 *bucket, *next, mask;
	u64 *key;
};

void index_init(struct index *x, u32 entries);
void index_free(struct index *x);
u32 index_find(const struct index *x, u64 key);	/* NONE: not there */
void index_add(struct index *x, u64 key, u32 e);
void index_del(struct index *x, u32 e);

/* list.c: lists of entries, by number. Head is the newest. */
struct links {
	u32 *prev, *next;
};

struct list {
	u32 head, tail, nr;
};

void links_init(struct links *k, u32 entries);
void links_free(struct links *k);
void list_init(struct list *l);
void list_push(struct links *k, struct list *l, u32 e);			/* to the head */
void list_push_tail(struct links *k, struct list *l, u32 e);
void list_insert_older(struct links *k, struct list *l, u32 at, u32 e);	/* behind at */
void list_del(struct links *k, struct list *l, u32 e);

/* gen.c */
extern const char *const shape_name[];
bool shape_make(struct trace *t, unsigned int which, u32 slots, u32 block_sectors);
void trace_add(struct trace *t, const struct request *r);
void trace_free(struct trace *t);

/* csv.c: 0, or -errno; says why on stderr. */
int csv_read(struct trace *t, const char *path);

/* chart.c */
struct result {
	const char *trace, *model;
	struct tally t;
};

double hit_ratio(const struct tally *t);	/* in percent */
void table_print(const struct result *r, size_t traces, size_t models);
void chart_print(const struct result *r, size_t traces, size_t models);
int results_write(const char *dir, const struct result *r, size_t traces, size_t models);

/* Memory or the end. */
void *must_alloc(size_t nr, size_t size);

#endif
