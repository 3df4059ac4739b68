// SPDX-License-Identifier: GPL-2.0-only
/*
 * peer: the client side of one peer. Its manager thread connects with back-off, greets, fences,
 * resynchronises, and then waits for the connection's end.
 *
 * A connection that ended is never taken up where it was: the peer first leaves the view (R3), and
 * comes back with no replica of ours, which resynchronisation sees to. What it has parked of them
 * is healing's to revive, block by block (heal_copy.c).
 */
#include "peer.h"
#include "away.h"
#include "replicate.h"
#include "steward.h"

#include <linux/kthread.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include "../log.h"
#include "../net/sock.h"
#include "../store/bdev.h"

#define BACKOFF_MIN_MS	100
#define BACKOFF_MAX_MS	5000
#define LOOK_MS		100
#define HEARTBEAT_MS	500u
#define VAIN_MAX	64	/* so many more that it had not: no other is asked for */

static u32 bit(const struct circle_peer *p)
{
	return 1u << p->nr;
}

/*
 * A holder that is gone may be the first sign that we were stopped, with our clock, and taken over:
 * nothing goes to the origin before another look at the label.
 */
static void closed(struct circle_conn *conn, int reason)
{
	struct circle_peer *p = circle_conn_priv(conn);
	struct circle_circle *c = p->node->circle;

	if ((READ_ONCE(c->wait) & bit(p)) ||
	    (READ_ONCE(c->role) != CIRCLE_ROLE_OWNER &&
	     ((READ_ONCE(c->old_view) | READ_ONCE(c->asked)) & bit(p))))
		circle_lease_doubt(p->node);
	circle_call_fail_all(p, reason ?: -ECONNRESET);
	spin_lock_irq(&p->lock);
	p->state = CIRCLE_PEER_DOWN;
	spin_unlock_irq(&p->lock);
	wake_up_all(&p->wait);
	circle_steward_kick(p->node);
}

/* The room for an answer belongs to its call, which the end of the connection ends. */
static void drop(struct circle_conn *conn, struct circle_rx *rx)
{
}

static const struct circle_conn_ops ops = {
	.drop = drop,
	.room = circle_call_room,
	.frame = circle_call_frame,
	.closed = closed,
};

/* A reference to the connection, if it has not ended. peer->lock held. */
static struct circle_conn *__get_conn(struct circle_peer *p)
{
	if (!p->conn || circle_conn_closing(p->conn))
		return NULL;
	circle_conn_get(p->conn);
	return p->conn;
}

void circle_peer_lost(struct circle_peer *p, const char *why)
{
	struct circle_conn *conn;
	unsigned long flags;

	spin_lock_irqsave(&p->lock, flags);
	conn = __get_conn(p);
	spin_unlock_irqrestore(&p->lock, flags);
	if (!conn)
		return;
	if (why)
		CIRCLE_WARN_LIMIT("peer %u: %s, connection reset", p->id, why);
	circle_conn_close(conn, -ETIMEDOUT);
	circle_conn_put(conn);
}

void circle_peer_let_go(struct circle_peer *p)
{
	struct circle_conn *conn;

	spin_lock_irq(&p->lock);
	conn = __get_conn(p);
	if (conn)
		WRITE_ONCE(p->let_go, true);
	spin_unlock_irq(&p->lock);
	if (!conn)
		return;
	CIRCLE_INFO("peer %u leaves in order: what it has is not healed for a time", p->id);
	circle_conn_close(conn, -ESHUTDOWN);
	circle_conn_put(conn);
}

void circle_peer_down(struct circle_peer *p, u32 turn)
{
	spin_lock_irq(&p->lock);
	if (p->turn == turn)
		p->state = CIRCLE_PEER_DOWN;
	spin_unlock_irq(&p->lock);
}

static bool told_to_stop(void *priv)
{
	return kthread_should_stop();
}

