/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stash: pages that are needed again soon, kept rather than given back to the kernel, which would
 * clear them at each allocation. No reserve: it may be empty, and it promises nothing.
 */
#ifndef CIRCLE_ENGINE_STASH_H
#define CIRCLE_ENGINE_STASH_H

#include <linux/bvec.h>
#include <linux/gfp.h>
#include <linux/spinlock.h>

#define CIRCLE_STASH_PAGES	512u	/* kept at most */

struct circle_stash {
	spinlock_t lock;		/* irq-safe, innermost; covers what follows */
	unsigned int nr;
	struct page *page[CIRCLE_STASH_PAGES];
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
