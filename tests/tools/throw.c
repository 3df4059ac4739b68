// SPDX-License-Identifier: GPL-2.0-only
/*
 * circle-throw: a hostile end of the wire. See README.rst.
 *
 *	circle-throw at ADDRESS PORT ID TO SEED SECONDS [METADATA]
 *	circle-throw as ADDRESS PORT ID TO SEED SECONDS [RIGHT]
 *	circle-throw sets ADDRESS PORT ID TO SEED NUMBER
 *
 * at: connects to node TO again and again, as node ID. as: listens as node ID, to which node TO
 * connects, and answers RIGHT requests of a connection and some more as it should, then badly. Each
 * connection plays by a number drawn from SEED, so the same seed plays the same, but for what the
 * other end does. sets: fences so many sets that nobody has heard of, as it should. METADATA: of the owner of a set, which half of the connections name; they do all
 * but what takes a set from its owner by design, which is a FENCE with its activation, or with a
 * higher generation. Exit code 2: a node did what it must not do.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>

#include "throw.h"

#define THREADS	6
#define MANY	80		/* connections at once: more than a server takes */

static const char *const types[CIRCLE_WT_NR] = {
	"NONE", "HELLO", "REPLICATE", "FLUSH", "RELEASE", "LIST", "FETCH", "PING", "FENCE",
	"REVIVE",
};

static const char *const statuses[CIRCLE_WS_NR] = {
	"OK", "NO_SPACE", "FENCED", "NOT_ADMITTED", "VERSION", "IO", "NOT_FOUND", "NEWER", "BAD",
	"BUSY",
};

struct count counts;
u8 junk[JUNK];
u64 seed;
u32 self, other;
struct sockaddr_in addr;
static u64 end_ms;
static struct circle_super owner;	/* node_id 0: not known */

void die(const char *what)
{
	perror(what);
	exit(1);
}

void count(u64 *n)
{
	__atomic_add_fetch(n, 1, __ATOMIC_RELAXED);
}

static u64 now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

bool over(void)
{
	return now_ms() >= end_ms;
}

void complain(const char *what, const struct circle_frame *f)
{
	count(&counts.wrong);
	printf("# %s: type %u, status %u, flags %#x, length %u\n", what, f->type, f->status,
	       f->flags, f->length);
}

/* A generation that was never heard of takes a set from its owner: that is how it is meant. */
static void guard(const struct conn *c, struct circle_frame *f)
{
	if (c->victim && f->type == CIRCLE_WT_FENCE && f->generation >= c->gen)
		f->generation = f->activation == c->act || f->id % 2 ? c->gen - 1 : c->gen;
}

static bool send_frame(struct conn *c, struct circle_frame *f, const void *data, u32 len)
{
	guard(c, f);
	return put_frame(c, f, data, len);
}

static u64 some_block(struct conn *c)
{
	static const u64 far[] = { 1u << 20, CIRCLE_MAX_BLOCK - 1, CIRCLE_MAX_BLOCK };
	u64 i = rand64(c) % 6;		/* of 32 sets: the space is not to be used up */

	return i < 3 ? i : far[i - 3];
}

static void some_range(struct conn *c, struct circle_frame *f)
{
	u32 first = rand64(c) % (BLOCK / PAGE), nr = 1 + rand64(c) % (BLOCK / PAGE - first);

	f->sector = first * PAGE;
	f->sectors = nr * PAGE - (one_in(c, 8) ? rand64(c) % PAGE : 0);
	f->pages = ((1ull << nr) - 1) << first;
}

