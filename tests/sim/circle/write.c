// SPDX-License-Identifier: GPL-2.0-only
/*
 * write: a write of the host, to the SSD and all holders at once (engine/write.c, replicate.c):
 * intent, holders by core/place.c, what makes it dirty and completes it. It must never complete one
 * that fewer than `degree` holders of the durable view have.
 */
#include "sim.h"

const u8 *domain_of(u8 host)
{
	static const u8 name[PEERS + HEADS][CIRCLE_DOMAIN_SIZE] = {
		"host0", "host1", "host2", "host3", "host4", "host5",
	};

	return name[host];
}

void candidates(const struct head *h, u8 able, struct circle_cand *cand)
{
	u32 i;

	for (i = 0; i < w.nr_peers; i++) {
		cand[i].able = (able >> i & 1) && h->link[i].state == READY;
		cand[i].space = h->link[i].room;
		cand[i].domain = domain_of(w.peer[i].host);
	}
}

bool write_begin(struct head *h, bool fua)
{
	u8 block = below(w.nr_blocks), first = below(w.nr_pages), i;
	u8 n = 1 + below(w.nr_pages - first), pages = (bit(n) - 1) << first;
	struct op *op = op_new(h, WRITE, block, pages, false);

	if (!op)
		return false;
	op->fua = fua;
	op->step = PLAN;
	w.next_ver++;
	for (i = 0; i < w.nr_pages; i++)
		if (pages >> i & 1)
			op->v[i] = w.next_ver;
	say("node %u: write %u of block %u pages %x%s", HEAD_ID(h), w.next_ver, block, pages,
	    fua ? ", FUA" : "");
	return true;
}

/* choose() of engine/replicate.c */
static u8 choose(struct head *h, struct op *op, const struct slot *s)
{
	struct circle_cand cand[PEERS];
	u8 able = h->view & h->wait;

	if (s->holders && rule(R2_HOLDERS))
		return hweight8(s->holders & able) >= op->degree ? s->holders : 0;
	if ((s->dirty && rule(R2_HOLDERS)) || h->floor < op->degree)
		return 0;
	candidates(h, able, cand);
	return circle_place_choose(cand, w.nr_peers, op->degree, domain_of(h->host),
				   h->place_next++);
}

static void map_slot(struct head *h, struct slot *s)
{
	*s = (struct slot){ .mapped = true, .gen = h->gen, .seq = ++h->seq };
}

static bool plan(struct head *h, struct op *op)
{
	struct slot *s = &h->slot[op->block];
	struct msg m = { .type = REPLICATE, .block = op->block, .pages = op->pages,
			 .op = op - h->op, .op_id = op->id };
	u8 holders;

	if (h->failed || (!s->mapped && h->dur[op->block].mapped && !ssd_commit(h))) {
		op->step = THROUGH;
		return true;
	}
	if (!s->mapped)
		map_slot(h, s);
	if (!ssd_writable(h, op->block)) {
		s->intent = true;
		meet(INTENT);
		return ssd_commit(h);
	}
	s->intent = true;
	op->degree = max_t(u8, h->degree_now, 1);
	holders = choose(h, op, s);
	if (!holders) {
		op->step = THROUGH;
		return true;
	}
	s->holders |= holders;
	op->departures = h->departures;
	s->gen = h->gen;
	s->seq = ++h->seq;
	m.seq = s->seq;
	memcpy(m.v, op->v, sizeof(m.v));
	op_send(h, op, holders, &m);
	ssd_put(h, op->block, op->pages, op->v);
	op->step = STORED;
	return true;
}

/* mark_stored() of engine/replicate.c */
static bool mark_stored(struct head *h, struct op *op)
{
	struct slot *s = &h->slot[op->block];
	u8 good = op->ok & s->holders & h->view & h->wait;
	bool enough = hweight8(good) >= max_t(u8, h->degree_now, 1) && !op->rejected &&
		      op->departures == h->departures && h->owner;

	if (!rule(R2_WAIT))
		enough = op->ok;
	if (enough) {
		s->valid |= op->pages;
		s->dirty |= op->pages;
	}
	return enough;
}

static bool stored(struct head *h, struct op *op)
{
	struct msg m = { .type = FLUSH, .op = op - h->op, .op_id = op->id };

	if (op->await && (rule(R2_WAIT) || !op->ok))
		return false;
	if (!mark_stored(h, op)) {
		meet(GAVE_UP);
		op->step = THROUGH;
		return true;
	}
	meet(REPLICATED);
	if (!op->fua) {
		oracle_ack(h, op, false);
		op_end(op);
		return true;
	}
	op_send(h, op, undurable(h), &m);
	op->step = FUA_HOLDERS;
	return true;
}

bool write_step(struct head *h, struct op *op)
{
	if (op->step == PLAN)
		return plan(h, op);
	if (op->step == STORED)
		return stored(h, op);
	if (op->await)
		return false;
	if (!ssd_commit(h)) {		/* the journal cannot say it: the origin can */
		op->step = THROUGH;
		return true;
	}
	meet(FUAS);
	oracle_ack(h, op, false);
	oracle_flushed_pages(op->block, op->pages, op->v);
	op_end(op);
	return true;
}
