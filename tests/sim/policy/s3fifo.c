// SPDX-License-Identifier: GPL-2.0-only
/*
 * s3fifo: as its authors describe it. A small FIFO of a tenth of the cache takes what is new, a
 * main FIFO what was used there more than once or comes back while a ghost FIFO remembers it. Two
 * bits count uses; nothing moves on a hit.
 */
#include <stdlib.h>

#include "sim.h"

struct s3fifo {
	struct index index, ghost_index;
	struct links links, ghost_links;
	struct list small, main, ghost;
	u8 *uses;
	bool *in_main;
	u32 slots, used, small_max, ghost_max, ghost_used;
};

static void *create(const struct setup *s)
{
	struct s3fifo *m = must_alloc(1, sizeof(*m));

	m->slots = s->slots;
	m->small_max = s->slots / 10 ? s->slots / 10 : 1;
	m->ghost_max = s->slots - m->small_max;
	index_init(&m->index, s->slots);
	links_init(&m->links, s->slots);
	index_init(&m->ghost_index, m->ghost_max);
	links_init(&m->ghost_links, m->ghost_max);
	list_init(&m->small);
	list_init(&m->main);
	list_init(&m->ghost);
	m->uses = must_alloc(s->slots, 1);
	m->in_main = must_alloc(s->slots, sizeof(bool));
	return m;
}

static void destroy(void *p)
{
	struct s3fifo *m = p;

	index_free(&m->index);
	links_free(&m->links);
	index_free(&m->ghost_index);
	links_free(&m->ghost_links);
	free(m->uses);
	free(m->in_main);
	free(m);
}

static void remember(struct s3fifo *m, u64 block)
{
	u32 g;

	if (m->ghost_used < m->ghost_max) {
		g = m->ghost_used++;
	} else {
		g = m->ghost.tail;
		list_del(&m->ghost_links, &m->ghost, g);
		index_del(&m->ghost_index, g);
	}
	index_add(&m->ghost_index, block, g);
	list_push(&m->ghost_links, &m->ghost, g);
}

/* Forgotten entries keep their place in the FIFO, under a key that no block has. */
static bool recall(struct s3fifo *m, u64 block)
{
	u32 g = index_find(&m->ghost_index, block);

	if (g == NONE)
		return false;
	index_del(&m->ghost_index, g);
	index_add(&m->ghost_index, ~(u64)g, g);
	return true;
}

static u32 evict_main(struct s3fifo *m)
{
	for (;;) {
		u32 e = m->main.tail;

		list_del(&m->links, &m->main, e);
		if (!m->uses[e])
			return e;
		m->uses[e]--;
		list_push(&m->links, &m->main, e);
	}
}

/* NONE: all that were in the small queue have moved on. */
static u32 evict_small(struct s3fifo *m)
{
	while (m->small.nr) {
		u32 e = m->small.tail;

		list_del(&m->links, &m->small, e);
		if (m->uses[e] <= 1) {
			remember(m, m->index.key[e]);
			return e;
		}
		m->uses[e] = 0;
		m->in_main[e] = true;
		list_push(&m->links, &m->main, e);
	}
	return NONE;
}

static u32 evict(struct s3fifo *m)
{
	u32 e = NONE;

	if (m->small.nr >= m->small_max || !m->main.nr)
		e = evict_small(m);
	if (e == NONE)
		e = evict_main(m);
	index_del(&m->index, e);
	return e;
}

static bool s3fifo_access(void *p, const struct access *a, struct tally *t)
{
	struct s3fifo *m = p;
	u32 e = index_find(&m->index, a->block);

	if (e != NONE) {
		m->uses[e] += m->uses[e] < 3;
		return true;
	}
	e = m->used < m->slots ? m->used++ : evict(m);
	t->promotions += !a->whole || !a->write;
	m->uses[e] = 0;
	m->in_main[e] = recall(m, a->block);
	index_add(&m->index, a->block, e);
	list_push(&m->links, m->in_main[e] ? &m->main : &m->small, e);
	return false;
}

const struct model s3fifo_model = { "s3-fifo", create, s3fifo_access, destroy };
