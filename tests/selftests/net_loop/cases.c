// SPDX-License-Identifier: GPL-2.0-only
/*
 * circle_net_test: dm-circle's net layer over the loopback device of the loader's network
 * namespace, in the kernel that loads it. Runs when loaded, prints KTAP into the log, and does
 * nothing afterwards; loading fails if a test failed.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <net/sock.h>

#include "end.h"
#include "net/sock.h"
#include "raw.h"

#undef pr_fmt
#define pr_fmt(fmt) fmt

#define CHECK(cond) do {							\
	if (!(cond)) {								\
		pr_err("# %s:%d: not so: %s\n", __func__, __LINE__, #cond);	\
		return -EINVAL;							\
	}									\
} while (0)

static bool reached(atomic_t *v, int n, unsigned int ms)
{
	unsigned long end = jiffies + msecs_to_jiffies(ms);

	while (atomic_read(v) < n && time_before(jiffies, end))
		msleep(20);
	return atomic_read(v) >= n;
}

static unsigned int since_ms(unsigned long begin)
{
	return jiffies_to_msecs(jiffies - begin);
}

/* After the end: each message one done(), closed() once, nothing left anywhere. */
static int over(struct end *e, int sent)
{
	CHECK(atomic_read(&e->closed) == 1);
	CHECK(atomic_read(&e->done_ok) + atomic_read(&e->done_err) == sent);
	CHECK(circle_conn_tx_queued(e->conn) == 0);
	CHECK(atomic_read(&e->bad) == 0);
	end_free(e);
	CHECK(end_wait_none(60000) == 0);
	return 0;
}

static int close_now(struct end *e, int sent)
{
	circle_conn_close(e->conn, -ECANCELED);
	circle_conn_wait(e->conn);
	return over(e, sent);
}

static int echo_frames(struct server *s, int n, u32 max_sectors)
{
	struct end *e = end_connect(s, END_ECHO, 0);
	unsigned long begin = jiffies;
	u32 sectors;
	char name[64];
	int i;

	CHECK(!IS_ERR(e));
	CHECK(circle_conn_start(e->conn) == 0);
	for (i = 0; i < n; i++) {
		CHECK(reached(&e->got, i - 64, 30000));
		sectors = max_sectors ? get_random_u32() % (max_sectors + 1) : 0;
		if (i % 4 && sectors > 16)
			sectors %= 16;
		CHECK(end_send(e, i, sectors, i & 1 && sectors <= 128) == 0);
	}
	CHECK(reached(&e->got, n, 30000));
	CHECK(reached(&e->done_ok, n, 30000));	/* an echo may overtake it */
	CHECK(time_after_eq(circle_conn_last_rx(e->conn), begin));
	circle_conn_peer_name(e->conn, name, sizeof(name));
	pr_info("# %d frames, %s, %u ms\n", n, name, since_ms(begin));
	return close_now(e, n);
}

static int with_echo(u16 family, int n, u32 max_sectors)
{
	struct server s;
	int err;

	CHECK(server_start(&s, family, END_ECHO, 0) == 0);
	err = echo_frames(&s, n, max_sectors);
	CHECK(server_stop(&s) == 0);
	CHECK(atomic_read(&s.without_net) == 0);
	return err;
}

static int test_echo(void)
{
	return with_echo(4, 600, 2048);
}

static int test_echo6(void)
{
	return with_echo(6, 100, 64);
}

/* What comes with a header, and what does not: up to a page and just above, and none. */
static int test_small(void)
{
	return with_echo(4, 6000, 10);
}

static int test_empty(void)
{
	return with_echo(4, 5000, 0);
}

static int fill(struct end *e, int n, u32 sectors)
{
	int i, sent = 0;

	for (i = 0; i < n; i++)
		sent += end_send(e, i, sectors, false) == 0;
	return sent;
}

/* The client closes while frames fly in both directions, again and again. */
static int test_client_closes(void)
{
	struct server s;
	struct end *e;
	int i, sent;

	CHECK(server_start(&s, 4, END_ECHO, 0) == 0);
	for (i = 0; i < 20; i++) {
		e = end_connect(&s, END_ECHO, 0);
		CHECK(!IS_ERR(e));
		CHECK(circle_conn_start(e->conn) == 0);
		sent = fill(e, 40, 256);
		msleep(i * 3);
		CHECK(close_now(e, sent) == 0);
	}
	CHECK(server_stop(&s) == 0);
	return 0;
}

