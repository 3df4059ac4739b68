// SPDX-License-Identifier: GPL-2.0-only
/*
 * circle: ours. The decisions are core/policy.c's own, compiled in; the rest does what the engine
 * does around them: shards, a stock of free slots that reclaim refills, validity by page, dirty
 * blocks that stand on no queue until they are written back, after 10 s or under pressure.
 */
#include <stdlib.h>
#include <linux/kernel.h>

#include "policy.h"
#include "sim.h"

#define SHARDS		64u
#define AGE		10000000ull	/* us */
#define TRIES		32

struct shard {
	struct list queue[2];	/* of clean blocks: small, main */
	struct list dirty;
};

struct slot {
	u64 valid, since;	/* since: when it became dirty */
	u32 uses;
	bool main, dirty;
};

struct circle {
	struct setup s;
	struct circle_policy policy;
	struct index index;
	struct links links;
	struct shard shard[SHARDS];
	struct slot *slot;
	u32 *free, nr_free, nr_dirty, stock, next_shard, next_dirty;
	u64 *ghost;
};

static void *create(const struct setup *s)
{
	struct circle *m = must_alloc(1, sizeof(*m));
	u32 i;

	m->s = *s;
	index_init(&m->index, s->slots);
	links_init(&m->links, s->slots);
	for (i = 0; i < SHARDS; i++) {
		list_init(&m->shard[i].queue[0]);
		list_init(&m->shard[i].queue[1]);
		list_init(&m->shard[i].dirty);
	}
	m->slot = must_alloc(s->slots, sizeof(*m->slot));
	m->free = must_alloc(s->slots, sizeof(u32));
	for (i = 0; i < s->slots; i++)
		m->free[i] = s->slots - 1 - i;
	m->nr_free = s->slots;
	m->stock = s->slots / 32 < 8 ? 8 : s->slots / 32 > 4096 ? 4096 : s->slots / 32;
	m->ghost = must_alloc(circle_policy_sets(s->slots), sizeof(u64));
	circle_policy_init(&m->policy, m->ghost, circle_policy_sets(s->slots));
	return m;
}

static void destroy(void *p)
{
	struct circle *m = p;

	index_free(&m->index);
	links_free(&m->links);
	free(m->slot);
	free(m->free);
	free(m->ghost);
	free(m);
}

static struct shard *shard_of(struct circle *m, u64 block)
{
	return &m->shard[block * 0xd6e8feb86659fd93ull >> 58];
}

static void set_clean(struct circle *m, u32 e, struct tally *t)
{
	struct shard *sh = shard_of(m, m->index.key[e]);

	list_del(&m->links, &sh->dirty, e);
	list_push(&m->links, &sh->queue[m->slot[e].main], e);
	m->slot[e].dirty = false;
	m->nr_dirty--;
	t->writebacks++;
}

static void set_dirty(struct circle *m, u32 e, u64 now)
{
	struct shard *sh = shard_of(m, m->index.key[e]);

	if (m->slot[e].dirty)
		return;
	list_del(&m->links, &sh->queue[m->slot[e].main], e);
	list_push(&m->links, &sh->dirty, e);
	m->slot[e].dirty = true;
	m->slot[e].since = now;
	m->nr_dirty++;
}

static void write_back(struct circle *m, u64 now, struct tally *t)
{
	struct shard *sh;
	u32 i;

	for (i = 0; m->nr_dirty && i < SHARDS; i++) {
		sh = &m->shard[i];
		while (sh->dirty.nr && m->slot[sh->dirty.tail].since + AGE <= now)
			set_clean(m, sh->dirty.tail, t);
	}
	while (m->nr_dirty > m->s.slots / 4 * 3) {
		sh = &m->shard[m->next_dirty++ % SHARDS];
		if (sh->dirty.nr)
			set_clean(m, sh->dirty.tail, t);
	}
}

static void to_head(struct circle *m, struct shard *sh, u32 e, bool main)
{
	list_del(&m->links, &sh->queue[m->slot[e].main], e);
	m->slot[e].main = main;
	list_push(&m->links, &sh->queue[main], e);
}

