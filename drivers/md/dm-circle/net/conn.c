// SPDX-License-Identifier: GPL-2.0-only
/*
 * conn: one connection, two threads. It knows frames, not what they mean.
 *
 * Who sleeps where. Nobody sleeps in TCP to send: the transmitter sends without waiting, and waits
 * on c->wait for frames, room in the send buffer (our write_space callback) or closing; who pushes
 * sends without waiting, and leaves the rest to the transmitter. So
 * circle_conn_close() needs nothing but a wake-up, which is allowed in any context. The receiver
 * does sleep in TCP, without a timeout. The transmitter's last act is to abort the socket, which
 * sends the reset and wakes the receiver. Neither can sleep through a close, then; how long it
 * takes is bounded by what the callbacks do.
 *
 * Lifetime. One reference belongs to the creator, one to both threads together. The receiver ends
 * last: it waits until the transmitter has gone, which leaves it alone with the socket, releases
 * the socket, calls closed(), and drops the threads' reference. So c->sock is valid in both threads
 * without a lock, and for who pushes until tx_over is set under tx_lock; c->life is for
 * circle_conn_set_timeout(), which may come at any time. As the reference is dropped by the
 * receiver itself, it still runs our code after that: until it is really gone it holds the module,
 * and circle_conn_wait() waits for its exit as well, so that after a wait the module can be removed
 * at once. A socket without threads (never started, or start failed) is released by the last put.
 *
 * A message belongs to exactly one of: c->queue (under c->lock), who holds tx_lock (from taking it
 * off to done(); c->tx_msg when TCP took a part of it), its sender. Nothing is queued after
 * `closing` is set, both under c->lock; the transmitter empties the queue after it saw `closing`:
 * every message gets one done().
 */
#include "conn_impl.h"

#include <linux/bvec.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <net/inet_sock.h>
#include <net/tcp_states.h>

#include "sock.h"

/* Of the receiver when it is alone, or of the last put when there never was one. */
static void release_socket(struct circle_conn *c)
{
	mutex_lock(&c->life);
	circle_conn_unhook(c);
	circle_sock_release(c->sock);
	c->sock = NULL;
	mutex_unlock(&c->life);
}

static int rx_thread(void *data)
{
	unsigned int noio = memalloc_noio_save();
	struct circle_conn *c = data;

	circle_conn_close(c, circle_conn_receive(c));
	wait_for_completion(&c->tx_done);	/* else a stop could come before it ever ran */
	kthread_stop(c->tx_task);
	release_socket(c);
	c->ops->closed(c, c->reason);
	memalloc_noio_restore(noio);
	complete_all(&c->rx_done);
	circle_conn_put(c);
	module_put_and_kthread_exit(0);
	return 0;
}

static void name_peer(struct circle_conn *c)
{
	struct sockaddr_storage ss = { };

	if (kernel_getpeername(c->sock, (struct sockaddr *)&ss) < 0)
		strscpy(c->peer, "(gone)", sizeof(c->peer));
	else
		snprintf(c->peer, sizeof(c->peer), "%pISpc", &ss);
}

struct circle_conn *circle_conn_create(struct socket *sock, bool client,
				       const struct circle_conn_ops *ops, void *priv,
				       const char *name)
{
	struct circle_conn *c = kzalloc(sizeof(*c), GFP_NOIO);
	struct page *page = c ? alloc_page(GFP_NOIO) : NULL;

	if (!page) {
		kfree(c);
		circle_sock_release(sock);
		return ERR_PTR(-ENOMEM);
	}
	c->rx_page = page;
	c->rx_ahead = true;
	refcount_set(&c->ref, 1);
	c->ops = ops;
	c->priv = priv;
	init_completion(&c->rx_done);
	init_completion(&c->tx_done);
	mutex_init(&c->life);
	mutex_init(&c->tx_lock);
	c->sock = sock;
	spin_lock_init(&c->lock);
	INIT_LIST_HEAD(&c->queue);
	init_waitqueue_head(&c->wait);
	c->last_rx = jiffies;
	c->last_tx = jiffies;
	strscpy(c->name, name, sizeof(c->name));
	name_peer(c);
	if (client)
		circle_sock_use_reserves(sock);
	circle_conn_set_timeout(c, CIRCLE_CONN_TIMEOUT_MS);
	circle_conn_hook(c);
	return c;
}

static struct task_struct *make_thread(struct circle_conn *c, int (*fn)(void *data),
				       const char *dir)
{
	struct task_struct *t = kthread_create(fn, c, "circle_%s/%s", dir, c->name);

	if (!IS_ERR(t))
		get_task_struct(t);	/* it may end before it is waited for */
	return t;
}

