/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * serve: the server side. Stores other owners' replicas in spare slots of this node's cache.
 *
 * R13: serving waits for local I/O alone: never for a peer, the origin, the label, write-back, or
 * the host's own writes. Its memory is a reserve of its own, sized to the windows that it grants.
 */
#ifndef CIRCLE_ENGINE_SERVE_H
#define CIRCLE_ENGINE_SERVE_H

#include <linux/types.h>

/*
 * What owners may rely on, beyond format/wire.h:
 * - FENCED means that another is rightful, whom the answer names; NOT_ADMITTED, for what needs a
 *   FENCE, that this session did none.
 * - FENCE is answered OK when no request of an earlier FENCE, this set's, is under way any more.
 * - A replica exists when the first REPLICATE without FILL was stored, which waits for those of
 *   the block that were sent before. One of which a write failed does not exist (IO) until it is
 *   released. A block refused with NO_SPACE is refused for 5 s, or until it is released. So a
 *   replica never lacks a page that its tag covers, however much was sent ahead.
 * - RELEASE with block U64_MAX and ALL_GENS is of all replicas of the set; status BUSY: some block
 *   was in use for too long. LIST's cursor is opaque, U64_MAX at the end.
 * - With KEEP it parks those of the frame's generation: durably they are no replicas, and are
 *   neither listed nor fetched. REVIVE finds one that was not evicted, with its very tag, or none
 *   (NOT_FOUND); if that is OK, all frames of the block up to that tag are in it.
 */
struct circle_node;
struct circle_server;
struct circle_addr;
struct net;

/*
 * Process context. Listens from the first resume until stop; goes on across suspend and reload.
 * ERR_PTR: what the listener said.
 */
struct circle_server *circle_server_start(struct circle_node *node, struct net *net,
					  const struct circle_addr *addr);
/*
 * Ends all sessions; bounded by local I/O. NULL is allowed. True: all that was received is carried
 * out, and no replica was lost to the disk.
 */
bool circle_server_stop(struct circle_server *srv);
/*
 * serve_park.c, after that, process context. True: once there were a commit and a checkpoint, the
 * metadata device has all tags, and each replica has all that its tag covers.
 */
bool circle_serve_tidy(struct circle_node *node);

/* Any context: slots lent, how many may be, sessions connected. */
struct circle_server_stats {
	u32 lent, limit, sessions;
};

void circle_server_stats(struct circle_server *srv, struct circle_server_stats *st);
/* Any context: sessions that have fenced and are not over: owners that may count on us. */
u32 circle_server_owners(struct circle_server *srv);

#endif
