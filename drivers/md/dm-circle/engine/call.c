// SPDX-License-Identifier: GPL-2.0-only
/*
 * call: requests to one peer, their answers, and requests to several at once. It must never wait
 * for an answer in atomic context, and never drops one silently: each call ends with its answer,
 * or with its connection.
 */
#include "circle.h"

#include "../log.h"
#include "away.h"
#include "peer.h"
#include "replicate.h"
#include "steward.h"

#define SLICE_MS	100	/* how soon a waiter sees that its patience has shrunk */

static void part_over(struct circle_call *call)
{
	if (atomic_dec_and_test(&call->parts))
		call->done(call, call->err, &call->answer);
}

static void sent(struct circle_msg *msg, int err)
{
	part_over(container_of(msg, struct circle_call, msg));
}

/* least: DOWN: its manager, which makes it more than that. */
static int call_send(struct circle_peer *peer, struct circle_call *call,
		     enum circle_peer_state least, bool push)
{
	struct circle_frame *f = &call->msg.f;
	unsigned long flags;
	int r = -ENOTCONN;

	call->peer = peer;
	call->msg.done = sent;
	call->err = 0;
	atomic_set(&call->parts, 2);
	f->version = CIRCLE_WIRE_VERSION;
	f->generation = peer->node->gen;
	f->activation = peer->node->circle->activation;
	spin_lock_irqsave(&peer->lock, flags);
	if (peer->conn && peer->state >= least && (!call->turn || call->turn == peer->turn)) {
		f->id = peer->next_id++;
		call->sent = jiffies;
		call->covers = peer->undurable;
		call->instance = peer->instance;
		list_add_tail(&call->link, &peer->calls);
		r = push ? circle_conn_queue(peer->conn, &call->msg) :
			   circle_conn_send(peer->conn, &call->msg);
		if (r)
			list_del(&call->link);
	}
	spin_unlock_irqrestore(&peer->lock, flags);
	return r;
}

static void push(struct circle_peer *peer)
{
	struct circle_conn *conn;

	spin_lock_irq(&peer->lock);
	conn = peer->conn;
	if (conn)
		circle_conn_get(conn);
	spin_unlock_irq(&peer->lock);
	if (!conn)
		return;
	circle_conn_push(conn);
	circle_conn_put(conn);
}

static struct circle_call *find_call(struct circle_peer *peer, const struct circle_frame *f)
{
	struct circle_call *call;

	lockdep_assert_held(&peer->lock);
	list_for_each_entry(call, &peer->calls, link)
		if (call->msg.f.id == f->id)
			return call->msg.f.type == f->type ? call : NULL;
	return NULL;
}

/* Only the receiving thread takes calls off the list, so what it found stays. */
int circle_call_room(struct circle_conn *c, const struct circle_frame *f, struct circle_rx *rx)
{
	struct circle_peer *peer = circle_conn_priv(c);
	struct circle_call *call;

	if (!(f->flags & CIRCLE_WF_ANSWER))
		return -EPROTO;
	spin_lock_irq(&peer->lock);
	call = find_call(peer, f);
	spin_unlock_irq(&peer->lock);
	if (!call || f->length > call->rx_len)
		return -EPROTO;
	*rx = call->rx;
	return 0;
}

/* R8. True: it did not want anything back before. */
static bool heard_wanted(struct circle_peer *peer, u64 wanted)
{
	bool first = wanted && !peer->wanted;

	WRITE_ONCE(peer->wanted, min_t(u64, wanted, U32_MAX));
	return first;
}

