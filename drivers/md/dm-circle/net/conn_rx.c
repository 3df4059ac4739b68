// SPDX-License-Identifier: GPL-2.0-only
/*
 * conn_rx: frames from TCP to the callbacks, in the receiver's thread. It alone touches c->rx_*.
 * What comes in is a stranger's: nothing is believed before it was decoded.
 *
 * A call to TCP is dear, so what comes with a header, up to a page, is taken with it: several
 * answers at once, or a small payload, whose page then changes hands. What follows a large payload
 * is rather large, too, and is left to TCP: it would be copied.
 */
#define pr_fmt(fmt) "circle: " fmt

#include "conn_impl.h"

#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/uio.h>

#include "payload.h"
#include "sock.h"

/* Bytes (> 0) or -errno. */
static int recv_some(struct circle_conn *c, struct iov_iter *it)
{
	int n = circle_sock_recv(c->sock, it);

	if (n < 0)
		return n;
	WRITE_ONCE(c->last_rx, jiffies);
	if (circle_conn_closing(c))	/* TCP still hands out what came before */
		return c->reason;
	return n;
}

static int recv_all(struct circle_conn *c, struct iov_iter *it)
{
	int n;

	while (iov_iter_count(it)) {
		n = recv_some(c, it);
		if (n < 0)
			return n;
	}
	return 0;
}

/* What was taken ahead, len bytes at most. Returns how many. */
static unsigned int take(struct circle_conn *c, void *to, unsigned int len)
{
	len = min(len, c->rx_end - c->rx_at);
	memcpy(to, page_address(c->rx_page) + c->rx_at, len);
	c->rx_at += len;
	return len;
}

/* All of what was taken ahead is in the header: the rest of that, and what comes with it. */
static int recv_ahead(struct circle_conn *c, unsigned int have)
{
	unsigned int want = CIRCLE_CONN_HEADER - have, got = 0;
	unsigned int room = want + (c->rx_ahead ? PAGE_SIZE : 0);
	u8 *to = c->rx_header + have;
	struct bio_vec vec[2];
	struct iov_iter it;
	int n;

	bvec_set_page(&vec[0], virt_to_page(to), want, offset_in_page(to));
	bvec_set_page(&vec[1], c->rx_page, PAGE_SIZE, 0);
	iov_iter_bvec(&it, ITER_DEST, vec, c->rx_ahead ? 2 : 1, room);
	while (got < want) {
		n = recv_some(c, &it);
		if (n < 0)
			return n;
		got += n;
	}
	c->rx_at = 0;
	c->rx_end = got - want;
	return 0;
}

static int recv_header(struct circle_conn *c, struct circle_frame *f)
{
	unsigned int have = take(c, c->rx_header, CIRCLE_CONN_HEADER);
	int err = 0;

	if (have < CIRCLE_CONN_HEADER)
		err = recv_ahead(c, have);
	else if (circle_conn_closing(c))
		err = c->reason;
	if (err)
		return err;
	err = circle_frame_decode(c->rx_header, f, circle_crc32c);
	if (!err && f->length > CIRCLE_WIRE_MAX_DATA)
		err = -EPROTO;
	if (err)
		pr_warn_ratelimited("%s: not a frame that we know (%d)\n", c->peer, err);
	else
		c->rx_ahead = f->length <= PAGE_SIZE;
	return err;
}

/* The payload is the page that was taken ahead? Then they are exchanged. */
static bool exchange(struct circle_conn *c, const struct circle_frame *f, struct circle_rx *rx)
{
	struct bio_vec *bv = rx->bv;

	if (!rx->exchange || rx->nr_bv != 1 || f->length != PAGE_SIZE || c->rx_at ||
	    c->rx_end != PAGE_SIZE || bv->bv_offset || bv->bv_len != PAGE_SIZE)
		return false;
	swap(bv->bv_page, c->rx_page);
	c->rx_end = 0;
	return true;
}

static int recv_data(struct circle_conn *c, struct iov_iter *it)
{
	unsigned int n = min_t(size_t, c->rx_end - c->rx_at, iov_iter_count(it));

	if (n && copy_to_iter(page_address(c->rx_page) + c->rx_at, n, it) != n)
		return -EFAULT;
	c->rx_at += n;
	return recv_all(c, it);
}

static int recv_payload(struct circle_conn *c, const struct circle_frame *f, struct circle_rx *rx)
{
	unsigned int nr = rx->nr_bv;
	struct bio_vec *bv = rx->bv;
	struct iov_iter it;
	struct kvec vec;
	int err;

	if (nr > 1 && nr <= CIRCLE_CONN_BVECS) {
		bv = c->rx_bv;
		nr = circle_payload_merge(bv, rx->bv, nr);
	}
	if (!exchange(c, f, rx)) {
		circle_payload_iter(&it, ITER_DEST, bv, nr, rx->buf, f->length, &vec);
		err = recv_data(c, &it);
		if (err)
			return err;
	}
	if (circle_conn_closing(c))	/* as room() slept */
		return c->reason;
	if (circle_payload_crc(bv, nr, rx->buf, f->length) == f->data_crc)
		return 0;
	pr_warn_ratelimited("%s: data of a frame arrived damaged\n", c->peer);
	return -EBADMSG;
}

static int recv_frame(struct circle_conn *c)
{
	struct circle_rx rx = { };
	struct circle_frame f;
	int err;

	err = recv_header(c, &f);
	if (err)
		return err;
	if (f.length) {
		err = c->ops->room(c, &f, &rx);
		if (err)
			return err;
		err = recv_payload(c, &f, &rx);
		if (err) {
			c->ops->drop(c, &rx);
			return err;
		}
	}
	return c->ops->frame(c, &f, &rx);
}

int circle_conn_receive(struct circle_conn *c)
{
	int err;

	do {
		err = recv_frame(c);
	} while (!err);
	return err;
}