static int server_ends_it(enum end_mode mode)
{
	unsigned long begin;
	struct server s;
	struct end *e;
	int sent;

	CHECK(server_start(&s, 4, mode, 7) == 0);
	e = end_connect(&s, END_ECHO, 0);
	CHECK(!IS_ERR(e));
	CHECK(circle_conn_start(e->conn) == 0);
	sent = fill(e, 40, 512);
	begin = jiffies;
	CHECK(wait_for_completion_timeout(&e->over, 60 * HZ));
	CHECK(since_ms(begin) < 45000);
	CHECK(e->reason != -ETIMEDOUT);
	CHECK(circle_conn_closing(e->conn));
	CHECK(end_send(e, 0, 1, false) == -ENOTCONN);
	circle_conn_wait(e->conn);
	circle_conn_wait(e->conn);
	CHECK(over(e, sent) == 0);
	CHECK(server_stop(&s) == 0);
	CHECK(s.last_reason == (mode == END_CLOSE ? -ESTALE : -EDQUOT));
	return 0;
}

static int test_server_closes(void)
{
	return server_ends_it(END_CLOSE);
}

static int test_server_refuses(void)
{
	return server_ends_it(END_REFUSE);
}

/* close() from the client's own receiving thread; the reason is the caller's. */
static int test_close_in_callback(void)
{
	struct server s;
	struct end *e;
	int sent;

	CHECK(server_start(&s, 4, END_ECHO, 0) == 0);
	e = end_connect(&s, END_CLOSE, 5);
	CHECK(!IS_ERR(e));
	CHECK(circle_conn_start(e->conn) == 0);
	sent = fill(e, 40, 64);
	CHECK(wait_for_completion_timeout(&e->over, 60 * HZ));
	CHECK(e->reason == -ESTALE);
	CHECK(over(e, sent) == 0);
	CHECK(server_stop(&s) == 0);
	return 0;
}

/* A server that does not read: the transmitter gives up in time, and the server notices. */
static int test_stall(void)
{
	unsigned long begin, filled;
	unsigned int ms;
	struct server s;
	struct end *e;
	int sent;

	CHECK(server_start(&s, 4, END_STALL, 0) == 0);
	e = end_connect(&s, END_ECHO, 0);
	CHECK(!IS_ERR(e));
	circle_conn_set_timeout(e->conn, 700);
	CHECK(circle_conn_start(e->conn) == 0);
	begin = jiffies;
	sent = fill(e, 40, 2048);
	filled = jiffies;		/* takes a while itself */
	CHECK(wait_for_completion_timeout(&e->over, 60 * HZ));
	ms = since_ms(begin);
	pr_info("# ended after %u ms: %d\n", ms, e->reason);
	CHECK(ms >= 600 && since_ms(filled) < 45000);
	CHECK(e->reason == -ETIMEDOUT);
	CHECK(atomic_read(&e->done_err) > 0);
	CHECK(over(e, sent) == 0);
	CHECK(server_stop(&s) == 0);
	return 0;
}

/* close() with interrupts off while the transmitter waits for room: at once. */
static int test_close_stalled(void)
{
	unsigned long begin;
	struct server s;
	struct end *e;
	int sent;

	CHECK(server_start(&s, 4, END_STALL, 0) == 0);
	e = end_connect(&s, END_ECHO, 0);
	CHECK(!IS_ERR(e));
	CHECK(circle_conn_start(e->conn) == 0);
	sent = fill(e, 40, 2048);
	msleep(300);
	CHECK(circle_conn_tx_queued(e->conn) > 0);
	begin = jiffies;
	local_irq_disable();
	circle_conn_close(e->conn, -ECANCELED);
	local_irq_enable();
	CHECK(wait_for_completion_timeout(&e->over, 60 * HZ));
	CHECK(since_ms(begin) < 45000);	/* the timeout is 60 s */
	CHECK(e->reason == -ECANCELED);
	CHECK(over(e, sent) == 0);
	CHECK(since_ms(begin) < 45000);	/* the server's room() too */
	CHECK(server_stop(&s) == 0);
	return 0;
}

