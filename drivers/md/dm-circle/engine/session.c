// SPDX-License-Identifier: GPL-2.0-only
/*
 * session: one accepted connection: greeting, what may be asked when, and answers. The receiving
 * thread runs everything here but the end of an answer and the deadline. What comes in is a
 * stranger's: nothing is allowed before HELLO, nothing that writes before FENCE.
 *
 * Requests that are under way outlive the connection: they end their local I/O, then their answer
 * is dropped.
 */
#include "session.h"

#include <linux/slab.h>
#include "../log.h"
#include "../net/sock.h"
#include "away.h"
#include "circle.h"

#define MAX_SESSIONS	64
#define HELLO_TIME	(5 * HZ)
#define DOOM_TIME	HZ		/* for the last answer to arrive */
#define HEARD_TIME	(2 * HZ)	/* an owner silent for longer is not heard any more */
#define SILENCE		(10ul * HZ)	/* a client pings each half second: this one has died, */
#define WINDOW_POLL	(HZ / 10 + 1)	/* to see that the connection is gone */

static void session_free(struct kref *ref)
{
	struct circle_session *s = container_of(ref, struct circle_session, ref);
	struct circle_server *srv = s->srv;

	circle_conn_put(s->conn);
	kfree(s);
	circle_serve_put(srv);
}

void circle_session_put(struct circle_session *s)
{
	kref_put(&s->ref, session_free);
}

static void req_free(struct circle_req *req)
{
	struct circle_session *s = req->s;

	if (req->buf)
		circle_serve_buf_put(req->buf);
	kfree(req->items);
	mempool_free(req, &s->srv->reqs);
	atomic_dec(&s->nr_reqs);
	wake_up(&s->wait);
	circle_session_put(s);
}

static void sent(struct circle_msg *msg, int err)
{
	req_free(container_of(msg, struct circle_req, msg));
}

static struct circle_req *req_new(struct circle_session *s, const struct circle_frame *f,
				  struct circle_serve_buf *buf)
{
	struct circle_req *req = mempool_alloc(&s->srv->reqs, GFP_NOIO);

	memset(req, 0, sizeof(*req));
	req->f = *f;
	req->s = s;
	req->buf = buf;
	req->msg.f = *f;
	req->msg.f.version = s->version ?: CIRCLE_WIRE_VERSION;
	req->msg.f.flags = CIRCLE_WF_ANSWER;
	req->msg.f.length = 0;
	req->msg.f.aux = 0;
	req->msg.done = sent;
	kref_get(&s->ref);
	atomic_inc(&s->nr_reqs);
	return req;
}

/* The pair that is rightful now; 0 if nothing is known of the set. */
static void name_rightful(struct circle_session *s, struct circle_frame *f)
{
	struct circle_server *srv = s->srv;

	f->generation = 0;
	f->activation = 0;
	spin_lock_irq(&srv->lock);
	if (s->owner) {
		f->generation = srv->set[s->owner - 1].o.generation;
		f->activation = srv->set[s->owner - 1].o.activation;
	}
	spin_unlock_irq(&srv->lock);
}

/* FENCED ends an owner, so it is said only if another is rightful; who merely did not fence in this
 * session, or fenced again since, is told so otherwise.
 */
static u16 name_fencer(struct circle_req *req)
{
	struct circle_frame *f = &req->msg.f;

	name_rightful(req->s, f);
	if (f->generation > req->f.generation ||
	    (f->generation == req->f.generation && f->activation != req->f.activation))
		return CIRCLE_WS_FENCED;
	return CIRCLE_WS_NOT_ADMITTED;
}

void circle_req_answer(struct circle_req *req, u16 status)
{
	struct circle_frame *f = &req->msg.f;
	struct circle_session *s = req->s;

	circle_set_leave(req);
	if (status == CIRCLE_WS_FENCED)
		status = name_fencer(req);
	f->status = status;
	f->space = circle_serve_space(req->s->srv);
	f->away = circle_away_left(req->s->srv->node);
	if (f->type != CIRCLE_WT_HELLO)
		f->aux = circle_serve_wanted(req->s->srv);
	if (!req->msg.nr_bv && req->buf) {
		circle_serve_buf_put(req->buf);
		req->buf = NULL;
	}
	kref_get(&s->ref);
	if (circle_conn_queue(s->conn, &req->msg)) {
		req_free(req);
	} else {
		smp_mb();	/* queued, then the look; pairs with the barrier in ended_work() */
		if (!READ_ONCE(s->corked))
			circle_conn_push(s->conn);
	}
	circle_session_put(s);
}

