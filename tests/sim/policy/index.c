// SPDX-License-Identifier: GPL-2.0-only
/*
 * index, list: what every model needs to find and to order its entries.
 */
#include <linux/kernel.h>
#include <string.h>

#include "sim.h"

void *must_alloc(size_t nr, size_t size)
{
	void *p = calloc(nr ? nr : 1, size);

	if (p)
		return p;
	fprintf(stderr, "policy-sim: out of memory\n");
	exit(1);
}

static u32 bucket_of(const struct index *x, u64 key)
{
	return (u32)(key * 0x9e3779b97f4a7c15ull >> 32) & x->mask;
}

void index_init(struct index *x, u32 entries)
{
	u32 nr = roundup_pow_of_two(entries + 1);

	x->mask = nr - 1;
	x->bucket = must_alloc(nr, sizeof(u32));
	x->next = must_alloc(entries, sizeof(u32));
	x->key = must_alloc(entries, sizeof(u64));
	memset(x->bucket, 0xff, nr * sizeof(u32));
}

void index_free(struct index *x)
{
	free(x->bucket);
	free(x->next);
	free(x->key);
}

u32 index_find(const struct index *x, u64 key)
{
	u32 e = x->bucket[bucket_of(x, key)];

	while (e != NONE && x->key[e] != key)
		e = x->next[e];
	return e;
}

void index_add(struct index *x, u64 key, u32 e)
{
	u32 *b = &x->bucket[bucket_of(x, key)];

	x->key[e] = key;
	x->next[e] = *b;
	*b = e;
}

void index_del(struct index *x, u32 e)
{
	u32 *p = &x->bucket[bucket_of(x, x->key[e])];

	while (*p != e)
		p = &x->next[*p];
	*p = x->next[e];
}

void links_init(struct links *k, u32 entries)
{
	k->prev = must_alloc(entries, sizeof(u32));
	k->next = must_alloc(entries, sizeof(u32));
}

void links_free(struct links *k)
{
	free(k->prev);
	free(k->next);
}

void list_init(struct list *l)
{
	l->head = NONE;
	l->tail = NONE;
	l->nr = 0;
}

static void join(struct links *k, struct list *l, u32 newer, u32 older)
{
	if (newer != NONE)
		k->next[newer] = older;
	else
		l->head = older;
	if (older != NONE)
		k->prev[older] = newer;
	else
		l->tail = newer;
}

void list_insert_older(struct links *k, struct list *l, u32 at, u32 e)
{
	u32 older = at == NONE ? l->head : k->next[at];

	join(k, l, at, e);
	join(k, l, e, older);
	l->nr++;
}

void list_push(struct links *k, struct list *l, u32 e)
{
	list_insert_older(k, l, NONE, e);
}

void list_push_tail(struct links *k, struct list *l, u32 e)
{
	list_insert_older(k, l, l->tail, e);
}

void list_del(struct links *k, struct list *l, u32 e)
{
	join(k, l, k->prev[e], k->next[e]);
	l->nr--;
}
