// SPDX-License-Identifier: GPL-2.0-only
/*
 * stash: see stash.h. What is in a page that comes from it is never shown to anybody: its user
 * writes all of it before it reads or sends any.
 */
#include "stash.h"

#include <linux/log2.h>
#include <linux/mm.h>

void circle_stash_init(struct circle_stash *s)
{
	spin_lock_init(&s->lock);
	s->nr = 0;
	s->nr_runs = 0;
}

/* Each page of a run has a reference of its own. */
static void free_run(struct page *first)
{
	unsigned int i;

	for (i = 0; i < CIRCLE_STASH_RUN; i++)
		__free_page(first + i);
}

void circle_stash_empty(struct circle_stash *s)
{
	while (s->nr)
		__free_page(s->page[--s->nr]);
	while (s->nr_runs)
		free_run(s->run[--s->nr_runs]);
}

static void put_run_in(struct bio_vec *bv, struct page *first, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		bv[i].bv_page = first + i;
}

/* s->lock held. Returns how many, n at most. */
static unsigned int __get_runs(struct circle_stash *s, struct bio_vec *bv, unsigned int n)
{
	unsigned int i;

	for (i = 0; n - i >= CIRCLE_STASH_RUN && s->nr_runs; i += CIRCLE_STASH_RUN)
		put_run_in(bv + i, s->run[--s->nr_runs], CIRCLE_STASH_RUN);
	return i;
}

/* From the kernel, if that needs no effort. Returns how many, n at most. */
static unsigned int new_runs(struct bio_vec *bv, unsigned int n, gfp_t gfp)
{
	struct page *first;
	unsigned int i;

	gfp = (gfp & ~__GFP_RECLAIM) | __GFP_NOWARN | __GFP_NOMEMALLOC;
	for (i = 0; n - i >= CIRCLE_STASH_RUN; i += CIRCLE_STASH_RUN) {
		first = alloc_pages(gfp, ilog2(CIRCLE_STASH_RUN));
		if (!first)
			break;
		split_page(first, ilog2(CIRCLE_STASH_RUN));
		put_run_in(bv + i, first, CIRCLE_STASH_RUN);
	}
	return i;
}

/* s->lock held. The same, one by one; runs are used up before the kernel is asked. */
static unsigned int __get_pages(struct circle_stash *s, struct bio_vec *bv, unsigned int n)
{
	unsigned int i, k;

	for (i = 0; i < n; i++) {
		if (!s->nr && s->nr_runs)
			for (s->nr_runs--, k = CIRCLE_STASH_RUN; k; )
				s->page[s->nr++] = s->run[s->nr_runs] + --k;
		if (!s->nr)
			break;
		bv[i].bv_page = s->page[--s->nr];
	}
	return i;
}

unsigned int circle_stash_get(struct circle_stash *s, struct bio_vec *bv, unsigned int n, gfp_t gfp)
{
	unsigned long flags;
	unsigned int i;

	spin_lock_irqsave(&s->lock, flags);
	i = __get_runs(s, bv, n);
	spin_unlock_irqrestore(&s->lock, flags);
	i += new_runs(bv + i, n - i, gfp);
	spin_lock_irqsave(&s->lock, flags);
	i += __get_pages(s, bv + i, n - i);
	spin_unlock_irqrestore(&s->lock, flags);
	for (; i < n; i++) {
		bv[i].bv_page = alloc_page(gfp);
		if (!bv[i].bv_page)
			break;
	}
	return i;
}

static bool is_run(const struct bio_vec *bv)
{
	unsigned int i;

	for (i = 1; i < CIRCLE_STASH_RUN; i++)
		if (bv[i].bv_page != bv[0].bv_page + i)
			return false;
	return true;
}

void circle_stash_put(struct circle_stash *s, struct bio_vec *bv, unsigned int n)
{
	unsigned int i, over = 0;
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	for (i = 0; i < n; i++) {
		if (n - i >= CIRCLE_STASH_RUN && s->nr_runs < CIRCLE_STASH_RUNS && is_run(bv + i)) {
			s->run[s->nr_runs++] = bv[i].bv_page;
			i += CIRCLE_STASH_RUN - 1;
		} else if (s->nr < CIRCLE_STASH_PAGES) {
			s->page[s->nr++] = bv[i].bv_page;
		} else {
			bv[over++].bv_page = bv[i].bv_page;
		}
	}
	spin_unlock_irqrestore(&s->lock, flags);
	while (over)
		__free_page(bv[--over].bv_page);
}
