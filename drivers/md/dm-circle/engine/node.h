/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * node: the object that outlives a table: index, metadata, journal, and in a circle the listener,
 * the connections and the label. Found by mapped device and metadata device, held by its tables.
 *
 * Life: created by the first constructor (nothing but memory); started by the first preresume;
 * quiet between postsuspend and preresume (a server goes on); stopped when the last table goes.
 */
#ifndef CIRCLE_ENGINE_NODE_H
#define CIRCLE_ENGINE_NODE_H

#include <linux/atomic.h>
#include <linux/bio.h>
#include <linux/dm-kcopyd.h>
#include <linux/mempool.h>
#include <linux/mutex.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include "../core/config.h"
#include "../core/policy.h"
#include "../stats.h"
#include "../store/meta.h"
#include "../store/slots.h"
#include "behind.h"
#include "hung.h"
#include "writeback.h"

#define CIRCLE_END_MS	5000	/* what waits ends after so long when the node suspends (P7) */

struct circle_call;
struct circle_circle;
struct circle_devices;
struct circle_live;
struct circle_sysfs;
struct dm_table;
struct mapped_device;

/* What waits for a commit. Owner: whoever embeds it. */
struct circle_waiter {
	struct list_head link;
	bool flush;		/* the data that were written before must be durable too */
	/* Process context, may submit I/O; circle_commit_fast()'s: any context. */
	void (*done)(struct circle_waiter *w, int err);
};

struct circle_committer {
	spinlock_t lock;	/* covers all but the works */
	struct list_head waiters;
	struct list_head drainers;	/* FLUSHes that wait until nothing is dirty; degrade.c */
	bool working, flying;	/* the work, or a FLUSH without it: the work waits for that */
	struct circle_waiter *rider;	/* for whom that flies */
	struct bio bio;			/* in it */
	wait_queue_head_t landed;
	struct work_struct work;
	struct delayed_work tick;	/* what nobody waits for is committed every second */
};

/*
 * FLUSHes of the origin go one at a time, or one that succeeds could be believed before it is known
 * that another failed. Who asks while one is under way has the next, with all others that ask then.
 */
struct circle_flusher {
	spinlock_t lock;		/* covers next and busy; innermost */
	struct list_head next, now;	/* struct circle_flush_wait; now: of the one under way */
	bool busy;
	struct work_struct work;	/* issues the next */
	struct bio bio;
	u64 covers;
	s64 flushed;			/* origin_flushed when it was issued */
	u64 bad_place[8];		/* sectors that failed, << 1, + 1: a write; READ_ONCE */
	unsigned long bad_since[8];
	unsigned int bad_next;
};

/* What `dmsetup wait` waits for. */
struct circle_event {
	struct mutex lock;		/* covers table */
	struct dm_table *table;		/* live, from resume to postsuspend; else NULL */
	struct work_struct work;
};

enum circle_node_state {
	CIRCLE_NODE_NEW = 0,	/* memory only */
	CIRCLE_NODE_QUIET,	/* loaded; no host I/O, no background work of ours */
	CIRCLE_NODE_LIVE,
};

/* What the cache device's errors left to do. The work's own, but for `errors` and `since`. */
struct circle_repair {
	struct delayed_work work;
	bool active;		/* there are sick slots; READ_ONCE */
	atomic_t retired[2];	/* own, lent: since the table was loaded; above the limit: none */
	atomic_t errors;	/* since `since` */
	unsigned long since;	/* jiffies */
	struct mutex spare_lock;	/* save.c: what it takes, when there is no memory */
	void *spare_buf;		/* PAGE_SIZE */
	struct circle_call *spare_call;
};