static int connect(struct circle_peer *p)
{
	struct circle_circle *c = p->node->circle;
	struct circle_conn *conn;
	struct socket *sock;
	int r;

	sock = circle_sock_connect(c->net, &p->addr, circle_patience_ms(c), told_to_stop, NULL);
	if (IS_ERR(sock))
		return PTR_ERR(sock);
	conn = circle_conn_create(sock, true, &ops, p, "circle_peer");
	if (IS_ERR(conn))
		return PTR_ERR(conn);
	circle_conn_set_timeout(conn, circle_patience_ms(c));
	spin_lock_irq(&p->lock);
	r = p->stopping ? -ESHUTDOWN : 0;
	if (!r)
		p->conn = conn;
	spin_unlock_irq(&p->lock);
	if (!r)
		r = circle_conn_start(conn);
	if (r) {
		spin_lock_irq(&p->lock);
		p->conn = NULL;
		spin_unlock_irq(&p->lock);
		circle_conn_close(conn, r);
		circle_conn_put(conn);
		circle_call_fail_all(p, r);	/* there will be no closed() */
	}
	return r;
}

static void disconnect(struct circle_peer *p)
{
	struct circle_conn *conn = p->conn;

	if (!conn)
		return;
	circle_conn_close(conn, -ESHUTDOWN);
	circle_conn_wait(conn);
	spin_lock_irq(&p->lock);
	p->conn = NULL;
	p->greeted = false;
	p->state = CIRCLE_PEER_DOWN;
	spin_unlock_irq(&p->lock);
	circle_conn_put(conn);
}

static int hello_answer(struct circle_peer *p, const struct circle_call *call, const void *buf)
{
	struct circle_hello h;

	if (call->answer.status == CIRCLE_WS_VERSION)
		CIRCLE_WARN_LIMIT("peer %u speaks another version", p->id);
	else if (call->answer.status)
		CIRCLE_WARN_LIMIT("peer %u refuses us: wire status %u", p->id, call->answer.status);
	if (call->answer.status)
		return -EACCES;
	if (circle_hello_decode(buf, &h) || h.node_id != p->id)
		return -EPROTO;
	memcpy(p->domain, h.domain, CIRCLE_DOMAIN_SIZE);
	p->instance = h.instance;
	p->heard = call->answer.aux;
	p->features = h.features;
	WRITE_ONCE(p->wanted, 0);
	spin_lock_irq(&p->lock);
	__circle_away_heard(p, p->features & CIRCLE_HF_LEAVES ? call->answer.away : 0);
	spin_unlock_irq(&p->lock);
	smp_store_release(&p->greeted, true);	/* who sees it sees what the peer said */
	if (call->answer.generation > p->node->gen)
		circle_fenced(p->node, call->answer.generation);
	return 0;
}

static int greet(struct circle_peer *p, struct circle_call *call, void *buf)
{
	struct circle_node *node = p->node;
	struct circle_hello h = {
		.version_min = CIRCLE_WIRE_VERSION_MIN,
		.version_max = CIRCLE_WIRE_VERSION,
		.node_id = node->conf.id,
		.peer_id = p->id,
		.instance = READ_ONCE(node->circle->instance),
		.block_sectors = node->geom.block_sectors,
		.page_sectors = node->geom.page_sectors,
		.origin_sectors = node->origin_sectors,
	};
	int r;

	memcpy(h.set_uuid, node->meta->sb.set_uuid, CIRCLE_UUID_SIZE);
	memcpy(h.domain, node->circle->domain, CIRCLE_DOMAIN_SIZE);
	circle_hello_encode(&h, buf);
	memset(call, 0, sizeof(*call));
	call->msg.f.type = CIRCLE_WT_HELLO;
	call->msg.f.length = sizeof(struct circle_wire_hello);
	call->msg.buf = buf;
	call->rx.buf = (char *)buf + 256;
	call->rx_len = sizeof(struct circle_wire_hello);
	r = circle_call_wait(p, call);
	return r ?: hello_answer(p, call, call->rx.buf);
}

/* One plain request; -EACCES for an answer that is not OK. */
static int ask(struct circle_peer *p, struct circle_call *call, u16 type, const void *buf, u32 len)
{
	int r;

	memset(call, 0, sizeof(*call));
	call->msg.f.type = type;
	call->msg.f.length = len;
	call->msg.buf = buf;
	r = circle_call_wait(p, call);
	return r ?: (call->answer.status ? -EACCES : 0);
}

