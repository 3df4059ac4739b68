// SPDX-License-Identifier: GPL-2.0-only
/*
 * end: see end.h. The server's ends are over, and no longer counted, with their closed(), but are put
 * and freed by server_stop() alone, which waits for their threads. The client's belong to the test.
 */
#include "end.h"

#include <linux/bvec.h>
#include <linux/delay.h>
#include <linux/highmem.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/net.h>
#include <linux/nsproxy.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <net/sock.h>
#include "net/payload.h"
#include "net/sock.h"

#define SECTOR	512

/* Longer than this machine may stand still: who wants a timeout to pass sets its own. */
#define PATIENCE_MS	60000

/* Memory for one frame, either way. */
struct frame {
	struct circle_msg m;
	struct end *e;
	void *flat;
	struct page *given;	/* the first of bv, as room() gave it */
	unsigned int nr;
	struct bio_vec bv[];
};

atomic_t end_count = ATOMIC_INIT(0);
atomic_t frame_count = ATOMIC_INIT(0);
static DEFINE_SPINLOCK(send_lock);	/* only to send with interrupts off */

struct net *end_net(void)
{
	return current->nsproxy->net_ns;
}

int end_wait_none(unsigned int ms)
{
	unsigned long end = jiffies + msecs_to_jiffies(ms);

	while (atomic_read(&end_count) || atomic_read(&frame_count)) {
		if (time_after(jiffies, end))
			return -ETIMEDOUT;
		msleep(20);
	}
	return 0;
}

static void frame_free(struct frame *fr)
{
	unsigned int i;

	for (i = 0; i < fr->nr; i++)
		__free_page(fr->bv[i].bv_page);
	kfree(fr->flat);
	kfree(fr);
	atomic_dec(&frame_count);
}

static struct frame *frame_alloc(u32 len, bool flat)
{
	unsigned int nr = flat ? 0 : DIV_ROUND_UP(len, PAGE_SIZE);
	struct frame *fr = kzalloc(struct_size(fr, bv, nr), GFP_KERNEL);
	unsigned int order = get_order(len);
	struct page *page, *run = NULL;
	u32 n, i;

	if (!fr)
		return NULL;
	atomic_inc(&frame_count);
	if (flat && len) {
		fr->flat = kmalloc(len, GFP_KERNEL);
		if (!fr->flat)
			goto out_free;
	}
	/* Of odd numbers the pages lie next to one another, so that conn makes one piece of them. */
	if (nr & 1 && order)
		run = alloc_pages(GFP_KERNEL | __GFP_NOWARN, order);
	if (run) {
		split_page(run, order);
		for (i = nr; i < 1u << order; i++)
			__free_page(run + i);
	}
	for (; fr->nr < nr; fr->nr++, len -= n) {
		page = run ? run + fr->nr : alloc_page(GFP_KERNEL);
		if (!page)
			goto out_free;
		n = min_t(u32, len, PAGE_SIZE);
		/* at the end of the page, so that offsets count too */
		fr->bv[fr->nr] = (struct bio_vec){ page, n, PAGE_SIZE - n };
	}
	return fr;

out_free:
	frame_free(fr);
	return NULL;
}

static u32 word(u64 id, u32 i)
{
	return (u32)id * 2654435761u + i;
}

/* Writes or checks the pattern; returns the words that are wrong. */
static unsigned int pattern(u32 *p, u32 bytes, u64 id, u32 *i, bool write)
{
	unsigned int bad = 0;
	u32 n;

	for (n = 0; n < bytes / sizeof(*p); n++, (*i)++) {
		if (write)
			p[n] = word(id, *i);
		else
			bad += p[n] != word(id, *i);
	}
	return bad;
}

static unsigned int walk(struct frame *fr, u32 len, u64 id, bool write)
{
	unsigned int i, bad = 0;
	u32 at = 0;
	void *p;

	if (fr->flat)
		return pattern(fr->flat, len, id, &at, write);
	for (i = 0; i < fr->nr; i++) {
		p = bvec_kmap_local(&fr->bv[i]);
		bad += pattern(p, fr->bv[i].bv_len, id, &at, write);
		kunmap_local(p);
	}
	return bad;
}

