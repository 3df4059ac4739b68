/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stash: pages that are needed again soon, kept rather than given back to the kernel, which would
 * clear them at each allocation. Where many are wanted at once they are next to one another, if
 * that costs nothing: so they are added up, sent and received in fewer pieces. No reserve: it may
 * be empty, and it promises nothing.
 */
#ifndef CIRCLE_ENGINE_STASH_H
#define CIRCLE_ENGINE_STASH_H

#include <linux/bvec.h>
#include <linux/gfp.h>
#include <linux/spinlock.h>

#define CIRCLE_STASH_PAGES	512u	/* kept at most one by one, and as many in runs */
#define CIRCLE_STASH_RUN	16u	/* pages next to one another: those of a block of 64 KiB */
#define CIRCLE_STASH_RUNS	(CIRCLE_STASH_PAGES / CIRCLE_STASH_RUN)

struct circle_stash {
	spinlock_t lock;		/* irq-safe, innermost; covers what follows */
	unsigned int nr, nr_runs;
	struct page *page[CIRCLE_STASH_PAGES];
	struct page *run[CIRCLE_STASH_RUNS];	/* the first page of each */
};

void circle_stash_init(struct circle_stash *s);
void circle_stash_empty(struct circle_stash *s);	/* nobody uses it any more */

/*
 * Any context that gfp allows. Sets bv_page of the first n vectors to pages of unknown content.
 * Returns of how many: less than n if there is no memory.
 */
unsigned int circle_stash_get(struct circle_stash *s, struct bio_vec *bv, unsigned int n,
			      gfp_t gfp);
/* Any context. */
void circle_stash_put(struct circle_stash *s, struct bio_vec *bv, unsigned int n);

#endif