/* A request as an owner could send it. Returns its payload. */
static const u8 *ask(struct conn *c, struct circle_frame *f, u16 type)
{
	const u8 *data = some_junk(c);

	*f = (struct circle_frame){
		.version = CIRCLE_WIRE_VERSION, .type = type, .id = ++c->id,
		.generation = c->gen, .activation = c->act, .block = some_block(c),
		.seq = one_in(c, 64) ? rand64(c) & CIRCLE_MAX_SEQ : ++c->seq,
	};
	some_range(c, f);
	if (type == CIRCLE_WT_REPLICATE) {
		f->length = f->sectors << CIRCLE_SECTOR_SHIFT;
		f->flags = one_in(c, 3) ? CIRCLE_WF_FILL : 0;
		if (!f->flags)
			c->last = *f;
	} else if (type == CIRCLE_WT_RELEASE && one_in(c, 4)) {
		f->block = ~0ull;
		f->flags = CIRCLE_WF_ALL_GENS | (one_in(c, 3) ? 0 : CIRCLE_WF_KEEP);
		c->parked = c->last;
	} else if (type == CIRCLE_WT_LIST) {
		f->block = one_in(c, 4) ? odd_value(c) : 0;
	} else if (type == CIRCLE_WT_REVIVE) {
		if (c->parked.pages) {
			f->block = c->parked.block;
			f->pages = c->parked.pages;
			f->seq = c->parked.seq;
			c->parked.pages = 0;
		}
	} else if (type == CIRCLE_WT_PING && one_in(c, 4)) {
		f->length = CIRCLE_WIRE_PING_DATA;
	} else if (type == CIRCLE_WT_FENCE) {
		if (!c->gen || one_in(c, 4)) {
			f->generation = c->gen + 1;
			f->activation = rand64(c);
		}
		if (!c->victim) {
			c->gen = f->generation;
			c->act = f->activation;
		}
		c->fenced = true;
	}
	if (f->length)
		f->data_crc = crc(~0u, data, f->length);
	return data;
}

static u16 some_type(struct conn *c)
{
	static const u8 often[] = { 2, 2, 2, 2, 2, 2, 6, 6, 6, 4, 4, 5, 3, 7, 9, 9, 8 };

	return one_in(c, 64) ? CIRCLE_WT_HELLO : often[rand64(c) % sizeof(often)];
}

/* What a server answered. Nothing may be changed by who has not fenced, or of another's set. */
static void answered(struct conn *c, const struct circle_frame *f)
{
	bool writes = f->type == CIRCLE_WT_REPLICATE || f->type == CIRCLE_WT_RELEASE ||
		      f->type == CIRCLE_WT_FLUSH || f->type == CIRCLE_WT_REVIVE;

	count(&counts.of[f->type][f->status]);
	count(&counts.answers);
	if (!(f->flags & CIRCLE_WF_ANSWER))
		complain("a server asks", f);
	if (f->status == CIRCLE_WS_OK &&
	    ((writes && (!c->fenced || c->victim)) || (f->type == CIRCLE_WT_FENCE && c->victim)))
		complain("it was not to do that", f);
	if (f->type == CIRCLE_WT_HELLO && f->status == CIRCLE_WS_OK && !c->victim) {
		c->gen = f->generation;
		c->act = f->activation;
	}
}

/* The set: one of this thread, known to the server from before; an unknown one; the owner's. */
static void choose_set(struct conn *c, u32 thread)
{
	u64 v = rand64(c);

	memset(c->uuid, 0xa0 + thread, sizeof(c->uuid));
	c->victim = owner.node_id && one_in(c, 2);
	if (c->victim) {
		memcpy(c->uuid, owner.set_uuid, sizeof(c->uuid));
		c->gen = owner.generation;
		c->act = owner.activation;
	} else if (one_in(c, 32)) {
		memcpy(c->uuid, &v, sizeof(v));
	}
}

static bool greet(struct conn *c)
{
	struct circle_frame f = { .version = CIRCLE_WIRE_VERSION, .type = CIRCLE_WT_HELLO,
				  .id = ++c->id, .length = HELLO };
	u32 from = c->victim ? 44 : 0;		/* behind uuid and node */
	u8 hello[HELLO];

	hello_of(c, hello);
	if (one_in(c, 16))
		hello[from + rand64(c) % (72 - from)] ^= 1u << rand64(c) % 8;
	f.data_crc = crc(~0u, hello, sizeof(hello));
	if (one_in(c, 16))
		mutate(c, &f);
	return send_frame(c, &f, hello, sizeof(hello)) && drain(c, one_in(c, 4) ? 0 : 100);
}

static void play_raw(struct conn *c)
{
	u32 i, n = 1 + rand64(c) % 70000;
	u64 at = rand64(c) % JUNK / 2;

	if (one_in(c, 2))
		greet(c);
	for (i = 0; i < 4 && put(c, junk + at, n); i++)
		drain(c, 20);
}

