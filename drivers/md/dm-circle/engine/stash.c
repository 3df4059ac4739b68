// SPDX-License-Identifier: GPL-2.0-only
/*
 * stash: see stash.h. What is in a page that comes from it is never shown to anybody: its user
 * writes all of it before it reads or sends any.
 */
#include "stash.h"

#include <linux/mm.h>

void circle_stash_init(struct circle_stash *s)
{
	spin_lock_init(&s->lock);
	s->nr = 0;
}

void circle_stash_empty(struct circle_stash *s)
{
	while (s->nr)
		__free_page(s->page[--s->nr]);
}

unsigned int circle_stash_get(struct circle_stash *s, struct bio_vec *bv, unsigned int n, gfp_t gfp)
{
	unsigned int i, kept;
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	kept = min(n, s->nr);
	for (i = 0; i < kept; i++)
		bv[i].bv_page = s->page[--s->nr];
	spin_unlock_irqrestore(&s->lock, flags);
	for (; i < n; i++) {
		bv[i].bv_page = alloc_page(gfp);
		if (!bv[i].bv_page)
			break;
	}
	return i;
}

void circle_stash_put(struct circle_stash *s, struct bio_vec *bv, unsigned int n)
{
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	while (n && s->nr < CIRCLE_STASH_PAGES)
		s->page[s->nr++] = bv[--n].bv_page;
	spin_unlock_irqrestore(&s->lock, flags);
	while (n)
		__free_page(bv[--n].bv_page);
}