/* All whose I/O has ended meanwhile: what they answer goes out together. */
static void ended_work(struct work_struct *work)
{
	struct circle_session *s = container_of(work, struct circle_session, ended_work);
	struct llist_node *all = llist_reverse_order(llist_del_all(&s->ended));
	struct circle_req *req, *tmp;

	WRITE_ONCE(s->corked, all && all->next);
	llist_for_each_entry_safe(req, tmp, all, ended)
		req->step(req);
	WRITE_ONCE(s->corked, false);
	smp_mb();	/* who still saw it has queued before; see circle_req_answer() */
	circle_conn_push(s->conn);
	circle_session_put(s);
}

void circle_req_ended(struct circle_req *req)
{
	struct circle_session *s = req->s;

	kref_get(&s->ref);	/* req, and its own, may be gone once it is on the list */
	if (!llist_add(&req->ended, &s->ended) || !queue_work(s->srv->wq, &s->ended_work))
		circle_session_put(s);
}

static void set_state(struct circle_session *s, enum circle_session_state state)
{
	spin_lock_irq(&s->srv->lock);
	s->state = state;
	spin_unlock_irq(&s->srv->lock);
}

static void doom(struct circle_session *s)
{
	set_state(s, CIRCLE_SESSION_DOOMED);
	mod_delayed_work(s->srv->wq, &s->deadline, DOOM_TIME);
}

void circle_req_bad(struct circle_req *req)
{
	struct circle_session *s = req->s;
	char name[64];

	circle_conn_peer_name(s->conn, name, sizeof(name));
	CIRCLE_WARN_LIMIT("%s: malformed request of type %u", name, req->f.type);
	doom(s);
	circle_req_answer(req, CIRCLE_WS_BAD);
}

static bool heard(const struct circle_session *s, const struct circle_session *by)
{
	return s != by && s->epoch && s->node_id != by->node_id &&
	       s->epoch == s->srv->set[s->owner - 1].epoch &&
	       !memcmp(s->uuid, by->uuid, CIRCLE_UUID_SIZE) &&
	       !circle_conn_closing(s->conn) &&
	       time_before(jiffies, READ_ONCE(s->heard) + HEARD_TIME);
}

/* Admits the session; *other: the owner of this set that is heard here, if it is another node. */
static bool admit(struct circle_session *s, const struct circle_hello *h, u32 *other)
{
	struct circle_server *srv = s->srv;
	struct circle_session *q;
	bool ok;

	spin_lock_irq(&srv->lock);
	memcpy(s->uuid, h->set_uuid, CIRCLE_UUID_SIZE);
	s->node_id = h->node_id;
	s->owner = __circle_set_find(srv, h->set_uuid);
	ok = s->owner || __circle_set_room(srv);
	if (ok)
		s->state = CIRCLE_SESSION_LIVE;
	list_for_each_entry(q, &srv->sessions, link) {
		if (!ok || q == s || memcmp(q->uuid, s->uuid, CIRCLE_UUID_SIZE))
			continue;
		if (q->node_id == s->node_id)
			circle_conn_close(q->conn, -ESTALE);
		else if (heard(q, s))
			*other = q->node_id;
	}
	spin_unlock_irq(&srv->lock);
	return ok;
}

static u16 judge(struct circle_session *s, const struct circle_hello *h, u32 *other)
{
	struct circle_node *node = s->srv->node;
	const struct circle_geom *g = &node->geom;

	s->version = circle_wire_agree(h->version_min, h->version_max, CIRCLE_WIRE_VERSION_MIN,
				       CIRCLE_WIRE_VERSION);
	if (!s->version)
		return CIRCLE_WS_VERSION;
	if (!memchr_inv(h->set_uuid, 0, CIRCLE_UUID_SIZE) ||
	    !memcmp(h->set_uuid, node->meta->sb.set_uuid, CIRCLE_UUID_SIZE) ||
	    h->peer_id != node->conf.id)
		return CIRCLE_WS_NOT_ADMITTED;
	if (h->block_sectors != g->block_sectors || h->page_sectors != g->page_sectors) {
		CIRCLE_WARN_LIMIT("node %u: block/page %u/%u sectors, ours %u/%u: refused",
				  h->node_id, h->block_sectors, h->page_sectors, g->block_sectors,
				  g->page_sectors);
		return CIRCLE_WS_NOT_ADMITTED;
	}
	if (!admit(s, h, other)) {
		CIRCLE_WARN_LIMIT("node %u: %u sets are known here already: not admitted; restart this node to forget those of which it stores nothing",
				  h->node_id, CIRCLE_MAX_OWNERS);
		return CIRCLE_WS_NOT_ADMITTED;
	}
	return CIRCLE_WS_OK;
}

