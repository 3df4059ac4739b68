// SPDX-License-Identifier: GPL-2.0-only
/*
 * peer: what a peer does with what it is sent, as engine/serve*.c: replicas in memory and as
 * committed, the generation that it remembers, what it has parked. It must never know what the
 * owner knows; and what it answers it has done.
 */
#include "sim.h"

u64 peer_instance(const struct peer *p)
{
	return circle_instance(p->store, p->load);
}

u32 peer_room(const struct peer *p)
{
	u32 b, n = 0;

	for (b = 0; b < w.nr_blocks; b++)
		n += p->rep[b].here;
	return p->room > n ? p->room - n : 0;
}

u8 peer_kept(const struct peer *p)
{
	u32 b, n = 0;

	for (b = 0; b < w.nr_blocks; b++)
		n += p->park[b].here;
	return n;
}

void peer_commit(struct peer *p)
{
	memcpy(p->dur, p->rep, sizeof(p->dur));
}

static int tag_cmp(const struct replica *r, u64 gen, u64 seq)
{
	struct circle_tag have = { r->gen, r->seq }, other = { gen, seq };

	return circle_tag_cmp(have, other);
}

static u8 take_slot(struct peer *p, struct replica *r, const struct msg *m)
{
	if (r->here && r->gen == m->gen)
		return OK;
	if (r->here && r->gen > m->gen)
		return rule(R5_FENCE) ? FENCED_OFF : OK;
	r->here = false;
	if (!peer_room(p))
		return NO_SPACE;
	*r = (struct replica){ .here = true, .gen = m->gen, .slot = ++p->slots };
	return OK;
}

static u8 replicate(struct peer *p, struct replica *r, const struct msg *m)
{
	struct replica *d = &p->dur[m->block];
	u8 status = take_slot(p, r, m);
	u32 i;

	if (status)
		return status;
	for (i = 0; i < w.nr_pages; i++) {
		if (!(m->pages >> i & 1))
			continue;
		if (d->here && d->slot == r->slot && chance(50))
			d->v[i] = r->v[i];
		r->v[i] = m->v[i];
	}
	r->pages |= m->pages;
	if (tag_cmp(r, m->gen, m->seq) < 0)
		r->seq = m->seq;
	return OK;
}

static u8 revive(struct peer *p, struct replica *r, const struct msg *m)
{
	struct replica *k = &p->park[m->block];
	bool same = !tag_cmp(k, m->gen, m->seq) || !rule(R7_TAG);

	if (!k->here || !same || (m->pages & ~k->pages) || r->here || !peer_room(p))
		return NOT_FOUND;
	*r = *k;
	r->slot = ++p->slots;
	r->pages = m->pages;
	r->seq = m->seq;
	return OK;
}

static u8 release(struct peer *p, struct replica *r, const struct msg *m)
{
	if (!r->here)
		return OK;
	if (tag_cmp(r, m->gen, m->seq) > 0)
		return NEWER;
	r->pages &= ~m->pages;
	r->here = r->pages;
	if (rule(R4_DURABLE))
		peer_commit(p);
	return OK;
}

static bool admitted(const struct peer *p, const struct head *h, const struct msg *m)
{
	return (h->link[p->nr].admitted && p->fence_gen == m->gen && p->fence_act == m->act) ||
	       !rule(R5_FENCE);
}

/* m becomes the answer. */
void peer_serve(struct peer *p, struct head *h, struct msg *m)
{
	struct replica *r = &p->rep[m->block];

	if (!admitted(p, h, m)) {
		m->status = FENCED_OFF;
		m->gen = p->fence_gen;
		return;
	}
	switch (m->type) {
	case REPLICATE:
	case COPY:
		m->status = replicate(p, r, m);
		p->park[m->block].here = false;
		break;
	case REVIVE:
		m->status = revive(p, r, m);
		p->park[m->block].here = false;
		break;
	case RELEASE:
		m->status = release(p, r, m);
		m->pages = r->here ? r->pages : 0;
		break;
	case FLUSH:
		peer_commit(p);
		break;
	}
	say("peer %u: type %u block %u pages %x seq %llu of node %u: %u", p->nr, m->type, m->block,
	    m->pages, (unsigned long long)m->seq, HEAD_ID(h), m->status);
}

/* circle_set_fence(). False: another is rightful. */
bool peer_fence(struct peer *p, struct head *h)
{
	u32 i;

	if (p->fence_gen > h->gen || (p->fence_gen == h->gen && p->fence_act != h->act))
		return false;
	if (p->fence_gen != h->gen)
		memset(p->park, 0, sizeof(p->park));
	p->fence_gen = h->gen;
	p->fence_act = h->act;
	p->fence_head = HEAD_ID(h);
	for (i = 0; i < w.nr_heads; i++) {
		struct link *l = &w.head[i].link[p->nr];

		if (i != h->nr && l->admitted && rule(R5_FENCE))
			link_break(&w.head[i], p->nr);
	}
	h->link[p->nr].admitted = true;
	return true;
}

/* RELEASE of all, of this generation and older ones. */
void peer_release_all(struct peer *p, u64 gen, bool keep)
{
	u32 b;

	for (b = 0; b < w.nr_blocks; b++) {
		struct replica *r = &p->rep[b];

		if (!r->here || r->gen > gen)
			continue;
		if (keep && r->gen == gen)
			p->park[b] = *r;
		r->here = false;
	}
	if (rule(R3_DURABLE))
		peer_commit(p);
}

/* release_copy(): all of a block that is older than this generation. */
bool peer_release_old(struct peer *p, struct head *h, u8 block)
{
	struct replica *r = &p->rep[block];
	struct msg m = { .block = block, .pages = ~0, .gen = h->gen };

	return release(p, r, &m) == OK && !r->here;
}

/* Of the data any page may have got out that the metadata speak of. */
static void lose_unflushed(struct replica *r, struct replica *d)
{
	u32 i;

	for (i = 0; d->here && i < w.nr_pages; i++)
		if (r->here && r->slot == d->slot && chance(50))
			d->v[i] = r->v[i];
	*r = *d;
}

void peer_crash(struct peer *p)
{
	u32 b, i;

	say("peer %u: power loss", p->nr);
	if (chance(30))
		peer_commit(p);
	for (b = 0; b < w.nr_blocks; b++)
		lose_unflushed(&p->rep[b], &p->dur[b]);
	memset(p->park, 0, sizeof(p->park));
	p->up = false;
	w.failed |= bit(p->nr);
	for (i = 0; i < w.nr_heads; i++)
		link_break(&w.head[i], p->nr);
}

/* Another store: its metadata are formatted anew. */
void peer_forget(struct peer *p)
{
	say("peer %u: its metadata are gone", p->nr);
	memset(p->rep, 0, sizeof(p->rep));
	memset(p->dur, 0, sizeof(p->dur));
	p->fence_gen = 0;
	p->store = ++w.ids;
}

void peer_start(struct peer *p)
{
	p->up = true;
	p->load = ++w.ids;
	say("peer %u: up, store %u load %u", p->nr, p->store, p->load);
}
