// SPDX-License-Identifier: GPL-2.0-only
/*
 * smq: a model of dm-cache's policy as Linux 6.12 has it, written from what it does. Blocks of the
 * cache and hotspots (regions of up to 16 blocks that are missed) stand in queues of 64 levels. One
 * that is used for the first time in a period swaps places with the oldest of a level above. Each
 * period the levels are filled evenly again. A block is promoted when its hotspot stands high
 * enough, which depends on how well hotspots predict; the victim is the oldest clean block of the
 * lower half.
 *
 * In its favour: promotion, demotion and write-back take no time and have no limit.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define LEVELS		64u
#define CACHE_PERIOD	60000000ull	/* us */
#define HOTSPOT_PERIOD	1000000ull
#define WRITEBACK_PERIOD 10000000ull
#define TICK		1000000ull
#define IDLE		1000000ull

struct queue {
	struct list level[LEVELS];	/* head: the oldest */
	u32 nr[LEVELS];			/* without sentinels */
	u32 total, target[LEVELS], top_levels, in_top;
	struct links links;
	u8 *at;				/* level of each entry */
	u32 sentinels;			/* the first so many entries are */
};

struct score {
	u32 hits, misses, threshold;
};

struct smq {
	struct setup s;
	struct index index, hot_index;
	struct queue hot, clean, dirty;	/* an entry's number is the same in clean and dirty */
	bool *is_dirty, *used, *hot_used;
	u32 *free, nr_free, nr_hot, hot_taken, per_hot, jump, promote_level;
	struct score cache_score, hot_score;
	bool sentinel_set;
	u64 now, next_tick, next_cache, next_hot, next_writeback;
	u32 since_tick;
};

#define SENTINELS	(2 * LEVELS)	/* of the dirty queue */

static void queue_init(struct queue *q, u32 entries, u32 sentinels)
{
	u32 i;

	memset(q, 0, sizeof(*q));
	q->sentinels = sentinels;
	links_init(&q->links, entries + sentinels);
	q->at = must_alloc(entries + sentinels, 1);
	for (i = 0; i < LEVELS; i++)
		list_init(&q->level[i]);
	for (i = 0; i < sentinels; i++) {
		q->at[i] = i % LEVELS;
		list_push_tail(&q->links, &q->level[q->at[i]], i);
	}
}

static void queue_free(struct queue *q)
{
	links_free(&q->links);
	free(q->at);
}

static void count(struct queue *q, u32 e, int by)
{
	if (e < q->sentinels)
		return;
	q->nr[q->at[e]] += by;
	q->total += by;
}

static void queue_push(struct queue *q, u32 e)
{
	list_push_tail(&q->links, &q->level[q->at[e]], e);
	count(q, e, 1);
}

static void queue_before(struct queue *q, u32 at, u32 e)
{
	list_insert_older(&q->links, &q->level[q->at[e]], q->links.prev[at], e);
	count(q, e, 1);
}

static void queue_del(struct queue *q, u32 e)
{
	list_del(&q->links, &q->level[q->at[e]], e);
	count(q, e, -1);
}

/* Oldest entry of the lowest levels; with stop, none that stands behind a sentinel. */
static u32 queue_peek(const struct queue *q, u32 below, bool stop)
{
	u32 i, e;

	for (i = 0; i < below; i++)
		for (e = q->level[i].head; e != NONE; e = q->links.next[e]) {
			if (e >= q->sentinels)
				return e;
			if (stop)
				break;
		}
	return NONE;
}

/* One level up, or more; the oldest there comes down. s1, s2: older and younger sentinel. */
static void queue_raise(struct queue *q, u32 e, u32 by, u32 s1, u32 s2)
{
	u32 to = q->at[e] + by < LEVELS - 1 ? q->at[e] + by : LEVELS - 1, passed = 0, other;

	if (by && q->at[e] < LEVELS - 1) {
		other = q->level[to].head;
		while (other != NONE && other < q->sentinels) {
			passed++;
			other = q->links.next[other];
		}
		if (other != NONE) {
			queue_del(q, other);
			q->at[other] = q->at[e];
			if (s1 == NONE || passed > 1)
				queue_push(q, other);
			else
				queue_before(q, passed ? s2 : s1, other);
		}
	}
	queue_del(q, e);
	q->at[e] = to;
	queue_push(q, e);
}

static void spread(struct queue *q, u32 nr, u32 from, u32 to)
{
	u32 i;

	for (i = from; i < to; i++)
		q->target[i] = nr / (to - from) + (i - from < nr % (to - from));
}

