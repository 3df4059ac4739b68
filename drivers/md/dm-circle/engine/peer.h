/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * peer: the life of one peer at the client's end: its manager, who makes it DOWN, UP and READY, and
 * what others may say about it. Process context, may sleep, unless said otherwise.
 */
#ifndef CIRCLE_ENGINE_PEER_H
#define CIRCLE_ENGINE_PEER_H

#include "circle.h"

/* start: 0 or -errno of the thread. stop: its connection is reset; the manager has ended when it
 * returns. For one that was never started, too.
 */
int circle_peer_start(struct circle_peer *peer);
void circle_peer_stop(struct circle_peer *peer);

bool circle_peer_here(struct circle_peer *peer);	/* it has greeted, and is connected */

/*
 * Bounded by the timeout. 0; -EACCES: it refused; -errno: no answer. No replica of ours is left
 * there, durably; keep: what was one may be parked. Or, if it has undurable writes, they are
 * durable.
 */
int circle_peer_release_all(struct circle_peer *peer, bool keep);
int circle_peer_flush(struct circle_peer *peer);

/* Any context: it has so many parked, it said. found: it had the one that was asked for. */
void circle_peer_keeps(struct circle_peer *peer, u64 blocks, bool found);

/* Any context: its connection is to end, which says the rest. why: for the log; NULL: it is meant.
 */
void circle_peer_lost(struct circle_peer *peer, const char *why);
/* Process context, does not sleep: the same for one that leaves in order (away.h). */
void circle_peer_let_go(struct circle_peer *peer);

/* Process context, does not sleep: a call of this turn found its connection ended: it is not READY
 * from now on, if nobody has said so yet.
 */
void circle_peer_down(struct circle_peer *peer, u32 turn);

#endif
