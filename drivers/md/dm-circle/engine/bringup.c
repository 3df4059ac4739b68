// SPDX-License-Identifier: GPL-2.0-only
/*
 * bringup: see bringup.h. What is loaded serves only when it is durably marked as in use; a suspend
 * leaves all that is known durable, and marked clean, or says that it could not.
 */
#include "bringup.h"

#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "../log.h"
#include "live.h"
#include "activate.h"
#include "degrade.h"
#include "heal.h"
#include "origin.h"
#include "repair.h"
#include "resize.h"
#include "serve.h"

static void meta_failed(struct circle_meta *m)
{
	circle_event_post(m->owner);
}

static u64 highest_seq(const struct circle_slots *s)
{
	u64 seq = 0;
	u32 n;

	for (n = 0; n < s->nr; n++)
		if (!s->slot[n].owner)
			seq = max(seq, circle_slot_seq(&s->slot[n]));
	return seq;
}

/* What depends on the number of slots. */
static int size_up(struct circle_node *node)
{
	u32 nr = node->slots->nr, sets = circle_policy_sets(nr);
	u64 *mem = vmalloc(array_size(sets, sizeof(u64)));

	if (!mem)
		return -ENOMEM;
	swap(mem, node->policy_mem);
	vfree(mem);
	circle_policy_init(&node->policy, node->policy_mem, sets);
	node->stock = clamp(nr / 32, min(8u, nr / 2), 4096u);
	return 0;
}

u32 circle_node_ram_per_block(const struct circle_node *node)
{
	u32 nr = node->slots->nr;
	size_t bytes = circle_meta_bytes(node->meta) +
		       PAGE_ALIGN(circle_policy_sets(nr) * sizeof(u64));

	return DIV_ROUND_UP(bytes, nr);
}

/* As dm-cache's, these survive a restart in order. */
static const enum circle_stat kept[] = {
	CIRCLE_STAT_READ_HIT, CIRCLE_STAT_READ_MISS, CIRCLE_STAT_WRITE_HIT, CIRCLE_STAT_WRITE_MISS,
};

static void load_counters(struct circle_node *node)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kept); i++)
		circle_stat_add(node->stats, kept[i], node->meta->sb.counter[i] -
				circle_stat_sum(node->stats, kept[i]));
}

static void save_counters(struct circle_node *node)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kept); i++)
		node->meta->sb.counter[i] = circle_stat_sum(node->stats, kept[i]);
}

/* First start: everything from the metadata device. */
static int load(struct circle_node *node, const struct circle_devices *dev,
		const struct circle_config *conf)
{
	bool unclean;
	int r;

	node->meta = circle_meta_create(dev->meta, dev->cache);
	if (IS_ERR(node->meta)) {
		r = PTR_ERR(node->meta);
		node->meta = NULL;
		return r;
	}
	node->data_errors_told = 0;
	node->told = CIRCLE_WELL;
	node->meta->on_failed = meta_failed;
	node->meta->owner = node;
	r = circle_node_open(node, dev, conf);
	if (!r)
		r = circle_meta_load(node->meta, !conf->circle && !node->meta->voided, &unclean);
	if (r)
		goto bad;
	node->slots = node->meta->slots;
	circle_geom_init(&node->geom, conf->block_sectors);
	r = size_up(node);
	if (r)
		goto bad;
	if (conf->circle) {
		/* it is the last thing said; then nothing is behind it */
		node->circle->tidy = node->meta->sb.tidy && !unclean &&
				     node->meta->next_lsn == node->meta->sb.tail_lsn;
		atomic64_set(&node->seq, highest_seq(node->slots));
	} else {		/* a new generation: all its tags are higher */
		node->gen = node->meta->sb.generation + 1;
	}
	node->meta->sb.tidy = false;	/* nor does any superblock from here on say so */
	load_counters(node);
	if (unclean)
		CIRCLE_INFO("recovered after an unclean stop: %d of %u blocks dirty",
			    atomic_read(&node->slots->nr_dirty), node->slots->nr);
	return 0;
bad:
	circle_meta_destroy(node->meta);
	node->meta = NULL;
	node->slots = NULL;
	return r;
}