static int test_strangers(void)
{
	static const int want[RAW_NR] = { -EBADMSG, -EBADMSG, -EBADMSG, -EPROTO, -EPROTO,
					  -ECONNRESET, -ECONNRESET };
	enum raw_kind kind;
	struct server s;

	CHECK(server_start(&s, 4, END_ECHO, 0) == 0);
	for (kind = 0; kind < RAW_NR; kind++) {
		s.last_reason = 0;
		CHECK(raw_send(&s, kind) == 0);
		CHECK(reached(&s.accepted, kind + 1, 30000));
		CHECK(end_wait_none(30000) == 0);
		pr_info("# kind %d: %d\n", kind, s.last_reason);
		CHECK(s.last_reason == want[kind]);
		CHECK(s.last_dropped == (kind == RAW_BAD_CRC || kind == RAW_BAD_PAGE ||
					 kind == RAW_HALF_PAYLOAD));
	}
	CHECK(echo_frames(&s, 10, 16) == 0);	/* others are still served */
	CHECK(server_stop(&s) == 0);
	return 0;
}

/* Cut anywhere: within headers and payloads, of which some come with their header, and some do not. */
static int test_pieces(void)
{
	static const u32 few[] = { 0, 40, 0, 0, 120, 80, 0 };
	static const u32 many[] = { PAGE_SIZE, 0, 512, 0, 65536, 40, PAGE_SIZE, 0, PAGE_SIZE + 512,
				    0, 4000, PAGE_SIZE, 0, PAGE_SIZE, 512, 131072, PAGE_SIZE, 0 };
	static const u32 steps[] = { 41, 95, 96, 97, 1000, 4095, PAGE_SIZE, PAGE_SIZE + 95,
				     PAGE_SIZE + 96, PAGE_SIZE + 97, PAGE_SIZE + 192, 65536 };
	struct server s;
	u32 i;

	CHECK(server_start(&s, 4, END_ECHO, 0) == 0);
	for (i = 1; i < 96 + ARRAY_SIZE(steps); i++) {
		bool short_one = i < 96;
		u32 nr = short_one ? ARRAY_SIZE(few) : ARRAY_SIZE(many);

		s.last_got = 0;
		CHECK(raw_stream(&s, short_one ? few : many, nr, short_one ? i : steps[i - 96],
				 true) == 0);
		CHECK(end_wait_none(30000) == 0);
		CHECK(s.last_got == nr && !s.last_bad);
	}
	CHECK(s.last_exchanged >= 1);	/* at least the first, which is all there */
	CHECK(server_stop(&s) == 0);
	return 0;
}

/* What has come with a header is not given to who has closed. */
static int test_close_with_more(void)
{
	static const u32 empty[20];
	struct server s;

	CHECK(server_start(&s, 4, END_CLOSE, 5) == 0);
	CHECK(raw_stream(&s, empty, ARRAY_SIZE(empty), U32_MAX, false) == 0);
	CHECK(end_wait_none(30000) == 0);
	CHECK(s.last_got == 5 && !s.last_bad && s.last_reason == -ESTALE);
	CHECK(server_stop(&s) == 0);
	return 0;
}

static int connect_in(struct net *net, const struct circle_addr *a, unsigned int ms,
		      bool (*stop)(void *priv))
{
	struct socket *sock = circle_sock_connect(net, a, ms, stop, NULL);

	if (IS_ERR(sock))
		return PTR_ERR(sock);
	circle_sock_release(sock);
	return 0;
}

static int connect_err(const struct circle_addr *a, unsigned int ms, bool (*stop)(void *priv))
{
	return connect_in(end_net(), a, ms, stop);
}

static int test_refused(void)
{
	struct circle_addr none = { .family = 0 };
	struct server s;
	int i;

	CHECK(server_start(&s, 4, END_ECHO, 0) == 0);
	CHECK(server_stop(&s) == 0);
	for (i = 0; i < 50; i++)
		CHECK(connect_err(&s.addr, 30000, NULL) == -ECONNREFUSED);
	CHECK(connect_err(&none, 30000, NULL) == -EAFNOSUPPORT);
	return 0;
}

