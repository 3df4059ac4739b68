// SPDX-License-Identifier: GPL-2.0-only
/*
 * area: the label area, real bytes, read and judged by core/label.c. A write of a copy has a begin,
 * after which any of its sectors may be there, and an end; it may fail, and be done or not; of a
 * host that died it may be carried out late. The origin's power loss takes what was not flushed,
 * sector by sector. It must never repair what a write has left.
 */
#include "sim.h"

#define SECTOR	512u
#define CHUNKS	(CIRCLE_LABEL_AREA / CIRCLE_MB_SIZE)

struct pending {
	bool used, dead;
	u32 at;
	u8 image[CIRCLE_MB_SIZE];
};

static u8 vis[CIRCLE_LABEL_AREA], dur[CIRCLE_LABEL_AREA];
static bool touched[CHUNKS];
static u32 version;
static struct pending pending[HEADS];

static struct known {		/* what a head's judgement was of this version */
	u32 version;
	struct circle_label_view v;
	struct circle_label cur;
} known[HEADS];

bool area_is_blank(const void *p, size_t n)
{
	size_t at = (const u8 *)p - vis;

	return (const u8 *)p >= vis && at + n <= sizeof(vis) &&
	       at / CIRCLE_MB_SIZE == (at + n - 1) / CIRCLE_MB_SIZE &&
	       !touched[at / CIRCLE_MB_SIZE];
}

/* Core takes any sum that tells bytes apart; this is faster than crc32c without an instruction. */
static u32 sum(u32 seed, const void *data, unsigned int len)
{
	const u8 *p = data;
	u64 h = seed, word;

	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&word, p, 8);
		h = (h ^ word) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 32;
	}
	for (; len; len--, p++)
		h = (h ^ *p) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 32;
}

void area_reset(void)
{
	u32 i;

	for (i = 0; i < CHUNKS; i++) {
		if (!touched[i])
			continue;
		memset(vis + i * CIRCLE_MB_SIZE, 0, CIRCLE_MB_SIZE);
		memset(dur + i * CIRCLE_MB_SIZE, 0, CIRCLE_MB_SIZE);
		touched[i] = false;
	}
	memset(pending, 0, sizeof(pending));
	memset(known, 0, sizeof(known));
	version = 1;
}

/* 0 or -ENODATA; anything else no crash of ours may leave behind. */
int area_judge(const struct head *h, struct circle_label_view *v, struct circle_label *cur)
{
	struct known *k = &known[h->nr];

	if (k->version != version) {
		circle_label_judge(vis, HEAD_ID(h), &k->v, &k->cur, sum);
		k->version = version;
		must(!k->v.status || k->v.status == -ENODATA,
		     "label area: %d at byte %u: an administrator would have to mend it",
		     k->v.status, k->v.where);
	}
	*v = k->v;
	if (!v->status)
		*cur = k->cur;
	return v->status;
}

/* circle_label_newest() of engine/plan.c */
bool area_newest(u32 id, u32 but, struct circle_label *l)
{
	static struct circle_label scratch;
	bool got = false;
	u32 copy;

	for (copy = 0; copy < 2; copy++) {
		if (!touched[circle_label_offset(id, copy) / CIRCLE_MB_SIZE])
			continue;
		if (circle_label_decode(vis + circle_label_offset(id, copy), id, &scratch, sum) ||
		    (scratch.flags & but) || (got && scratch.seq <= l->seq))
			continue;
		*l = scratch;
		got = true;
	}
	return got;
}

static void store(const struct pending *p, u32 percent)
{
	u32 i;

	for (i = 0; i < CIRCLE_MB_SIZE; i += SECTOR)
		if (percent == 100 || chance(percent))
			memcpy(vis + p->at + i, p->image + i, SECTOR);
	version++;
}

/* The write begins: behind a FLUSH, as engine/steward.c does on the origin's disk. */
void area_write(struct head *h)
{
	static struct circle_label cur;
	struct pending *p = &pending[h->nr];
	struct circle_label_view v;
	u32 copy;

	origin_flush();
	if (rule(R5_ANEW)) {
		circle_label_judge(vis, HEAD_ID(h), &v, &cur, sum);
		h->label_copy = v.my_copy;
	}
	copy = rule(R5_COPIES) ? h->label_copy : h->label_copy ^ 1;
	p->used = true;
	p->dead = false;
	p->at = circle_label_offset(HEAD_ID(h), copy);
	circle_label_encode(&h->label, p->image, sum);
	touched[p->at / CIRCLE_MB_SIZE] = true;
	store(p, below(3) * 40);
}

static int fails(struct pending *p)
{
	if (chance(50)) {
		meet(LABEL_UNKNOWN);
		store(p, 100);
	} else if (memcmp(vis + p->at, p->image, CIRCLE_MB_SIZE)) {
		meet(TORN);
	}
	meet(LABEL_FAILED);
	return -EIO;
}

/* The write ends: 0 and durable, or an error. */
int area_written(struct head *h)
{
	struct pending *p = &pending[h->nr];

	p->used = false;
	if (is_blind(h))
		return -EIO;
	if (!w.calm && chance(w.bad_label))
		return fails(p);
	store(p, 100);
	origin_flush();
	return 0;
}

/* The host died: what was under way stays torn, or is done late, or both. */
void area_abandon(struct head *h)
{
	struct pending *p = &pending[h->nr];

	p->dead = true;
	if (p->used)
		meet(TORN);
}

void area_late(const struct head *h, bool now)
{
	struct pending *p = &pending[h->nr];

	if (!p->used || !p->dead || (!now && chance(70)))
		return;
	if (chance(50)) {
		store(p, 100);
		meet(LATE);
		say("the label of node %u that was under way is written late", HEAD_ID(h));
	}
	p->used = false;
}

void area_flush(void)
{
	u32 i;

	for (i = 0; i < CHUNKS; i++)
		if (touched[i])
			memcpy(dur + i * CIRCLE_MB_SIZE, vis + i * CIRCLE_MB_SIZE, CIRCLE_MB_SIZE);
}

void area_power_loss(void)
{
	u32 i;

	for (i = 0; i < CIRCLE_LABEL_AREA; i += SECTOR) {
		if (!touched[i / CIRCLE_MB_SIZE]) {
			i += CIRCLE_MB_SIZE - SECTOR;
			continue;
		}
		if (chance(50))
			memcpy(vis + i, dur + i, SECTOR);
	}
	version++;
	area_flush();
}
