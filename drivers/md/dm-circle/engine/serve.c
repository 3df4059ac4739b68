// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve: the server's life, its memory and its queue. Contract in serve.h, locks in session.h.
 *
 * It must never wait for a peer, the origin, the label or the host's own writes (R13): requests
 * run on a queue of their own; when there is no memory they wait for the reserve, which local I/O,
 * or the end of a connection whose client takes no answers, gives back.
 */
#include "session.h"

#include <linux/random.h>
#include <linux/slab.h>
#include "../core/recover.h"
#include "../log.h"
#include "../net/listener.h"
#include "away.h"
#include "circle.h"

#define SPARE_BUFS	2
#define REQ_RESERVE	64
#define SPARE_POLL	(HZ / 50 + 1)	/* memory may be there again, for which nobody wakes us */

static void buf_free(struct circle_server *srv, struct circle_serve_buf *buf)
{
	circle_stash_put(&srv->stash, buf->bv, buf->cap);
	kfree(buf);
}

static struct circle_serve_buf *buf_alloc(struct circle_server *srv, u32 pages, gfp_t gfp)
{
	struct circle_serve_buf *buf = kzalloc(struct_size(buf, bv, pages), gfp);

	if (!buf)
		return NULL;
	buf->cap = circle_stash_get(&srv->stash, buf->bv, pages, gfp);
	if (buf->cap == pages)
		return buf;
	buf_free(srv, buf);
	return NULL;
}

static struct circle_serve_buf *spare_take(struct circle_server *srv)
{
	struct circle_serve_buf *buf;

	spin_lock_irq(&srv->lock);
	buf = list_first_entry_or_null(&srv->spare, struct circle_serve_buf, link);
	if (buf)
		list_del_init(&buf->link);
	spin_unlock_irq(&srv->lock);
	return buf;
}

static void buf_cut(struct circle_serve_buf *buf, u32 len)
{
	u32 i;

	buf->len = len;
	buf->nr = DIV_ROUND_UP(len, PAGE_SIZE);
	for (i = 0; i < buf->nr; i++) {
		buf->bv[i].bv_offset = 0;
		buf->bv[i].bv_len = min_t(u32, PAGE_SIZE, len - i * PAGE_SIZE);
	}
}

/* Ends when a buffer comes back, memory is found, or the connection is lost. */
struct circle_serve_buf *circle_serve_buf_get(struct circle_session *s, u32 len)
{
	gfp_t gfp = GFP_NOIO | __GFP_NORETRY | __GFP_NOWARN;
	struct circle_server *srv = s->srv;
	struct circle_serve_buf *buf;

	for (;;) {
		buf = buf_alloc(srv, DIV_ROUND_UP(len, PAGE_SIZE), gfp) ?: spare_take(srv);
		if (buf)
			break;
		if (circle_conn_lost(s->conn))
			return NULL;
		wait_event_idle_timeout(srv->spare_wait, !list_empty_careful(&srv->spare),
					SPARE_POLL);
	}
	buf_cut(buf, len);
	buf->s = s;
	atomic_add(len, &s->bytes);
	return buf;
}

void circle_serve_buf_put(struct circle_serve_buf *buf)
{
	struct circle_session *s = buf->s;
	struct circle_server *srv = s->srv;

	atomic_sub(buf->len, &s->bytes);
	wake_up(&s->wait);
	if (!buf->spare) {
		buf_free(srv, buf);
		return;
	}
	spin_lock_irq(&srv->lock);
	list_add(&buf->link, &srv->spare);
	spin_unlock_irq(&srv->lock);
	wake_up(&srv->spare_wait);
}

u32 circle_serve_limit(struct circle_server *srv)
{
	struct circle_node *node = srv->node;

	return (u64)node->slots->nr * min(READ_ONCE(node->circle->lend), 100u) / 100;
}

/*
 * What is to be given back (R8): what is above the limit; and, when the host has use for slots and
 * finds none, some of what is lent, however much may be. Each session is asked for its share.
 */
u32 circle_serve_wanted(struct circle_server *srv)
{
	struct circle_node *node = srv->node;
	int lent = max(atomic_read(&node->slots->nr_lent), 0);
	int over = lent - (int)circle_serve_limit(srv);

	if (circle_reclaim_starves(node))
		over = max(over, (int)node->stock);
	return DIV_ROUND_UP(clamp(over, 0, lent), max(READ_ONCE(srv->nr_sessions), 1u));
}

