/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * session: what the files of the server side share: serve.c (life, memory), serve_set.c (whose
 * replicas, fencing), session.c (one connection), serve_io.c (data in and out), serve_release.c,
 * serve_park.c.
 * Nobody else's.
 *
 * Locks, outer first: server->fencing -> meta->lock; shard->lock -> server->lock -> the
 * connection's own; shard->lock -> session->lock. Spinlocks are irq-safe.
 *	server->fencing: one FENCE at a time, across its I/O
 *	server->lock: sessions, spare, set[], asked, durable; state, epoch and owner of all sessions
 *	session->lock: refused[], nr_refused
 * What has no lock is the receiving thread's own, or set before that runs.
 *
 * References: a connection holds its session until closed(); a request holds its session; a
 * session holds its connection and the server.
 */
#ifndef CIRCLE_ENGINE_SESSION_H
#define CIRCLE_ENGINE_SESSION_H

#include <linux/completion.h>
#include <linux/kref.h>
#include <linux/llist.h>
#include "../core/wire.h"
#include "../net/conn.h"
#include "node.h"
#include "serve.h"
#include "stash.h"

struct circle_listener;
struct socket;

#define CIRCLE_SESSION_REQS	64		/* under way in a session at most */
#define CIRCLE_SESSION_BYTES	(16 << 20)
#define CIRCLE_SESSION_REFUSED	64

/*
 * A foreign set. Each FENCE starts a new epoch. Requests of an older one are not counted in any
 * more; what was is carried out (of an older generation REPLICATE alone: the others are refused
 * before they do anything); and FENCE is answered when none of them is under way.
 */
struct circle_set {
	struct circle_owner o;		/* uuid all zero: free */
	u64 epoch;
	u32 writes, old;		/* requests under way: of this epoch, of older ones */
};

/* Payload in memory. Of a session while in use. */
struct circle_serve_buf {
	struct list_head link;		/* server->spare */
	struct circle_session *s;	/* whose window it counts in */
	u32 len;
	u32 nr, cap;			/* pages in use, and there */
	bool spare;
	struct bio bio;
	struct bio_vec bv[];
};

struct circle_server {
	struct circle_node *node;
	struct circle_listener *listener;
	struct workqueue_struct *wq;	/* own: nobody who waits for a peer runs on it (R13) */
	mempool_t reqs;
	refcount_t users;		/* sessions, and the owner */
	struct completion gone;
	struct mutex fencing;		/* one FENCE at a time */
	wait_queue_head_t drained;	/* a set's `old` reached zero */
	wait_queue_head_t spare_wait;

	spinlock_t lock;		/* covers what follows, but for durable's readers */
	struct list_head sessions;
	u32 nr_sessions;
	struct list_head spare;		/* the reserve: full-size buffers */
	struct circle_stash stash;	/* its own lock */
	u32 asked, durable;		/* tickets of commits: last one taken, last one over */
	bool renounced;			/* since it was loaded: nothing is kept; READ_ONCE */
	int doubts;			/* of meta's data_errors, the instance knows of so many */
	struct circle_set set[CIRCLE_MAX_OWNERS];
};

enum circle_session_state {
	CIRCLE_SESSION_NEW = 0,		/* HELLO is expected */
	CIRCLE_SESSION_LIVE,
	CIRCLE_SESSION_DOOMED,		/* answered that it will not be served; soon closed */
};

struct circle_refused {
	u64 block;
	unsigned long when;		/* jiffies */
	bool used;
};

struct circle_session {
	struct circle_server *srv;
	struct circle_conn *conn;
	struct kref ref;
	struct list_head link;		/* server->sessions */
	enum circle_session_state state;
	u64 epoch;			/* of the set, when this session fenced; 0: it did not */
	int doubts;			/* the server's, when the client was told the instance */
	u16 owner;			/* set[owner - 1]; 0: not known yet */
	u16 version;
	u32 node_id;
	u8 uuid[CIRCLE_UUID_SIZE];
	struct delayed_work deadline;
	unsigned long heard;		/* jiffies of the last whole frame or header; READ_ONCE */
	bool busy;			/* we are at it: not the client's silence; READ_ONCE */
	struct llist_head ended;	/* circle_req.ended: their I/O is over */
	struct work_struct ended_work;	/* holds a reference while queued; then one answer after */
	bool corked;			/* ... the other is queued, and all are sent together */
	atomic_t nr_reqs, bytes;	/* under way; the receiving thread alone adds */
	wait_queue_head_t wait;		/* for either to shrink */
	u8 hello[sizeof(struct circle_wire_hello)];	/* as received, then as answered */
	spinlock_t lock;		/* covers refused, nr_refused */
	u32 nr_refused;			/* at least so many are in use; READ_ONCE */
	struct circle_refused refused[CIRCLE_SESSION_REFUSED];
};

