/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stash: pages that are needed again soon, kept rather than given back to the kernel, which would
 * clear them at each allocation. No reserve: it may be empty, and it promises nothing.
 */
#ifndef CIRCLE_ENGINE_STASH_H
#define CIRCLE_ENGINE_STASH_H

#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/spinlock.h>

#define CIRCLE_STASH_PAGES	512u	/* kept at most */

struct circle_stash {
	spinlock_t lock;		/* irq-safe, innermost; covers what follows */
	struct list_head pages;		/* page->lru */
	unsigned int nr;
};

void circle_stash_init(struct circle_stash *s);
void circle_stash_empty(struct circle_stash *s);	/* nobody uses it any more */

/* Any context that gfp allows. A page of unknown content; NULL: there is no memory. */
struct page *circle_stash_get(struct circle_stash *s, gfp_t gfp);
void circle_stash_put(struct circle_stash *s, struct page *page);	/* any context */

#endif