static u32 take_youngest(struct queue *q, u32 level)
{
	u32 e = q->level[level].tail;

	while (e != NONE && e < q->sentinels)
		e = q->links.prev[e];
	return e;
}

static u32 take_oldest_above(struct queue *q, u32 level)
{
	u32 e;

	for (; level < LEVELS; level++)
		for (e = q->level[level].head; e != NONE; e = q->links.next[e])
			if (e >= q->sentinels)
				return e;
	return NONE;
}

static void move(struct queue *q, u32 e, u32 level)
{
	queue_del(q, e);
	q->at[e] = level;
	queue_push(q, e);
}

static void queue_level_out(struct queue *q)
{
	u32 low = LEVELS - q->top_levels, i, e;
	u32 in_top = q->in_top < q->total ? q->in_top : q->total;

	if (q->top_levels) {
		spread(q, q->in_top, low, LEVELS);
		spread(q, q->total - in_top, 0, low);
	} else {
		spread(q, q->total, 0, LEVELS);
	}
	for (i = 0; i < LEVELS - 1; i++) {
		while (q->nr[i] < q->target[i]) {
			e = take_oldest_above(q, i + 1);
			if (e == NONE)
				break;
			move(q, e, i);
		}
		while (q->nr[i] > q->target[i]) {
			e = take_youngest(q, i);
			if (e == NONE)
				break;
			move(q, e, i + 1);
		}
	}
}

static void score(struct score *s, bool known, u32 level)
{
	if (known && level >= s->threshold)
		s->hits++;
	else
		s->misses++;
}

/* 4: poor, 2: fair, 1: well. */
static u32 confidence(const struct score *s)
{
	u32 all = s->hits + s->misses;
	u32 c = all ? (s->hits << 8) / all : 0;

	return c < 16 ? 4 : c < 32 ? 2 : 1;
}

static void size_hotspots(struct smq *m)
{
	m->nr_hot = m->s.slots / 4 > 1024 ? m->s.slots / 4 : 1024;
	m->per_hot = 16;
	while (m->per_hot > 1 && (u64)m->per_hot * m->nr_hot > m->s.nr_blocks)
		m->per_hot /= 2;
}

static void *create(const struct setup *s)
{
	struct smq *m = must_alloc(1, sizeof(*m));
	u32 i;

	m->s = *s;
	size_hotspots(m);
	index_init(&m->index, s->slots);
	index_init(&m->hot_index, m->nr_hot);
	queue_init(&m->hot, m->nr_hot, 0);
	queue_init(&m->clean, s->slots + SENTINELS, 0);
	queue_init(&m->dirty, s->slots, SENTINELS);
	m->hot.top_levels = 8;
	m->hot.in_top = m->nr_hot / LEVELS < s->slots / m->per_hot ?
			m->nr_hot / LEVELS : s->slots / m->per_hot;
	m->is_dirty = must_alloc(s->slots, sizeof(bool));
	m->used = must_alloc(s->slots, sizeof(bool));
	m->hot_used = must_alloc(m->nr_hot, sizeof(bool));
	m->free = must_alloc(s->slots, sizeof(u32));
	for (i = 0; i < s->slots; i++)
		m->free[i] = s->slots - 1 - i;
	m->nr_free = s->slots;
	m->jump = 1;
	m->promote_level = LEVELS;
	m->cache_score.threshold = LEVELS * 3 / 4;
	m->hot_score.threshold = LEVELS * 3 / 4;
	return m;
}

static void destroy(void *p)
{
	struct smq *m = p;

	index_free(&m->index);
	index_free(&m->hot_index);
	queue_free(&m->hot);
	queue_free(&m->clean);
	queue_free(&m->dirty);
	free(m->is_dirty);
	free(m->used);
	free(m->hot_used);
	free(m->free);
	free(m);
}

static struct queue *queue_of(struct smq *m, u32 e)
{
	return m->is_dirty[e] ? &m->dirty : &m->clean;
}

/* Numbers in both queues begin behind the sentinels, so that the level goes along. */
static void set_dirty(struct smq *m, u32 e, bool dirty)
{
	u8 level = queue_of(m, e)->at[e + SENTINELS];

	queue_del(queue_of(m, e), e + SENTINELS);
	m->is_dirty[e] = dirty;
	queue_of(m, e)->at[e + SENTINELS] = level;
	queue_push(queue_of(m, e), e + SENTINELS);
}

static bool write_back_one(struct smq *m, bool stop, struct tally *t)
{
	u32 e = queue_peek(&m->dirty, LEVELS, stop);

	if (e == NONE)
		return false;
	set_dirty(m, e - SENTINELS, false);
	t->writebacks++;
	return true;
}

