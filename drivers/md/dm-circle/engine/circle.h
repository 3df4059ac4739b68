/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * circle: what a node has beyond a local cache: its peers (to whom it sends: client side), its
 * sessions (for whom it stores: server side, see serve.h), the label, and the steward, the one
 * thread that changes views.
 *
 * Locks, outer first: shard->lock -> circle->lock -> peer->lock -> the connection's own. All
 * irq-safe spinlocks. circle->lock covers the masks, the floor and the list of multis; peer->lock
 * covers a peer's connection, state and calls.
 *
 * Peers are numbered 0..nr_peers-1 (the bits of all masks): those of the table line first, then
 * those that the label names and the line does not. The numbers stay for the life of the node.
 */
#ifndef CIRCLE_ENGINE_CIRCLE_H
#define CIRCLE_ENGINE_CIRCLE_H

#include <linux/completion.h>
#include "../core/label.h"
#include "../core/wire.h"
#include "../net/conn.h"
#include "node.h"
#include "stash.h"

struct net;
struct circle_server;

#define CIRCLE_MAX_HOLDERS	8	/* of one block */
#define CIRCLE_TIMEOUT_MS	2000	/* default: a peer that has not answered by then is lost */
#define CIRCLE_TIMEOUT_MIN_MS	100	/* what may be set */
#define CIRCLE_TIMEOUT_MAX_MS	60000
#define CIRCLE_LEASE_MS		5000	/* L of R5 */
#define CIRCLE_LEND		50	/* default: percent of the slots lent at most */

enum circle_peer_state {
	CIRCLE_PEER_DOWN = 0,	/* no connection, or one that is not greeted yet */
	CIRCLE_PEER_UP,		/* greeted and fenced; nothing is sent but by its manager */
	CIRCLE_PEER_READY,	/* resynchronised: may enter the view; calls may be sent */
};

struct circle_peer {
	struct circle_node *node;
	unsigned int nr;		/* its bit */
	u32 id;
	struct circle_addr addr;
	bool configured;		/* on the table line */
	struct task_struct *thread;	/* the manager: connects, greets, resynchronises, waits */
	wait_queue_head_t wait;
	struct completion done;

	spinlock_t lock;		/* irq-safe; covers state, conn, calls and what follows */
	enum circle_peer_state state;
	struct circle_conn *conn;	/* a reference, while there is one */
	struct list_head calls;		/* sent, not answered; oldest first */
	u64 next_id;
	u8 domain[CIRCLE_DOMAIN_SIZE];
	u64 instance;			/* that it named in its hello */
	u64 counted;			/* the instance that the label counted */
	u64 ready_instance;		/* the instance that became READY */
	u32 turn;			/* how often it did: what was before that is gone */
	bool greeted;			/* has answered a hello, on this connection */
	bool stopping;			/* no connection is made any more */
	u32 heard;			/* node id of another owner that it hears, or 0 */
	u32 space;			/* slots that it still lends, as last heard */
	u32 features, wanted;		/* of its hello; slots that it wants back, as last heard */
	unsigned long answered;		/* jiffies: what was answered last was sent then */
	bool leaves, let_go;		/* away.h: as last heard; and not READY since; READ_ONCE */
	unsigned long away_until;	/* jiffies; valid once it left; READ_ONCE */
	u32 kept;			/* blocks that it has parked, as last heard; READ_ONCE */
	u32 in_vain;			/* ... of which it had none that was asked for, in a row */
	u16 refused;			/* wire status of the last refusal */
	u64 undurable;			/* counts writes stored but not durable */
	u64 flushed;			/* how many of them a flush has covered */
	unsigned int failures;		/* in a row: back-off */
	u64 nr_lost;			/* connections lost since start */
};

/*
 * A request to one peer. Owner: the sender, until done(). done() is called once, in process
 * context: err 0 and the answer (whatever its status), or -errno: the connection ended first and
 * the request may or may not have been carried out.
 */
struct circle_call {
	struct circle_msg msg;		/* msg.f: the request's header */
	struct list_head link;		/* peer->calls */
	struct circle_peer *peer;
	unsigned long sent;		/* jiffies */
	u32 turn;			/* not 0: -ENOTCONN if the peer has another one */
	atomic_t parts;			/* transmission and answer: both must be over */
	int err;
	struct circle_frame answer;
	struct circle_rx rx;		/* room for the answer's payload, provided by the sender */
	u32 rx_len;			/* bytes of that room */
	void (*done)(struct circle_call *call, int err, const struct circle_frame *answer);
	void *priv;			/* the sender's */
	u64 covers;			/* FLUSH: peer->undurable when it was sent */
	u64 instance;			/* of the peer that it was sent to */
};

