/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * live_impl: what the parts of a live recovery share. live.c: its life; live_gate.c: the host's
 * requests; live_state.c: what each block's state is, and what is to be done; live_drain.c does
 * it; live_peers.c, the steward's: label, peers that are gone, pages that are lost; live_own.c: a
 * restart's own SSD.
 */
#ifndef CIRCLE_ENGINE_LIVE_IMPL_H
#define CIRCLE_ENGINE_LIVE_IMPL_H

#include <linux/mutex.h>
#include "io.h"
#include "live.h"
#include "origin.h"

/* Of a winner. PENDING, UNREADABLE: not drained. */
enum { LIVE_PENDING = 0, LIVE_DRAINED, LIVE_GONE, LIVE_UNREADABLE, LIVE_BASE = 3 };

#define LIVE_ASKED	0x4	/* some of it is of a peer that does not count: to be GONE soon */
#define LIVE_AWAY	0x8	/* the last try was with somebody away who may have it */
#define LIVE_BUSY	0x10	/* a drainer has it */
#define LIVE_DURABLE	0x20	/* a FLUSH covered it: it never goes back to PENDING */
#define LIVE_LATER	0x40	/* failed: not before the steward says so */
#define LIVE_UNEVEN	0x80	/* copies differ, or are fewer than the floor: wait for GONE */
#define LIVE_COVERED	0x100	/* was so, DRAINED or to be LOST, when a FLUSH began */
#define LIVE_LOSE	0x200	/* UNREADABLE: no copy is left, which is still to be said */
#define LIVE_VAIN	0x400	/* how often origin or peer failed, as far as that counts */
#define LIVE_VAINS	0xc00
#define LIVE_TRY	0x1000	/* how often no copy could be read; then it is lost */
#define LIVE_TRIES	0xf000
#define LIVE_TRIES_LATE	0x8000	/* from then on also copies that may be older */

enum circle_live_type { LIVE_NOTHING, LIVE_DRAIN, LIVE_RELEASE, LIVE_FLUSH };

struct circle_live_job {
	enum circle_live_type type;
	u32 i;
	int errors;			/* live->errors when it began */
};

#define LIVE_QUEUES	256		/* of who waits, by a hash of the copy: a block's are few */

struct circle_live_queue {
	struct list_head list;		/* circle_io.waiter.link; their copy is io->awaits */
	u32 nr;
};

/* Where a drainer is in its search for what somebody waits for. */
struct circle_live_search {
	u32 at, queues, rest;		/* the queue; how many were begun; still to be seen in it */
};

struct circle_live {
	/* counted: by the label; the steward's own, READ_ONCE. instance: of who was not there, or
	 * had restarted, that of the old label
	 */
	struct circle_recovery r;
	u32 listed;			/* peers whose lists are in r */
	u32 whole;			/* ... that counted at the begin: all was flushed there */
	atomic_t users;			/* who looks at it; circle_live_get() */
	struct circle_drainer *drainer;
	u32 nr_drainers;
	u32 winners, own_winners;	/* ... which are the own SSD's */
	u64 pages;			/* theirs */
	unsigned long began;		/* jiffies */
	struct mutex flush;		/* one FLUSH at a time; sleeps; outside of lock */

