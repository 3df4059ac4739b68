// SPDX-License-Identifier: GPL-2.0-only
/*
 * The yardstick: the least that replication of a write can cost. The client sends each write to one
 * server while it writes its own device; the server writes to its device and answers. No metadata,
 * no recovery, no ordering, no second copy of anything.
 *
 * With one request at a time both ends block in turn, which costs the fewest system calls.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "load.h"

static struct sockaddr_in parse(const char *addr)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	const char *colon = strchr(addr, ':');
	char host[64];

	snprintf(host, sizeof(host), "%.*s", colon ? (int)(colon - addr) : 0, addr);
	if (!colon || inet_pton(AF_INET, host, &sa.sin_addr) != 1)
		die("bad address %s", addr);
	sa.sin_port = htons(atoi(colon + 1));
	return sa;
}

static void no_delay(int sock)
{
	int on = 1;

	setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int mirror_connect(const char *addr, uint32_t depth, uint32_t len)
{
	struct sockaddr_in sa = parse(addr);
	struct msg hello = { .type = MSG_HELLO, .len = len, .slot = depth };
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (sock < 0 || connect(sock, (void *)&sa, sizeof(sa)))
		die("%s: %s", addr, strerror(errno));
	no_delay(sock);
	mirror_send(sock, &hello, NULL);
	if (mirror_replies(sock, &hello, 1, true) != 1)
		die("%s does not answer", addr);
	return sock;
}

static void send_all(int sock, struct iovec *iov, int n)
{
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = n };

	while (m.msg_iovlen) {
		ssize_t sent = sendmsg(sock, &m, MSG_NOSIGNAL);

		if (sent < 0)
			die("send: %s", strerror(errno));
		while (m.msg_iovlen && (size_t)sent >= m.msg_iov->iov_len) {
			sent -= m.msg_iov->iov_len;
			m.msg_iov++;
			m.msg_iovlen--;
		}
		if (m.msg_iovlen) {
			m.msg_iov->iov_base = (char *)m.msg_iov->iov_base + sent;
			m.msg_iov->iov_len -= sent;
		}
	}
}

void mirror_send(int sock, const struct msg *m, const void *data)
{
	struct iovec iov[2] = {
		{ .iov_base = (void *)m, .iov_len = sizeof(*m) },
		{ .iov_base = (void *)data, .iov_len = m->len },
	};

	send_all(sock, iov, data ? 2 : 1);
}

/* Whole messages: what has come, and at least one if `wait`. */
size_t mirror_replies(int sock, struct msg *m, size_t most, bool wait)
{
	static char left[sizeof(struct msg)];
	static size_t nr_left;
	size_t have = nr_left, n, i;
	char *p = (char *)m;

	memcpy(p, left, nr_left);
	nr_left = 0;
	do {
		ssize_t got = recv(sock, p + have, most * sizeof(*m) - have,
				   wait ? 0 : MSG_DONTWAIT);

		if (!got || (got < 0 && errno != EAGAIN))
			die("the server is gone");
		have += got > 0 ? got : 0;
	} while (wait && have < sizeof(*m));
	n = have / sizeof(*m);
	nr_left = have % sizeof(*m);
	memcpy(left, p + n * sizeof(*m), nr_left);
	for (i = 0; i < n; i++)
		if (m[i].error)
			die("the server failed: %s", strerror(m[i].error));
	return n;
}

/* ---------------------------------------------------------------- server */

struct server {
	int sock, fd, event, poll;
	aio_context_t ctx;
	uint32_t depth, len;
	struct { struct iocb cb; struct msg m; char *buf; } *slot;
	uint32_t *free, nr_free;
	struct msg m;			/* being received, */
	size_t have;			/* so many bytes of it and its data, */
	uint32_t into;			/* into this slot */
};

static bool recv_all(int sock, void *buf, size_t len)
{
	return recv(sock, buf, len, MSG_WAITALL) == (ssize_t)len;
}

/* One at a time. */
static void serve_blocking(struct server *s)
{
	struct msg m;

	while (recv_all(s->sock, &m, sizeof(m))) {
		if (m.type == MSG_WRITE) {
			if (m.len > s->len || !recv_all(s->sock, s->slot[0].buf, m.len))
				return;
			if (pwrite(s->fd, s->slot[0].buf, m.len, m.pos) != (ssize_t)m.len)
				m.error = errno;
		}
		m.len = 0;
		mirror_send(s->sock, &m, NULL);
	}
}

