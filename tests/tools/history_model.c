// SPDX-License-Identifier: GPL-2.0-only
/*
 * The model of a sector: an atomic register, with writes of which only the ends of their intervals are known.
 * See README.rst for why each step is right.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history_model.h"

static void *must(void *p)
{
	if (!p) {
		fprintf(stderr, "circle-history: out of memory\n");
		exit(1);
	}
	return p;
}

static uint32_t min32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* A queue of spans. */
static void span_push(struct spanq *q, struct span sp)
{
	size_t i;

	if (q->used == q->size) {
		size_t size = q->size ? q->size * 2 : 1024;
		struct span *a = must(malloc(size * sizeof(*a)));

		for (i = 0; i < q->used; i++)
			a[i] = q->a[(q->head + i) & (q->size - 1)];
		free(q->a);
		q->a = a;
		q->size = size;
		q->head = 0;
	}
	q->a[(q->head + q->used++) & (q->size - 1)] = sp;
}

static struct span *span_first(struct spanq *q)
{
	return q->used ? &q->a[q->head] : NULL;
}

static void span_pop(struct spanq *q)
{
	q->head = (q->head + 1) & (q->size - 1);
	q->used--;
}

/* Lists of entries. */
struct ent *model_next(struct model *m, struct ent *e)
{
	return e->next ? &m->pool[e->next] : NULL;
}

static struct ent *find(struct model *m, uint64_t s, uint32_t ver)
{
	struct ent *e;

	for (e = &m->sec[s]; e; e = model_next(m, e))
		if (e->ver == ver)
			return e;
	return NULL;
}

/* Pointers to entries of the pool do not survive this. */
static struct ent *add(struct model *m, uint64_t s, uint32_t ver)
{
	struct ent *e;
	uint32_t i;

	if (m->pool_free) {
		i = m->pool_free;
		m->pool_free = m->pool[i].next;
	} else {
		if (m->pool_used == m->pool_size) {
			m->pool_size *= 2;
			if (m->pool_size > 1u << 27) {
				fprintf(stderr, "circle-history: too many writes without a flush\n");
				exit(1);
			}
			m->pool = must(realloc(m->pool, m->pool_size * sizeof(*m->pool)));
		}
		i = m->pool_used++;
	}
	/* The newest is looked for most often: it goes first, into the array. */
	e = &m->sec[s];
	m->pool[i] = *e;
	*e = (struct ent){ .ver = ver, .ub = POS_NEVER, .drop = POS_NEVER, .next = i };
	return e;
}

/* Forget what no outstanding read may show any more. */
static void tidy(struct model *m, uint64_t s)
{
	struct ent *e = &m->sec[s], *p = NULL;
	uint32_t i;

	while (e) {
		if (e->drop >= m->low || (m->track && !(e->fl & ENT_SUP_FLUSHED))) {
			p = e;
			e = model_next(m, e);
		} else if (p) {
			i = p->next;
			p->next = e->next;
			m->pool[i].next = m->pool_free;
			m->pool_free = i;
			e = model_next(m, p);
		} else if (e->next) {
			i = e->next;
			*e = m->pool[i];
			m->pool[i].next = m->pool_free;
			m->pool_free = i;
		} else {
			break;		/* cannot be: something superseded it */
		}
	}
}

static void advance(struct model *m)
{
	uint32_t low = m->pos + 1;
	struct span *sp;
	unsigned int i;
	uint64_t s;

	for (i = 0; i < m->workers; i++)
		if (m->ops[i].type)
			low = min32(low, m->ops[i].inv);
	m->low = low;
	while ((sp = span_first(&m->tidy)) && sp->pos < low) {
		for (s = sp->start; s < sp->start + sp->n; s++)
			if (m->sec[s].next)
				tidy(m, s);
		span_pop(&m->tidy);
	}
}

/*
 * y was in effect at some time between inv and pos, and this is certain. What took effect before inv is
 * older than y, and since y is in effect by min(ub(y), pos), it is superseded from there on.
 */
static bool supersede(struct model *m, uint64_t s, struct ent *y, uint32_t inv, uint32_t pos, int why)
{
	uint32_t drop = min32(y->ub, pos);
	bool news = false;
	struct ent *x;

	for (x = &m->sec[s]; x; x = model_next(m, x)) {
		if (x == y || x->ub >= inv)
			continue;
		if (x->drop > drop) {
			x->drop = drop;
			news = true;
		}
		if (x->ub > drop)
			x->ub = drop;
		if ((x->fl & why) != (unsigned int)why) {
			x->fl |= why;
			news = true;
		}
	}
	return news;
}