static void encode_own(struct circle_session *s, u32 client)
{
	struct circle_node *node = s->srv->node;
	struct circle_hello h = {
		.version_min = CIRCLE_WIRE_VERSION_MIN,
		.version_max = CIRCLE_WIRE_VERSION,
		.features = CIRCLE_HF_WANTS | CIRCLE_HF_KEEPS | CIRCLE_HF_LEAVES,
		.node_id = node->conf.id,
		.peer_id = client,
		.block_sectors = node->geom.block_sectors,
		.page_sectors = node->geom.page_sectors,
		.origin_sectors = node->origin_sectors,
	};

	/* One that is older than what we have heard of is refused its data. */
	s->doubts = smp_load_acquire(&s->srv->doubts);
	h.instance = READ_ONCE(node->circle->instance);
	/* The client's own: ours is what admits others to our replicas. */
	memcpy(h.set_uuid, s->uuid, CIRCLE_UUID_SIZE);
	memcpy(h.domain, node->circle->domain, CIRCLE_DOMAIN_SIZE);
	circle_hello_encode(&h, s->hello);
}

static void serve_hello(struct circle_req *req)
{
	struct circle_session *s = req->s;
	struct circle_hello h;
	u32 other = 0;
	u16 status;

	if (circle_hello_decode(s->hello, &h)) {
		CIRCLE_WARN_LIMIT("a greeting that makes no sense");
		circle_conn_close(s->conn, -EPROTO);	/* whose answer would make none either */
		req_free(req);
		return;
	}
	status = judge(s, &h, &other);
	encode_own(s, h.node_id);
	req->msg.f.version = CIRCLE_WIRE_VERSION;
	req->msg.f.length = sizeof(s->hello);
	req->msg.f.aux = other;
	req->msg.buf = s->hello;
	name_rightful(s, &req->msg.f);
	WRITE_ONCE(s->heard, jiffies);
	if (status == CIRCLE_WS_OK)
		mod_delayed_work(s->srv->wq, &s->deadline, HZ);
	else
		doom(s);
	circle_req_answer(req, status);
}

static void serve_fence(struct circle_req *req)
{
	if (!req->f.generation || req->f.generation > CIRCLE_MAX_GEN)
		circle_req_bad(req);
	else
		circle_req_answer(req, circle_set_fence(req->s, &req->f));
}

static void serve_ping(struct circle_req *req)
{
	circle_req_answer(req, CIRCLE_WS_OK);
}

static void (* const serve[CIRCLE_WT_NR])(struct circle_req *req) = {
	[CIRCLE_WT_HELLO] = serve_hello,
	[CIRCLE_WT_REPLICATE] = circle_serve_replicate,
	[CIRCLE_WT_FLUSH] = circle_serve_flush,
	[CIRCLE_WT_RELEASE] = circle_serve_release,
	[CIRCLE_WT_LIST] = circle_serve_list,
	[CIRCLE_WT_FETCH] = circle_serve_fetch,
	[CIRCLE_WT_PING] = serve_ping,
	[CIRCLE_WT_FENCE] = serve_fence,
	[CIRCLE_WT_REVIVE] = circle_serve_revive,
};

/* May this frame be asked now? HELLO once and first. */
static bool in_order(const struct circle_session *s, const struct circle_frame *f)
{
	if (f->flags & CIRCLE_WF_ANSWER)
		return false;
	if (f->type == CIRCLE_WT_HELLO)
		return s->state == CIRCLE_SESSION_NEW;
	return s->state == CIRCLE_SESSION_LIVE && f->version == s->version;
}

/* Back-pressure. Local I/O makes room, or a client that takes its answers. */
static int wait_window(struct circle_session *s, u32 bytes)
{
	int limit = CIRCLE_SESSION_BYTES - (int)bytes;

	while (atomic_read(&s->nr_reqs) >= CIRCLE_SESSION_REQS || atomic_read(&s->bytes) > limit) {
		if (circle_conn_lost(s->conn))
			return -ENOTCONN;
		wait_event_idle_timeout(s->wait,
					atomic_read(&s->nr_reqs) < CIRCLE_SESSION_REQS &&
					atomic_read(&s->bytes) <= limit, WINDOW_POLL);
	}
	return 0;
}

/* What the client has sent is dealt with: from here on its silence counts. */
static void attend(struct circle_session *s)
{
	WRITE_ONCE(s->heard, jiffies);
	WRITE_ONCE(s->busy, false);
}

static int make_room(struct circle_conn *c, const struct circle_frame *f, struct circle_rx *rx)
{
	struct circle_session *s = circle_conn_priv(c);
	struct circle_serve_buf *buf;
	int err;

	if (!in_order(s, f))
		return -EPROTO;
	if (f->type == CIRCLE_WT_HELLO) {
		rx->buf = s->hello;
		return 0;
	}
	/* A spare buffer holds that much; geometry is checked when all is in. */
	if (f->length > circle_serve_buf_size(s->srv))
		return -EPROTO;
	err = wait_window(s, f->length);
	if (err)
		return err;
	buf = circle_serve_buf_get(s, f->length);
	if (!buf)
		return -ENOTCONN;
	rx->bv = buf->bv;
	rx->nr_bv = buf->nr;
	rx->exchange = true;
	rx->priv = buf;
	return 0;
}