/* Receive what is there; false at the end. Writes that are whole go to cbs[]. */
static bool receive(struct server *s, struct iocb **cbs, long *n)
{
	while (s->nr_free) {
		bool head = s->have < sizeof(s->m);
		uint32_t i = s->free[s->nr_free - 1];
		char *p = head ? (char *)&s->m + s->have :
				 s->slot[i].buf + s->have - sizeof(s->m);
		size_t want = head ? sizeof(s->m) - s->have : sizeof(s->m) + s->m.len - s->have;
		ssize_t got = recv(s->sock, p, want, MSG_DONTWAIT);

		if (got < 0 && errno == EAGAIN)
			return true;
		if (got <= 0)
			return false;
		s->have += got;
		if (s->have < sizeof(s->m))
			continue;
		if (s->m.type != MSG_WRITE || s->m.len > s->len)
			return false;
		if (s->have < sizeof(s->m) + s->m.len)
			continue;
		s->nr_free--;
		s->slot[i].m = s->m;
		aio_prepare(&s->slot[i].cb, s->fd, true, s->slot[i].buf, s->m.len, s->m.pos, i,
			    s->event);
		cbs[(*n)++] = &s->slot[i].cb;
		s->have = 0;
	}
	return true;
}

static void serve_many(struct server *s)
{
	struct io_event ev[MAX_DEPTH];
	struct msg replies[MAX_DEPTH];
	struct iocb *cbs[MAX_DEPTH];
	struct epoll_event e[2];
	long n, i;

	for (;;) {
		n = 0;
		if (!receive(s, cbs, &n))
			return;
		aio_submit(s->ctx, cbs, n);
		epoll_wait(s->poll, e, 2, -1);
		n = aio_reap(s->ctx, 0, ev, s->depth);
		for (i = 0; i < n; i++) {
			uint32_t k = ev[i].data;

			replies[i] = s->slot[k].m;
			replies[i].error = ev[i].res == (long)s->slot[k].m.len ? 0 : EIO;
			s->free[s->nr_free++] = k;
		}
		if (n)
			send_all(s->sock, &(struct iovec){ replies, n * sizeof(*replies) }, 1);
	}
}

static void serve_one(struct server *s)
{
	struct msg hello;
	uint32_t i;
	char *mem;

	if (!recv_all(s->sock, &hello, sizeof(hello)) || hello.type != MSG_HELLO ||
	    !hello.slot || hello.slot > MAX_DEPTH || hello.len > MAX_LEN)
		return;
	s->depth = hello.slot;
	s->len = hello.len;
	s->slot = calloc(s->depth, sizeof(*s->slot));
	s->free = calloc(s->depth, sizeof(*s->free));
	s->nr_free = s->have = 0;
	mem = aligned((size_t)s->depth * s->len + PAGE);
	for (i = 0; i < s->depth; i++) {
		s->slot[i].buf = mem + (size_t)i * s->len;
		s->free[s->nr_free++] = i;
	}
	hello.len = 0;
	mirror_send(s->sock, &hello, NULL);
	if (s->depth == 1) {
		serve_blocking(s);
	} else {
		struct epoll_event e = { .events = EPOLLIN | EPOLLET };

		s->poll = epoll_create1(EPOLL_CLOEXEC);
		epoll_ctl(s->poll, EPOLL_CTL_ADD, s->sock, &e);
		epoll_ctl(s->poll, EPOLL_CTL_ADD, s->event, &e);
		serve_many(s);
		close(s->poll);
	}
	munmap(mem, (size_t)s->depth * s->len + PAGE);
	free(s->slot);
	free(s->free);
}

int serve(const char *addr, const char *dev)
{
	struct sockaddr_in sa = parse(addr);
	struct server s = { .fd = open_device(dev), .event = eventfd(0, EFD_CLOEXEC) };
	int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (void *)&sa, sizeof(sa)) || listen(listener, 1))
		die("%s: %s", addr, strerror(errno));
	mlockall(MCL_CURRENT | MCL_FUTURE);
	s.ctx = aio_setup(MAX_DEPTH);
	for (;;) {
		s.sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (s.sock < 0)
			die("accept: %s", strerror(errno));
		no_delay(s.sock);
		serve_one(&s);
		close(s.sock);
	}
}