/* Headers of every kind whose checksum is right, with a payload that is not always. */
static void play_fields(struct conn *c)
{
	u32 i, k, len, n = 1 + rand64(c) % 60;
	struct circle_frame f;
	const u8 *data;

	if (!one_in(c, 4) && !greet(c))
		return;
	for (i = 0; i < n; i++) {
		data = ask(c, &f, one_in(c, 2) ? some_type(c) : rand64(c) % (CIRCLE_WT_NR + 2));
		len = f.length;
		for (k = rand64(c) % 4; k; k--)
			mutate(c, &f);
		if (one_in(c, 16))
			len = rand64(c) % CIRCLE_WIRE_MAX_DATA;
		else if (one_in(c, 2))
			len = min(f.length, CIRCLE_WIRE_MAX_DATA);
		if (!send_frame(c, &f, data, len) || !drain(c, 0))
			return;
	}
	drain(c, 50);
}

/* As an owner does, in any order; seldom something is changed, doubled, or an answer. */
static void play_talk(struct conn *c)
{
	u32 i, n = 20 + rand64(c) % 300;
	struct circle_frame f;
	const u8 *data;

	if (!greet(c))
		return;
	data = ask(c, &f, one_in(c, 8) ? some_type(c) : CIRCLE_WT_FENCE);
	for (i = 0; i < n; i++) {
		if (one_in(c, 100))
			mutate(c, &f);
		if (one_in(c, 400))
			f.flags |= CIRCLE_WF_ANSWER;
		if (!send_frame(c, &f, data, f.length <= CIRCLE_WIRE_MAX_DATA ? f.length : 0) ||
		    !drain(c, one_in(c, 20) ? 20 : 0))
			return;
		if (c->parked.pages && one_in(c, 3))
			data = ask(c, &f, CIRCLE_WT_REVIVE);
		else if (!one_in(c, 16))
			data = ask(c, &f, some_type(c));
	}
	for (i = 0; i < 20 && drain(c, 50); i++)
		;
}

/* Nobody takes the answers. What is asked for is there: some blocks, with a FENCE before. */
static void stop_reading(struct conn *c)
{
	struct circle_frame f;
	u8 head[HEADER];
	const u8 *data;
	u32 i;

	for (i = 0; i < 600 && !over(); i++) {
		data = ask(c, &f, !i ? CIRCLE_WT_FENCE :
			   i < 12 ? CIRCLE_WT_REPLICATE :
			   i % 8 ? CIRCLE_WT_FETCH : CIRCLE_WT_LIST);
		guard(c, &f);
		circle_frame_encode(&f, head, crc);
		if (send(c->fd, head, HEADER, MSG_DONTWAIT | MSG_NOSIGNAL) != HEADER ||
		    (f.length && send(c->fd, data, f.length, MSG_NOSIGNAL) != f.length))
			break;
	}
	poll(NULL, 0, one_in(c, 8) ? 3000 : 200);
}

/* Silence; a byte at a time; a reset within a payload; or as above. */
static void play_half(struct conn *c)
{
	u32 i, kind = rand64(c) % 4, n = rand64(c) % 200;
	struct circle_frame f;
	const u8 *data;

	if (kind == 3 || !one_in(c, 3))
		greet(c);
	data = ask(c, &f, CIRCLE_WT_REPLICATE);
	if (!kind)
		drain(c, one_in(c, 8) ? 6000 : 300);
	for (i = 0; i < n && kind == 1 && put(c, &data[i], 1); i++)
		drain(c, 5);
	if (kind == 2)
		send_frame(c, &f, data, rand64(c) % f.length);
	if (kind == 3)
		stop_reading(c);
}

static bool join(struct conn *c)
{
	struct timeval patience = { 2, 0 };

	c->fd = new_socket();
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (!connect(c->fd, (void *)&addr, sizeof(addr)))
		return true;
	close(c->fd);
	poll(NULL, 0, 20);
	return false;
}

static void play_many(struct conn *c)
{
	struct conn all[MANY];
	u32 i, n;

	for (n = 0; n < MANY && !over(); n++) {
		all[n] = (struct conn){ .rand = rand64(c), .got = answered };
		choose_set(&all[n], n % 2);
		if (!join(&all[n]))
			break;
		if (one_in(c, 2))
			greet(&all[n]);
	}
	poll(NULL, 0, 300);
	for (i = 0; i < n; i++)
		close(all[i].fd);
}

static bool talk(struct conn *c, struct circle_frame *f, const u8 *data)
{
	u64 before = counts.answers;

	f->id = ++c->id;
	if (!put_frame(c, f, data, f->length))
		return false;
	while (counts.answers == before && !over())
		if (!drain(c, 100))
			return false;
	return true;
}