int circle_call_frame(struct circle_conn *c, const struct circle_frame *f, struct circle_rx *rx)
{
	struct circle_peer *peer = circle_conn_priv(c);
	struct circle_call *call;
	bool first = false, stale = false;

	if (!(f->flags & CIRCLE_WF_ANSWER))
		return -EPROTO;
	spin_lock_irq(&peer->lock);
	call = find_call(peer, f);
	if (call) {
		list_del(&call->link);
		stale = time_after(jiffies,
				   peer->answered + msecs_to_jiffies(CIRCLE_LEASE_MS));
		WRITE_ONCE(peer->answered, call->sent);	/* it may have waited here since */
		peer->space = f->space;
		peer->refused = f->status;
		if ((peer->features & CIRCLE_HF_WANTS) && f->type != CIRCLE_WT_HELLO)
			first = heard_wanted(peer, f->aux);
		if (peer->features & CIRCLE_HF_LEAVES)
			__circle_away_heard(peer, f->away);
	}
	spin_unlock_irq(&peer->lock);
	if (!call)
		return -EPROTO;
	if (first)
		circle_writeback_kick(peer->node);
	if (stale)
		circle_lease_wake(peer->node);		/* who reads */
	if (f->status == CIRCLE_WS_FENCED && f->generation >= peer->node->gen)
		circle_fenced(peer->node, f->generation);
	call->answer = *f;
	part_over(call);
	return 0;
}

void circle_call_fail_all(struct circle_peer *peer, int err)
{
	struct circle_call *call, *tmp;
	LIST_HEAD(all);

	spin_lock_irq(&peer->lock);
	list_splice_init(&peer->calls, &all);
	spin_unlock_irq(&peer->lock);
	list_for_each_entry_safe(call, tmp, &all, link) {
		list_del(&call->link);
		call->err = err == -ENOTCONN ? -ECONNRESET : err;	/* that: nothing was sent */
		part_over(call);
	}
}

bool circle_call_overdue(struct circle_peer *peer, unsigned int timeout_ms)
{
	struct circle_call *call;
	bool late = false;

	spin_lock_irq(&peer->lock);
	call = list_first_entry_or_null(&peer->calls, struct circle_call, link);
	if (call)
		late = time_after(jiffies, call->sent + msecs_to_jiffies(timeout_ms));
	spin_unlock_irq(&peer->lock);
	return late;
}

static void wake(struct circle_call *call, int err, const struct circle_frame *answer)
{
	complete(call->priv);
}

static int call_wait(struct circle_peer *peer, struct circle_call *call,
		     enum circle_peer_state least)
{
	unsigned long begin = jiffies;
	DECLARE_COMPLETION_ONSTACK(over);
	unsigned int ms;
	int r;

	call->priv = &over;
	call->done = wake;
	r = call_send(peer, call, least, false);
	if (r)
		return r;
	while (!wait_for_completion_timeout(&over, msecs_to_jiffies(SLICE_MS))) {
		ms = circle_patience_ms(peer->node->circle);	/* less, once a suspend begins */
		if (fatal_signal_pending(current))
			ms = min_t(unsigned int, ms, CIRCLE_TIMEOUT_MS);
		if (time_before(jiffies, begin + msecs_to_jiffies(ms)))
			continue;
		circle_peer_lost(peer, "no answer");
		wait_for_completion(&over);	/* the connection's end completes it */
		break;
	}
	return call->err;
}

int circle_call_wait(struct circle_peer *peer, struct circle_call *call)
{
	return call_wait(peer, call, CIRCLE_PEER_DOWN);
}

int circle_call_wait_up(struct circle_peer *peer, struct circle_call *call)
{
	return call_wait(peer, call, CIRCLE_PEER_UP);
}

int circle_call_wait_ready(struct circle_peer *peer, struct circle_call *call)
{
	return call_wait(peer, call, CIRCLE_PEER_READY);
}

void circle_multi_init(struct circle_multi *m, struct circle_node *node, struct circle_call *call,
		       unsigned int max_calls)
{
	memset(m, 0, sizeof(*m));
	INIT_LIST_HEAD(&m->link);
	m->node = node;
	m->call = call;
	m->max_calls = max_calls;
	atomic_set(&m->refs, 1);
}

void __circle_multi_await(struct circle_multi *m, u32 mask)
{
	lockdep_assert_held(&m->node->circle->lock);
	m->await = mask;
	if (!mask)
		return;
	atomic_inc(&m->refs);		/* until over() has returned */
	list_add_tail(&m->link, &m->node->circle->multis);
}