static unsigned long stop_at;

static bool stop_soon(void *priv)
{
	return time_after(jiffies, stop_at);
}

struct connecting {
	struct net *net;
	struct circle_addr addr;
	struct completion over;
};

static int connecting_thread(void *connecting)
{
	struct connecting *w = connecting;
	int err = connect_in(w->net, &w->addr, 60000, NULL);

	complete(&w->over);
	while (!kthread_should_stop())
		msleep(20);
	return err;
}

static int stop_thread(struct circle_addr *a)
{
	struct connecting w = { .net = end_net(), .addr = *a };
	unsigned long begin = jiffies;
	struct task_struct *t;

	init_completion(&w.over);
	t = kthread_run(connecting_thread, &w, "net_test_connect");
	CHECK(!IS_ERR(t));
	CHECK(!wait_for_completion_timeout(&w.over, HZ / 10));
	CHECK(kthread_stop(t) == -EINTR);
	CHECK(since_ms(begin) < 45000);
	return 0;
}

static int test_connect_ends(void)
{
	struct circle_addr a;
	struct hole *h = hole_open(&a);
	unsigned long begin = jiffies;

	CHECK(h);
	CHECK(connect_err(&a, 400, NULL) == -ETIMEDOUT);
	CHECK(since_ms(begin) >= 390 && since_ms(begin) < 45000);
	begin = jiffies;
	stop_at = jiffies + HZ / 5;
	CHECK(connect_err(&a, 60000, stop_soon) == -EINTR);
	CHECK(since_ms(begin) < 45000);
	CHECK(stop_thread(&a) == 0);
	hole_close(h);
	return 0;
}

/* 200 times: some closed before they start, some never started, some with a frame or two. */
static int test_cycles(void)
{
	struct server s;
	struct end *e;
	int i, sent;

	CHECK(server_start(&s, 4, END_ECHO, 0) == 0);
	for (i = 0; i < 200; i++) {
		e = end_connect(&s, END_ECHO, 0);
		CHECK(!IS_ERR(e));
		sent = i % 3 ? fill(e, i % 3, 8) : 0;
		if (i % 5 == 1)
			circle_conn_close(e->conn, -EINTR);
		if (i % 5 != 2) {
			CHECK(circle_conn_start(e->conn) == 0);
			if (i % 5 == 3)
				CHECK(reached(&e->got, sent, 30000));
			circle_conn_close(e->conn, -ECANCELED);
			circle_conn_wait(e->conn);
			CHECK(e->reason == (i % 5 == 1 ? -EINTR : -ECANCELED));
			CHECK(atomic_read(&e->closed) == 1);
			CHECK(atomic_read(&e->done_ok) + atomic_read(&e->done_err) == sent);
		}
		end_free(e);
	}
	CHECK(end_wait_none(60000) == 0);
	CHECK(atomic_read(&s.accepted) > 0);
	CHECK(server_stop(&s) == 0);
	return 0;
}

static int test_listener(void)
{
	struct circle_listener *l;
	struct circle_addr far = { .family = 4, .port = 7, .addr = { 192, 0, 2, 1 } };
	struct server s, s2;
	int i;

	CHECK(server_start(&s, 4, END_ECHO, 0) == 0);
	l = circle_listener_start(end_net(), &s.addr, NULL, NULL);
	CHECK(IS_ERR(l) && PTR_ERR(l) == -EADDRINUSE);
	l = circle_listener_start(end_net(), &far, NULL, NULL);
	CHECK(IS_ERR(l) && PTR_ERR(l) == -EADDRNOTAVAIL);
	CHECK(server_stop(&s) == 0);
	for (i = 0; i < 50; i++) {
		CHECK(server_start(&s2, 4, END_ECHO, 0) == 0);
		if (i & 1)
			CHECK(connect_err(&s2.addr, 30000, NULL) == 0);
		CHECK(server_stop(&s2) == 0);
	}
	circle_listener_stop(NULL);
	CHECK(end_wait_none(60000) == 0);
	return 0;
}

