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

static u32 raw_sectors(enum raw_kind kind)
{
	return kind == RAW_BAD_PAGE ? PAGE_SIZE / 512 : SECTORS;
}

static void raw_header(enum raw_kind kind, void *buf)
{
	struct circle_frame f = {
		.version = CIRCLE_WIRE_VERSION,
		.type = kind == RAW_BAD_TYPE ? 99 : CIRCLE_WT_REPLICATE,
		.length = kind == RAW_TOO_LONG ? U32_MAX : raw_sectors(kind) * 512,
		.sectors = kind == RAW_TOO_LONG ? U32_MAX / 512 : raw_sectors(kind),
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
		return 96 + raw_sectors(kind) * 512;
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
	vec.iov_base = kzalloc(max_t(size_t, vec.iov_len, 4096), GFP_KERNEL);
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

static void *make_stream(const u32 *length, unsigned int nr, u32 *bytes)
{
	u32 all = 0, at = 0, i;
	char *buf;

	for (i = 0; i < nr; i++)
		all += 96 + length[i];
	buf = kvmalloc(all, GFP_KERNEL);
	for (i = 0; buf && i < nr; at += 96 + length[i++])
		end_frame_bytes(buf + at, i, length[i]);
	*bytes = all;
	return buf;
}

/* So that each piece is read by itself, if the other end is not too slow. */
static int send_pieces(struct socket *sock, char *buf, u32 bytes, u32 step)
{
	struct msghdr msg = { .msg_flags = MSG_NOSIGNAL };
	struct kvec vec;
	u32 at;
	int n;

	for (at = 0; at < bytes; at += n) {
		vec = (struct kvec){ buf + at, min(step, bytes - at) };
		n = kernel_sendmsg(sock, &msg, &vec, 1, vec.iov_len);
		if (n <= 0)
			return n ?: -EPIPE;
		usleep_range(500, 1000);
	}
	return 0;
}

/* The same comes back. */
static int recv_same(struct socket *sock, const char *want, u32 bytes)
{
	struct msghdr msg = { };
	struct kvec vec;
	char buf[128];
	u32 at;
	int n;

	sock->sk->sk_rcvtimeo = msecs_to_jiffies(RAW_WAIT_MS);
	for (at = 0; at < bytes; at += n) {
		vec = (struct kvec){ buf, min_t(u32, sizeof(buf), bytes - at) };
		n = kernel_recvmsg(sock, &msg, &vec, 1, vec.iov_len, 0);
		if (n <= 0)
			return n ?: -ECONNRESET;
		if (memcmp(buf, want + at, n))
			return -EBADMSG;
	}
	return 0;
}

int raw_stream(const struct server *s, const u32 *length, unsigned int nr, u32 step, bool back)
{
	struct socket *sock = circle_sock_connect(end_net(), &s->addr, RAW_WAIT_MS, NULL, NULL);
	u32 bytes;
	char *buf;
	int err;

	if (IS_ERR(sock))
		return PTR_ERR(sock);
	buf = make_stream(length, nr, &bytes);
	err = buf ? send_pieces(sock, buf, bytes, step) : -ENOMEM;
	if (!err)
		err = back ? recv_same(sock, buf, bytes) : raw_wait_end(sock);
	kvfree(buf);
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
