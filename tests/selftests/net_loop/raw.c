// SPDX-License-Identifier: GPL-2.0-only
/*
 * raw: see raw.h.
 */
#include "raw.h"

#include <linux/delay.h>
#include <linux/fcntl.h>
#include <linux/net.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <net/inet_sock.h>
#include <net/sock.h>
#include "net/payload.h"
#include "net/sock.h"

#define SECTORS	4u
#define RAW_WAIT_MS	30000

static void raw_header(enum raw_kind kind, void *buf)
{
	struct circle_frame f = {
		.version = CIRCLE_WIRE_VERSION,
		.type = kind == RAW_BAD_TYPE ? 99 : CIRCLE_WT_REPLICATE,
		.length = kind == RAW_TOO_LONG ? U32_MAX : SECTORS * 512,
		.sectors = kind == RAW_TOO_LONG ? U32_MAX / 512 : SECTORS,
		.data_crc = 0x12345678,
	};

	circle_frame_encode(&f, buf, circle_crc32c);
}

static u32 raw_length(enum raw_kind kind)
{
	switch (kind) {
	case RAW_HALF_HEADER:
		return 40;
	case RAW_HALF_PAYLOAD:
		return 96 + 1000;
	default:
		return 96 + SECTORS * 512;
	}
}

static bool raw_is_half(enum raw_kind kind)
{
	return kind == RAW_HALF_HEADER || kind == RAW_HALF_PAYLOAD;
}

/* Until the server has reset the connection, as it does with what it cannot read. */
static int raw_wait_end(struct socket *sock)
{
	struct msghdr msg = { };
	struct kvec vec;
	char buf[64];
	int n;

	sock->sk->sk_rcvtimeo = msecs_to_jiffies(RAW_WAIT_MS);
	do {
		vec = (struct kvec){ buf, sizeof(buf) };
		n = kernel_recvmsg(sock, &msg, &vec, 1, sizeof(buf), 0);
	} while (n > 0);
	return n == -ECONNRESET ? 0 : n;
}

/* Until the server has got as far as it can: then we may reset the connection. */
static int raw_wait_read(const struct server *s, enum raw_kind kind, int accepted)
{
	unsigned long end = jiffies + msecs_to_jiffies(RAW_WAIT_MS);

	/* the room for a payload is the only frame there is */
	while (atomic_read(&s->accepted) < accepted ||
	       (kind == RAW_HALF_PAYLOAD && !atomic_read(&frame_count))) {
		if (time_after(jiffies, end))
			return -ETIMEDOUT;
		msleep(20);
	}
	msleep(100);			/* it may also wait for the rest, but need not */
	return 0;
}

int raw_send(const struct server *s, enum raw_kind kind)
{
	int accepted = atomic_read(&s->accepted) + 1;	/* before: it may be there at once */
	struct socket *sock = circle_sock_connect(end_net(), &s->addr, RAW_WAIT_MS, NULL, NULL);
	struct msghdr msg = { .msg_flags = MSG_NOSIGNAL };
	struct kvec vec = { .iov_len = raw_length(kind) };
	int err;

	if (IS_ERR(sock))
		return PTR_ERR(sock);
	vec.iov_base = kzalloc(4096, GFP_KERNEL);
	if (!vec.iov_base) {
		circle_sock_release(sock);
		return -ENOMEM;
	}
	get_random_bytes(vec.iov_base, vec.iov_len);
	if (kind != RAW_NOISE)
		raw_header(kind, vec.iov_base);
	err = kernel_sendmsg(sock, &msg, &vec, 1, vec.iov_len);
	kfree(vec.iov_base);
	if (err >= 0)
		err = raw_is_half(kind) ? raw_wait_read(s, kind, accepted) : raw_wait_end(sock);
	circle_sock_release(sock);
	return err;
}

struct hole {
	struct socket *listening;
	struct socket *filler[4];
};

/* Connecting goes on behind our back: as long as there is room, others are still let in. */
static int hole_wait_full(struct hole *h)
{
	unsigned long end = jiffies + msecs_to_jiffies(RAW_WAIT_MS);

	while (!sk_acceptq_is_full(h->listening->sk)) {
		if (time_after(jiffies, end))
			return -ETIMEDOUT;
		msleep(20);
	}
	return 0;
}

/* A full accept queue drops what comes: connecting to it goes on for ever. */
struct hole *hole_open(struct circle_addr *addr)
{
	struct hole *h = kzalloc(sizeof(*h), GFP_KERNEL);
	struct sockaddr_storage ss;
	int i, len, err;

	if (!h)
		return NULL;
	*addr = (struct circle_addr){ .family = 4, .addr = { 127, 0, 0, 1 } };
	h->listening = circle_sock_listen(end_net(), addr);
	if (IS_ERR(h->listening)) {
		kfree(h);
		return NULL;
	}
	if (kernel_listen(h->listening, 0))
		goto out_close;
	addr->port = ntohs(inet_sk(h->listening->sk)->inet_sport);
	len = circle_sock_addr(addr, &ss);
	for (i = 0; i < ARRAY_SIZE(h->filler); i++) {
		err = sock_create_kern(end_net(), AF_INET, SOCK_STREAM, IPPROTO_TCP,
				       &h->filler[i]);
		if (!err)
			kernel_connect(h->filler[i], (struct sockaddr *)&ss, len, O_NONBLOCK);
	}
	if (!hole_wait_full(h))
		return h;
out_close:
	hole_close(h);
	return NULL;
}

void hole_close(struct hole *h)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(h->filler); i++)
		if (h->filler[i])
			sock_release(h->filler[i]);
	circle_sock_release(h->listening);
	kfree(h);
}
