/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * listener: a listening socket and the thread that accepts from it.
 */
#ifndef CIRCLE_NET_LISTENER_H
#define CIRCLE_NET_LISTENER_H

#include "../core/config.h"

struct circle_listener;
struct net;
struct socket;

/*
 * accepted() gets each new connection in the listener's thread (GFP_NOIO scope, may sleep, must
 * return in bounded time) and owns the socket: circle_conn_create() or circle_sock_release().
 * Process context. ERR_PTR: what bind or listen said. Port 0: any free port.
 */
struct circle_listener *circle_listener_start(struct net *net, const struct circle_addr *addr,
					      void (*accepted)(void *priv, struct socket *sock),
					      void *priv);

/* Process context, not from accepted(). accepted() is not running afterwards. NULL is allowed. */
void circle_listener_stop(struct circle_listener *l);

u16 circle_listener_port(const struct circle_listener *l);	/* that is really listened on */

#endif
