// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench-load: the load of the benchmark, and its yardstick.
 *
 * Keeps `depth` direct requests in flight until `count` are done, times each, checks what it reads,
 * and prints one line of key=value. With --mirror each write also goes to a server (mirror.c).
 *
 *	bench-load run --dev D --op write --bs 4096 --depth 32 --count 3000 --span 16777216 ...
 *	bench-load serve 127.0.0.2:7100 /dev/nullb1
 *
 * The sequence of accesses depends on the arguments alone, but for a page that is in flight, for
 * which the next random number is taken.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "load.h"

#define WARM_UP		64		/* requests */

static struct opts o = {
	.name = "run", .len = PAGE, .depth = 1, .count = 1000, .seed = 1, .read_percent = 70,
};
static int fd, sock = -1, event = -1, poller = -1;
static aio_context_t ctx;
static struct slot *slots;
static uint32_t free_slot[MAX_DEPTH], nr_free;
static uint64_t issued, done, cursor, rnd, halfway, *took;
static uint32_t at_mirror;

/* The CPU is ours when we have use for it: for when others stand for what runs on other CPUs. */
static void come_first(void)
{
	struct sched_param p = { .sched_priority = 1 };

	if (sched_setscheduler(0, SCHED_FIFO, &p))
		die("SCHED_FIFO: %s", strerror(errno));
}

static uint64_t next_random(void)
{
	rnd ^= rnd << 13;
	rnd ^= rnd >> 7;
	rnd ^= rnd << 17;
	return rnd * 0x2545f4914f6cdd1dull >> 16;
}

static uint64_t next_pos(void)
{
	uint64_t n = o.span / o.len, pos;

	do {
		pos = o.offset + (o.sequential ? cursor++ : next_random()) % n * o.len;
	} while (state_busy(pos));
	return pos;
}

static bool next_is_write(void)
{
	if (o.op == OP_MIX)
		return next_random() % 100 >= o.read_percent;
	return o.op == OP_WRITE;
}

static void prepare(uint32_t i)
{
	struct slot *s = &slots[i];

	s->pos = next_pos();
	s->write = next_is_write();
	s->waits = 1;
	state_busy_set(s->pos, o.len, true);
	if (s->write)
		state_stamp(s->buf, s->pos, o.len);
	aio_prepare(&s->cb, fd, s->write, s->buf, o.len, s->pos, i, event);
	s->begin = now_ns();
	if (s->write && sock >= 0) {
		struct msg m = { .type = MSG_WRITE, .len = o.len, .pos = s->pos, .slot = i };

		mirror_send(sock, &m, s->buf);
		s->waits++;
		at_mirror++;
	}
}

static void submit(void)
{
	struct iocb *cbs[MAX_DEPTH];
	long n = 0;

	while (nr_free && issued < o.count) {
		uint32_t i = free_slot[--nr_free];

		prepare(i);
		cbs[n++] = &slots[i].cb;
		issued++;
	}
	aio_submit(ctx, cbs, n);
}

static void answered(uint32_t i)
{
	struct slot *s = &slots[i];

	if (--s->waits)
		return;
	if (o.sync && fdatasync(fd))
		die("fdatasync: %s", strerror(errno));
	took[done++] = now_ns() - s->begin;
	if (done == o.count / 2)
		halfway = now_ns();
	if (!s->write)
		state_check(s->buf, s->pos, o.len);
	state_busy_set(s->pos, o.len, false);
	free_slot[nr_free++] = i;
}

static void reap(void)
{
	struct io_event ev[MAX_DEPTH];
	struct msg replies[MAX_DEPTH];
	struct epoll_event e[2];
	long n, i;

	if (poller >= 0)
		epoll_wait(poller, e, 2, -1);
	if (at_mirror) {
		n = mirror_replies(sock, replies, o.depth, poller < 0);
		at_mirror -= n;
		for (i = 0; i < n; i++)
			answered(replies[i].slot);
	}
	n = aio_reap(ctx, poller < 0, ev, o.depth);
	for (i = 0; i < n; i++) {
		if (ev[i].res != (int64_t)o.len)
			die("byte %" PRIu64 ": %s", slots[ev[i].data].pos, strerror(-ev[i].res));
		answered(ev[i].data);
	}
}

static void ping(void)
{
	struct msg m = { .type = MSG_PING };

	while (done < o.count) {
		uint64_t begin = now_ns();

		mirror_send(sock, &m, NULL);
		mirror_replies(sock, &m, 1, true);
		took[done++] = now_ns() - begin;
	}
}

