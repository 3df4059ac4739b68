// SPDX-License-Identifier: GPL-2.0-only
/*
 * recover_drain: of each block the copy that wins, from a peer or the own SSD, to the origin;
 * several blocks at a time, each by one drainer. It must never write to the origin unless the last
 * look at the label is young (R5), nor return while something is under way.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include "../log.h"
#include "origin.h"
#include "recover_impl.h"
#include "steward.h"

#define LOOKS		3	/* at the label, until one is quick enough */
#define SLICE		(HZ / 10)
#define DEVICE		(30 * HZ)	/* it may hang for long, and that is not our fault */

static bool lease_young(const struct circle_circle *c)
{
	return time_before(jiffies + msecs_to_jiffies(CIRCLE_LEASE_MS / 2),
			   READ_ONCE(c->lease_until));
}

/* With no write of ours under way: it would be slow behind them. -ECANCELED: another has failed. */
static int look(struct circle_recovery *r)
{
	struct circle_circle *c = r->node->circle;
	unsigned int tries;
	int err = 0;

	down_write(&r->origin);
	for (tries = 0; tries < LOOKS && !err && !lease_young(c); tries++)
		err = READ_ONCE(r->err) ? -ECANCELED : circle_label_look(r->node);
	if (!err && !lease_young(c))
		err = -EIO;		/* each took longer than what it was good for */
	up_write(&r->origin);
	return err;
}

/* Any context. It counts before who waits for it runs: a FLUSH may end between the two. */
static void live_written(struct bio *bio)
{
	struct circle_drainer *d = bio->bi_private;
	struct circle_node *node = d->r->node;

	circle_origin_wrote(node);
	circle_origin_answered(node, bio->bi_status);
	circle_origin_refused(node, REQ_OP_WRITE, bio->bi_status);
	complete(&d->written);
}

/* Sleeps. As circle_bdev_rw(), but it says why the origin refused it. */
static blk_status_t write_bio(struct circle_drainer *d, u64 sector, u32 n)
{
	u32 left = n << SECTOR_SHIFT, len;
	blk_status_t status;
	char *at = d->buf;

	bio_init(&d->bio, d->r->node->origin, d->vec, ARRAY_SIZE(d->vec),
		 REQ_OP_WRITE | REQ_META | REQ_SYNC);
	d->bio.bi_iter.bi_sector = sector;
	if (is_vmalloc_addr(at))
		flush_kernel_vmap_range(at, left);
	for (; left; left -= len, at += len) {
		struct page *page = is_vmalloc_addr(at) ? vmalloc_to_page(at) : virt_to_page(at);

		len = min_t(u32, left, PAGE_SIZE - offset_in_page(at));
		__bio_add_page(&d->bio, page, len, offset_in_page(at));
	}
	init_completion(&d->written);
	d->bio.bi_private = d;
	d->bio.bi_end_io = live_written;
	submit_bio(&d->bio);
	while (!wait_for_completion_io_timeout(&d->written, DEVICE))
		;
	status = d->bio.bi_status;
	bio_uninit(&d->bio);
	return status;
}

/* While live the steward looks. */
static int write_leased(struct circle_drainer *d, u64 sector, u32 n)
{
	struct circle_node *node = d->r->node;

	if (READ_ONCE(d->r->err) || !circle_lease_ok(node)) {
		circle_steward_kick(node);
		return -ECANCELED;
	}
	return write_bio(d, sector, n) ? -EIO : 0;
}

static int write_origin(struct circle_drainer *d, u64 sector, u32 n)
{
	struct circle_recovery *r = d->r;
	struct circle_node *node = r->node;
	bool young;
	int err = 0;

	if (r->live)
		return write_leased(d, sector, n);
	for (;;) {
		down_read(&r->origin);
		young = lease_young(node->circle);
		if (READ_ONCE(r->err))
			err = -ECANCELED;
		else if (young)
			err = circle_bdev_rw(node->meta->io, node->origin, REQ_OP_WRITE, sector,
					     d->buf, n);
		up_read(&r->origin);
		if (err || young)
			return err;
		err = look(r);
		if (err)
			return err;
	}
}

/*
 * Is the answer what was listed? A peer that restarted may name an older write: what it has in
 * memory alone is which was the last. When a recovery goes live, all that was listed is flushed
 * there, and nobody but us may write since.
 */
static bool as_listed(const struct circle_recovery *r, const struct circle_copy *copy,
		      const struct circle_call *call)
{
	const struct circle_frame *answer = &call->answer;
	bool any = call->instance != r->instance[copy->from];

	if (answer->generation != copy->gen || answer->seq > copy->seq)
		return false;
	return answer->seq == copy->seq || copy->seq == CIRCLE_SEQ_ANY || (r->live && any);
}