struct circle_node {
	struct list_head link;		/* nodes_lock and list_lock; `tables` too */
	unsigned int tables;
	struct mutex admin;		/* resume, suspend, messages that change slots; outermost */
	struct mapped_device *md;
	dev_t meta_dev, cache_dev;
	struct circle_config conf;	/* of the table that is live; changes only while quiet */
	enum circle_node_state state;	/* changed by preresume and postsuspend alone */
	struct circle_meta *meta;
	struct circle_slots *slots;	/* meta's */
	struct circle_geom geom;
	struct block_device *origin, *cache;
	dev_t origin_dev, label_dev;	/* also when a table was refused, and took those with it */
	u64 origin_sectors, nr_blocks;
	u32 gen;			/* this activation's generation */
	atomic64_t seq;			/* of writes in this generation */
	struct workqueue_struct *wq;	/* steps of host I/O; WQ_MEM_RECLAIM */
	struct workqueue_struct *next_wq;	/* later steps: wait for none that they give back */
	struct workqueue_struct *commit_wq;	/* one at a time: the committer */
	struct workqueue_struct *flush_wq;	/* origin.c's: who waits for it is on others */
	struct workqueue_struct *bg_wq;	/* write-back, reclaim, and their like */
	struct dm_kcopyd_client *kc;	/* into the cache */
	struct circle_copier *copier;	/* out of it */
	struct bio_set bios;
	mempool_t op_pool;		/* struct circle_op: promotion and write-back */

	struct circle_committer commit;
	struct circle_event event;
	struct circle_behind behind;
	struct circle_hung hung;
	struct circle_writeback wb;
	struct work_struct reclaim;
	struct circle_policy policy;	/* needs no lock */
	u64 *policy_mem;
	atomic_t promoting;
	u32 stock;			/* free slots that reclaim keeps ready */
	struct circle_live *live;	/* live.h; circle->lock */
	bool recovering;		/* READ_ONCE: it is not over */
	unsigned long dry;		/* jiffies: nothing could be evicted then; or long ago */
	unsigned long starved;		/* jiffies: a write of the host found no slot */

	atomic64_t origin_written;	/* counts completed writes to the origin */
	atomic_t origin_errors;		/* FLUSHes that failed: what they covered is not settled */
	atomic_t origin_away, origin_gone;	/* it refused as if, since it was away */
	atomic64_t acked_through;	/* origin_written when a write was completed there alone */
	bool loss_untold;		/* what a FLUSH of the host has still to report */
	atomic64_t origin_flushed;	/* how many of them a FLUSH has covered */
	struct circle_flusher flusher;	/* origin.c's */
	u8 told;			/* the committer's: the health that was logged */
	int data_errors_told;		/* the committer's: of meta's, that it knows of */
	unsigned long failed_at;	/* jiffies; the committer's */
	bool requeue;			/* of the last presuspend */
	bool ssd_bad;			/* errors, or a FLUSH failed: not used; READ_ONCE */
	bool origin_bad;		/* the last write to it failed; READ_ONCE */
	struct circle_repair repair;
	unsigned long last_io, flush_failed;	/* jiffies: the host's last; FLUSH, or 0: flush.c */
	bool bg_stop;			/* background work is to end; READ_ONCE */
	bool replaced;			/* another node takes its place; list_lock */
	bool refused, force_helps;	/* it could not take another's; preresume's own */
	struct circle_stats __percpu *stats;

	struct circle_circle *circle;	/* NULL: local cache */
	struct circle_heal *heal;	/* the same */
	struct circle_sysfs *sysfs;	/* the face's own */
	void (*on_destroy)(struct circle_node *node);	/* called first when the node goes */
};

/* Process context. Finds or makes the node of (md, metadata device) and counts a table in.
 * -EBUSY: the metadata or cache device is in use by another mapped device; -EXDEV: by this one,
 * with another cache or metadata device; -EINVAL: it is a circle and this is none, or the reverse.
 */
struct circle_node *circle_node_get(struct mapped_device *md, dev_t meta_dev, dev_t cache_dev,
				    bool circle);