	spinlock_t lock;		/* irq-safe; covers what follows; a leaf */
	u16 *state;			/* of winners; of others 0. READ_ONCE, released */
	struct circle_live_queue queue[LIVE_QUEUES];
	u32 waiting;			/* requests in them; READ_ONCE */
	u32 turn;			/* queue that was looked into first */
	u32 next;			/* to be drained when nobody waits */
	u32 again;			/* the same, when next has come to the end: while careful */
	bool careful;			/* one block at a time, with a FLUSH behind it, */
	unsigned long refused_at;	/* since then: the origin refused it; the steward's */
	bool postponed;			/* what is LATER, for that; the steward's */
	u32 left;			/* winners that are not drained */
	u32 fresh;			/* DRAINED, not DURABLE */
	u32 fresh_from, fresh_to;	/* all of these are in there */
	u32 busy;			/* jobs under way */
	bool paused;			/* only what is waited for */
	bool stopped;			/* nothing is begun */
	bool over;			/* the same: the last label is being written */
	bool renewing;			/* what is fresh may not be there */
	bool flushing;			/* a FLUSH job is under way */
	bool later, unreadable, lose;	/* some are */
	bool weak;			/* a page may not be what was completed last */
	bool want_weak;			/* the label is to say so first; WRITE_ONCE */
	bool weak_said;			/* it does, durably; the steward's; READ_ONCE */
	unsigned int vain;		/* FLUSHes in a row that failed, whoever wanted them */
	unsigned long flushed;		/* jiffies of the last one */
	int errors;			/* circle_live_errors() that fresh goes by */
	u32 bad;			/* peers that refused a release, each */
	u64 bad_instance[CIRCLE_MAX_PEERS];	/* being that one, READ_ONCE, */
	unsigned long bad_since[CIRCLE_MAX_PEERS];	/* then (jiffies): asked again */

	u32 floor;			/* copies that all has; the steward's own; READ_ONCE */
	u32 gone;			/* peers that count, but are not waited for; the same */
	u32 flags;			/* of the label */
	u32 promised;			/* peers of each label that may be durable; the same */
	bool unsure;			/* the last one may be, or may not; the steward's */
	unsigned long assured;		/* jiffies: that was to be mended then; the same */
	unsigned long seen[CIRCLE_MAX_PEERS];	/* jiffies; the same */
	unsigned long retried, reread, renewed, looked;	/* the same; retried: or when it may be */
	int refused;			/* origin_away when it looked last; the steward's own */
	bool empty;			/* the label counts nobody, durably; the steward's */
	bool own;			/* the own SSD is one that may be asked; live_own.c */
	u32 own_next;			/* where its sweep goes on; the steward's */
	u32 left_before;		/* of all that a FLUSH may wait for; the same */
	unsigned long stands;		/* since then (jiffies) it is so many; the same */
};

/* It may have lost what is not flushed. */
static inline int circle_live_errors(const struct circle_live *l)
{
	return circle_origin_losses(l->r.node);
}

/* live.c. Any context. NULL: there is none. Else it stays until put. */
struct circle_live *circle_live_get(struct circle_node *node);

static inline void circle_live_put(struct circle_live *l)
{
	smp_mb__before_atomic();	/* pairs with the barrier in circle_live_free() */
	atomic_dec(&l->users);
}

/* live_gate.c. Index of the block's winner, or r.nr. */
u32 circle_live_find(const struct circle_live *l, u64 block);
/* lock held: takes out of its queue what may pass now, of copy i; or, all: everything of i.
 * take_all: everything there is. Then, without the lock, they go on or fail.
 */
void __circle_live_take(struct circle_live *l, u32 i, bool all, struct list_head *out);
void __circle_live_take_all(struct circle_live *l, struct list_head *out);
/* Process context: the same for all copies. */
void circle_live_take_each(struct circle_live *l, bool all, struct list_head *out);
void circle_live_let_go(struct list_head *list);
void circle_live_fail(struct list_head *list);

/* live_state.c. lock held: the drainers look again. */
void __circle_live_kick(struct circle_live *l);
/* lock held: a winner's state; what it keeps of the old one is kept. */
void __circle_live_set(struct circle_live *l, u32 i, u16 base, u16 flags);
/* Process context: what(), with the lock, of those in [from, to) that are not just PENDING. */
void circle_live_each(struct circle_live *l, u32 from, u32 to,
		      void (*what)(struct circle_live *l, u32 i));
/* Process context. What to do; the caller is to say circle_live_done(), unless it is nothing. True:
 * nothing was found yet, look again, with the same search, of zeros at first.
 */