static int room(struct circle_conn *c, const struct circle_frame *f, struct circle_rx *rx)
{
	struct circle_session *s = circle_conn_priv(c);
	int err;

	WRITE_ONCE(s->busy, true);
	err = make_room(c, f, rx);
	attend(s);
	return err;
}

static void drop(struct circle_conn *c, struct circle_rx *rx)
{
	if (rx->priv)
		circle_serve_buf_put(rx->priv);
}

static int take_frame(struct circle_conn *c, const struct circle_frame *f, struct circle_rx *rx)
{
	struct circle_session *s = circle_conn_priv(c);
	struct circle_req *req;
	int err = 0;

	if (s->state != CIRCLE_SESSION_DOOMED)
		err = wait_window(s, 0);
	if (err || s->state == CIRCLE_SESSION_DOOMED) {
		drop(c, rx);
		return err;
	}
	req = req_new(s, f, rx->priv);
	if (in_order(s, f))
		serve[f->type](req);
	else
		circle_req_bad(req);
	return 0;
}

static int frame(struct circle_conn *c, const struct circle_frame *f, struct circle_rx *rx)
{
	struct circle_session *s = circle_conn_priv(c);
	int err;

	WRITE_ONCE(s->busy, true);
	err = take_frame(c, f, rx);
	attend(s);
	return err;
}

static void unlist(struct circle_session *s)
{
	spin_lock_irq(&s->srv->lock);
	list_del_init(&s->link);
	s->srv->nr_sessions--;
	spin_unlock_irq(&s->srv->lock);
	cancel_delayed_work_sync(&s->deadline);
}

static void closed(struct circle_conn *c, int reason)
{
	struct circle_session *s = circle_conn_priv(c);

	unlist(s);
	circle_session_put(s);
}

static const struct circle_conn_ops session_ops = {
	.room = room,
	.frame = frame,
	.drop = drop,
	.closed = closed,
};

/* ... unless the operator wants peers to wait longer for each other. */
static unsigned long silence(const struct circle_session *s)
{
	return max(SILENCE, msecs_to_jiffies(READ_ONCE(s->srv->node->circle->timeout_ms)));
}

static void overdue(struct work_struct *work)
{
	struct circle_session *s = container_of(work, struct circle_session, deadline.work);

	/* Silent, or sending a frame for ever: it would keep a buffer, or keep a taker away. */
	if (READ_ONCE(s->state) == CIRCLE_SESSION_LIVE &&
	    (READ_ONCE(s->busy) || time_before(jiffies, READ_ONCE(s->heard) + silence(s))))
		queue_delayed_work(s->srv->wq, &s->deadline, HZ);
	else
		circle_conn_close(s->conn, -ETIMEDOUT);
}

static struct circle_session *session_new(struct circle_server *srv, struct socket *sock)
{
	struct circle_session *s = kzalloc(sizeof(*s), GFP_NOIO);

	if (!s) {
		circle_sock_release(sock);
		return NULL;
	}
	s->conn = circle_conn_create(sock, false, &session_ops, s, "circle_srv");
	if (IS_ERR(s->conn)) {
		kfree(s);
		return NULL;
	}
	/* not less than the default: TCP repeats what was lost after 200 ms at the earliest */
	circle_conn_set_timeout(s->conn, max_t(unsigned int, CIRCLE_TIMEOUT_MS,
					       READ_ONCE(srv->node->circle->timeout_ms)));
	s->srv = srv;
	kref_init(&s->ref);
	INIT_LIST_HEAD(&s->link);
	INIT_DELAYED_WORK(&s->deadline, overdue);
	INIT_WORK(&s->ended_work, ended_work);
	init_waitqueue_head(&s->wait);
	spin_lock_init(&s->lock);
	refcount_inc(&srv->users);
	return s;
}

void circle_session_accept(struct circle_server *srv, struct socket *sock)
{
	struct circle_session *s;
	bool full;

	s = session_new(srv, sock);
	if (!s)
		return;
	spin_lock_irq(&srv->lock);
	full = srv->nr_sessions >= MAX_SESSIONS;
	if (!full) {
		srv->nr_sessions++;
		list_add_tail(&s->link, &srv->sessions);
	}
	spin_unlock_irq(&srv->lock);
	if (full) {
		CIRCLE_WARN_LIMIT("%u sessions already: a connection is closed", MAX_SESSIONS);
		circle_session_put(s);
		return;
	}
	queue_delayed_work(srv->wq, &s->deadline, HELLO_TIME);
	if (!circle_conn_start(s->conn))
		return;			/* the session may be gone already */
	unlist(s);
	circle_session_put(s);
}