int circle_conn_start(struct circle_conn *c)
{
	struct task_struct *rx, *tx;

	rx = make_thread(c, rx_thread, "rx");
	if (IS_ERR(rx))
		return PTR_ERR(rx);
	tx = make_thread(c, circle_conn_tx_thread, "tx");
	if (IS_ERR(tx)) {
		kthread_stop(rx);	/* which never runs rx_thread() */
		put_task_struct(rx);
		return PTR_ERR(tx);
	}
	c->rx_task = rx;
	c->tx_task = tx;
	circle_conn_get(c);		/* the threads' reference, and their hold on the module: */
	__module_get(THIS_MODULE);	/* both dropped at the end of rx_thread() */
	wake_up_process(tx);
	wake_up_process(rx);
	return 0;
}

void circle_conn_get(struct circle_conn *c)
{
	refcount_inc(&c->ref);
}

void circle_conn_put(struct circle_conn *c)
{
	if (!refcount_dec_and_test(&c->ref))
		return;
	if (c->rx_task) {
		put_task_struct(c->rx_task);
		put_task_struct(c->tx_task);
	} else {
		circle_conn_close(c, -ENOTCONN);
		circle_conn_fail_queue(c);
		release_socket(c);
	}
	__free_page(c->rx_page);
	kfree(c);
}

void *circle_conn_priv(const struct circle_conn *c)
{
	return c->priv;
}

static int queue(struct circle_conn *c, struct circle_msg *m, bool wake)
{
	unsigned long flags;
	unsigned int i;
	u64 len = 0;

	for (i = 0; i < m->nr_bv; i++)
		len += m->bv[i].bv_len;
	if (m->nr_bv)
		m->f.length = min_t(u64, len, U32_MAX);
	if (m->f.length > CIRCLE_WIRE_MAX_DATA)
		return -EMSGSIZE;

	spin_lock_irqsave(&c->lock, flags);
	if (c->closing) {
		spin_unlock_irqrestore(&c->lock, flags);
		return -ENOTCONN;
	}
	list_add_tail(&m->link, &c->queue);
	c->queued += circle_conn_frame_bytes(&m->f);
	if (wake)	/* what is before it may be left to a sender that does not run yet */
		wake_up(&c->wait);	/* under the lock: c may be gone after it */
	spin_unlock_irqrestore(&c->lock, flags);
	return 0;
}

int circle_conn_send(struct circle_conn *c, struct circle_msg *m)
{
	return queue(c, m, true);
}

int circle_conn_queue(struct circle_conn *c, struct circle_msg *m)
{
	return queue(c, m, false);
}

void circle_conn_close(struct circle_conn *c, int reason)
{
	unsigned long flags;

	spin_lock_irqsave(&c->lock, flags);
	if (!c->closing) {
		c->reason = reason ?: -ENOTCONN;
		/* pairs with the acquire in circle_conn_closing(): who sees it sees the reason */
		smp_store_release(&c->closing, true);
	}
	spin_unlock_irqrestore(&c->lock, flags);
	wake_up(&c->wait);
}

bool circle_conn_closing(const struct circle_conn *c)
{
	return smp_load_acquire(&c->closing);	/* pairs with circle_conn_close() */
}

bool circle_conn_lost(const struct circle_conn *c)
{
	return circle_conn_closing(c) || inet_sk_state_load(c->sock->sk) == TCP_CLOSE;
}

void circle_conn_wait(struct circle_conn *c)
{
	if (!c->rx_task)
		return;
	wait_for_completion(&c->rx_done);
	mutex_lock(&c->life);
	if (!c->joined)
		kthread_stop(c->rx_task);	/* only waits: it has left its loop */
	c->joined = true;
	mutex_unlock(&c->life);
}

void circle_conn_set_timeout(struct circle_conn *c, unsigned int timeout_ms)
{
	WRITE_ONCE(c->timeout_ms, timeout_ms);
	mutex_lock(&c->life);
	if (c->sock)
		circle_sock_set_timeout(c->sock, timeout_ms);
	mutex_unlock(&c->life);
}

u64 circle_conn_tx_queued(struct circle_conn *c)
{
	unsigned long flags;
	u64 queued;

	spin_lock_irqsave(&c->lock, flags);
	queued = c->queued;
	spin_unlock_irqrestore(&c->lock, flags);
	return queued;
}

unsigned long circle_conn_last_rx(const struct circle_conn *c)
{
	return READ_ONCE(c->last_rx);
}

unsigned long circle_conn_last_tx(const struct circle_conn *c)
{
	return READ_ONCE(c->last_tx);
}

void circle_conn_peer_name(const struct circle_conn *c, char *buf, unsigned int len)
{
	strscpy(buf, c->peer, len);
}
