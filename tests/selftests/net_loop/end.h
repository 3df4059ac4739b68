/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * end: one end of a connection under test, client or server, and what it has seen. Frames carry a
 * pattern made from their id, which the receiver checks.
 */
#ifndef CIRCLE_TEST_END_H
#define CIRCLE_TEST_END_H

#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/list.h>
#include "net/conn.h"
#include "net/listener.h"

enum end_mode {
	END_ECHO,	/* server: send back what comes; client: check what comes */
	END_STALL,	/* room() sleeps while the connection lasts */
	END_REFUSE,	/* frame() returns an error after `after` frames */
	END_CLOSE,	/* circle_conn_close() in frame() after `after` frames */
};

struct end {
	struct circle_conn *conn;
	enum end_mode mode;
	unsigned int after;
	struct server *server;	/* NULL: a client's */
	struct list_head link;	/* in the server's ends */
	atomic_t got;		/* frames */
	atomic_t bad;		/* wrong content or order */
	atomic_t dropped;	/* drop() calls */
	atomic_t exchanged;	/* pages that are not those of room() */
	atomic_t done_ok;
	atomic_t done_err;
	atomic_t closed;
	int reason;
	u64 next_id;
	struct completion over;	/* closed() was called */
};

struct server {
	struct circle_listener *listener;
	struct list_head ends;	/* the listener's thread adds, server_stop() takes */
	struct circle_addr addr;
	enum end_mode mode;	/* for connections from now on */
	unsigned int after;
	unsigned int timeout_ms;	/* of both ends' connections from now on */
	atomic_t accepted;
	atomic_t without_net;	/* accepted sockets that do not hold their namespace */
	int last_reason;	/* of the last connection that ended */
	int last_dropped, last_got, last_bad, last_exchanged;
};

extern atomic_t end_count;	/* ends of servers that are not closed */
extern atomic_t frame_count;	/* messages and rooms that are allocated */

int end_wait_none(unsigned int ms);	/* until both are 0: -ETIMEDOUT */

struct net *end_net(void);
int server_start(struct server *s, u16 family, enum end_mode mode, unsigned int after);
/*
 * Waits until both counts are 0, and no thread of the server's connections is left: -ETIMEDOUT if
 * they had to be closed for that. Nobody uses *s afterwards.
 */
int server_stop(struct server *s);

/* A client's end; not started. ERR_PTR. */
struct end *end_connect(const struct server *s, enum end_mode mode, unsigned int after);
int end_send(struct end *e, u64 id, u32 sectors, bool flat);
void end_free(struct end *e);	/* closes, waits, puts, frees */

/* Header and payload of a frame, as end_send() sends it, or of another type that has such a length. */
void end_frame_bytes(void *to, u64 id, u32 length);

#endif
