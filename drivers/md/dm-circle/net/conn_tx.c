// SPDX-License-Identifier: GPL-2.0-only
/*
 * conn_tx: the transmitter. It alone takes messages off the queue and touches c->tx_header; it
 * never sleeps in TCP. Why that matters is told in conn.c.
 */
#include "conn_impl.h"

#include <linux/jiffies.h>
#include <linux/sched/mm.h>
#include <linux/uio.h>
#include <net/sock.h>

#include "payload.h"
#include "sock.h"

enum {
	NO_MEMORY_MS = 20,	/* TCP has room but no memory: when to try again */
};

static void write_space(struct sock *sk)
{
	struct circle_conn *c;

	read_lock_bh(&sk->sk_callback_lock);
	c = sk->sk_user_data;
	if (c) {
		c->write_space(sk);
		if (sk_stream_is_writeable(sk))
			wake_up(&c->wait);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

void circle_conn_hook(struct circle_conn *c)
{
	struct sock *sk = c->sock->sk;

	write_lock_bh(&sk->sk_callback_lock);
	c->write_space = sk->sk_write_space;
	sk->sk_user_data = c;
	sk->sk_write_space = write_space;
	write_unlock_bh(&sk->sk_callback_lock);
}

void circle_conn_unhook(struct circle_conn *c)
{
	struct sock *sk = c->sock->sk;

	write_lock_bh(&sk->sk_callback_lock);
	sk->sk_user_data = NULL;
	sk->sk_write_space = c->write_space;
	write_unlock_bh(&sk->sk_callback_lock);
}

/* TCP took nothing, last at `since`. 0: try again. */
static int wait_room(struct circle_conn *c, unsigned long since)
{
	struct sock *sk = c->sock->sk;
	long left = since + msecs_to_jiffies(READ_ONCE(c->timeout_ms)) - jiffies;

	if (left <= 0)
		return -ETIMEDOUT;
	if (sk_stream_is_writeable(sk))		/* so it is memory, for which nobody wakes us */
		wait_event_idle_timeout(c->wait, circle_conn_closing(c),
					min_t(long, left, msecs_to_jiffies(NO_MEMORY_MS)));
	else
		wait_event_idle_timeout(c->wait,
					circle_conn_closing(c) || sk_stream_is_writeable(sk),
					left);
	return 0;
}

static int send_all(struct circle_conn *c, struct iov_iter *it, bool more)
{
	unsigned long since = jiffies;
	int n;

	while (iov_iter_count(it)) {
		if (circle_conn_closing(c))
			return c->reason;
		n = circle_sock_send(c->sock, it, more);
		if (n > 0) {
			since = jiffies;
			WRITE_ONCE(c->last_tx, since);
			continue;
		}
		if (n == -EAGAIN)
			n = wait_room(c, since);
		if (n)
			return n;
	}
	return 0;
}

/* more: another frame is waiting, so let TCP fill its segment. */
static int send_frame(struct circle_conn *c, struct circle_msg *m, bool more)
{
	struct kvec vec = { c->tx_header, CIRCLE_CONN_HEADER };
	u32 len = m->f.length;
	struct iov_iter it;
	int err;

	m->f.data_crc = circle_payload_crc(m->bv, m->nr_bv, m->buf, len);
	circle_frame_encode(&m->f, c->tx_header, circle_crc32c);
	iov_iter_kvec(&it, ITER_SOURCE, &vec, 1, CIRCLE_CONN_HEADER);
	err = send_all(c, &it, more || len);
	if (err || !len)
		return err;

	circle_payload_iter(&it, ITER_SOURCE, m->bv, m->nr_bv, (void *)m->buf, len, &vec);
	return send_all(c, &it, more);
}

static struct circle_msg *__take(struct circle_conn *c) __must_hold(&c->lock)
{
	struct circle_msg *m;

	lockdep_assert_held(&c->lock);
	m = list_first_entry_or_null(&c->queue, struct circle_msg, link);
	if (m)
		list_del_init(&m->link);
	return m;
}

/* NULL: the connection is closing. */
static struct circle_msg *next(struct circle_conn *c, bool *more)
{
	struct circle_msg *m = NULL;

	wait_event_idle(c->wait, circle_conn_closing(c) || !list_empty_careful(&c->queue));
	spin_lock_irq(&c->lock);
	if (!c->closing)
		m = __take(c);
	*more = !list_empty(&c->queue);
	spin_unlock_irq(&c->lock);
	return m;
}

static void finish(struct circle_conn *c, struct circle_msg *m, int err)
{
	spin_lock_irq(&c->lock);
	c->queued -= circle_conn_frame_bytes(&m->f);
	spin_unlock_irq(&c->lock);
	m->done(m, err);
}

void circle_conn_fail_queue(struct circle_conn *c)
{
	struct circle_msg *m;
	int reason;

	do {
		spin_lock_irq(&c->lock);
		m = __take(c);
		reason = c->reason;
		spin_unlock_irq(&c->lock);
		if (m)
			finish(c, m, reason);
	} while (m);
}

int circle_conn_tx_thread(void *conn)
{
	unsigned int noio = memalloc_noio_save();
	struct circle_conn *c = conn;
	struct circle_msg *m;
	bool more;
	int err;

	while ((m = next(c, &more))) {
		err = send_frame(c, m, more);
		if (err)
			circle_conn_close(c, err);
		finish(c, m, err);
	}
	circle_sock_abort(c->sock);
	circle_conn_fail_queue(c);
	memalloc_noio_restore(noio);
	complete(&c->tx_done);
	return 0;
}