static void sent(struct circle_msg *m, int err)
{
	struct frame *fr = container_of(m, struct frame, m);

	might_sleep();
	atomic_inc(err ? &fr->e->done_err : &fr->e->done_ok);
	frame_free(fr);
}

static int submit(struct end *e, struct circle_conn *c, struct frame *fr)
{
	unsigned long flags;
	int err;

	fr->e = e;
	fr->m.done = sent;
	fr->m.buf = fr->flat;
	fr->m.bv = fr->bv;
	fr->m.nr_bv = fr->nr;
	spin_lock_irqsave(&send_lock, flags);
	err = circle_conn_send(c, &fr->m);
	spin_unlock_irqrestore(&send_lock, flags);
	if (err)
		frame_free(fr);
	return err;
}

/* sectors == 0: a FLUSH, else a REPLICATE. */
int end_send(struct end *e, u64 id, u32 sectors, bool flat)
{
	struct frame *fr = frame_alloc(sectors * SECTOR, flat);

	if (!fr)
		return -ENOMEM;
	fr->m.f.version = CIRCLE_WIRE_VERSION;
	fr->m.f.type = sectors ? CIRCLE_WT_REPLICATE : CIRCLE_WT_FLUSH;
	fr->m.f.length = sectors * SECTOR;
	fr->m.f.sectors = sectors;
	fr->m.f.id = id;
	if (sectors)
		walk(fr, sectors * SECTOR, id, true);
	return submit(e, e->conn, fr);
}

void end_frame_bytes(void *to, u64 id, u32 length)
{
	struct circle_frame f = {
		.version = CIRCLE_WIRE_VERSION,
		.type = CIRCLE_WT_FLUSH,
		.length = length,
		.id = id,
	};
	u32 at = 0;

	if (length % SECTOR) {
		f.type = CIRCLE_WT_LIST;
		f.flags = CIRCLE_WF_ANSWER;
	} else if (length) {
		f.type = CIRCLE_WT_REPLICATE;
		f.sectors = length / SECTOR;
	}
	pattern(to + sizeof(struct circle_wire_header), length, id, &at, true);
	f.data_crc = circle_payload_crc(NULL, 0, to + sizeof(struct circle_wire_header), length);
	circle_frame_encode(&f, to, circle_crc32c);
}

static int end_room(struct circle_conn *c, const struct circle_frame *f, struct circle_rx *rx)
{
	struct end *e = circle_conn_priv(c);
	struct frame *fr;

	while (e->mode == END_STALL && !circle_conn_lost(c))
		msleep(20);
	if (e->mode == END_STALL)
		return -ESHUTDOWN;
	fr = frame_alloc(f->length, f->id & 1 && f->length <= 65536);
	if (!fr)
		return -ENOMEM;
	rx->bv = fr->bv;
	rx->nr_bv = fr->nr;
	rx->exchange = true;
	fr->given = fr->nr ? fr->bv[0].bv_page : NULL;
	rx->buf = fr->flat;
	rx->priv = fr;
	return 0;
}

static int echo(struct end *e, struct circle_conn *c, const struct circle_frame *f,
		struct frame *fr)
{
	if (!fr)
		fr = frame_alloc(0, true);
	if (!fr)
		return -ENOMEM;
	fr->m.f = *f;
	return submit(e, c, fr);
}

static int end_frame(struct circle_conn *c, const struct circle_frame *f, struct circle_rx *rx)
{
	struct end *e = circle_conn_priv(c);
	struct frame *fr = rx->priv;
	unsigned int got = atomic_inc_return(&e->got);

	if (f->id != e->next_id++ || (fr && walk(fr, f->length, f->id, false)))
		atomic_inc(&e->bad);
	if (fr && fr->nr && fr->bv[0].bv_page != fr->given)
		atomic_inc(&e->exchanged);
	if (e->mode == END_CLOSE && got == e->after)
		circle_conn_close(c, -ESTALE);
	if (e->server && (e->mode != END_REFUSE || got < e->after))
		return echo(e, c, f, fr) == -ENOMEM ? -ENOMEM : 0;
	if (fr)
		frame_free(fr);
	return e->mode == END_REFUSE && got >= e->after ? -EDQUOT : 0;
}