/* What was used since the last but one change of sets is not written back under load. */
static void move_sentinels(struct smq *m)
{
	u32 i;

	m->sentinel_set = !m->sentinel_set;
	for (i = 0; i < LEVELS; i++)
		move(&m->dirty, i + m->sentinel_set * LEVELS, i);
}

static void tick(struct smq *m)
{
	if (m->now > m->next_writeback) {
		m->next_writeback = m->now + WRITEBACK_PERIOD;
		move_sentinels(m);
	}
	memset(m->hot_used, 0, m->nr_hot * sizeof(bool));
	/* The table of promotion levels has no effect: it is raised to the maximum afterwards. */
	m->promote_level = LEVELS - LEVELS / confidence(&m->hot_score);
	if (m->now > m->next_hot) {
		m->jump = confidence(&m->hot_score);
		queue_level_out(&m->hot);
		m->hot_score.hits = 0;
		m->hot_score.misses = 0;
		m->next_hot = m->now + HOTSPOT_PERIOD;
	}
	if (m->now > m->next_cache) {
		memset(m->used, 0, m->s.slots * sizeof(bool));
		queue_level_out(&m->dirty);
		queue_level_out(&m->clean);
		m->cache_score.hits = 0;
		m->cache_score.misses = 0;
		m->next_cache = m->now + CACHE_PERIOD;
	}
}

/* Ticks come each second, and with a request now and then: at most one such is under way. */
static void pass_time(struct smq *m, const struct access *a, struct tally *t)
{
	if (a->us > m->now + IDLE)
		while (write_back_one(m, false, t))
			;
	m->now = a->us;
	if (++m->since_tick < m->s.depth && m->now < m->next_tick)
		return;
	m->since_tick = 0;
	m->next_tick = m->now + TICK;
	tick(m);
}

static u32 hotspot(struct smq *m, u64 block)
{
	u64 key = block / m->per_hot;
	u32 e = index_find(&m->hot_index, key);

	score(&m->hot_score, e != NONE, e != NONE ? m->hot.at[e] : 0);
	if (e != NONE) {
		queue_raise(&m->hot, e, m->hot_used[e] ? 0 : m->jump, NONE, NONE);
		m->hot_used[e] = true;
		return m->hot.at[e];
	}
	if (m->hot_taken < m->nr_hot) {
		e = m->hot_taken++;
		m->hot.at[e] = 0;
	} else {
		e = queue_peek(&m->hot, LEVELS, false);
		queue_del(&m->hot, e);
		index_del(&m->hot_index, e);
		m->hot_used[e] = false;
	}
	index_add(&m->hot_index, key, e);
	queue_push(&m->hot, e);
	return m->hot.at[e];
}

/* Makes room for the next one. */
static void demote(struct smq *m, struct tally *t)
{
	u32 e = queue_peek(&m->clean, LEVELS / 2, false);

	if (e == NONE) {
		write_back_one(m, true, t);
		return;
	}
	queue_del(&m->clean, e);
	e -= SENTINELS;
	index_del(&m->index, e);
	m->free[m->nr_free++] = e;
}

static void promote(struct smq *m, const struct access *a, bool whole, struct tally *t)
{
	u32 e;

	if (!m->nr_free) {
		demote(m, t);
		return;
	}
	e = m->free[--m->nr_free];
	t->promotions += !whole;
	m->is_dirty[e] = whole;
	queue_of(m, e)->at[e + SENTINELS] = LEVELS - 1;
	queue_push(queue_of(m, e), e + SENTINELS);
	index_add(&m->index, a->block, e);
}

static void hit(struct smq *m, u32 e, bool write)
{
	struct queue *q = queue_of(m, e);
	u8 level = q->at[e + SENTINELS];
	u32 s1 = level + !m->sentinel_set * LEVELS, s2 = level + m->sentinel_set * LEVELS;

	score(&m->cache_score, true, level);
	if (!m->used[e]) {
		m->used[e] = true;
		queue_raise(q, e + SENTINELS, 1, m->is_dirty[e] ? s1 : NONE, s2);
	}
	if (write)
		set_dirty(m, e, true);
}

static bool smq_access(void *p, const struct access *a, struct tally *t)
{
	struct smq *m = p;
	bool whole = a->write && a->whole;
	u32 e, level;

	pass_time(m, a, t);
	e = index_find(&m->index, a->block);
	if (e != NONE) {
		hit(m, e, a->write);
		return true;
	}
	score(&m->cache_score, false, 0);
	level = hotspot(m, a->block);
	if ((whole && m->nr_free) || level >= m->promote_level)
		promote(m, a, whole, t);
	return false;
}

const struct model smq_model = { "smq", create, smq_access, destroy };