/*
 * From here on a crash is an unclean stop. What a replay changed is brought into the table; not if
 * commits may follow the journal's end and that would have to wait for all to be loaded.
 */
static int open_for_business(struct circle_node *node)
{
	struct circle_meta *m = node->meta;
	bool later = circle_meta_is_behind(m) && m->joins;
	int r;

	if (m->failed)		/* a reload; nothing durable is expected of it */
		return 0;
	mutex_lock(&m->lock);
	m->sb.flags &= ~CIRCLE_SBF_CLEAN;
	if (!node->circle)
		m->sb.generation = node->gen;
	m->sb.origin_sectors = node->origin_sectors;
	r = later ? __circle_meta_write_super(m) : __circle_meta_checkpoint(m);
	if (!r)
		r = __circle_meta_write_super(m);	/* no copy calls it clean any more */
	mutex_unlock(&m->lock);
	if (!r && !later)
		r = circle_meta_commit(m, false);
	return r;
}

/* Void metadata, by force: what they call clean may be older than the origin. */
static int forced(struct circle_node *node)
{
	struct circle_slots *s = node->slots;
	struct circle_shard *sh;
	unsigned long flags;
	u32 n;
	int r;

	for (n = 0; n < s->nr; n++) {
		if (circle_slot_lock(s, n, &sh, &flags)) {
			__circle_slot_set(s, sh, n, circle_slot_dirty(s, n),
					  circle_slot_dirty(s, n));
			spin_unlock_irqrestore(&sh->lock, flags);
		}
		if (!(n & 0xfff))
			cond_resched();
	}
	r = circle_meta_commit(node->meta, true);
	if (!r)
		r = circle_meta_unvoid(node->meta);
	node->meta->voided = false;
	return r;
}

static void unload(struct circle_node *node)
{
	circle_node_stop(node);
	flush_workqueue(node->commit_wq);
	circle_meta_destroy(node->meta);
	node->meta = NULL;
	node->slots = NULL;
}

static int start_circle(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	struct circle_server *srv;

	srv = circle_server_start(node, c->net, &node->conf.listen);
	if (IS_ERR(srv)) {
		CIRCLE_ERR("cannot listen at the address given (%ld)", PTR_ERR(srv));
		return PTR_ERR(srv);
	}
	WRITE_ONCE(c->server, srv);	/* the committer looks at it */
	return circle_activate(node);
}

static void take_config(struct circle_node *node, const struct circle_devices *dev,
			const struct circle_config *conf, bool first)
{
	node->conf = *conf;
	WRITE_ONCE(node->ssd_bad, circle_meta_data_bad(node->meta));	/* errors: tried again */
	atomic_set(&node->repair.retired[0], 0);
	atomic_set(&node->repair.retired[1], 0);
	if (first || node->origin_dev != dev->origin->bd_dev) {	/* who had it may have written */
		circle_origin_wrote(node);
		circle_raise(&node->acked_through, atomic64_read(&node->origin_written));
	}
	node->origin = dev->origin;
	node->origin_dev = dev->origin->bd_dev;
	node->cache = dev->cache;
	node->origin_sectors = dev->origin_sectors;
	node->nr_blocks = DIV_ROUND_UP_ULL(dev->origin_sectors, conf->block_sectors);
	if (node->circle)
		circle_circle_config(node->circle, conf, first);
}

/* A circle's server goes on, whose slots these are. */
static int keep_size(struct circle_node *node, const struct circle_devices *dev,
		     const struct circle_config *conf)
{
	u64 nr = node->slots->nr;

	if (circle_slots_of(dev, conf) > nr)
		CIRCLE_INFO("the cache device has grown: a circle uses that from its next start on");
	if (circle_slots_of(dev, conf) >= nr)
		return 0;
	CIRCLE_ERR("the cache device of a running circle cannot shrink: go back to the old size, or remove the device and create it again");
	return -EINVAL;
}