/* call.c. Process context: fills in generation, activation, version, id, sends and waits; bounded
 * by the timeout. 0 and the answer in call->answer. -ENOTCONN: no connection, nothing was sent.
 */
int circle_call_wait(struct circle_peer *peer, struct circle_call *call);
/* The same, but only to a peer that is fenced (UP or READY), or only to one that is READY. */
int circle_call_wait_up(struct circle_peer *peer, struct circle_call *call);
int circle_call_wait_ready(struct circle_peer *peer, struct circle_call *call);
/* For the connection's callbacks (peer.c). */
int circle_call_room(struct circle_conn *c, const struct circle_frame *f, struct circle_rx *rx);
int circle_call_frame(struct circle_conn *c, const struct circle_frame *f, struct circle_rx *rx);
void circle_call_fail_all(struct circle_peer *peer, int err);
bool circle_call_overdue(struct circle_peer *peer, unsigned int timeout_ms);

/*
 * A request to several peers at once, of each of which the owner must hear, or be rid: a bit
 * leaves `await` when the peer answered, or when a label without it is durable (R3). Embedded in
 * the operation. over() is called once, when await is empty; the memory must stay until gone().
 */
struct circle_multi {
	struct list_head link;		/* circle->multis */
	struct circle_node *node;
	u32 await, ok, rejected;	/* circle->lock */
	bool ended;			/* given up at a suspend, not for a label; circle->lock */
	atomic_t refs;			/* calls under way, and the operation's own */
	void (*over)(struct circle_multi *m);	/* process context, no lock held; must not sleep */
	void (*gone)(struct circle_multi *m);	/* any context: the memory is the owner's again */
	/* each answer with status OK, before its bit is cleared; may be NULL */
	void (*answered)(struct circle_multi *m, struct circle_peer *peer,
			 const struct circle_frame *req, const struct circle_frame *ans);
	struct circle_frame req;
	struct circle_call *call;	/* max_calls of them, the owner's memory */
	u8 nr_calls, max_calls;
};

/* One reference, the operation's own. */
void circle_multi_init(struct circle_multi *m, struct circle_node *node, struct circle_call *call,
		       unsigned int max_calls);
/* circle->lock held: registers the peers of mask as awaited. */
void __circle_multi_await(struct circle_multi *m, u32 mask);
/* Any context, after await: sends m->req (with payload) to each awaited peer. Peers that cannot
 * be reached stay awaited. push: it is only queued, and the caller pushes as soon as it may.
 */
void circle_multi_send(struct circle_multi *m, struct bio_vec *bv, unsigned int nr_bv, bool push);
/* Process context, no lock held: sends what is queued to these peers, without waiting. */
void circle_multi_push(struct circle_node *node, u32 mask);
void circle_multi_put(struct circle_multi *m);
/* The steward: a label without these peers is durable. */
void circle_multi_forget(struct circle_node *node, u32 mask);
/* Suspend: waits for these peers end, without success, if circle_ending(). */
void circle_multi_end(struct circle_node *node, u32 mask);

enum circle_role {
	CIRCLE_ROLE_NONE = 0,		/* not activated */
	CIRCLE_ROLE_OWNER,
	CIRCLE_ROLE_FENCED,		/* somebody has a higher generation: nothing is served */
};

struct circle_circle {
	struct circle_node *node;
	struct net *net;		/* of the process that made the first table; a reference */
	struct circle_server *server;
	struct circle_peer peer[CIRCLE_MAX_PEERS];
	unsigned int nr_peers;
	u64 instance;			/* core/recover.h; drawn by the server; READ_ONCE */
	bool tidy;			/* what was loaded of others' has all that its tags cover */
	u8 domain[CIRCLE_DOMAIN_SIZE];
	unsigned int timeout_ms, lend, degree;	/* settings, degree a wish; READ_ONCE */