int circle_peer_release_all(struct circle_peer *p, bool keep)
{
	struct circle_call *call = kzalloc(sizeof(*call), GFP_NOIO);
	int r;

	if (!call)
		return -ENOMEM;
	call->msg.f.type = CIRCLE_WT_RELEASE;
	keep &= !!(p->features & CIRCLE_HF_KEEPS);
	call->msg.f.flags = CIRCLE_WF_ALL_GENS | (keep ? CIRCLE_WF_KEEP : 0);
	call->msg.f.block = U64_MAX;
	call->msg.f.pages = U64_MAX;
	r = circle_call_wait(p, call);
	r = r ?: (call->answer.status ? -EACCES : 0);
	circle_peer_keeps(p, !r && keep ? call->answer.pages : 0, true);
	kfree(call);
	return r;
}

void circle_peer_keeps(struct circle_peer *p, u64 blocks, bool found)
{
	unsigned long flags;

	spin_lock_irqsave(&p->lock, flags);
	p->in_vain = found ? 0 : p->in_vain + 1;
	WRITE_ONCE(p->kept, p->in_vain < VAIN_MAX + blocks ? min_t(u64, blocks, U32_MAX) : 0);
	spin_unlock_irqrestore(&p->lock, flags);
}

int circle_peer_flush(struct circle_peer *p)
{
	struct circle_call *call;
	int r;

	if (READ_ONCE(p->undurable) == READ_ONCE(p->flushed))
		return 0;
	call = kzalloc(sizeof(*call), GFP_NOIO);
	if (!call)
		return -ENOMEM;
	call->msg.f.type = CIRCLE_WT_FLUSH;
	r = circle_call_wait_ready(p, call);
	r = r ?: (call->answer.status ? -EACCES : 0);
	if (!r) {
		spin_lock_irq(&p->lock);
		p->flushed = max(p->flushed, call->covers);
		spin_unlock_irq(&p->lock);
	}
	kfree(call);
	return r;
}

bool circle_peer_here(struct circle_peer *p)
{
	bool here;

	spin_lock_irq(&p->lock);
	/* pairs with hello_answer() */
	here = smp_load_acquire(&p->greeted) && p->conn && !circle_conn_closing(p->conn);
	spin_unlock_irq(&p->lock);
	return here;
}

static bool may_resync(struct circle_peer *p)
{
	struct circle_circle *c = p->node->circle;

	/* pairs with circle_activate() */
	return smp_load_acquire(&c->role) == CIRCLE_ROLE_OWNER &&
	       !((READ_ONCE(c->view) | READ_ONCE(c->wait)) & bit(p));
}

static bool may_fence(struct circle_peer *p)
{
	/* pairs with circle_activate(): generation and activation are ours by then */
	return smp_load_acquire(&p->node->circle->may_fence);
}

static bool broken(struct circle_peer *p)
{
	return kthread_should_stop() || circle_conn_closing(p->conn);
}

static void set_state(struct circle_peer *p, enum circle_peer_state state)
{
	spin_lock_irq(&p->lock);
	if (!circle_conn_closing(p->conn)) {
		p->state = state;
		if (state == CIRCLE_PEER_READY) {
			p->ready_instance = p->instance;
			WRITE_ONCE(p->let_go, false);
			p->turn += p->turn == U32_MAX ? 2 : 1;	/* never 0 */
		}
	}
	spin_unlock_irq(&p->lock);
	wake_up_all(&p->wait);
	circle_lease_wake(p->node);	/* who reads */
	circle_steward_kick(p->node);
}

/* Keeps the connection alive until the condition is true. */
static int hold(struct circle_peer *p, struct circle_call *call,
		bool (*until)(struct circle_peer *p))
{
	int r = 0;

	while (!r && !until(p)) {
		wait_event_idle_timeout(p->wait, until(p) || broken(p), msecs_to_jiffies(LOOK_MS));
		if (broken(p))
			r = -ECONNRESET;
		else if (!until(p))
			r = ask(p, call, CIRCLE_WT_PING, NULL, 0);
	}
	return r;
}

