// SPDX-License-Identifier: GPL-2.0-only
/*
 * throw_wire: see throw.h. Nothing here knows which side it is of.
 */
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "throw.h"

#define STUCK	1000	/* ms for which the other end takes nothing */

u64 rand64(struct conn *c)	/* splitmix64 */
{
	u64 v = c->rand += 0x9e3779b97f4a7c15ull;

	v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9ull;
	v = (v ^ v >> 27) * 0x94d049bb133111ebull;
	return v ^ v >> 31;
}

bool one_in(struct conn *c, u32 n)
{
	return !(rand64(c) % n);
}

u64 odd_value(struct conn *c)
{
	u64 v = rand64(c), bit = 1ull << v % 64;

	switch (v >> 61) {
	case 0: return 0;
	case 1: return ~0ull;
	case 2: return bit;
	case 3: return bit - 1;
	case 4: return bit + 1;
	case 5: return rand64(c) % 300;
	default: return rand64(c);
	}
}

static void take(struct conn *c, const u8 *p, size_t n)
{
	struct circle_frame f;
	size_t part;

	for (; n && !c->dead; p += part, n -= part) {
		part = min_t(size_t, n, c->skip ?: HEADER - c->have);
		if (c->skip) {
			c->skip -= part;
			continue;
		}
		memcpy(c->head + c->have, p, part);
		c->have += part;
		if (c->have < HEADER)
			continue;
		c->have = 0;
		memset(&f, 0, sizeof(f));
		c->dead = circle_frame_decode(c->head, &f, crc);
		if (c->dead) {
			complain("it sent what is no frame", &f);
			break;
		}
		c->skip = f.length;
		c->taking = true;	/* who sends from there takes nothing */
		c->got(c, &f);
		c->taking = false;
	}
}

bool drain(struct conn *c, int ms)
{
	struct pollfd p = { c->fd, POLLIN, 0 };
	u8 buf[32768];
	ssize_t n;

	for (; poll(&p, 1, ms) > 0; ms = 0) {
		n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n <= 0)
			return false;
		take(c, buf, n);
		if (c->dead || over())
			return false;
	}
	return true;
}

bool put(struct conn *c, const void *data, size_t len)
{
	struct pollfd p = { c->fd, POLLOUT | (c->taking ? 0 : POLLIN), 0 };
	const u8 *at = data;
	ssize_t n;

	while (len && !over()) {
		if (poll(&p, 1, STUCK) <= 0)
			return false;
		if ((p.revents & POLLIN) && !drain(c, 0))
			return false;
		n = send(c->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return false;
		at += max_t(ssize_t, n, 0);
		len -= max_t(ssize_t, n, 0);
	}
	return !len;
}

bool put_frame(struct conn *c, const struct circle_frame *f, const void *data, u32 len)
{
	u8 head[HEADER];

	circle_frame_encode(f, head, crc);
	count(&counts.sent);
	return put(c, head, sizeof(head)) && put(c, data, len);
}

#define SIZE(x)		sizeof(((struct circle_frame *)NULL)->x)
#define FIELD(x)	{ offsetof(struct circle_frame, x), SIZE(x) }

static const struct { size_t at, size; } fields[] = {
	FIELD(version), FIELD(type), FIELD(flags), FIELD(status), FIELD(length), FIELD(data_crc),
	FIELD(id), FIELD(generation), FIELD(activation), FIELD(block), FIELD(seq), FIELD(pages),
	FIELD(sector), FIELD(sectors), FIELD(space), FIELD(away), FIELD(aux),
};

void mutate(struct conn *c, struct circle_frame *f)
{
	u32 i = rand64(c) % ARRAY_SIZE(fields);
	u8 *p = (u8 *)f + fields[i].at;
	u64 v = odd_value(c);

	if (one_in(c, 2))
		p[rand64(c) % fields[i].size] ^= 1u << rand64(c) % 8;
	else
		memcpy(p, &v, fields[i].size);
}

const u8 *some_junk(struct conn *c)
{
	return junk + rand64(c) % (JUNK - CIRCLE_WIRE_MAX_DATA);
}

void hello_of(struct conn *c, u8 *buf)
{
	struct circle_hello h = { .version_min = 1, .version_max = CIRCLE_WIRE_VERSION,
		.features = CIRCLE_HF_WANTS | CIRCLE_HF_KEEPS | CIRCLE_HF_LEAVES, .node_id = self, .peer_id = other,
		.instance = seed, .block_sectors = BLOCK, .page_sectors = PAGE,
		.origin_sectors = 65536 };

	memcpy(h.set_uuid, c->uuid, sizeof(h.set_uuid));
	memset(h.domain, 0xff, sizeof(h.domain));	/* not terminated */
	circle_hello_encode(&h, buf);
}

int new_socket(void)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}