static int fetch(struct circle_drainer *d, const struct circle_copy *copy, u32 from, u32 to)
{
	struct circle_node *node = d->r->node;
	struct circle_peer *p = &node->circle->peer[copy->from];
	struct circle_call *call = &d->call;
	bool any = copy->seq == CIRCLE_SEQ_ANY;
	int err;

	if (READ_ONCE(p->state) < CIRCLE_PEER_UP)
		return d->r->live ? -ENOTCONN : -EAGAIN;
	memset(call, 0, sizeof(*call));
	call->msg.f.type = CIRCLE_WT_FETCH;
	call->msg.f.block = copy->block;
	call->msg.f.seq = any ? 0 : copy->seq;
	call->msg.f.pages = circle_pages_touched(&node->geom, from, to - from);
	call->msg.f.sector = from;
	call->msg.f.sectors = to - from;
	call->rx.buf = d->buf;
	call->rx_len = CIRCLE_DRAIN_SECTORS << SECTOR_SHIFT;
	err = circle_call_wait_up(p, call);
	if (err && d->r->live)
		return err == -ENOTCONN ? err : -ETIMEDOUT;
	if (err)
		return -EAGAIN;
	/* Another store has nothing to say about what this one has. */
	if ((d->r->live || any) &&
	    !circle_same_store(call->instance, d->r->instance[copy->from]))
		return d->r->live ? -ENOTCONN : -ENODATA;
	if (d->r->live && call->answer.status == CIRCLE_WS_NOT_ADMITTED)
		return -ETIMEDOUT;	/* it was not told who is rightful: not its fault */
	if (call->answer.status)
		return -ENODATA;
	if (as_listed(d->r, copy, call) &&
	    call->answer.length == (to - from) << SECTOR_SHIFT)
		return 0;
	return d->r->live || any ? -ENODATA : -EREMOTEIO;	/* it restarted with an older one */
}

int circle_recover_run(struct circle_drainer *d, const struct circle_copy *copy, u32 from,
		       u32 to)
{
	struct circle_node *node = d->r->node;
	u32 slot, end;
	int err = 0;

	for (; from < to && !err; from = end) {
		if (READ_ONCE(d->r->err))
			return -ECANCELED;
		end = min(to, from + CIRCLE_DRAIN_SECTORS);
		if (copy->from != CIRCLE_FROM_SSD) {
			err = fetch(d, copy, from, end);
		} else {
			struct circle_shard *sh = circle_shard_of(node->slots, 0, copy->block);

			spin_lock_irq(&sh->lock);
			slot = __circle_slot_find(node->slots, sh, 0, copy->block);
			spin_unlock_irq(&sh->lock);
			err = circle_bdev_rw(node->meta->io, node->cache, REQ_OP_READ,
					     circle_slot_sector(node, slot, from), d->buf,
					     end - from);
			if (err)
				return -ENODATA;
		}
		if (!err)
			err = write_origin(d, circle_block_sector(node, copy->block, from),
					   end - from);
	}
	return err;
}

int circle_recover_copy(struct circle_drainer *d, const struct circle_copy *copy)
{
	struct circle_recovery *r = d->r;
	const struct circle_geom *g = &r->node->geom;
	u32 limit = circle_block_limit(r->node, copy->block), pos, stop;
	int err = 0;
	bool set;

	for (pos = 0; pos < limit && !err; pos = stop) {
		stop = circle_pages_run(g, copy->pages, pos, limit, &set);
		if (set)
			err = circle_recover_run(d, copy, pos, stop);
	}
	atomic64_inc(&r->blocks);
	atomic64_add(hweight64(copy->pages), &r->pages);
	atomic64_add(copy->from != CIRCLE_FROM_SSD, &r->from_peers);
	return err;
}

/* Can it be said of the block that a part of it is lost? Then reads of that fail (P4). */
static bool may_say_lost(struct circle_node *node, u64 block)
{
	struct circle_shard *sh = circle_shard_of(node->slots, 0, block);
	bool yes;

	spin_lock_irq(&sh->lock);
	yes = __circle_slot_find(node->slots, sh, 0, block) != CIRCLE_NO_SLOT;
	spin_unlock_irq(&sh->lock);
	return yes;
}