void circle_multi_put(struct circle_multi *m)
{
	if (atomic_dec_and_test(&m->refs))
		m->gone(m);
}

static void settle(struct circle_multi *m, u32 bit, bool ok)
{
	struct circle_circle *c = m->node->circle;
	unsigned long flags;
	bool over = false;

	spin_lock_irqsave(&c->lock, flags);
	if (m->await & bit) {
		m->await &= ~bit;
		if (ok)
			m->ok |= bit;
		else
			m->rejected |= bit;
		over = !m->await;
		if (over)
			list_del_init(&m->link);
	}
	spin_unlock_irqrestore(&c->lock, flags);
	if (over) {
		m->over(m);
		circle_multi_put(m);
	}
}

/* A lost connection leaves the peer awaited: a label without it must be durable first (R3). */
static void multi_done(struct circle_call *call, int err, const struct circle_frame *answer)
{
	struct circle_multi *m = call->priv;
	bool ok = !err && answer->status == CIRCLE_WS_OK;

	if (ok && m->answered)
		m->answered(m, call->peer, &call->msg.f, answer);
	/*
	 * A holder that cannot do as it is told holds nothing that counts: it leaves the view, and
	 * the floor with it. Only "no space" for new data is an ordinary answer.
	 */
	if (!err && !ok && (answer->status != CIRCLE_WS_NO_SPACE ||
			    call->msg.f.type != CIRCLE_WT_REPLICATE))
		circle_peer_lost(call->peer, "could not store, flush or release");
	else if (!err)
		settle(m, 1u << call->peer->nr, ok);
	circle_multi_put(m);
}

void circle_multi_push(struct circle_node *node, u32 mask)
{
	struct circle_circle *c = node->circle;

	for (; mask; mask &= mask - 1)
		push(&c->peer[__ffs(mask)]);
}

void circle_multi_send(struct circle_multi *m, struct bio_vec *bv, unsigned int nr_bv, bool push)
{
	struct circle_circle *c = m->node->circle;
	unsigned int i;
	u32 mask = READ_ONCE(m->await);

	for (i = 0; i < c->nr_peers; i++) {
		struct circle_call *call = &m->call[m->nr_calls];

		if (!(mask >> i & 1) || WARN_ON_ONCE(m->nr_calls == m->max_calls))
			continue;
		m->nr_calls++;
		memset(call, 0, sizeof(*call));
		call->msg.f = m->req;
		call->msg.bv = bv;
		call->msg.nr_bv = nr_bv;
		call->msg.lent = true;	/* the call holds m, and m the pages */
		call->priv = m;
		call->done = multi_done;
		atomic_inc(&m->refs);
		if (call_send(&c->peer[i], call, CIRCLE_PEER_READY, push))
			circle_multi_put(m);
	}
}

static void forget(struct circle_node *node, u32 mask, bool ending)
{
	struct circle_circle *c = node->circle;
	struct circle_multi *m, *tmp;
	LIST_HEAD(over);

	spin_lock_irq(&c->lock);
	if (ending) {
		/* live again meanwhile; or a peer is READY again: what awaits it was sent to it */
		mask &= circle_ending(c) ? ~circle_ready_peers(c) : 0;
		c->in_vain = mask;
	}
	list_for_each_entry_safe(m, tmp, &c->multis, link) {
		if (!(m->await & mask))
			continue;
		m->await &= ~mask;
		m->ended |= ending;
		if (!m->await)
			list_move_tail(&m->link, &over);
	}
	spin_unlock_irq(&c->lock);
	list_for_each_entry_safe(m, tmp, &over, link) {
		list_del_init(&m->link);
		m->over(m);
		circle_multi_put(m);
	}
}

void circle_multi_forget(struct circle_node *node, u32 mask)
{
	forget(node, mask, false);
}

void circle_multi_end(struct circle_node *node, u32 mask)
{
	forget(node, mask, true);
}
