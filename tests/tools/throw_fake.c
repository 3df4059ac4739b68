// SPDX-License-Identifier: GPL-2.0-only
/*
 * throw_fake: a peer to which an owner connects. So many requests of a connection are answered as
 * they should be, so that the owner may come to count on it, and the others badly. It stores
 * nothing, so what it has said to hold is not to be needed.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include "throw.h"

enum evil {
	SILENCE, NOISE, OTHER_FIELDS, TWICE, OTHER_CALL, SHORT, DAMAGED, STATUS, UNASKED, TOO_LONG,
	NR_EVIL
};

/* A generation above the owner's own says that there is another one, by design: then it ends. */
static void guard(struct circle_frame *f, u64 gen)
{
	f->generation = min(f->generation, gen);
	if (f->status == CIRCLE_WS_FENCED && f->generation == gen)
		f->generation = gen ? gen - 1 : 0;
}

static bool no_space;	/* for a FLUSH, which needs none */

#define ITEMS	32

/* What it says to have of an older generation, which is junk. Returns how many bytes. */
static u32 list(struct conn *c, u64 gen, u8 *buf)
{
	u32 i, n = rand64(c) % (ITEMS + 1);

	for (i = 0; i < n; i++) {
		struct circle_item it = { .block = rand64(c) % 256, .gen = gen, .seq = 1 + i,
					  .pages = 1 + rand64(c) % 0xffff };

		circle_item_encode(&it, buf + i * sizeof(struct circle_wire_item));
	}
	return n * sizeof(struct circle_wire_item);
}

/* As a peer with much room does. Returns the payload, which may be in buf. */
static const u8 *rightly(struct conn *c, const struct circle_frame *req, struct circle_frame *f,
			 u8 *buf)
{
	const u8 *data = junk;

	*f = *req;
	f->flags = CIRCLE_WF_ANSWER;
	f->length = 0;
	f->data_crc = 0;
	f->space = 4096;
	f->away = 0;
	f->aux = 0;
	switch (f->type) {
	case CIRCLE_WT_HELLO:
		hello_of(c, buf);
		f->length = HELLO;
		data = buf;
		break;
	case CIRCLE_WT_LIST:
		f->seq = ~0ull;
		f->length = list(c, req->generation - 1, buf);
		data = buf;
		break;
	case CIRCLE_WT_FETCH:
		f->generation--;
		f->length = f->sectors << CIRCLE_SECTOR_SHIFT;
		break;
	case CIRCLE_WT_REVIVE:
		f->status = CIRCLE_WS_NOT_FOUND;
		break;
	case CIRCLE_WT_RELEASE:
		f->pages = 0;
		break;
	case CIRCLE_WT_FLUSH:
		f->status = no_space ? CIRCLE_WS_NO_SPACE : f->status;
		break;
	case CIRCLE_WT_REPLICATE:
		f->flags |= one_in(c, 2) ? CIRCLE_WF_DURABLE : 0;
		break;
	}
	if (f->length)
		f->data_crc = crc(~0u, data, f->length);
	return data;
}

static bool say(struct conn *c, struct circle_frame *f, u64 gen, const u8 *data, u32 len)
{
	guard(f, gen);
	return put_frame(c, f, data, min(len, CIRCLE_WIRE_MAX_DATA));
}

/* An answer with a payload, whatever was asked: items, data, or a greeting. */
static void give_more(struct conn *c, struct circle_frame *f)
{
	static const u16 what[] = { CIRCLE_WT_LIST, CIRCLE_WT_FETCH, CIRCLE_WT_HELLO };

	if (one_in(c, 2))
		f->type = what[rand64(c) % ARRAY_SIZE(what)];
	f->status = CIRCLE_WS_OK;
	f->sectors = 1 + rand64(c) % 2048;
	f->sector = 0;
	f->length = f->type == CIRCLE_WT_FETCH ? f->sectors << CIRCLE_SECTOR_SHIFT :
		    f->type == CIRCLE_WT_HELLO ? HELLO : rand64(c) % 4097 * 40;
}

static void badly(struct conn *c, struct circle_frame f, const u8 *data)
{
	u64 gen = f.generation;
	u32 k, len = f.length;

	switch (c->evil) {
	case SILENCE:
		return;
	case NOISE:
		put(c, some_junk(c), rand64(c) % 70000);
		return;
	case OTHER_FIELDS:
		for (k = 1 + rand64(c) % 3; k; k--)
			mutate(c, &f);
		len = one_in(c, 2) ? len : f.length;
		break;
	case TWICE:
		say(c, &f, gen, data, len);
		break;
	case OTHER_CALL:
		f.id += one_in(c, 2) ? 1 : one_in(c, 2) ? -1 : odd_value(c);
		break;
	case SHORT:
		give_more(c, &f);
		len = f.length ? rand64(c) % f.length : 0;
		data = junk;
		break;
	case DAMAGED:
		f.data_crc ^= 1;
		break;
	case STATUS:
		f.status = rand64(c) % CIRCLE_WS_NR;
		break;
	case UNASKED:
		f.flags = one_in(c, 2) ? 0 : f.flags;
		f.type = 1 + rand64(c) % (CIRCLE_WT_NR - 1);
		break;
	case TOO_LONG:
		give_more(c, &f);
		len = f.length;
		data = junk;
		f.data_crc = len ? crc(~0u, data, len) : 0;
		break;
	}
	say(c, &f, gen, data, len);
}

static void requested(struct conn *c, const struct circle_frame *req)
{
	u8 buf[ITEMS * sizeof(struct circle_wire_item)];
	struct circle_frame f;
	const u8 *data;

	count(&counts.of[req->type][CIRCLE_WS_OK]);
	if (req->flags & CIRCLE_WF_ANSWER)
		complain("an owner answers", req);
	data = rightly(c, req, &f, buf);
	if (!c->good) {
		badly(c, f, data);
		return;
	}
	c->good--;
	say(c, &f, req->generation, data, f.length);
}

static u32 serving;	/* threads */

static void *serve(void *conn)
{
	struct conn *c = conn;

	while (!over() && drain(c, 100))
		;
	close(c->fd);
	free(c);
	__atomic_sub_fetch(&serving, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void begin(int fd, u64 number, u64 right)
{
	struct conn *c = calloc(1, sizeof(*c));
	pthread_t thread;

	if (!c || fd < 0)
		die("connection");
	c->fd = fd;
	c->got = requested;
	c->rand = seed * 1000003 + number * 65537;
	c->good = right + rand64(c) % (one_in(c, 4) ? 6 : 100);
	c->evil = rand64(c) % NR_EVIL;
	count(&counts.connections);
	__atomic_add_fetch(&serving, 1, __ATOMIC_SEQ_CST);
	if (pthread_create(&thread, NULL, serve, c) || pthread_detach(thread))
		die("thread");
}

void listen_as(u64 right, bool full)
{
	int fd = new_socket();
	struct pollfd p = { fd, POLLIN, 0 };
	u64 k = 0;

	no_space = full;
	if (bind(fd, (void *)&addr, sizeof(addr)) || listen(fd, 8))
		die("listen");
	while (!over())
		if (poll(&p, 1, 100) > 0)
			begin(accept(fd, NULL, NULL), k++, right);
	close(fd);
	while (__atomic_load_n(&serving, __ATOMIC_SEQ_CST))
		poll(NULL, 0, 10);
}