/* What the own metadata say to be lost of it: whoever may be away need not be asked. */
static u64 known_lost(struct circle_node *node, u64 block)
{
	struct circle_shard *sh = circle_shard_of(node->slots, 0, block);
	u64 lost = 0;
	u32 n;

	spin_lock_irq(&sh->lock);
	n = __circle_slot_find(node->slots, sh, 0, block);
	if (n != CIRCLE_NO_SLOT && (node->slots->slot[n].flags & CIRCLE_SLOT_LOST))
		lost = circle_slot_dirty(node->slots, n);
	spin_unlock_irq(&sh->lock);
	return lost;
}

/* Of those that an earlier recovery did without, who do not count: who is there, or is not. */
static u32 late(const struct circle_recovery *r, bool there)
{
	struct circle_circle *c = r->node->circle;
	unsigned int i;
	u32 mask = 0;

	for (i = 0; i < c->nr_peers; i++) {
		const struct circle_peer *p = &c->peer[i];

		if ((c->asked >> i & 1) &&
		    there == (READ_ONCE(p->state) >= CIRCLE_PEER_UP &&
			      circle_same_store(READ_ONCE(p->instance), p->counted)))
			mask |= 1u << i;
	}
	return mask;
}

/* Nobody who is believed can read it. They may have restarted: then it is what was flushed (R6). */
static int ask_late(struct circle_drainer *d, const struct circle_copy *won, u32 from, u32 to)
{
	struct circle_copy any = { .block = won->block, .gen = won->gen, .seq = CIRCLE_SEQ_ANY };
	u32 mask = d->r->verdict == CIRCLE_COMPLETE ? 0 : late(d->r, true);
	int err = -ENODATA;

	for (; mask && err == -ENODATA; mask &= mask - 1) {
		any.from = __ffs(mask);
		err = circle_recover_run(d, &any, from, to);
	}
	return err;
}

/* Those that count, and are not there with another store: that has nothing to say. */
static u32 has_its_store(const struct circle_recovery *r)
{
	struct circle_circle *c = r->node->circle;
	u32 mask = r->counted;
	unsigned int i;

	for (i = 0; i < c->nr_peers; i++)
		if (!circle_same_store(r->instance[i], c->peer[i].counted))
			mask &= ~(1u << i);
	return mask;
}

static int lose(struct circle_recovery *r, struct circle_copy *won, u64 lost)
{
	const char *how = "they read as errors until overwritten";
	u32 missing = (r->node->circle->old_view & ~has_its_store(r)) | late(r, false);

	if (r->verdict == CIRCLE_COMPLETE)
		return -ENODATA;	/* the others are to be asked */
	if (missing && !r->node->conf.force) {
		CIRCLE_ERR("recovery: pages %#llx of block %llu cannot be read, and %u peers of the view cannot be reached: bring them back, or say force to give the pages up",
			   lost, won->block, hweight32(missing));
		return -EIO;
	}
	if (!may_say_lost(r->node, won->block)) {
		if (!r->node->conf.force) {
			CIRCLE_ERR("recovery: pages %#llx of block %llu cannot be read from any peer: bring back another holder, or say force to give them up",
				   lost, won->block);
			return -EIO;
		}
		how = "given up by force, the origin keeps what it has";
	}
	CIRCLE_ERR("recovery: pages %#llx of block %llu (at sector %llu) are lost: %s", lost,
		   won->block, circle_block_sector(r->node, won->block, 0), how);
	won->lost = lost;
	return 0;
}

/*
 * The winner cannot all be read. Each of its pages comes from the first copy behind it that has it
 * and is believed: a copy that is believed has all that the verdict calls complete.
 */
static int drain_pages(struct circle_drainer *d, struct circle_copy *won)
{
	struct circle_recovery *r = d->r;
	const struct circle_geom *g = &r->node->geom;
	u32 limit = circle_block_limit(r->node, won->block), page, from, to;
	const struct circle_copy *c, *end = r->copy + r->nr;
	u64 pages = won->pages & ~known_lost(r->node, won->block), lost = 0;
	int err = 0;

	for (page = 0; page < g->nr_pages && !err; page++) {
		if (!(pages >> page & 1))
			continue;
		from = page << g->page_shift;
		to = min(from + g->page_sectors, limit);
		err = -ENODATA;
		for (c = won; err == -ENODATA && c < end && c->block == won->block; c++)
			if (c->believed && (c->pages >> page & 1))
				err = circle_recover_run(d, c, from, to);
		if (err == -ENODATA)
			err = ask_late(d, won, from, to);
		if (err != -ENODATA)
			continue;
		lost |= 1ull << page;
		err = 0;
	}
	return !err && lost ? lose(r, won, lost) : err;
}