/* hard: uses do not count. */
static u32 victim(struct circle *m, struct shard *sh, bool hard)
{
	u32 tries = TRIES, e;

	while (tries-- && (sh->queue[0].nr || sh->queue[1].nr)) {
		bool main = sh->queue[1].nr &&
			    !circle_policy_small_first(sh->queue[0].nr, sh->queue[1].nr);

		e = sh->queue[main].tail;
		if (hard)
			return e;
		switch (circle_policy_fate(main, &m->slot[e].uses)) {
		case CIRCLE_FATE_EVICT:
			return e;
		case CIRCLE_FATE_AGAIN:
			to_head(m, sh, e, main);
			break;
		case CIRCLE_FATE_MAIN:
			to_head(m, sh, e, true);
			break;
		}
	}
	return NONE;
}

static void reclaim(struct circle *m)
{
	u32 idle = 0;

	while (m->nr_free < m->stock) {
		struct shard *sh = &m->shard[m->next_shard++ % SHARDS];
		u32 e = victim(m, sh, idle >= SHARDS);

		idle = e == NONE ? idle + 1 : 0;
		if (e == NONE)
			continue;
		if (!m->slot[e].main)
			circle_policy_remember(&m->policy, m->index.key[e]);
		list_del(&m->links, &sh->queue[m->slot[e].main], e);
		index_del(&m->index, e);
		m->free[m->nr_free++] = e;
	}
}

static u32 enter(struct circle *m, u64 block, bool main)
{
	u32 e = m->free[--m->nr_free];

	m->slot[e] = (struct slot){ .main = main };
	index_add(&m->index, block, e);
	list_push(&m->links, &shard_of(m, block)->queue[main], e);
	return e;
}

static bool wins(struct circle *m, struct shard *sh)
{
	u32 e = sh->queue[1].tail;

	if (e == NONE || circle_policy_small_first(sh->queue[0].nr, sh->queue[1].nr))
		return true;
	if (circle_policy_wins(&m->slot[e].uses))
		return true;
	to_head(m, sh, e, true);
	return false;
}

static void fill(struct circle *m, u32 e, struct tally *t)
{
	m->slot[e].valid = ~0ull;
	t->promotions++;
}

static bool room(const struct circle *m)
{
	return m->nr_free > m->stock && m->s.block_sectors <= CIRCLE_STREAM_SECTORS;
}

static void read_missed(struct circle *m, const struct access *a, u32 e, struct tally *t)
{
	bool stream = circle_policy_sequential(&m->policy, a->sector, a->sectors);
	enum circle_admit admit;

	if (e != NONE) {
		if (!stream)
			fill(m, e, t);
		return;
	}
	admit = circle_policy_read(&m->policy, a->block, stream, room(m));
	if (admit == CIRCLE_ADMIT_MAIN && !wins(m, shard_of(m, a->block))) {
		circle_policy_remember(&m->policy, a->block);
		return;
	}
	if (admit != CIRCLE_ADMIT_NOT)
		fill(m, enter(m, a->block, admit == CIRCLE_ADMIT_MAIN), t);
}

static void write(struct circle *m, const struct access *a, u32 e)
{
	enum circle_admit admit;

	if (e == NONE) {
		admit = circle_policy_write(&m->policy, a->block, false);
		e = enter(m, a->block, admit == CIRCLE_ADMIT_MAIN);
	}
	m->slot[e].valid |= a->pages;
	set_dirty(m, e, a->us);
}

static bool circle_access(void *p, const struct access *a, struct tally *t)
{
	struct circle *m = p;
	u32 e = index_find(&m->index, a->block);
	bool hit = e != NONE && (a->write || !(a->pages & ~m->slot[e].valid));

	write_back(m, a->us, t);
	if (e != NONE && m->slot[e].uses < CIRCLE_USES_MAX)
		m->slot[e].uses++;
	if (a->write)
		write(m, a, e);
	else if (!hit)
		read_missed(m, a, e, t);
	reclaim(m);
	return hit;
}

const struct model circle_model = { "circle", create, circle_access, destroy };
