// SPDX-License-Identifier: GPL-2.0-only
/*
 * lru, sieve: the two that need nothing but one list. Both admit every block that is missed.
 * LRU moves a block to the head on each hit. SIEVE marks it and lets a hand go from the tail to the
 * head, which takes the first unmarked block and leaves the others where they are.
 */
#include <stdlib.h>

#include "sim.h"

struct lru {
	struct index index;
	struct links links;
	struct list list;
	bool *mark;
	u32 slots, used, hand;
};

static void *create(const struct setup *s)
{
	struct lru *m = must_alloc(1, sizeof(*m));

	m->slots = s->slots;
	m->hand = NONE;
	index_init(&m->index, s->slots);
	links_init(&m->links, s->slots);
	list_init(&m->list);
	m->mark = must_alloc(s->slots, sizeof(bool));
	return m;
}

static void destroy(void *p)
{
	struct lru *m = p;

	index_free(&m->index);
	links_free(&m->links);
	free(m->mark);
	free(m);
}

static void enter(struct lru *m, u64 block, u32 e)
{
	m->mark[e] = false;
	index_add(&m->index, block, e);
	list_push(&m->links, &m->list, e);
}

static bool lru_access(void *p, const struct access *a, struct tally *t)
{
	struct lru *m = p;
	u32 e = index_find(&m->index, a->block);
	bool hit = e != NONE;

	if (hit) {
		list_del(&m->links, &m->list, e);
		list_push(&m->links, &m->list, e);
		return true;
	}
	if (m->used < m->slots) {
		e = m->used++;
	} else {
		e = m->list.tail;
		list_del(&m->links, &m->list, e);
		index_del(&m->index, e);
	}
	t->promotions += !a->whole || !a->write;
	enter(m, a->block, e);
	return false;
}

/* Takes the hand's next unmarked block out. */
static u32 sieve(struct lru *m)
{
	u32 e = m->hand == NONE ? m->list.tail : m->hand;

	while (m->mark[e]) {
		m->mark[e] = false;
		e = m->links.prev[e];
		if (e == NONE)
			e = m->list.tail;
	}
	m->hand = m->links.prev[e];
	list_del(&m->links, &m->list, e);
	index_del(&m->index, e);
	return e;
}

static bool sieve_access(void *p, const struct access *a, struct tally *t)
{
	struct lru *m = p;
	u32 e = index_find(&m->index, a->block);

	if (e != NONE) {
		m->mark[e] = true;
		return true;
	}
	e = m->used < m->slots ? m->used++ : sieve(m);
	t->promotions += !a->whole || !a->write;
	enter(m, a->block, e);
	return false;
}

const struct model lru_model = { "lru", create, lru_access, destroy };
const struct model sieve_model = { "sieve", create, sieve_access, destroy };