static void drain_block(struct circle_drainer *d, u32 i)
{
	struct circle_copy *won = &d->r->copy[i];
	int err = circle_recover_copy(d, won);

	if (err == -ENODATA)
		err = drain_pages(d, won);
	if (err && !cmpxchg(&d->r->err, 0, err) && err != -EAGAIN)
		CIRCLE_ERR("recovery: block %llu could not be drained (%d)", d->r->copy[i].block,
			   err);
}

/* Millions take seconds. */
static int order(const void *a, const void *b, const void *priv)
{
	u32 *calls = (u32 *)priv;

	if (!(++*calls & 0xffff))
		cond_resched();
	return circle_copy_order(a, b);
}

bool circle_recover_counts(const struct circle_recovery *r, const struct circle_copy *copy)
{
	return copy->from != CIRCLE_FROM_SSD && (READ_ONCE(r->counted) >> copy->from & 1);
}

bool circle_recover_wins(const struct circle_recovery *r, u32 i)
{
	return (!i || r->copy[i].block != r->copy[i - 1].block) && r->copy[i].believed;
}

static void drain_some(struct work_struct *work)
{
	struct circle_drainer *d = container_of(work, struct circle_drainer, work);
	struct circle_recovery *r = d->r;
	unsigned int noio = memalloc_noio_save();
	u32 i;

	while (!READ_ONCE(r->err)) {
		i = atomic_inc_return(&r->next) - 1;
		if (i >= r->nr)
			break;
		if (circle_recover_wins(r, i))
			drain_block(d, i);
		cond_resched();
	}
	memalloc_noio_restore(noio);
	if (atomic_dec_and_test(&r->running))
		complete(&r->over);
}

void circle_drainers_free(struct circle_drainer *d, u32 nr)
{
	while (nr--)
		kvfree(d[nr].buf);
	kfree(d);
}

struct circle_drainer *circle_drainers_alloc(struct circle_recovery *r, u32 *nr)
{
	struct circle_drainer *d = kcalloc(CIRCLE_DRAINERS, sizeof(*d), GFP_KERNEL);
	u32 n;

	for (n = 0; d && n < min_t(u32, CIRCLE_DRAINERS, r->nr); n++) {
		d[n].r = r;
		d[n].buf = kvmalloc(CIRCLE_DRAIN_SECTORS << SECTOR_SHIFT, GFP_KERNEL);
		if (!d[n].buf)
			break;
	}
	if (d && !n) {
		kfree(d);
		d = NULL;
	}
	*nr = n;
	return d;
}

static int drain_all(struct circle_recovery *r)
{
	struct circle_drainer *d;
	u32 nr, i;

	d = circle_drainers_alloc(r, &nr);
	if (!d)
		return -ENOMEM;
	init_rwsem(&r->origin);
	init_completion(&r->over);
	atomic_set(&r->next, 0);
	atomic_set(&r->running, nr);
	r->err = 0;
	for (i = 0; i < nr; i++) {
		INIT_WORK(&d[i].work, drain_some);
		queue_work(r->node->bg_wq, &d[i].work);
	}
	while (!wait_for_completion_timeout(&r->over, SLICE))
		if (fatal_signal_pending(current)) {
			cmpxchg(&r->err, 0, -EINTR);
			WRITE_ONCE(r->node->circle->hurry, true);
		}
	for (i = 0; i < nr; i++)
		flush_work(&d[i].work);		/* has completed, but may not have returned */
	circle_drainers_free(d, nr);
	return r->err;
}

void circle_recover_sort(struct circle_recovery *r)
{
	u32 calls = 0;

	sort_r(r->copy, r->nr, sizeof(*r->copy), order, NULL, &calls);
}

int circle_recover_drain(struct circle_recovery *r)
{
	int err = r->nr ? drain_all(r) : 0;

	return err ?: circle_origin_flush(r->node) ? -EIO : 0;
}

static int flush_peer(const struct circle_recovery *r, unsigned int nr, struct circle_call *call)
{
	memset(call, 0, sizeof(*call));
	call->msg.f.type = CIRCLE_WT_FLUSH;
	if (fatal_signal_pending(current))
		return -EINTR;
	if (circle_call_wait_up(&r->node->circle->peer[nr], call))
		return -EAGAIN;
	if (call->answer.status)
		return -EACCES;
	return call->instance != r->instance[nr] ? -EAGAIN : 0;
}

int circle_recover_flush_peers(const struct circle_recovery *r, struct circle_call *call, bool all)
{
	unsigned int i;
	int err, refused = 0;

	for (i = 0; i < r->node->circle->nr_peers; i++) {
		err = r->counted >> i & 1 ? flush_peer(r, i, call) : 0;
		if (err && (all || err != -EACCES))
			return err;
		refused = refused ?: err;
	}
	return refused;
}