static int test_too_long(void)
{
	struct server s;
	struct end *e;

	CHECK(server_start(&s, 4, END_ECHO, 0) == 0);
	e = end_connect(&s, END_ECHO, 0);
	CHECK(!IS_ERR(e));
	CHECK(end_send(e, 0, 2049, false) == -EMSGSIZE);
	end_free(e);
	CHECK(server_stop(&s) == 0);
	CHECK(end_wait_none(60000) == 0);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(void);
} cases[] = {
	{ "frames of random sizes come back", test_echo },
	{ "and over IPv6", test_echo6 },
	{ "small frames, with and without payload", test_small },
	{ "frames without payload", test_empty },
	{ "the client closes in the middle", test_client_closes },
	{ "the server closes in the middle", test_server_closes },
	{ "the server's callback fails", test_server_refuses },
	{ "close in a callback", test_close_in_callback },
	{ "a server that does not read ends in a timeout", test_stall },
	{ "close while the transmitter waits, interrupts off", test_close_stalled },
	{ "strangers are thrown out", test_strangers },
	{ "frames in pieces, cut anywhere", test_pieces },
	{ "close in a callback, more has come", test_close_with_more },
	{ "connect: refused", test_refused },
	{ "connect: timeout, stop, kthread_stop", test_connect_ends },
	{ "200 connections", test_cycles },
	{ "listeners", test_listener },
	{ "too long a frame", test_too_long },
};

/*
 * A frame every 100 ms, for as long as the network is there and until the end is known. Returns
 * how many were taken; since: when the last one came back.
 */
static int send_until_over(struct end *e, unsigned long *since)
{
	unsigned long end = jiffies + 90 * HZ;
	int got = 0, sent = 0;

	*since = jiffies;
	do {
		sent += end_send(e, sent, 1, false) == 0;
		if (wait_for_completion_timeout(&e->over, HZ / 10))
			break;
		if (atomic_read(&e->got) != got)
			*since = jiffies;
		got = atomic_read(&e->got);
	} while (time_before(jiffies, end));
	return sent;
}

/*
 * The other side is gone without a word (the script makes the network lose everything when it
 * reads "# ready"): both ends notice, each by itself.
 */
static int test_vanish(void)
{
	unsigned long since;
	struct server s;
	struct end *e;
	int n;

	CHECK(server_start(&s, 4, END_ECHO, 0) == 0);
	s.timeout_ms = CIRCLE_CONN_TIMEOUT_MS;
	e = end_connect(&s, END_ECHO, 0);
	CHECK(!IS_ERR(e));
	CHECK(circle_conn_start(e->conn) == 0);
	pr_info("# ready\n");
	n = send_until_over(e, &since);
	CHECK(completion_done(&e->over));
	pr_info("# client: %d after %u ms\n", e->reason, since_ms(since));
	CHECK(e->reason == -ETIMEDOUT);
	CHECK(since_ms(since) < 45000);
	CHECK(over(e, n) == 0);
	pr_info("# server: %d after %u ms\n", s.last_reason, since_ms(since));
	CHECK(server_stop(&s) == 0);
	return 0;
}

static bool vanish;
module_param(vanish, bool, 0444);
MODULE_PARM_DESC(vanish, "run only the case in which the network goes away");
static bool hold;
module_param(hold, bool, 0444);
MODULE_PARM_DESC(hold, "listen until the module is removed, and test nothing");
static struct server held;

static int __init net_test_init(void)
{
	unsigned int i, bad = 0;
	int err;

	if (hold)
		return server_start(&held, 4, END_ECHO, 0);
	if (vanish)
		return test_vanish();
	pr_info("KTAP version 1\n1..%zu\n", ARRAY_SIZE(cases));
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		err = cases[i].run();
		pr_info("%sok %u %s\n", err ? "not " : "", i + 1, cases[i].name);
		bad += !!err;
	}
	return bad ? -EINVAL : 0;
}

static void __exit net_test_exit(void)
{
	if (hold && server_stop(&held))
		pr_err("# a server that does not end\n");
}

module_init(net_test_init);
module_exit(net_test_exit);
MODULE_DESCRIPTION("test of dm-circle's net layer");
MODULE_LICENSE("GPL");
