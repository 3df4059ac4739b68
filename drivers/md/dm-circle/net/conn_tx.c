// SPDX-License-Identifier: GPL-2.0-only
/*
 * conn_tx: sending. Whoever holds tx_lock takes messages off the queue and sends them as far as TCP
 * takes them: a sender that pushes, in its own context, or the transmitter, which alone waits for
 * room. It must never sleep in TCP; why that matters is told in conn.c.
 */
#include "conn_impl.h"

#include <linux/jiffies.h>
#include <linux/sched/mm.h>
#include <linux/uio.h>
#include <net/sock.h>

#include <circle/compat.h>
#include "payload.h"
#include "sock.h"

enum {
	NO_MEMORY_MS = 20,	/* TCP has room but no memory: when to try again */
	PUSH_MAX = 32,		/* messages that one sender sends, its own and others' */
	LEND_MIN = 16384,	/* bytes; below, a second call to TCP costs more than a copy */
	REASON_MS = 100,	/* for the receiver to say what TCP has told it */
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

/*
 * TCP wakes us only while the socket says NOSPACE, and takes that back when it does. By the time we
 * look there may be no room again, since what is sent once more can take more memory than before:
 * so it is said again before each look that ends in sleep.
 */
static bool has_room(struct circle_conn *c)
{
	struct sock *sk = c->sock->sk;

	if (sk_stream_is_writeable(sk))
		return true;
	set_bit(SOCK_NOSPACE, &c->sock->flags);
	smp_mb__after_atomic();		/* pairs with that of tcp_check_space() */
	return sk_stream_is_writeable(sk);
}

/* TCP took nothing since c->tx_since. 0: try again. */
static int wait_room(struct circle_conn *c)
{
	unsigned long since = READ_ONCE(c->tx_since);
	long left = since + msecs_to_jiffies(READ_ONCE(c->timeout_ms)) - jiffies;

	if (left <= 0)
		return -ETIMEDOUT;
	if (!has_room(c))
		wait_event_idle_timeout(c->wait, circle_conn_closing(c) || has_room(c), left);
	else if (c->tx_room)	/* so it is memory, for which nobody wakes us */
		wait_event_idle_timeout(c->wait, circle_conn_closing(c),
					min_t(long, left, msecs_to_jiffies(NO_MEMORY_MS)));
	else			/* or it came just now */
		c->tx_room = true;
	return 0;
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

static bool waiting(struct circle_conn *c)
{
	return !list_empty_careful(&c->queue);
}

/*
 * tx_iter: header and payload at once, if the payload has few vectors; else the header. Large pages
 * that are lent go without being copied. What TCP still has of them when the connection ends may
 * be sent with other content: the crc tells.
 */
static void aim(struct circle_conn *c, const struct circle_msg *m)
{
	c->tx_lend = CIRCLE_COMPAT_SPLICE && m->lent && m->f.length >= LEND_MIN;
	if (c->tx_nr_bv && !c->tx_lend) {
		bvec_set_page(&c->tx_bv[0], virt_to_page(c->tx_header), CIRCLE_CONN_HEADER,
			      offset_in_page(c->tx_header));
		iov_iter_bvec(&c->tx_iter, ITER_SOURCE, c->tx_bv, 1 + c->tx_nr_bv,
			      CIRCLE_CONN_HEADER + m->f.length);
		c->tx_payload = 0;
		return;
	}
	c->tx_vec = (struct kvec){ c->tx_header, CIRCLE_CONN_HEADER };
	iov_iter_kvec(&c->tx_iter, ITER_SOURCE, &c->tx_vec, 1, CIRCLE_CONN_HEADER);
	c->tx_payload = m->f.length;
}

static void aim_payload(struct circle_conn *c, const struct circle_msg *m)
{
	if (c->tx_nr_bv)
		iov_iter_bvec(&c->tx_iter, ITER_SOURCE, &c->tx_bv[1], c->tx_nr_bv, c->tx_payload);
	else
		circle_payload_iter(&c->tx_iter, ITER_SOURCE, m->bv, m->nr_bv, (void *)m->buf,
				    c->tx_payload, &c->tx_vec);
	c->tx_payload = 0;
}

/* tx_lock held. The next message becomes c->tx_msg; false: there is none. */
static bool next(struct circle_conn *c)
{
	struct circle_msg *m = NULL;

	spin_lock_irq(&c->lock);
	if (!c->closing)
		m = __take(c);
	spin_unlock_irq(&c->lock);
	if (!m)
		return false;
	c->tx_nr_bv = m->nr_bv > CIRCLE_CONN_BVECS ? 0 :
		      circle_payload_merge(&c->tx_bv[1], m->bv, m->nr_bv);
	if (!m->has_crc)
		m->f.data_crc = circle_payload_crc(c->tx_nr_bv ? &c->tx_bv[1] : m->bv, m->nr_bv,
						   m->buf, m->f.length);
	circle_frame_encode(&m->f, c->tx_header, circle_crc32c);
	aim(c, m);
	c->tx_since = jiffies;
	c->tx_msg = m;
	return true;
}

/* tx_lock held. 0: this part is sent; -EAGAIN: TCP takes no more now; else the end. */
static int send_part(struct circle_conn *c)
{
	int n;

	while (iov_iter_count(&c->tx_iter)) {
		if (circle_conn_closing(c))
			return c->reason;
		/* something follows, so let TCP fill its segment */
		n = circle_sock_send(c->sock, &c->tx_iter, c->tx_payload || waiting(c),
				     c->tx_lend && !c->tx_payload);
		if (n < 0)
			return n;
		c->tx_room = false;
		c->tx_since = jiffies;
		WRITE_ONCE(c->last_tx, c->tx_since);
	}
	return 0;
}

static void finish(struct circle_conn *c, struct circle_msg *m, int err)
{
	spin_lock_irq(&c->lock);
	c->queued -= circle_conn_frame_bytes(&m->f);
	spin_unlock_irq(&c->lock);
	m->done(m, err);
}

/*
 * tx_lock held. Sends what is queued, *left messages at most. 0: that is done, -EAGAIN: what TCP
 * takes now; else the end.
 */
static int transmit(struct circle_conn *c, unsigned int *left)
{
	struct circle_msg *m;
	int err;

	lockdep_assert_held(&c->tx_lock);
	while (c->tx_msg || (*left && next(c))) {
		err = send_part(c);
		if (err)
			return err;
		m = c->tx_msg;
		if (c->tx_payload) {
			aim_payload(c, m);
			continue;
		}
		c->tx_msg = NULL;
		--*left;
		finish(c, m, 0);
	}
	return 0;
}

void circle_conn_push(struct circle_conn *c)
{
	unsigned int noio = memalloc_noio_save(), left = PUSH_MAX;
	int err = 0;

	for (;;) {
		/*
		 * Pairs with itself, and with the wait of the transmitter: whoever does not get the
		 * lock has queued before, and whoever gives it back looks at the queue after.
		 */
		smp_mb();
		if (err || !left || !waiting(c))
			break;
		/* closing: nothing is taken, and what is queued is the transmitter's to end */
		if (circle_conn_closing(c) || !mutex_trylock(&c->tx_lock))
			break;
		if (c->tx_over || c->tx_msg)	/* the end, or the transmitter waits for room */
			err = -EBUSY;
		else
			err = transmit(c, &left);
		mutex_unlock(&c->tx_lock);
	}
	if (err == -EAGAIN || err == -EPIPE || !left)
		wake_up(&c->wait);
	else if (err && err != -EBUSY)
		circle_conn_close(c, err);
	memalloc_noio_restore(noio);
}

void circle_conn_fail_queue(struct circle_conn *c)
{
	struct circle_msg *m = c->tx_msg;
	int reason;

	c->tx_msg = NULL;
	if (m)
		finish(c, m, c->reason);
	do {
		spin_lock_irq(&c->lock);
		m = __take(c);
		reason = c->reason;
		spin_unlock_irq(&c->lock);
		if (m)
			finish(c, m, reason);
	} while (m);
}

/* TCP says why to one of us, and to the other only that it is over. */
static void failed(struct circle_conn *c, int err)
{
	if (err == -EPIPE)
		wait_event_idle_timeout(c->wait, circle_conn_closing(c),
					msecs_to_jiffies(REASON_MS));
	circle_conn_close(c, err);
}

int circle_conn_tx_thread(void *conn)
{
	unsigned int noio = memalloc_noio_save(), left;
	struct circle_conn *c = conn;
	int err = 0;

	while (!circle_conn_closing(c)) {
		if (err == -EAGAIN)
			err = wait_room(c);
		else
			wait_event_idle(c->wait, circle_conn_closing(c) || c->tx_msg || waiting(c));
		if (!err) {
			left = UINT_MAX;
			mutex_lock(&c->tx_lock);
			err = transmit(c, &left);
			mutex_unlock(&c->tx_lock);
		}
		if (err && err != -EAGAIN)
			failed(c, err);
	}
	circle_sock_abort(c->sock);
	mutex_lock(&c->tx_lock);
	c->tx_over = true;		/* nobody else touches the socket from here on */
	mutex_unlock(&c->tx_lock);
	circle_conn_fail_queue(c);
	memalloc_noio_restore(noio);
	complete(&c->tx_done);
	return 0;
}