/* The sizes that the devices have now, and the rules for a mode. Refused: nothing is changed. */
static int follow(struct circle_node *node, const struct circle_devices *dev,
		  const struct circle_config *conf, bool first)
{
	u64 nr = node->slots->nr;
	bool running = conf->circle && !first;
	int r = running ? keep_size(node, dev, conf) : 0;

	if (r)
		return r;
	/* dm-cache wants it clean; a circle, which has no other mode to get clean in, is helped. */
	if (conf->mode == CIRCLE_PASSTHROUGH && running)
		circle_writeback_drain(node, CIRCLE_END_MS);
	/* A circle's activation is still to write back all. */
	if (conf->mode == CIRCLE_PASSTHROUGH && !(conf->circle && first) &&
	    atomic_read(&node->slots->nr_dirty)) {
		CIRCLE_ERR("cannot enter passthrough mode unless all blocks are clean: drain first");
		return -EBUSY;
	}
	if (running)
		return 0;
	r = circle_resize(node, dev, conf);
	if (!r && node->slots->nr != nr)
		r = size_up(node);
	return r;
}

/* The constructor may have been before the first resume's end, and not have known. */
static bool has_peers(const struct circle_node *node, const struct circle_config *conf)
{
	if (!node->circle || conf->degree <= circle_peers_configured(node->circle))
		return true;
	CIRCLE_ERR("degree %u is above the number of peers, which do not change by a reload: load the old table again",
		   conf->degree);
	return false;
}

static int bring_up(struct circle_node *node, const struct circle_devices *dev,
		    const struct circle_config *conf, bool first)
{
	const char *error = NULL;
	int r;

	r = first ? load(node, dev, conf) : circle_node_fits(&node->meta->sb, dev, conf, &error);
	if (error)
		CIRCLE_ERR("%s", error);
	if (r)
		return r;
	if (!first && !has_peers(node, conf))
		return -EINVAL;
	if (!first)		/* perhaps it never was resumed; or they have failed */
		circle_meta_load_rest(node->meta, true);
	r = follow(node, dev, conf, first);
	if (!r) {
		take_config(node, dev, conf, first);
		r = open_for_business(node);
		if (!r && first && node->meta->voided)
			r = forced(node);
		if (r)
			CIRCLE_ERR("metadata device cannot be written");
		if (!r && first && node->circle)
			r = start_circle(node);
		if (!first)
			r = 0;
	}
	if (r && first)
		unload(node);
	return r;
}

int circle_node_resume(struct circle_node *node, const struct circle_devices *dev,
		       const struct circle_config *conf)
{
	/* The device may be suspended with a filesystem or swap on it. */
	unsigned int noio = memalloc_noio_save();
	bool first = node->state == CIRCLE_NODE_NEW;
	struct circle_node *before = NULL;
	int r = 0;

	circle_hung_devices(node, dev);
	circle_hung_begin(node, "resume");
	if (first)
		r = circle_hand_over(node, dev, conf, &before);
	else if (circle_node_is_replaced(node))
		r = -EBUSY;
	mutex_lock(&node->admin);
	if (!r)
		r = bring_up(node, dev, conf, first);
	if (!r && before) {
		r = circle_handed_over(node, before, conf);
		if (r)
			unload(node);
	}
	if (!r)
		node->state = CIRCLE_NODE_QUIET;
	else if (before && !before->circle)
		circle_node_keep(before);
	mutex_unlock(&node->admin);
	circle_hung_end(node);
	memalloc_noio_restore(noio);
	return r;
}

/*
 * What a server committed after the suspend is behind the CLEAN mark, and would belie it. served:
 * there was one, and now is none; sure: as circle_server_stop() says. Then TIDY is said, as the
 * last thing.
 */
