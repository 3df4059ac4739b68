// SPDX-License-Identifier: GPL-2.0-only
/*
 * sock: see sock.h. No state of its own; whoever calls owns the socket.
 *
 * Memory. A write that waits for a peer may be what reclaim waits for, so nothing here starts I/O
 * to get memory: sk_allocation is GFP_NOIO, and the page fragment is the socket's, since the
 * task's is shared with whatever else the task does. A client also needs memory when there is
 * none: SOCK_MEMALLOC lets its socket have packets from the reserves, for which the task must be
 * PF_MEMALLOC while it sends and receives. A server must not: it would spend the host's
 * reserves on somebody else's writes.
 *
 * Namespace. A socket made here holds its network namespace until TCP frees it, later than
 * sock_release(); see circle_compat_sk_hold_net().
 */
#include "sock.h"

#include <linux/in.h>
#include <linux/in6.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/net.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/tcp.h>
#include <linux/uio.h>
#include <linux/wait.h>
#include <net/sock.h>
#include <net/tcp.h>

#include <circle/compat.h>

enum {
	BACKLOG = 64,
	KEEP_IDLE_S = 5,	/* keepalive is for connections that nobody's heartbeat watches */
	KEEP_INTERVAL_S = 1,
	KEEP_PROBES = 5,
	STOP_POLL_MS = 50,	/* how often a connecting caller's stop() is asked */
};

#ifdef CONFIG_DEBUG_LOCK_ALLOC
/*
 * Other sockets of the kernel, which share one class for each family, are locked around
 * allocations that may start I/O; I/O to us locks our sockets. Lockdep would add that up to
 * sk_lock -> reclaim -> sk_lock. They are never the same sockets, so ours get classes of their
 * own. An accepted socket keeps the kernel's class: its lock is live in softirqs when accept()
 * returns it and cannot be initialised again. That does not matter, for it is never locked on
 * behalf of local I/O.
 */
static struct lock_class_key sk_key[2], slock_key[2];

static void reclassify(struct sock *sk)
{
	if (WARN_ON_ONCE(!sock_allow_reclassification(sk)))
		return;
	if (sk->sk_family == AF_INET)
		sock_lock_init_class_and_name(sk, "slock-AF_INET-CIRCLE", &slock_key[0],
					      "sk_lock-AF_INET-CIRCLE", &sk_key[0]);
	else
		sock_lock_init_class_and_name(sk, "slock-AF_INET6-CIRCLE", &slock_key[1],
					      "sk_lock-AF_INET6-CIRCLE", &sk_key[1]);
}
#else
static void reclassify(struct sock *sk) { }
#endif

int circle_sock_addr(const struct circle_addr *addr, struct sockaddr_storage *out)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	struct sockaddr_in *in = (struct sockaddr_in *)out;

	memset(out, 0, sizeof(*out));
	switch (addr->family) {
	case 4:
		in->sin_family = AF_INET;
		in->sin_port = htons(addr->port);
		memcpy(&in->sin_addr, addr->addr, sizeof(in->sin_addr));
		return sizeof(*in);
	case 6:
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(addr->port);
		memcpy(&in6->sin6_addr, addr->addr, sizeof(in6->sin6_addr));
		return sizeof(*in6);
	default:
		return -EAFNOSUPPORT;
	}
}

void circle_sock_setup(struct socket *sock)
{
	struct sock *sk = sock->sk;

	lock_sock(sk);
	sk->sk_allocation = GFP_NOIO;
	sk->sk_use_task_frag = false;
	release_sock(sk);

	sock_no_linger(sk);
	sock_set_keepalive(sk);
	tcp_sock_set_nodelay(sk);
	tcp_sock_set_keepidle(sk, KEEP_IDLE_S);
	tcp_sock_set_keepintvl(sk, KEEP_INTERVAL_S);
	tcp_sock_set_keepcnt(sk, KEEP_PROBES);
}

static struct socket *create(struct net *net, int family)
{
	struct socket *sock;
	int err;

	err = sock_create_kern(net, family, SOCK_STREAM, IPPROTO_TCP, &sock);
	if (err)
		return ERR_PTR(err);
	reclassify(sock->sk);
	circle_compat_sk_hold_net(sock->sk);
	circle_sock_setup(sock);
	return sock;
}

struct connecting {
	struct sock *sk;
	bool (*stop)(void *priv);
	void *priv;
	unsigned long deadline;
};

static bool told_to_stop(const struct connecting *w)
{
	return ((current->flags & PF_KTHREAD) && kthread_should_stop()) ||
	       (w->stop && w->stop(w->priv));
}

static bool settled(const struct connecting *w)
{
	return !((1 << inet_sk_state_load(w->sk)) & (TCPF_SYN_SENT | TCPF_SYN_RECV));
}

/* 0: look at the socket again, something happened. */
static int wait_settled(const struct connecting *w)
{
	unsigned long step = msecs_to_jiffies(STOP_POLL_MS);
	long left;

	while (!settled(w)) {
		left = w->deadline - jiffies;
		if (left <= 0)
			return -ETIMEDOUT;
		if (told_to_stop(w) || signal_pending(current))
			return -EINTR;
		wait_event_interruptible_timeout(*sk_sleep(w->sk), settled(w),
						 min_t(unsigned long, left, step));
	}
	return 0;
}

