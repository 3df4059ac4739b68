// SPDX-License-Identifier: GPL-2.0-only
/*
 * conn_rx: frames from TCP to the callbacks, in the receiver's thread. It alone touches
 * c->rx_header and c->rx_bv. What comes in is a stranger's: nothing is believed before it was
 * decoded.
 */
#define pr_fmt(fmt) "circle: " fmt

#include "conn_impl.h"

#include <linux/jiffies.h>
#include <linux/printk.h>
#include <linux/uio.h>

#include "payload.h"
#include "sock.h"

static int recv_all(struct circle_conn *c, struct iov_iter *it)
{
	int n;

	while (iov_iter_count(it)) {
		n = circle_sock_recv(c->sock, it);
		if (n < 0)
			return n;
		WRITE_ONCE(c->last_rx, jiffies);
		if (circle_conn_closing(c))	/* TCP still hands out what came before */
			return c->reason;
	}
	return 0;
}

static int recv_header(struct circle_conn *c, struct circle_frame *f)
{
	struct kvec vec = { c->rx_header, CIRCLE_CONN_HEADER };
	struct iov_iter it;
	int err;

	iov_iter_kvec(&it, ITER_DEST, &vec, 1, CIRCLE_CONN_HEADER);
	err = recv_all(c, &it);
	if (err)
		return err;
	err = circle_frame_decode(c->rx_header, f, circle_crc32c);
	if (!err && f->length > CIRCLE_WIRE_MAX_DATA)
		err = -EPROTO;
	if (err)
		pr_warn_ratelimited("%s: not a frame that we know (%d)\n", c->peer, err);
	return err;
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
	circle_payload_iter(&it, ITER_DEST, bv, nr, rx->buf, f->length, &vec);
	err = recv_all(c, &it);
	if (err)
		return err;
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