/* Up to READY, or an error. */
static int set_up(struct circle_peer *p)
{
	struct circle_call *call = kzalloc(sizeof(*call), GFP_NOIO);
	void *buf = kzalloc(CIRCLE_WIRE_PING_DATA, GFP_NOIO);
	int r = -ENOMEM;

	if (!call || !buf)
		goto out;
	r = greet(p, call, buf);
	if (!r && circle_away_let_go(p))
		r = -EAGAIN;	/* it is not to be counted on */
	if (!r)
		r = hold(p, call, may_fence);
	if (!r)
		r = ask(p, call, CIRCLE_WT_FENCE, NULL, 0);
	if (!r)
		r = ask(p, call, CIRCLE_WT_PING, buf, CIRCLE_WIRE_PING_DATA);
	if (r)
		goto out;
	set_state(p, CIRCLE_PEER_UP);
	r = hold(p, call, may_resync);
	if (!r)
		r = circle_peer_release_all(p, true);
	if (!r)
		set_state(p, CIRCLE_PEER_READY);
out:
	kfree(call);
	kfree(buf);
	return r;
}

/* Until the connection ends: a heartbeat, and an eye on answers that do not come. */
static void watch(struct circle_peer *p)
{
	struct circle_circle *c = p->node->circle;
	struct circle_call *call = kzalloc(sizeof(*call), GFP_NOIO);
	unsigned long beat = jiffies, pause;
	unsigned int ms, told = 0;

	while (!broken(p)) {
		ms = circle_patience_ms(c);
		if (ms != told)
			circle_conn_set_timeout(p->conn, ms);
		told = ms;
		/* a silent peer is to be lost soon after the timeout, also when nothing is sent */
		pause = msecs_to_jiffies(min(READ_ONCE(c->timeout_ms) / 4, HEARTBEAT_MS));
		wait_event_idle_timeout(p->wait, broken(p), msecs_to_jiffies(LOOK_MS));
		if (circle_call_overdue(p, ms))
			circle_peer_lost(p, "no answer in time");
		if (!call || time_before(jiffies, beat + pause) ||
		    time_before(jiffies, circle_conn_last_rx(p->conn) + pause))
			continue;
		beat = jiffies;
		ask(p, call, CIRCLE_WT_PING, NULL, 0);
	}
	kfree(call);
}

static void back_off(struct circle_peer *p)
{
	unsigned int ms = min(BACKOFF_MIN_MS << min(p->failures, 10u), BACKOFF_MAX_MS);

	p->failures++;
	wait_event_idle_timeout(p->wait, kthread_should_stop(), msecs_to_jiffies(ms));
}

static int manage(void *data)
{
	struct circle_peer *p = data;
	unsigned int noio = memalloc_noio_save();
	unsigned long since;

	while (!kthread_should_stop()) {
		if (connect(p)) {
			back_off(p);
			continue;
		}
		since = jiffies;
		if (!set_up(p)) {
			CIRCLE_INFO("peer %u: ready", p->id);
			watch(p);
			p->nr_lost += !READ_ONCE(p->let_go);
		}
		disconnect(p);
		if (time_after(jiffies, since + 10 * HZ))
			p->failures = 0;
		if (!kthread_should_stop())
			back_off(p);
	}
	memalloc_noio_restore(noio);
	return 0;
}

int circle_peer_start(struct circle_peer *p)
{
	p->stopping = false;
	p->thread = kthread_run(manage, p, "circle_peer%u", p->id);
	if (IS_ERR(p->thread)) {
		int r = PTR_ERR(p->thread);

		p->thread = NULL;
		return r;
	}
	return 0;
}

void circle_peer_stop(struct circle_peer *p)
{
	if (!p->thread)
		return;
	spin_lock_irq(&p->lock);
	p->stopping = true;
	spin_unlock_irq(&p->lock);
	circle_peer_lost(p, NULL);
	kthread_stop(p->thread);
	p->thread = NULL;
}