static void clean_again(struct circle_node *node, bool served, bool sure)
{
	struct circle_meta *m = node->meta;
	bool tidy;

	mutex_lock(&m->lock);
	if (!(m->sb.flags & CIRCLE_SBF_CLEAN) || (!served && m->next_lsn == m->sb.tail_lsn))
		goto out;
	tidy = served && circle_serve_tidy(node) && sure;
	if (!__circle_meta_commit(m, true)) {
		m->sb.tidy = tidy;
		if (__circle_meta_checkpoint(m))
			m->sb.tidy = false;
	}
out:
	mutex_unlock(&m->lock);
}

void circle_node_stop(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	struct circle_server *srv;
	bool sure, told;

	if (!c || !node->meta)
		return;
	told = circle_hung_begin(node, "removal");
	circle_deactivate(node);
	spin_lock_irq(&c->lock);	/* sysfs looks at it with that held */
	srv = c->server;
	WRITE_ONCE(c->server, NULL);
	spin_unlock_irq(&c->lock);
	flush_workqueue(node->commit_wq);	/* the committer uses it */
	sure = circle_server_stop(srv);
	clean_again(node, srv, sure);
	if (told)
		circle_hung_end(node);
}

void circle_node_live(struct circle_node *node)
{
	circle_hung_end(node);		/* of a suspend that was undone */
	node->state = CIRCLE_NODE_LIVE;
	WRITE_ONCE(node->last_io, jiffies);
	WRITE_ONCE(node->bg_stop, false);
	if (node->circle)
		circle_steward_go_on(node);
	circle_live_go_on(node);
	queue_delayed_work(node->bg_wq, &node->commit.tick, HZ);
	circle_behind_start(node);
	circle_repair_start(node);
	circle_writeback_start(node);
	circle_heal_start(node);
	circle_reclaim_kick(node);
}

void circle_node_presuspend(struct circle_node *node, bool requeue)
{
	if (node->state != CIRCLE_NODE_LIVE)
		return;
	circle_hung_begin(node, "suspend");	/* until postsuspend: dm waits in between, too */
	circle_behind_finish(node);
	circle_live_pause(node);
	circle_steward_end_waits(node, requeue);
	circle_degrade_presuspend(node, requeue);
	smp_store_release(&node->bg_stop, true);	/* who sees it sees node->requeue */
	circle_repair_stop(node);
	circle_heal_stop(node);
	circle_writeback_stop(node);
	circle_degrade_stopped(node);
	cancel_delayed_work_sync(&node->commit.tick);
	cancel_work_sync(&node->reclaim);
}

void circle_node_suspend(struct circle_node *node)
{
	struct circle_meta *m = node->meta;
	bool before;
	int r;

	if (node->state != CIRCLE_NODE_LIVE)
		return;
	mutex_lock(&node->admin);
	circle_live_stop(node);
	flush_workqueue(node->wq);
	if (node->circle)
		flush_workqueue(node->circle->copy_wq);
	flush_workqueue(node->next_wq);
	flush_workqueue(node->commit_wq);
	circle_writeback_stop(node);	/* if a FLUSH began it again */
	circle_repair_stop(node);	/* if a late error did */
	circle_heal_stop(node);		/* if the steward did just then */
	cancel_work_sync(&node->reclaim);	/* if a write kicked it when that was stopped */
	before = m->failed;
	mutex_lock(&m->lock);
	r = __circle_meta_commit(m, true);
	if (!r) {
		/* It says that the cache device has all: not before a recovery is over. */
		if (!READ_ONCE(node->recovering))
			m->sb.flags |= CIRCLE_SBF_CLEAN;
		save_counters(node);
		r = __circle_meta_checkpoint(m);
	}
	mutex_unlock(&m->lock);
	if (r)
		circle_degrade_suspend(node, !before);
	node->state = CIRCLE_NODE_QUIET;
	mutex_unlock(&node->admin);
	circle_hung_end(node);
}
