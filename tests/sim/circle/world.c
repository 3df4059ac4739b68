// SPDX-License-Identifier: GPL-2.0-only
/*
 * world: a schedule of one seed: a circle of a shape that the seed picks, steps at random, faults
 * now and then; then all is mended, drained and read. It must never depend on anything but the seed
 * and the rules.
 */
#include "sim.h"

#define CALM	500

struct world w;
bool met[NR_COVERS];

static void make_peers(void)
{
	u32 i;

	for (i = 0; i < w.nr_peers; i++) {
		struct peer *p = &w.peer[i];

		p->nr = i;
		p->host = i == 2 && chance(20) ? 1 : i;
		p->room = chance(30) ? 1 + below(BLOCKS) : BLOCKS;
		p->store = ++w.ids;
		peer_start(p);
	}
}

/* The last head may be on the host of a peer. */
static void make_heads(void)
{
	u32 i;

	for (i = 0; i < w.nr_heads; i++) {
		struct head *h = &w.head[i];

		h->nr = i;
		h->host = i == 2 || (i == 1 && chance(30)) ? 0 : PEERS + i;
		h->blank = true;
		h->degree = 1 + (w.nr_peers > 1 && chance(50));
	}
}

static void begin(u64 seed)
{
	u32 i;

	memset(&w, 0, sizeof(w));
	memset(met, 0, sizeof(met));
	w.seed = seed;
	w.rng = seed * 0xd1342543de82ef95ull;
	area_reset();
	w.nr_blocks = 1 + below(BLOCKS);
	w.nr_pages = 1 + below(PAGES);
	w.nr_peers = 1 + below(PEERS);
	w.nr_heads = 2 + below(HEADS - 1);
	w.nasty = 1 + below(8);
	w.faults = MENDING | below(1u << FAULTS);
	for (i = 0; i < 16; i++)
		w.share[i] = below(3) * 50;
	w.rest = 150 + below(900);
	w.eager = 1 + below(8);
	w.bad_label = below(3) * 15;
	make_peers();
	make_heads();
	say("seed %llu: %u blocks, %u pages, %u peers, %u heads", (unsigned long long)seed,
	    w.nr_blocks, w.nr_pages, w.nr_peers, w.nr_heads);
	start(&w.head[0], false, false);
}

struct head *any_owner(void)
{
	u32 i, at = below(w.nr_heads);

	for (i = 0; i < w.nr_heads; i++) {
		struct head *h = &w.head[(at + i) % w.nr_heads];

		if (h->owner && !h->paused && !h->stopping)
			return h;
	}
	return NULL;
}

/* The host asks for something, or the node does something by itself. */
static bool request(void)
{
	struct head *h = any_owner();
	u32 kind = below(16);

	if (!h || (!w.calm && !chance(w.share[kind])))
		return false;
	switch (kind) {
	case 0:
	case 1:
	case 2:
	case 3:
		return !w.calm && write_begin(h, chance(15));
	case 4:
	case 5:
	case 6:
		return read_any(h);
	case 7:
	case 8:
		return flush_begin(h);
	case 9:
	case 10:
		return (w.calm || chance(60)) && writeback_begin(h);
	case 11:
	case 12:
		return heal_begin(h);
	case 13:
		return promote(h);
	case 14:
		return evict(h);
	default:
		return !w.calm && (chance(80) ? discard(h) : stop_in_order(h));
	}
}

/* Something that is under way goes on. */
static bool progress(void)
{
	struct head *h = &w.head[below(w.nr_heads)];

	if (chance(45))
		return link_step(h, below(w.nr_peers));
	if (h->phase == OFF || h->phase == FENCED || h->paused)
		return false;
	if (h->phase != LIVE)
		return activate_step(h);
	if (chance(35))
		return steward(h);
	return op_step(h, &h->op[below(OPS)]);
}

static void keep_heard(void)
{
	u32 i, k;

	for (i = 0; i < w.nr_heads; i++) {
		struct head *h = &w.head[i];

		for (k = 0; k < w.nr_peers && h->phase != OFF && !h->paused; k++)
			if (h->link[k].conn && !h->link[k].broken && !h->link[k].cut)
				h->link[k].heard_at = w.now;
	}
}

static void step(void)
{
	u32 what = below(100), tries;
	bool did = false;

	w.steps++;
	w.now += chance(30);
	if (chance(2))
		w.now += below(LEASE);
	origin_overdue();
	wake_up();
	keep_heard();
	if (!w.calm && what < w.nasty)
		did = fault();
	else if (!w.calm && !any_owner() && chance(w.eager))
		did = start_any();
	else if (what < 30)
		did = request();
	else if (what < 40)
		origin_land_any();
	for (tries = 0; !did && tries < 8; tries++)
		did = progress();
	oracle_step();
}

static bool at_work(void)
{
	u32 i;

	for (i = 0; i < w.nr_heads; i++)
		if (w.head[i].phase != OFF && w.head[i].phase != FENCED)
			return true;
	return false;
}

/* An administrator who does all that the messages say, in turn. */
static void help(u32 try)
{
	struct head *h = &w.head[try % w.nr_heads];

	if (h->phase == FENCED) {
		stop(h, "wiped");
		ssd_lose(h);
	}
	if (at_work())
		return;
	if (start(h, h->blank || !h->sb_gen, false) || try < 2 * w.nr_heads)
		return;
	if (!h->blank)
		ssd_lose(h);
	start(h, true, true);
}

static bool is_clean(const struct head *h)
{
	u32 b;

	for (b = 0; b < w.nr_blocks; b++)
		if (h->slot[b].dirty)
			return false;
	for (b = 0; b < OPS; b++)
		if (h->op[b].kind)
			return false;
	return true;
}

static void read_all(struct head *h)
{
	u32 b, p;

	for (b = 0; b < w.nr_blocks; b++)
		for (p = 0; p < w.nr_pages; p++)
			oracle_show(h, b, p);
	if (!rightful(h) || !is_clean(h))
		return;
	origin_flush();
	oracle_end();
}

static void calm_down(void)
{
	struct head *h = NULL;
	u32 i;

	w.calm = true;
	mend();
	say("all is mended");
	for (i = 0; i < CALM; i++) {
		if (i % 16 == 15)
			help(i / 16);
		step();
		h = any_owner();
		if (i > CALM / 4 && h && rightful(h) && is_clean(h))
			break;
	}
	if (h)
		read_all(h);
}

void schedule(u64 seed)
{
	u32 i;

	begin(seed);
	for (i = 0; i < w.rest; i++)
		step();
	calm_down();
}