static void loop(void)
{
	if (o.op == OP_PING)
		return ping();
	while (done < o.count) {
		submit();
		reap();
	}
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double us_at(double part)
{
	uint64_t i = part * o.count;

	return took[i < o.count ? i : o.count - 1] / 1e3;
}

static void report(uint64_t begin, uint64_t ns, uint64_t idle)
{
	double sum = 0, late = ns - (halfway ? halfway - begin : 0);
	uint64_t i;

	for (i = 0; i < o.count; i++)
		sum += took[i];
	qsort(took, o.count, sizeof(*took), by_size);
	printf("row=%s\tcount=%" PRIu64, o.name, o.count);
	printf("\tus=%.1f\tiops=%.1f", ns / 1e3, o.count * 1e9 / ns);
	printf("\tmibs=%.2f\tmean=%.2f", o.count * o.len * 1e9 / ns / (1 << 20), sum / o.count / 1e3);
	printf("\tp50=%.2f\tp99=%.2f", us_at(0.5), us_at(0.99));
	printf("\tp999=%.2f\tmax=%.2f", us_at(0.999), took[o.count - 1] / 1e3);
	printf("\tlate=%.1f", (o.count - o.count / 2) * 1e9 / late);
	printf("\tinsns=%.0f", (double)(ns - idle) / o.count);
	watch_print();
	putchar('\n');
}

static void rewind_sequence(void)
{
	uint32_t i;

	issued = done = halfway = cursor = 0;
	rnd = o.seed * 0x9e3779b97f4a7c15ull | 1;
	for (i = 0; i < 8; i++)
		next_random();
}

static void set_up(void)
{
	uint64_t size;
	uint32_t i;

	fd = open_device(o.dev);
	if (ioctl(fd, BLKGETSIZE64, &size))
		die("%s: %s", o.dev, strerror(errno));
	if (!o.span)
		o.span = size - o.offset;
	if (!o.len || o.len % PAGE || o.len > MAX_LEN || !o.depth || o.depth > MAX_DEPTH ||
	    !o.count || o.offset % PAGE || o.offset + o.span > size || o.span < o.len * o.depth)
		die("arguments do not fit together");
	state_open(o.state, size);
	ctx = aio_setup(o.depth);
	slots = aligned(o.depth * sizeof(*slots));
	took = aligned(o.count * sizeof(*took));
	for (i = 0; i < o.depth; i++) {
		slots[i].buf = aligned(o.len);
		memset(slots[i].buf, 0xb0 + i % 64, o.len);
		free_slot[nr_free++] = i;
	}
	rewind_sequence();
	if (!o.mirror)
		return;
	sock = mirror_connect(o.mirror, o.depth, o.len);
	if (o.depth > 1) {
		struct epoll_event e = { .events = EPOLLIN | EPOLLET };

		event = eventfd(0, EFD_CLOEXEC);
		poller = epoll_create1(EPOLL_CLOEXEC);
		epoll_ctl(poller, EPOLL_CTL_ADD, sock, &e);
		epoll_ctl(poller, EPOLL_CTL_ADD, event, &e);
	}
}

/* Whatever is slow the first time is over when the clock starts. */
static void warm_up(void)
{
	uint64_t count = o.count;

	o.count = count < WARM_UP ? count : WARM_UP;
	loop();
	o.count = count;
	issued = done = halfway = 0;
}

/*
 * For bench-profile. While the host gets ready, caches find time to write back; so all that will be
 * written is written once before. It counts from the getppid on.
 */
static void begin_profile(void)
{
	gate(o.gate, "begin");
	loop();
	rewind_sequence();
	syscall(SYS_getppid);
}

static void run(void)
{
	uint64_t idle, begin, ns;

	set_up();
	mlockall(MCL_CURRENT | MCL_FUTURE);
	if (o.warm_up)
		warm_up();
	watch_begin();
	idle = idle_ns();
	if (o.gate)
		begin_profile();
	begin = now_ns();
	loop();
	ns = now_ns() - begin;
	gate(o.gate, "end");
	idle = idle_ns() - idle;
	if (o.flush && fdatasync(fd))
		die("fdatasync: %s", strerror(errno));
	report(begin, ns, o.gate ? ns : idle);
}

static const struct option options[] = {
	{ "dev", 1, NULL, 'd' }, { "name", 1, NULL, 'n' }, { "op", 1, NULL, 'o' },
	{ "bs", 1, NULL, 'b' }, { "depth", 1, NULL, 'q' }, { "count", 1, NULL, 'c' },
	{ "offset", 1, NULL, 'a' }, { "span", 1, NULL, 's' }, { "seed", 1, NULL, 'r' },
	{ "seq", 0, NULL, 'S' }, { "sync", 0, NULL, 'y' }, { "state", 1, NULL, 't' },
	{ "mirror", 1, NULL, 'm' }, { "watch", 1, NULL, 'w' }, { "gate", 1, NULL, 'g' },
	{ "warm-up", 0, NULL, 'u' }, { "flush", 0, NULL, 'f' },
	{ "first", 0, NULL, 'F' },
	{ NULL, 0, NULL, 0 },
};

static void parse_op(const char *word)
{
	static const char *const names[] = { "write", "read", "mix", "ping" };
	unsigned int i;

	for (i = 0; i < 4; i++)
		if (!strcmp(word, names[i])) {
			o.op = i;
			return;
		}
	die("no op '%s'", word);
}

int main(int argc, char **argv)
{
	int c;

	if (argc == 4 && !strcmp(argv[1], "serve"))
		return serve(argv[2], argv[3]);
	if (argc < 2 || strcmp(argv[1], "run"))
		die("usage: bench-load run --dev D ... | serve ADDR:PORT DEV");
	argc--;
	argv++;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'd': o.dev = optarg; break;
		case 'n': o.name = optarg; break;
		case 'o': parse_op(optarg); break;
		case 'b': o.len = strtoul(optarg, NULL, 0); break;
		case 'q': o.depth = strtoul(optarg, NULL, 0); break;
		case 'c': o.count = strtoull(optarg, NULL, 0); break;
		case 'a': o.offset = strtoull(optarg, NULL, 0); break;
		case 's': o.span = strtoull(optarg, NULL, 0); break;
		case 'r': o.seed = strtoull(optarg, NULL, 0); break;
		case 'S': o.sequential = true; break;
		case 'y': o.sync = true; break;
		case 't': o.state = optarg; break;
		case 'm': o.mirror = optarg; break;
		case 'w': watch_add(optarg); break;
		case 'f': o.flush = true; break;
		case 'u': o.warm_up = true; break;
		case 'F': come_first(); break;
		case 'g': o.gate = optarg; break;
		default: return 1;
		}
	}
	if (!o.dev)
		die("--dev is missing");
	if (o.sync && o.depth != 1)
		die("--sync wants a depth of 1");
	run();
	return 0;
}
