/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sock: TCP sockets as this module needs them: alive as long as their network namespace, never in
 * the way of memory reclaim, reset instead of lingering.
 */
#ifndef CIRCLE_NET_SOCK_H
#define CIRCLE_NET_SOCK_H

#include <linux/socket.h>

#include "../core/config.h"

struct iov_iter;
struct net;
struct socket;

/*
 * Connects. Process context; the caller holds a reference to net during the call (the socket has
 * its own from then on). Ends early when stop(priv) says so (asked every 50 ms; stop may be NULL),
 * a kthread is told to stop, or a signal comes: -EINTR. -ETIMEDOUT after timeout_ms. ERR_PTR.
 */
struct socket *circle_sock_connect(struct net *net, const struct circle_addr *addr,
				   unsigned int timeout_ms, bool (*stop)(void *priv), void *priv);

/* Bound and listening. Process context, ERR_PTR. */
struct socket *circle_sock_listen(struct net *net, const struct circle_addr *addr);

/* Makes an accepted socket one of ours. */
void circle_sock_setup(struct socket *sock);

/*
 * Resets the connection (queued data is thrown away) and wakes whoever sleeps in the socket with
 * an error. Process context. The socket stays until it is released.
 */
void circle_sock_abort(struct socket *sock);

/* Resets and frees. Process context; NULL is allowed. */
void circle_sock_release(struct socket *sock);

/* From now on the socket may use the memory reserves, in circle_sock_send and _recv only. */
void circle_sock_use_reserves(struct socket *sock);

/* How long sent data may stay unacknowledged, 0: the system's default. Process context. */
void circle_sock_set_timeout(struct socket *sock, unsigned int timeout_ms);

/*
 * Copies into the send buffer what fits and advances *it. Never waits for room. more: other data
 * follows at once. lend: TCP may keep the pages instead of a copy (none of slab, and they stay as
 * they are until the other end has read them). Bytes (> 0), -EAGAIN (no room or no memory), or
 * -errno.
 */
int circle_sock_send(struct socket *sock, struct iov_iter *it, bool more, bool lend);

/*
 * Waits for data and stores what is there, up to the length of *it, which is advanced. No timeout:
 * circle_sock_abort() ends it. Bytes (> 0) or -errno; -ECONNRESET also for an orderly end.
 */
int circle_sock_recv(struct socket *sock, struct iov_iter *it);

/* Returns the size of the address. -EAFNOSUPPORT. */
int circle_sock_addr(const struct circle_addr *addr, struct sockaddr_storage *out);

#endif
