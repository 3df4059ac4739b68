/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * writeback: brings dirty pages to the origin (writeback.c), as fast as is good (pace.c).
 */
#ifndef CIRCLE_ENGINE_WRITEBACK_H
#define CIRCLE_ENGINE_WRITEBACK_H

#include <linux/atomic.h>
#include <linux/ktime.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

struct circle_node;
struct circle_batch;

/* Owned by the work item alone, but for the wishes. */
struct circle_writeback {
	struct delayed_work work;
	atomic_t running;		/* operations under way, */
	int width;			/* and fewer than so many of which are waited for */
	wait_queue_head_t idle;
	u32 next_shard;
	unsigned int backoff_ms;
	u32 limit;			/* blocks of a batch now */
	u32 oldest;			/* of its blocks, seconds */
	u32 revokers;			/* peers: some of what they hold is due, */
	bool giving;			/* and not all of it has been released; READ_ONCE */
	unsigned long gave;		/* jiffies */
	u64 least_us;			/* that any takes, however small; 0: not known */
	ktime_t begun;			/* the batch */
	unsigned long room;		/* jiffies: for the host, after it; READ_ONCE */
	unsigned long good;		/* jiffies: of the last that the origin took */
	bool drain;			/* write back all that is dirty */
	int vain;			/* so many were dirty, and none could be written back */
	bool pressure;			/* reclaim found too little that is clean, */
	bool pressed;			/* and had when the batch was made, or all were dirty */
	bool trial;			/* of what haste achieves: pace.c */
	unsigned long trial_began;	/* jiffies */
	u64 trial_through;		/* the host's writes that went through by then */
	u32 trial_blocks;		/* made clean since */
	unsigned long futile;		/* jiffies: there is no haste before; READ_ONCE */
	unsigned long futile_for;	/* jiffies: how long that was, the last time */
	unsigned long end;		/* jiffies: in a suspend FLUSHes wait no longer for it */
	u64 spent_us, spent_pages;	/* on the last batches, the older the less */
	u64 pace;			/* us for 1024 pages; 0: not known, or the origin fails */
	bool paced;			/* by batches that were large, as in a drain */
	struct circle_batch *batch;	/* the work's own */
};

int circle_writeback_init(struct circle_node *node);
void circle_writeback_kick(struct circle_node *node);
/* Any context: the same, but after the last batch a busy host is left its time. */
void circle_writeback_go_on(struct circle_node *node);
/* Any context: so much is dirty that a write to a block that nobody asked for lately had better go
 * to the origin, which takes writes.
 */
bool circle_writeback_behind(const struct circle_node *node);
void circle_writeback_start(struct circle_node *node);	/* live again: at once */
s64 circle_writeback_eta(struct circle_node *node);	/* any context: s to drain; -1: not known */
/* Process context, the work stopped: writes back what is dirty, for so long at most. */
void circle_writeback_drain(struct circle_node *node, unsigned int ms);
/* Process context, not from the work itself: waits until all operations of ours are over. */
void circle_writeback_stop(struct circle_node *node);

#endif
