/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * conn_impl: what conn.c (life), conn_tx.c and conn_rx.c (the threads) share. Nobody else's.
 */
#ifndef CIRCLE_NET_CONN_IMPL_H
#define CIRCLE_NET_CONN_IMPL_H

#include <linux/bvec.h>
#include <linux/completion.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/uio.h>
#include <linux/wait.h>

#include "conn.h"

struct page;
struct sock;
struct task_struct;

enum {
	CIRCLE_CONN_HEADER = sizeof(struct circle_wire_header),
	CIRCLE_CONN_BVECS = 33,		/* payloads of up to so many are merged, and sent with
					 * their header
					 */
	CIRCLE_CONN_NAME = 32,
	CIRCLE_CONN_PEER_NAME = 64,
};

struct circle_conn {
	refcount_t ref;
	const struct circle_conn_ops *ops;
	void *priv;
	char name[CIRCLE_CONN_NAME];
	char peer[CIRCLE_CONN_PEER_NAME];

	/* Set by start, before the threads run. */
	struct task_struct *rx_task;
	struct task_struct *tx_task;
	struct completion rx_done;	/* closed() has returned */
	struct completion tx_done;	/* the queue is empty for ever, the socket aborted */

	struct mutex life;	/* outermost; covers: release of sock, joined */
	struct socket *sock;	/* NULL after the release */
	bool joined;		/* rx_task is gone */

	spinlock_t lock;	/* irq-safe, innermost; covers: queue, queued, reason, closing */
	struct list_head queue;
	u64 queued;		/* bytes in queue and in the transmitter's hand */
	int reason;
	bool closing;		/* set once; read without the lock too */

	wait_queue_head_t wait;	/* the transmitter */
	unsigned int timeout_ms;
	unsigned long last_rx;
	unsigned long last_tx;
	void (*write_space)(struct sock *sk);	/* the socket's own callback */
	u8 rx_header[CIRCLE_CONN_HEADER];	/* the receiver's own, as is all of rx_* */
	bool rx_ahead;			/* more than a header is taken at once: it is in */
	unsigned int rx_at, rx_end;	/* ... of these bytes of */
	struct page *rx_page;		/* ... order 0, lowmem */
	struct bio_vec rx_bv[CIRCLE_CONN_BVECS];	/* where the payload goes, if that fits */

	struct mutex tx_lock;		/* who sends; covers tx_*; only tried, but by tx_task */
	struct circle_msg *tx_msg;	/* sent in part, or NULL; READ_ONCE */
	u32 tx_payload;			/* bytes that follow tx_iter */
	bool tx_room;			/* there was room, and TCP has taken nothing since */
	bool tx_lend;			/* the payload goes by itself, not copied */
	struct iov_iter tx_iter;	/* what is left of header or payload */
	struct kvec tx_vec;
	unsigned int tx_nr_bv;		/* of the payload in tx_bv; 0: as the message has it */
	struct bio_vec tx_bv[1 + CIRCLE_CONN_BVECS];	/* header and payload, if that fits */
	unsigned long tx_since;		/* jiffies when TCP took something, or tx_msg began */
	bool tx_over;			/* the socket is not to be sent to any more */
	u8 tx_header[CIRCLE_CONN_HEADER];
};

/* conn_tx.c. hook: the socket's write_space callback is ours until unhook. Process context. */
void circle_conn_hook(struct circle_conn *c);
void circle_conn_unhook(struct circle_conn *c);
int circle_conn_tx_thread(void *conn);
void circle_conn_fail_queue(struct circle_conn *c);	/* closing; process context */

/* What a frame counts for in c->queued. */
static inline u64 circle_conn_frame_bytes(const struct circle_frame *f)
{
	return CIRCLE_CONN_HEADER + f->length;
}

/* conn_rx.c: returns why the connection cannot go on. */
int circle_conn_receive(struct circle_conn *c);

#endif
