/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * live: a takeover, or an owner that restarts, serves the host before what it found is at the
 * origin. Until then all writes go through (circle_node_through()), and requests for what is not
 * drained yet wait for that.
 */
#ifndef CIRCLE_ENGINE_LIVE_H
#define CIRCLE_ENGINE_LIVE_H

#include "recover_impl.h"

struct circle_io;

/*
 * preresume, all lists are in; the verdict is COMPLETE, or circle_live_own_can(): writes the label
 * that counts the peers that are believed, after FLUSHes there and at the origin. Sleeps. On 0 r's
 * copies are its own, and node->recovering is set. -ENOMEM, -EACCES (what is believed is too
 * little, or cannot be flushed, or, behind the label, the SSD's metadata not be written): it is to
 * be drained instead;
 * -EAGAIN: to be judged anew; -EIO, -ESTALE.
 */
int circle_live_begin(struct circle_node *node, struct circle_recovery *r);
/* May an owner that restarts with its SSD be live so? All lists are in. Sleeps. */
bool circle_live_own_can(const struct circle_recovery *r);

/* map(), node->recovering seen. False: it waits, or has been ended. */
bool circle_live_gate(struct circle_io *io);

/* The steward: what is to be done now; at the end the ordinary label. */
void circle_live_round(struct circle_node *node);
/* Any context: what waits ends, to be tried again or with an error. */
void circle_live_end_waits(struct circle_node *node);

/* presuspend: nothing that nobody waits for. postsuspend: nothing at all; sleeps. Live again. */
void circle_live_pause(struct circle_node *node);
void circle_live_stop(struct circle_node *node);
void circle_live_go_on(struct circle_node *node);

/* Deactivation, the steward has ended, or its failure. Sleeps. */
void circle_live_free(struct circle_node *node);

/* Any context, for status: blocks not drained yet; dirty pages with fewer holders than degree. */
u32 circle_live_left(struct circle_node *node);
s64 circle_live_eta(struct circle_node *node);	/* s to the end at this pace; -1: not known */
u64 circle_live_exposed(struct circle_node *node, u32 degree);

#endif