void model_init(struct model *m, uint64_t sectors, bool zero, enum discard_mode discard)
{
	uint64_t s;

	memset(m, 0, sizeof(*m));
	m->sectors = sectors;
	m->discard = discard;
	m->track = true;
	m->pos = 1;
	m->low = 2;
	m->sec = must(malloc(sectors * sizeof(*m->sec)));
	for (s = 0; s < sectors; s++)
		m->sec[s] = (struct ent){ .ver = !zero, .ub = 1, .drop = POS_NEVER, .fl = ENT_SURE };
	m->pool_size = 4096;
	m->pool = must(malloc(m->pool_size * sizeof(*m->pool)));
	m->pool_used = 1;
}

void model_free(struct model *m)
{
	free(m->sec);
	free(m->pool);
	free(m->unflushed.a);
	free(m->tidy.a);
}

bool model_begin(struct model *m, unsigned int worker, enum op_type type, uint32_t pos, uint64_t start, uint32_t n)
{
	struct ent *e;
	uint64_t s;

	if (worker >= MODEL_WORKERS || m->ops[worker].type || start > m->sectors || n > m->sectors - start)
		return false;
	if (worker >= m->workers)
		m->workers = worker + 1;
	m->ops[worker] = (struct op){ .type = type, .inv = pos, .start = start, .n = n };
	m->pos = pos;

	if (type == OP_WRITE || type == OP_FUA) {
		for (s = start; s < start + n; s++)
			add(m, s, pos);
	} else if (type == OP_DISCARD) {
		for (s = start; s < start + n; s++) {
			e = find(m, s, 0);
			if (!e)
				e = add(m, s, 0);
			e->ub = POS_NEVER;
			e->drop = POS_NEVER;
			e->fl = m->discard == DISCARD_ANY ? ENT_ANY : 0;
		}
	}
	return true;
}

/* Is a discard of this sector still in flight? */
static bool discarding(struct model *m, uint64_t s)
{
	unsigned int i;

	for (i = 0; i < m->workers; i++)
		if (m->ops[i].type == OP_DISCARD && s - m->ops[i].start < m->ops[i].n)
			return true;
	return false;
}

static void end_write(struct model *m, const struct op *op, uint32_t pos, bool ok)
{
	bool zero = op->type == OP_DISCARD;
	bool event = ok && (!zero || m->discard == DISCARD_ZEROES);
	int why = ok && op->type == OP_FUA ? ENT_SUP_FLUSHED : 0;
	struct span sp = { op->start, op->n, zero ? 0 : op->inv, op->inv, pos };
	struct ent *e;
	uint64_t s;

	for (s = op->start; s < op->start + op->n; s++) {
		e = find(m, s, sp.ver);
		if (!e)
			continue;	/* only when a lie was believed */
		/* All zeros are one entry; it stays in flight as long as one of its discards. */
		if (zero && discarding(m, s)) {
			if (event)
				supersede(m, s, e, op->inv, pos, why);
			continue;
		}
		e->ub = min32(e->ub, pos);
		if (event) {
			e->fl |= ENT_SURE | (op->type == OP_FUA ? ENT_FLUSHED : 0);
			supersede(m, s, e, op->inv, pos, why);
		}
	}
	if (event) {
		span_push(&m->tidy, sp);
		if (m->track && op->type != OP_FUA)
			span_push(&m->unflushed, sp);
	}
}

/* The flush was issued at inv: what ended before is durable. */
static void end_flush(struct model *m, uint32_t inv)
{
	struct span *sp;
	struct ent *x;
	uint64_t s;

	while ((sp = span_first(&m->unflushed)) && sp->pos < inv) {
		for (s = sp->start; s < sp->start + sp->n; s++) {
			if (!m->sec[s].next)
				continue;
			for (x = &m->sec[s]; x; x = model_next(m, x)) {
				if (x->ver != sp->ver && x->ub < sp->inv)
					x->fl |= ENT_SUP_FLUSHED;
				if (x->ver == sp->ver && x->ver)
					x->fl |= ENT_FLUSHED;
			}
			tidy(m, s);
		}
		span_pop(&m->unflushed);
	}
}