/* A request, until its answer was sent or dropped. */
struct circle_req {
	struct circle_msg msg;		/* the answer; msg.f begins as an echo */
	struct circle_frame f;
	struct circle_session *s;
	struct circle_serve_buf *buf;
	void *items;			/* LIST: the answer's payload */
	struct circle_range range;
	struct circle_waiter waiter;
	struct work_struct work;
	struct llist_node ended;	/* session->ended */
	void (*step)(struct circle_req *req);	/* what the work runs */
	u64 epoch;			/* that it counts in; 0: in none */
	u32 slot, ticket;
	u16 owner;
	u8 tries;
	int err;			/* of the I/O or commit that led to step */
};

/* serve.c. get: receiving thread; NULL: the connection is lost. put: process context. */
struct circle_serve_buf *circle_serve_buf_get(struct circle_session *s, u32 len);
void circle_serve_buf_put(struct circle_serve_buf *buf);
u32 circle_serve_buf_size(const struct circle_server *srv);	/* bytes: the largest payload */
void circle_serve_renounce(struct circle_server *srv);	/* process context */
/* Any context: a FLUSH of the cache device failed, which the client was not told by an instance. */
bool circle_session_doubted(const struct circle_session *s);
u32 circle_serve_limit(struct circle_server *srv);	/* slots lent at most */
u32 circle_serve_space(struct circle_server *srv);
u32 circle_serve_wanted(struct circle_server *srv);	/* slots that are wanted back */
void circle_serve_put(struct circle_server *srv);	/* any context: a session's reference */

/* serve.c: any context. Runs step on the server's queue, at once or after a commit. */
void circle_serve_queue(struct circle_req *req, void (*step)(struct circle_req *req));
void circle_serve_commit(struct circle_req *req, bool flush, void (*step)(struct circle_req *req));
/* range->grant of a request: queues req->step. */
void circle_serve_granted(struct circle_range *range);
/* Process context. Runs step when the request has these pages of its block: now, or on the queue.
 */
void circle_serve_range(struct circle_req *req, u64 mask, bool excl,
			void (*step)(struct circle_req *req));

/*
 * serve.c, shard->lock held. A replica's `holders` is the ticket that was the last one when its
 * state on disk was left behind: a commit with a later one makes it durable.
 */
void __circle_serve_stamp(struct circle_server *srv, u32 slot);
bool __circle_serve_durable(struct circle_server *srv, u32 slot);

/* serve_set.c */
void circle_set_load(struct circle_server *srv);
u16 __circle_set_find(struct circle_server *srv, const u8 *uuid);	/* server->lock; 0: none */
bool __circle_set_room(struct circle_server *srv);			/* server->lock */
/* Counts a writing request in. False: it is fenced off. */
bool circle_set_enter(struct circle_req *req);
void circle_set_leave(struct circle_req *req);		/* process context; if it entered */
/*
 * Any context. Its owner was not fenced off since. If that fenced anew, for a new connection, what
 * it had sent before is carried out still: a replica has all up to its tag, or what is parked lies.
 */
bool circle_set_current(struct circle_req *req);
u16 circle_set_fence(struct circle_session *s, const struct circle_frame *f);	/* sleeps; status */
void circle_serve_list(struct circle_req *req);

/* session.c. accept owns the socket. */
void circle_session_accept(struct circle_server *srv, struct socket *sock);
void circle_session_put(struct circle_session *s);	/* any context */
void circle_req_ended(struct circle_req *req);	/* any context: runs req->step on the queue */
/* Process context: frees the request, now or when it was sent. */
void circle_req_answer(struct circle_req *req, u16 status);
void circle_req_bad(struct circle_req *req);		/* and the session ends */

/* serve_io.c, serve_release.c: the receiving thread hands the request over. */
void circle_serve_replicate(struct circle_req *req);
void circle_serve_fetch(struct circle_req *req);
void circle_serve_release(struct circle_req *req);
void circle_serve_flush(struct circle_req *req);
void circle_serve_revive(struct circle_req *req);
/*
 * serve_park.c, shard->lock and the whole block held. True: slot n, a replica of the request's set,
 * is parked now, or was; false: it is to go.
 */
bool __circle_serve_park(struct circle_req *req, struct circle_shard *sh, u32 n);
u32 circle_serve_parked(const struct circle_req *req);	/* any context: blocks of its set */

/* serve_io.c, any context: the owner has settled a refusal; U64_MAX: all of them. */
void circle_session_forgive(struct circle_session *s, u64 block);

#endif