void circle_node_put(struct circle_node *node);
/* Constructor: false: a table of this circle has another origin or label (0: none). */
bool circle_node_place(struct circle_node *node, dev_t origin, dev_t label);
/*
 * preresume, whose end its table outlives: the other node of this mapped device, quiet, or NULL. It
 * is replaced from then on: no table gets it or resumes it any more.
 */
struct circle_node *circle_node_before(struct circle_node *node);
/* The same: what others of this mapped device have to tell at the next FLUSH. They keep it. */
void circle_node_inherit(struct circle_node *node);
bool circle_node_is_replaced(struct circle_node *node);
void circle_node_keep(struct circle_node *node);	/* it is not, after all */
/* Constructor: NULL, or why this node cannot follow the one in use; *exchange: there is one. */
const char *circle_node_follows(struct circle_node *node, const struct circle_devices *dev,
				const struct circle_config *conf, bool *exchange);

static inline bool circle_node_through(const struct circle_node *node)
{
	return node->conf.mode != CIRCLE_WRITEBACK || READ_ONCE(node->meta->failed) ||
	       READ_ONCE(node->ssd_bad) || READ_ONCE(node->recovering);
}

static inline u64 circle_slot_sector(const struct circle_node *node, u32 slot, u32 offset)
{
	return (u64)slot * node->geom.block_sectors + offset;
}

static inline u64 circle_block_sector(const struct circle_node *node, u64 block, u32 offset)
{
	return block * node->geom.block_sectors + offset;
}

/* Sectors of this block that the origin has. */
static inline u32 circle_block_limit(const struct circle_node *node, u64 block)
{
	return min_t(u64, node->geom.block_sectors,
		     node->origin_sectors - block * node->geom.block_sectors);
}

/* commit.c: any context. w->done is called when all that was changed before is durable. */
void circle_commit_init(struct circle_node *node);
void circle_commit_wait(struct circle_node *node, struct circle_waiter *w);
/* Process context. The same without the committer, if a FLUSH of the data is all that it takes. */
void circle_commit_fast(struct circle_node *node, struct circle_waiter *w);
void circle_commit_kick(struct circle_node *node);
/* Sleeps: commits, with a FLUSH, and waits for it; 0 or -errno. */
int circle_commit_now(struct circle_node *node);

/* event.c */
void circle_event_init(struct circle_node *node);
void circle_event_exit(struct circle_node *node);	/* process context: nothing is under way */
void circle_event_post(struct circle_node *node);	/* any context: the status has changed */
/* Process context. NULL: waits for what was posted. */
void circle_event_table(struct circle_node *node, struct dm_table *table);
void circle_event_tick(struct circle_node *node);	/* each second */

/* reclaim.c */
void circle_reclaim_init(struct circle_node *node);
void circle_reclaim_kick(struct circle_node *node);	/* any context: the stock has shrunk */
void circle_reclaim_anew(struct circle_node *node);	/* the same: more may go than before */
/* Process context, no lock held: one clean block goes now, if any can; a commit frees its slot.
 * insist: also if there was none just now.
 */
void circle_reclaim_one(struct circle_node *node, bool insist);
/* The same of what is parked, which nobody relies on, whatever the node's state. True: one went. */
bool circle_reclaim_parked(struct circle_node *node);
/* Any context: of late a write of the host went through for want of a slot. */
bool circle_reclaim_starves(const struct circle_node *node);
/* Any context, no lock held: would the oldest block make way for it? Asking costs a use. */
bool circle_reclaim_yields(struct circle_node *node, u64 block);
/* shard->lock held. The same, of a write while the cache is crowded: the oldest dirty block. */
bool __circle_reclaim_makes_way(struct circle_slots *s, struct circle_shard *sh);

/* promote.c: any context; does it or not. main: which queue it enters, if it is not there yet. */
void circle_promote(struct circle_node *node, u64 block, bool main);
size_t circle_op_size(void);

#endif