/* What could be lent still: an estimate, the counters move. */
u32 circle_serve_space(struct circle_server *srv)
{
	struct circle_slots *s = srv->node->slots;
	int clean = circle_slots_clean(s);
	int left = (int)circle_serve_limit(srv) - atomic_read(&s->nr_lent);

	if (circle_serve_wanted(srv) || circle_reclaim_starves(srv->node) ||
	    circle_away_left(srv->node))
		return 0;
	return clamp_t(s64, (s64)READ_ONCE(s->nr_free) + max(clean, 0), 0, max(left, 0));
}

void __circle_serve_stamp(struct circle_server *srv, u32 slot)
{
	unsigned long flags;

	spin_lock_irqsave(&srv->lock, flags);
	srv->node->slots->slot[slot].holders = srv->asked;
	spin_unlock_irqrestore(&srv->lock, flags);
}

bool __circle_serve_durable(struct circle_server *srv, u32 slot)
{
	return (s32)(READ_ONCE(srv->durable) - srv->node->slots->slot[slot].holders) > 0;
}

static void run(struct work_struct *work)
{
	struct circle_req *req = container_of(work, struct circle_req, work);

	req->step(req);
}

void circle_serve_queue(struct circle_req *req, void (*step)(struct circle_req *req))
{
	req->step = step;
	INIT_WORK(&req->work, run);
	queue_work(req->s->srv->wq, &req->work);
}

void circle_serve_granted(struct circle_range *range)
{
	struct circle_req *req = container_of(range, struct circle_req, range);

	circle_serve_queue(req, req->step);
}

void circle_serve_range(struct circle_req *req, u64 mask, bool excl,
			void (*step)(struct circle_req *req))
{
	struct circle_slots *slots = req->s->srv->node->slots;
	struct circle_shard *sh = circle_shard_of(slots, req->owner, req->f.block);
	bool got;

	req->step = step;
	req->range.owner = req->owner;
	req->range.block = req->f.block;
	req->range.mask = mask;
	req->range.excl = excl;
	req->range.grant = circle_serve_granted;
	spin_lock_irq(&sh->lock);
	got = __circle_range_lock(slots, &req->range, false);
	spin_unlock_irq(&sh->lock);
	if (got)
		step(req);
}

/* Any context. */
static void committed(struct circle_waiter *w, int err)
{
	struct circle_req *req = container_of(w, struct circle_req, waiter);
	struct circle_server *srv = req->s->srv;
	unsigned long flags;

	req->err = err;
	if (!err && (w->flush || !bdev_write_cache(srv->node->cache))) {
		spin_lock_irqsave(&srv->lock, flags);
		if ((s32)(req->ticket - srv->durable) > 0)
			WRITE_ONCE(srv->durable, req->ticket);
		spin_unlock_irqrestore(&srv->lock, flags);
	}
	if (w->flush)
		circle_req_ended(req);		/* its step only answers */
	else
		circle_serve_queue(req, req->step);
}

void circle_serve_commit(struct circle_req *req, bool flush, void (*step)(struct circle_req *req))
{
	struct circle_server *srv = req->s->srv;
	unsigned long flags;

	spin_lock_irqsave(&srv->lock, flags);
	req->ticket = ++srv->asked;
	spin_unlock_irqrestore(&srv->lock, flags);
	req->step = step;
	req->waiter.flush = flush;
	req->waiter.done = committed;
	if (flush)
		circle_commit_fast(srv->node, &req->waiter);
	else
		circle_commit_wait(srv->node, &req->waiter);
}

static void accepted(void *priv, struct socket *sock)
{
	circle_session_accept(priv, sock);
}

static void free_all(struct circle_server *srv)
{
	struct circle_serve_buf *buf, *tmp;

	if (srv->wq)
		destroy_workqueue(srv->wq);
	list_for_each_entry_safe(buf, tmp, &srv->spare, link)
		buf_free(srv, buf);
	circle_stash_empty(&srv->stash);
	mempool_exit(&srv->reqs);
	kfree(srv);
}

u32 circle_serve_buf_size(const struct circle_server *srv)
{
	u32 block = srv->node->geom.block_sectors << CIRCLE_SECTOR_SHIFT;

	return clamp(block, CIRCLE_WIRE_PING_DATA, CIRCLE_WIRE_MAX_DATA);
}

/* Each spare buffer takes the largest payload that may come. */
static int reserve(struct circle_server *srv)
{
	u32 len = circle_serve_buf_size(srv);
	struct circle_serve_buf *buf;
	int i;

	for (i = 0; i < SPARE_BUFS; i++) {
		buf = buf_alloc(srv, DIV_ROUND_UP(len, PAGE_SIZE), GFP_NOIO);
		if (!buf)
			return -ENOMEM;
		buf->spare = true;
		list_add(&buf->link, &srv->spare);
	}
	return mempool_init_kmalloc_pool(&srv->reqs, REQ_RESERVE, sizeof(struct circle_req));
}

