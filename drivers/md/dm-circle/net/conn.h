/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * conn: one TCP connection that carries frames both ways, with a thread for each direction. The
 * payload's crc is made and checked here; what a frame means is not known here. A queue of frames
 * has no limit of its own: senders bound what they have in flight.
 */
#ifndef CIRCLE_NET_CONN_H
#define CIRCLE_NET_CONN_H

#include <linux/list.h>
#include "../core/wire.h"

struct bio_vec;
struct socket;
struct circle_conn;

#define CIRCLE_CONN_TIMEOUT_MS	2000	/* a transmitter that stands still this long ends it */

/*
 * A frame to send. It belongs to the connection from a successful circle_conn_send() until done()
 * is called, and is not touched afterwards.
 */
struct circle_msg {
	struct list_head link;		/* conn's queue while queued */
	struct circle_frame f;		/* length (if nr_bv) and data_crc are filled in by conn */
	struct bio_vec *bv;		/* payload; the pages stay as they are until done() */
	unsigned int nr_bv;
	bool lent;			/* ... and until the other end answers */
	const void *buf;		/* or flat: f.length bytes, kmalloc memory, if nr_bv == 0 */
	bool has_crc;			/* f.data_crc is the payload's already */
	/*
	 * Process context (a thread of the connection, or who pushes), no spinlock held, must not
	 * sleep. 0: TCP has it, which does not mean received. Else -errno: the
	 * connection ended first; the frame may have been sent in part.
	 */
	void (*done)(struct circle_msg *msg, int err);
};

/* Where a payload goes. */
struct circle_rx {
	struct bio_vec *bv;
	unsigned int nr_bv;
	void *buf;			/* if nr_bv == 0: kvmalloc memory will do */
	/* Pages of bv may be exchanged: order 0, lowmem, nobody else looks at them or has a
	 * reference. What stands there then is of the same kind.
	 */
	bool exchange;
	void *priv;
};

/*
 * All of them run in the receiving thread, in a GFP_NOIO scope, one at a time. A frame may still
 * be delivered after circle_conn_close(); nothing is after closed().
 */
struct circle_conn_ops {
	/*
	 * A valid header with a payload has come: provide room for f->length bytes in *rx (zeroed
	 * before). May sleep, which holds the sender back, but with a timeout, and looking at
	 * circle_conn_lost(): nobody wakes a sleeper here when the connection ends, and
	 * closed() waits for it. Nonzero ends the connection.
	 */
	int (*room)(struct circle_conn *c, const struct circle_frame *f, struct circle_rx *rx);
	/*
	 * Header and whole payload (crc verified) are in; *rx is zero if there is no payload. What
	 * room() provided passes to the callee, also if it returns nonzero, which ends the
	 * connection.
	 */
	int (*frame)(struct circle_conn *c, const struct circle_frame *f, struct circle_rx *rx);
	/* The connection ended between room() and frame(): take the room back. */
	void (*drop)(struct circle_conn *c, struct circle_rx *rx);
	/*
	 * The last callback, exactly once for each started connection: every message has had its
	 * done(), the socket is released, nothing is called afterwards. reason: -errno of the
	 * first close. May put the connection.
	 */
	void (*closed)(struct circle_conn *c, int reason);
};

/*
 * Takes over a connected socket, also when it fails (the socket is released then). client: we
 * write back through this connection, so it may use the memory reserves. Process context; ERR_PTR.
 * The caller holds the one reference.
 */
struct circle_conn *circle_conn_create(struct socket *sock, bool client,
				       const struct circle_conn_ops *ops, void *priv,
				       const char *name);

/*
 * Starts both threads. Once, process context. On failure no callback is called: close and put.
 * What was queued before is sent.
 */
int circle_conn_start(struct circle_conn *c);

/*
 * get: any context. put: any context for a started connection; the last put of one that was never
 * started releases the socket and ends queued messages, so process context.
 */
void circle_conn_get(struct circle_conn *c);
void circle_conn_put(struct circle_conn *c);

void *circle_conn_priv(const struct circle_conn *c);

/*
 * Any context, also with interrupts off and spinlocks held: queues, first in first out. 0: done()
 * will be called. -ENOTCONN: closing, -EMSGSIZE: over CIRCLE_WIRE_MAX_DATA; done() is not called.
 */
int circle_conn_send(struct circle_conn *c, struct circle_msg *m);

/*
 * The same in two steps, which saves a change of thread. queue: any context; the caller then
 * pushes, at once. push: process context, no spinlock held; sends what is queued as far as TCP
 * takes it without waiting, calls done() of what was sent, and leaves the rest to the transmitter.
 */
int circle_conn_queue(struct circle_conn *c, struct circle_msg *m);
void circle_conn_push(struct circle_conn *c);

/*
 * Any context, idempotent, does not wait: the connection will be reset at once by its threads.
 * That throws away what TCP has not sent: whoever wants a last answer to arrive lets the other
 * side close. reason: -errno, what closed() and the unsent messages are told.
 */
void circle_conn_close(struct circle_conn *c, int reason);
bool circle_conn_closing(const struct circle_conn *c);	/* any context */

/* From room(), frame() and drop() only: closing, or the other side has reset the connection. */
bool circle_conn_lost(const struct circle_conn *c);

/*
 * Process context, not from a callback, the caller holds a reference. Returns when closed() has
 * returned and both threads are gone; at once if it was never started. Does not close by itself.
 */
void circle_conn_wait(struct circle_conn *c);

/* Process context, any time. Also TCP's own limit for data that nobody acknowledges. */
void circle_conn_set_timeout(struct circle_conn *c, unsigned int timeout_ms);

/* Any context: bytes that TCP has not taken; jiffies when bytes came in; when TCP took some. */
u64 circle_conn_tx_queued(struct circle_conn *c);
unsigned long circle_conn_last_rx(const struct circle_conn *c);
unsigned long circle_conn_last_tx(const struct circle_conn *c);

/* "10.0.0.1:7000" or "[fe80::1]:7000", also after the end. */
void circle_conn_peer_name(const struct circle_conn *c, char *buf, unsigned int len);

#endif