	spinlock_t lock;		/* irq-safe; covers role to place_next, and multis' masks */
	enum circle_role role;
	u32 view;			/* peers that the durable label counts */
	u32 wait;			/* peers that a write waits for: view, view in flight */
	u32 floor;			/* of the durable label */
	u32 departures;			/* how often peers left the view */
	u32 away;			/* peers out of it in order, expected back; READ_ONCE */
	bool leaving;			/* we are, as a server; READ_ONCE */
	unsigned long leave_until;	/* jiffies; valid with leaving */
	u32 in_vain;			/* peers that a suspend waits for no longer */
	bool hurry;			/* who starts it was killed; WRITE_ONCE */
	struct list_head multis;
	u32 place_next;			/* rotates the choice of holders */

	struct circle_label label;	/* as last written; the steward's (and preresume's) own */
	struct block_device *label_dev;
	u64 label_sector;
	u8 start;			/* enum circle_start */
	bool was_unseen;		/* the label that we found had the flag UNSEEN */
	bool may_fence;			/* the label is ours: peers are to be told */
	u32 old_view, asked;		/* of the label found; of that before: do not count */
	struct circle_label found;	/* as it was when we came */
	struct circle_label seen;	/* as last read; like label */
	bool label_unsure;		/* the last write of the label failed, or may have */
	bool copy_unsure;		/* label_copy may have been written, and not be durable */
	bool label_refused[2];		/* the last read, write of it was */
	unsigned int label_copy;	/* of our place, to be written next */
	void *area;			/* CIRCLE_LABEL_AREA bytes, vmalloc'ed; the steward's own */
	u64 activation;
	struct task_struct *steward;
	wait_queue_head_t steward_wait;
	bool steward_kick;
	unsigned long lease_until;	/* jiffies; READ_ONCE */
	spinlock_t lease_lock;		/* covers the two lists, losses, and who sets lease_until */
	u32 losses;			/* of peers: each may be the sign of a takeover */
	struct list_head lease_waiters, readers;	/* circle_io.waiter.link */
	atomic_t releasing;		/* release operations under way */
	u32 degree_now;			/* in force: up with the wish, down with the label */
	wait_queue_head_t idle;		/* releasing fell to 0 */
	mempool_t write_pool;		/* struct circle_write */
	mempool_t multi_pool;		/* struct circle_request: releases and flushes */
	mempool_t page_pool;		/* pages of writes, when memory is short */
	struct circle_stash stash;	/* of writes' pages, when it is not */
	bool ending;			/* suspend: what waits for label or peers is to end, */
	unsigned long ending_at;	/* from then on (jiffies); valid once ending */
	bool requeue;			/* ... and to be tried again after it (noflush) */
	struct delayed_work end_work;	/* does it when label I/O holds the steward up */
	bool at_label;			/* the steward is at it, */
	unsigned long at_label_since;	/* since then (jiffies); READ_ONCE */
	struct mutex page_mutex;	/* one taker of page_pool at a time */
	atomic_t pages_out;		/* of writes under way; above pages_max others wait */
	unsigned int pages_max;
	wait_queue_head_t page_wait;	/* pages_out has fallen */
	struct workqueue_struct *copy_wq;	/* for who waits for that */
};

static inline bool circle_ending(const struct circle_circle *c)
{
	/* pairs with the release in circle_steward_end_waits() */
	return smp_load_acquire(&c->ending) && !time_before(jiffies, c->ending_at);
}

/* circle.c. How long a peer may take to answer: longer while there is no I/O, less in a suspend. */
unsigned int circle_patience_ms(const struct circle_circle *c);

/* create: first constructor's process (its network namespace). */
struct circle_circle *circle_circle_create(struct circle_node *node);
void circle_circle_destroy(struct circle_circle *c);
void circle_circle_config(struct circle_circle *c, const struct circle_config *conf, bool first);
unsigned int circle_peers_configured(const struct circle_circle *c);	/* by the first table */
/* May the owner write to origin or label, or acknowledge a write-through (R5)? Any context. */
bool circle_lease_ok(const struct circle_node *node);

/* Known already, or a new one; NULL when there are too many. Activation alone. */
struct circle_peer *circle_peer_add(struct circle_circle *c, u32 id,
				    const struct circle_addr *addr);
void circle_peer_reset(struct circle_peer *peer);

/* steward.c */
/* From presuspend on, until the node is live again. requeue: host requests are tried again. */
void circle_steward_end_waits(struct circle_node *node, bool requeue);
void circle_steward_go_on(struct circle_node *node);	/* live again */
void circle_steward_kick(struct circle_node *node);	/* any context */
#endif