static void end_drop(struct circle_conn *c, struct circle_rx *rx)
{
	struct end *e = circle_conn_priv(c);

	atomic_inc(&e->dropped);
	frame_free(rx->priv);
}

static void client_closed(struct circle_conn *c, int reason)
{
	struct end *e = circle_conn_priv(c);

	e->reason = reason;
	atomic_inc(&e->closed);
	complete_all(&e->over);
}

static const struct circle_conn_ops client_ops = {
	.room = end_room,
	.frame = end_frame,
	.drop = end_drop,
	.closed = client_closed,
};

static void server_closed(struct circle_conn *c, int reason)
{
	struct end *e = circle_conn_priv(c);

	e->server->last_dropped = atomic_read(&e->dropped);
	e->server->last_got = atomic_read(&e->got);
	e->server->last_bad = atomic_read(&e->bad);
	e->server->last_exchanged = atomic_read(&e->exchanged);
	WRITE_ONCE(e->server->last_reason, reason);
	atomic_dec(&end_count);
}

static const struct circle_conn_ops server_ops = {
	.room = end_room,
	.frame = end_frame,
	.drop = end_drop,
	.closed = server_closed,
};

static struct end *end_new(struct socket *sock, struct server *server, enum end_mode mode,
			   unsigned int after)
{
	struct end *e = kzalloc(sizeof(*e), GFP_KERNEL);
	struct circle_conn *c;

	if (!e) {
		circle_sock_release(sock);
		return ERR_PTR(-ENOMEM);
	}
	e->mode = mode;
	e->after = after;
	e->server = server;
	init_completion(&e->over);
	c = circle_conn_create(sock, !server, server ? &server_ops : &client_ops, e, "test");
	if (IS_ERR(c)) {
		kfree(e);
		return ERR_CAST(c);
	}
	e->conn = c;
	return e;
}

static void server_accepted(void *priv, struct socket *sock)
{
	struct server *s = priv;
	struct end *e;

	if (!sock->sk->sk_net_refcnt)
		atomic_inc(&s->without_net);
	e = end_new(sock, s, s->mode, s->after);
	if (IS_ERR(e))
		return;
	circle_conn_set_timeout(e->conn, s->timeout_ms);
	atomic_inc(&end_count);
	atomic_inc(&s->accepted);
	if (!circle_conn_start(e->conn)) {
		list_add(&e->link, &s->ends);	/* nobody else looks before we are stopped */
		return;
	}
	circle_conn_put(e->conn);
	kfree(e);
	atomic_dec(&end_count);
}

int server_start(struct server *s, u16 family, enum end_mode mode, unsigned int after)
{
	memset(s, 0, sizeof(*s));
	s->mode = mode;
	s->after = after;
	s->timeout_ms = PATIENCE_MS;
	if (family == 4)
		s->addr = (struct circle_addr){ .family = 4, .addr = { 127, 0, 0, 1 } };
	else
		s->addr = (struct circle_addr){ .family = 6, .addr = { [15] = 1 } };
	INIT_LIST_HEAD(&s->ends);
	s->listener = circle_listener_start(end_net(), &s->addr, server_accepted, s);
	if (IS_ERR(s->listener))
		return PTR_ERR(s->listener);
	s->addr.port = circle_listener_port(s->listener);
	return 0;
}

int server_stop(struct server *s)
{
	struct end *e, *tmp;
	int err;

	circle_listener_stop(s->listener);
	err = end_wait_none(60000);	/* by themselves */
	list_for_each_entry_safe(e, tmp, &s->ends, link)
		end_free(e);
	return err;
}

struct end *end_connect(const struct server *s, enum end_mode mode, unsigned int after)
{
	struct socket *sock = circle_sock_connect(end_net(), &s->addr, 30000, NULL, NULL);
	struct end *e;

	if (IS_ERR(sock))
		return ERR_CAST(sock);
	e = end_new(sock, NULL, mode, after);
	if (!IS_ERR(e))
		circle_conn_set_timeout(e->conn, s->timeout_ms);
	return e;
}

void end_free(struct end *e)
{
	circle_conn_close(e->conn, -ECANCELED);
	circle_conn_wait(e->conn);
	circle_conn_put(e->conn);
	kfree(e);
}