/*
 * If nobody listens on a local port of the ephemeral range, a SYN to it may come from that very
 * port: TCP then connects the socket with itself.
 */
static bool connected_to_itself(struct socket *sock)
{
	struct sockaddr_storage here = { }, there = { };
	int n = kernel_getsockname(sock, (struct sockaddr *)&here);

	return n > 0 && kernel_getpeername(sock, (struct sockaddr *)&there) == n &&
	       !memcmp(&here, &there, n);
}

static int do_connect(struct socket *sock, const struct circle_addr *addr,
		      const struct connecting *w)
{
	struct sockaddr_storage ss;
	int len, err;

	len = circle_sock_addr(addr, &ss);
	if (len < 0)
		return len;
	err = kernel_connect(sock, (struct sockaddr *)&ss, len, O_NONBLOCK);
	while (err == -EINPROGRESS || err == -EALREADY) {
		err = wait_settled(w);
		if (!err)
			err = kernel_connect(sock, (struct sockaddr *)&ss, len, O_NONBLOCK);
	}
	if (!err && connected_to_itself(sock))
		err = -ECONNREFUSED;
	return err;
}

struct socket *circle_sock_connect(struct net *net, const struct circle_addr *addr,
				   unsigned int timeout_ms, bool (*stop)(void *priv), void *priv)
{
	struct connecting w = {
		.stop = stop,
		.priv = priv,
		.deadline = jiffies + msecs_to_jiffies(timeout_ms),
	};
	unsigned int noio = memalloc_noio_save();
	struct socket *sock;
	int err;

	sock = create(net, addr->family == 6 ? AF_INET6 : AF_INET);
	if (IS_ERR(sock))
		goto out;
	w.sk = sock->sk;
	err = do_connect(sock, addr, &w);
	if (err) {
		circle_sock_release(sock);
		sock = ERR_PTR(err);
	}
out:
	memalloc_noio_restore(noio);
	return sock;
}

static int do_listen(struct socket *sock, const struct circle_addr *addr)
{
	struct sockaddr_storage ss;
	int len, err;

	len = circle_sock_addr(addr, &ss);
	if (len < 0)
		return len;
	sock_set_reuseaddr(sock->sk);
	err = kernel_bind(sock, (struct sockaddr *)&ss, len);
	return err ?: kernel_listen(sock, BACKLOG);
}

struct socket *circle_sock_listen(struct net *net, const struct circle_addr *addr)
{
	struct socket *sock = create(net, addr->family == 6 ? AF_INET6 : AF_INET);
	int err;

	if (IS_ERR(sock))
		return sock;
	err = do_listen(sock, addr);
	if (err) {
		circle_sock_release(sock);
		return ERR_PTR(err);
	}
	return sock;
}

void circle_sock_abort(struct socket *sock)
{
	tcp_abort(sock->sk, ECONNABORTED);
}

/* Lingering for no time (circle_sock_setup) makes the release a reset, not a farewell. */
void circle_sock_release(struct socket *sock)
{
	if (sock)
		sock_release(sock);
}

/*
 * Never taken back, as in nbd and nvme-tcp: sk_clear_memalloc() takes the lock of CPU hotplug,
 * whose owner may be waiting for reclaim, and so for whoever closes a connection. What is left
 * behind is a static key that stays on.
 */
void circle_sock_use_reserves(struct socket *sock)
{
	if (!sock_flag(sock->sk, SOCK_MEMALLOC))
		sk_set_memalloc(sock->sk);
}

void circle_sock_set_timeout(struct socket *sock, unsigned int timeout_ms)
{
	tcp_sock_set_user_timeout(sock->sk, timeout_ms);
}

int circle_sock_send(struct socket *sock, struct iov_iter *it, bool more, bool lend)
{
	struct msghdr msg = {
		.msg_iter = *it,
		.msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0) |
			     (lend ? CIRCLE_COMPAT_SPLICE : 0),
	};
	bool reserves = sock_flag(sock->sk, SOCK_MEMALLOC);
	unsigned int flags = 0;
	int n;

	if (reserves)
		flags = memalloc_noreclaim_save();
	n = sock_sendmsg(sock, &msg);
	if (reserves)
		memalloc_noreclaim_restore(flags);
	if (n > 0)
		iov_iter_advance(it, n);
	return n ?: -EAGAIN;
}

int circle_sock_recv(struct socket *sock, struct iov_iter *it)
{
	struct msghdr msg = { .msg_iter = *it };
	bool reserves = sock_flag(sock->sk, SOCK_MEMALLOC);
	unsigned int flags = 0;
	int n;

	if (reserves)
		flags = memalloc_noreclaim_save();
	n = sock_recvmsg(sock, &msg, 0);
	if (reserves)
		memalloc_noreclaim_restore(flags);
	if (n > 0)
		iov_iter_advance(it, n);
	return n ?: -ECONNRESET;
}
