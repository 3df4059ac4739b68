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
	INIT_LIST_HEAD(&s->pages);
	s->nr = 0;
}

void circle_stash_empty(struct circle_stash *s)
{
	struct page *page, *tmp;

	list_for_each_entry_safe(page, tmp, &s->pages, lru) {
		list_del(&page->lru);
		__free_page(page);
	}
	s->nr = 0;
}

struct page *circle_stash_get(struct circle_stash *s, gfp_t gfp)
{
	struct page *page;
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	page = list_first_entry_or_null(&s->pages, struct page, lru);
	if (page) {
		list_del(&page->lru);
		s->nr--;
	}
	spin_unlock_irqrestore(&s->lock, flags);
	return page ?: alloc_page(gfp);
}

void circle_stash_put(struct circle_stash *s, struct page *page)
{
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	if (s->nr < CIRCLE_STASH_PAGES) {
		list_add(&page->lru, &s->pages);
		s->nr++;
		page = NULL;
	}
	spin_unlock_irqrestore(&s->lock, flags);
	if (page)
		__free_page(page);
}