void model_end(struct model *m, unsigned int worker, uint32_t pos, bool ok, const uint64_t *found)
{
	struct op op = m->ops[worker];
	uint64_t i;

	m->ops[worker].type = OP_NONE;
	m->pos = pos;
	if (ok)
		m->acked[op.type]++;
	else
		m->failed[op.type]++;

	if (op.type == OP_WRITE || op.type == OP_FUA || op.type == OP_DISCARD) {
		end_write(m, &op, pos, ok);
	} else if (op.type == OP_FLUSH && ok && m->track) {
		end_flush(m, op.inv);
	} else if (op.type == OP_READ && ok && found) {
		for (i = 0; i < op.n; i++)
			if (!model_observe(m, op.start + i, found[i], op.inv, pos) && m->bad)
				m->bad(m, op.start + i, found[i], op.inv, pos);
	}
	if (!(++m->ticks & 7))
		advance(m);
}

/* A discard that may bring back any old version, and that may be what a read issued at inv saw the effect of. */
static struct ent *any_discard(struct model *m, uint64_t s, uint32_t inv)
{
	struct ent *e;

	if (m->discard != DISCARD_ANY)
		return NULL;
	e = find(m, s, 0);
	return e && e->fl & ENT_ANY && e->drop > inv ? e : NULL;
}

bool model_legal(struct model *m, uint64_t s, uint64_t found, uint32_t inv)
{
	struct ent *e;

	if (found >= POS_NEVER)
		return false;
	e = find(m, s, found);
	return (e && e->drop > inv) || (found <= m->pos && any_discard(m, s, inv));
}

bool model_observe(struct model *m, uint64_t s, uint64_t found, uint32_t inv, uint32_t pos)
{
	uint32_t from = inv, ver = found;
	struct ent *e, *z;
	bool legal;

	if (found == FOUND_ERROR)
		return true;
	/* What is shown nearly always: the one version there is. */
	e = &m->sec[s];
	if (e->ver == found && !e->next && e->fl & ENT_SURE)
		return true;

	legal = model_legal(m, s, found, inv);
	if (found >= POS_NEVER)
		return false;
	e = find(m, s, ver);
	if (!legal) {
		/* A lie is told once: from now on it is possible, and proves nothing. */
		if (!e)
			e = add(m, s, ver);
		e->drop = POS_NEVER;
		e->ub = pos;
		e->fl = ENT_SURE;
		return false;
	}
	z = ver ? any_discard(m, s, inv) : NULL;
	if (z) {
		/* It may have taken effect a second time. */
		uint32_t ub = min32(z->ub, pos);

		if (!e) {
			e = add(m, s, ver);
			e->ub = ub;
			e->fl = ENT_SURE;
		}
		if (e->ub < ub)
			e->ub = ub;
		e->drop = POS_NEVER;
		e->fl &= ~(ENT_FLUSHED | ENT_SUP_FLUSHED | ENT_SUP_SEEN);
	}
	if (ver) {
		e->ub = min32(e->ub, pos);
		if (ver > from)
			from = ver;
	}
	if (supersede(m, s, e, from, pos, ENT_SUP_SEEN | (e->fl & ENT_FLUSHED ? ENT_SUP_FLUSHED : 0))) {
		struct span sp = { s, 1, ver, from, pos };

		/* What a crash left is made durable by the next flush once it is shown, though its write never completed. */
		if (m->track && e->fl & ENT_SURE)
			span_push(&m->unflushed, sp);
		span_push(&m->tidy, sp);
	}
	return true;
}

void model_crash(struct model *m, uint32_t pos, enum allow_mode mode)
{
	unsigned int gone = ENT_SUP_FLUSHED | (mode == ALLOW_FLUSHED_OBSERVED ? ENT_SUP_SEEN : 0);
	unsigned int i;
	struct ent *e;
	uint64_t s;

	for (i = 0; i < m->workers; i++) {
		m->dead[m->ops[i].type]++;
		m->ops[i].type = OP_NONE;
	}
	m->pos = pos;
	for (s = 0; s < m->sectors; s++) {
		for (e = &m->sec[s]; e; e = model_next(m, e)) {
			e->fl |= ENT_SURE;
			e->ub = min32(e->ub, pos);
			if (mode != ALLOW_ALL && e->drop != POS_NEVER && !(e->fl & gone)) {
				e->drop = POS_NEVER;
				e->fl &= ~ENT_SUP_SEEN;
			}
		}
	}
	if (mode != ALLOW_ALL)
		m->unflushed.used = 0;
	advance(m);
}

void model_go_live(struct model *m)
{
	uint64_t s;

	m->track = false;
	m->unflushed.used = 0;
	advance(m);
	for (s = 0; s < m->sectors; s++)
		if (m->sec[s].next)
			tidy(m, s);
}