bool circle_live_pick(struct circle_live *l, struct circle_live_search *s,
		      struct circle_live_job *job);
void circle_live_done(struct circle_live *l, const struct circle_live_job *job, int err);
/* Sleeps, l->flush held: a FLUSH of the origin; what was DRAINED is DURABLE. 0, -EIO, or -EAGAIN:
 * what is fresh has to be renewed first.
 */
int __circle_live_flush(struct circle_live *l);
/* The steward: the origin failed, what is fresh is drained again; what failed is tried again. */
void circle_live_renew(struct circle_live *l);
void circle_live_try_again(struct circle_live *l);
void circle_live_read_again(struct circle_live *l);

/* live_drain.c. The same version of a block: what was dirty is in both (a release takes what is
 * clean, healing copies what is dirty); and of the same pages.
 */
bool circle_live_same(const struct circle_copy *a, const struct circle_copy *b);
bool circle_live_alike(const struct circle_copy *a, const struct circle_copy *b);
void circle_live_drain(struct work_struct *work);	/* a drainer's */
/* Any context: as circle_live_reachable(), or the own SSD, which is believed. */
bool circle_live_can_be_asked(const struct circle_live *l, const struct circle_copy *c);
/* Any context. The label says WEAK before anything of that kind is believed (R6). -EAGAIN: soon. */
int circle_live_may_be_weak(struct circle_live *l);

/* live_own.c. How many copies the winner's block has, with the winner. */
u32 circle_live_copies(const struct circle_live *l, u32 won);
/* A restart with the SSD; sleep. Behind the first label, before anything is served: prepare: what
 * the SSD has and nobody needs is durably dropped; -errno: it could not be. keep: what is dirty
 * there is OLD from now on; undo: what still is so is dirty again.
 */
int circle_live_own_prepare(struct circle_recovery *r);
void circle_live_own_keep(struct circle_live *l);
void circle_live_own_undo(struct circle_live *l);
/* Any context: it has all that was flushed, and the label says so. */
bool circle_live_own_counts(const struct circle_live *l);
/* The job's block is DURABLE: its slot is durably gone. -EAGAIN: not yet. */
int circle_live_own_forget(struct circle_live *l, u32 won);
/* The steward: slots of what is at the origin are given back, unless a holder that counts has an
 * older copy (R6): such are released before if none is free. end: all, durably.
 */
void circle_live_own_sweep(struct circle_live *l);
int circle_live_own_end(struct circle_live *l);
/* Writes a block, or its sectors [from, to), which are that page, to the origin. -ENODATA: it
 * cannot be read; -EAGAIN, as above; or what circle_recover_run() says.
 */
int circle_live_own_block(struct circle_live *l, struct circle_drainer *d, u32 won);
int circle_live_own_page(struct circle_live *l, struct circle_drainer *d, u32 won, u32 page,
			 u32 from, u32 to);

/* live_peers.c, the steward. Any context: the copy's peer is there, with the store that listed it;
 * is_there: and does as it is told.
 */
bool circle_live_reachable(const struct circle_live *l, const struct circle_copy *c);
bool circle_live_is_there(const struct circle_live *l, unsigned int nr);
/* How many of these peers have a copy like the winner's that, as far as is known, can be read. */
u32 circle_live_holders(const struct circle_live *l, u32 won, u32 peers);
/* Of these peers those that are there. */
u32 circle_live_there(const struct circle_live *l, u32 peers);
/* The label counts these. 0: it is durable. */
int circle_live_label(struct circle_live *l, u32 peers, u32 floor);
/* All is durable at the origin: from now on it counts nobody, and says that nothing is dirty. 0
 * also if pages are lost: then it cannot say so.
 */
int circle_live_label_empty(struct circle_live *l);
void circle_live_look_after_peers(struct circle_live *l);
void circle_live_say_void(struct circle_live *l);
void circle_live_say_weak(struct circle_live *l);
void circle_live_say_lost(struct circle_live *l);

#endif