static struct circle_server *create(struct circle_node *node)
{
	struct circle_server *srv = kzalloc(sizeof(*srv), GFP_NOIO);

	if (!srv)
		return NULL;
	srv->node = node;
	refcount_set(&srv->users, 1);
	init_completion(&srv->gone);
	mutex_init(&srv->fencing);
	init_waitqueue_head(&srv->drained);
	init_waitqueue_head(&srv->spare_wait);
	spin_lock_init(&srv->lock);
	INIT_LIST_HEAD(&srv->sessions);
	INIT_LIST_HEAD(&srv->spare);
	circle_stash_init(&srv->stash);
	srv->asked = 1;
	srv->durable = 1;		/* what was loaded is: its stamp is 0 */
	srv->wq = alloc_workqueue("circle_serve", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!srv->wq || reserve(srv)) {
		free_all(srv);
		return NULL;
	}
	return srv;
}

/* Loaded, so what was in memory is gone; or a replica is lost. */
static void draw_instance(struct circle_node *node)
{
	WRITE_ONCE(node->circle->instance,
		   circle_instance(circle_meta_store_id(node->meta), get_random_u32()));
}

struct circle_server *circle_server_start(struct circle_node *node, struct net *net,
					  const struct circle_addr *addr)
{
	struct circle_server *srv = create(node);
	struct circle_listener *l;

	if (!srv)
		return ERR_PTR(-ENOMEM);
	circle_set_load(srv);
	srv->doubts = atomic_read(&node->meta->data_errors);
	draw_instance(node);
	l = circle_listener_start(net, addr, accepted, srv);
	if (IS_ERR(l)) {
		free_all(srv);
		return ERR_CAST(l);
	}
	srv->listener = l;
	return srv;
}

void circle_serve_put(struct circle_server *srv)
{
	if (refcount_dec_and_test(&srv->users))
		complete(&srv->gone);
}

static void close_all(struct circle_server *srv)
{
	struct circle_session *s;

	spin_lock_irq(&srv->lock);
	list_for_each_entry(s, &srv->sessions, link)
		circle_conn_close(s->conn, -ESHUTDOWN);
	spin_unlock_irq(&srv->lock);
}

/* closed() takes the session off the list, so that the next one is another. */
static bool wait_one(struct circle_server *srv)
{
	struct circle_session *s;

	spin_lock_irq(&srv->lock);
	s = list_first_entry_or_null(&srv->sessions, struct circle_session, link);
	if (s)
		kref_get(&s->ref);
	spin_unlock_irq(&srv->lock);
	if (!s)
		return false;
	circle_conn_wait(s->conn);
	circle_session_put(s);
	return true;
}

/* What this instance promised is void: its owners find another one. */
void circle_serve_renounce(struct circle_server *srv)
{
	int doubts = atomic_read(&srv->node->meta->data_errors);

	WRITE_ONCE(srv->renounced, true);
	draw_instance(srv->node);
	spin_lock_irq(&srv->lock);
	if (doubts > srv->doubts)
		smp_store_release(&srv->doubts, doubts);	/* pairs with encode_own() */
	spin_unlock_irq(&srv->lock);
	close_all(srv);
}

bool circle_session_doubted(const struct circle_session *s)
{
	return s->doubts != atomic_read(&s->srv->node->meta->data_errors);
}

bool circle_server_stop(struct circle_server *srv)
{
	bool sure;

	if (!srv)
		return false;
	circle_listener_stop(srv->listener);
	close_all(srv);
	while (wait_one(srv))
		;
	circle_serve_put(srv);
	wait_for_completion(&srv->gone);	/* requests: local I/O ends them */
	sure = !srv->renounced;
	free_all(srv);
	return sure;
}

void circle_server_stats(struct circle_server *srv, struct circle_server_stats *st)
{
	st->lent = max(atomic_read(&srv->node->slots->nr_lent), 0);
	st->limit = circle_serve_limit(srv);
	st->sessions = READ_ONCE(srv->nr_sessions);
}

u32 circle_server_owners(struct circle_server *srv)
{
	struct circle_session *s;
	unsigned long flags;
	u32 nr = 0;

	spin_lock_irqsave(&srv->lock, flags);
	list_for_each_entry(s, &srv->sessions, link)
		nr += s->epoch && !circle_conn_closing(s->conn);
	spin_unlock_irqrestore(&srv->lock, flags);
	return nr;
}