/* One after the other; none is left connected. */
static void fence_sets(u64 number)
{
	struct circle_frame greeting = { .version = CIRCLE_WIRE_VERSION, .type = CIRCLE_WT_HELLO,
					 .length = HELLO };
	struct circle_frame fence = { .version = CIRCLE_WIRE_VERSION, .type = CIRCLE_WT_FENCE,
				      .generation = 1 };
	u8 hello[HELLO];
	u64 i, v[2];

	for (i = 0; i < number && !over(); i++) {
		struct conn c = { .rand = seed + i, .got = answered, .fenced = true };

		v[0] = rand64(&c);
		v[1] = rand64(&c);
		memcpy(c.uuid, v, sizeof(c.uuid));
		if (!join(&c))
			continue;
		hello_of(&c, hello);
		greeting.data_crc = crc(~0u, hello, sizeof(hello));
		fence.activation = rand64(&c);
		if (talk(&c, &greeting, hello))
			talk(&c, &fence, NULL);
		close(c.fd);
	}
}

static void *attack(void *thread)
{
	static void (*const plays[])(struct conn *c) = {
		play_raw, play_fields, play_fields, play_fields, play_talk, play_talk, play_talk,
		play_talk, play_half, play_half,
	};
	struct linger reset = { 1, 0 };
	u32 me = (long)thread;
	u64 k;

	for (k = 0; !over(); k++) {
		struct conn c = { .rand = seed * 1000003 + me * 1009 + k * 65537, .got = answered };

		choose_set(&c, me);
		if (!join(&c))
			continue;
		count(&counts.connections);
		if (one_in(&c, 40))
			play_many(&c);
		else
			plays[rand64(&c) % ARRAY_SIZE(plays)](&c);
		if (one_in(&c, 2))
			setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(c.fd);
	}
	return NULL;
}

/* Of the two copies of the superblock the newer one. */
static void read_owner(const char *path)
{
	static u8 mb[CIRCLE_MB_SIZE] __attribute__((aligned(4096)));
	int i, fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	struct circle_super sb;

	for (i = 0; i < 2; i++) {
		if (fd < 0 || pread(fd, mb, sizeof(mb), i * 16 * sizeof(mb)) != sizeof(mb))
			die(path);
		if (!circle_super_decode(mb, &sb, crc) && (!owner.node_id || sb.seq > owner.seq))
			owner = sb;
	}
	close(fd);
	if (!owner.node_id || !owner.generation)
		die("no owner's metadata");
}

static void attack_all(void)
{
	pthread_t thread[THREADS];
	long i;

	for (i = 0; i < THREADS; i++)
		if (pthread_create(&thread[i], NULL, attack, (void *)i))
			die("thread");
	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
}

static void report(void)
{
	int t, s;

	printf("connections - %llu\nsent - %llu\n", counts.connections, counts.sent);
	for (t = 0; t < CIRCLE_WT_NR; t++)
		for (s = 0; s < CIRCLE_WS_NR; s++)
			if (counts.of[t][s])
				printf("%s %s %llu\n", types[t], statuses[s], counts.of[t][s]);
	printf("wrong - %llu\n", counts.wrong);
}

int main(int argc, char **argv)
{
	bool listens = argc > 1 && !strcmp(argv[1], "as");
	bool sets = argc == 8 && !strcmp(argv[1], "sets");
	struct conn c = { };
	u64 i, v;

	if (argc < 8 || argc > 9 + listens || (!listens && !sets && strcmp(argv[1], "at")) ||
	    !inet_aton(argv[2], &addr.sin_addr)) {
		fputs("circle-throw: see tests/tools/README.rst\n", stderr);
		return 1;
	}
	addr.sin_family = AF_INET;
	addr.sin_port = htons(atoi(argv[3]));
	self = atoi(argv[4]);
	other = atoi(argv[5]);
	seed = strtoull(argv[6], NULL, 10);
	c.rand = seed;
	end_ms = now_ms() + (sets ? 60 : strtoull(argv[7], NULL, 10)) * 1000;
	for (i = 0; i < JUNK; i += sizeof(v)) {
		v = rand64(&c);
		memcpy(junk + i, &v, sizeof(v));
	}
	if (argv[8] && !listens)
		read_owner(argv[8]);
	if (listens)
		listen_as(argv[8] ? strtoull(argv[8], NULL, 10) : 0, argc > 9);
	else if (sets)
		fence_sets(strtoull(argv[7], NULL, 10));
	else
		attack_all();
	report();
	return counts.wrong ? 2 : 0;
}
