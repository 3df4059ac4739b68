/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * away: peers that leave in order (R7). One that is to be rebooted or upgraded says so, and for how
 * long, in each answer; its owners then do without it, and for that time do not heal what it had:
 * its replicas are intact, and are revived when it is back. It is out of the view like one that
 * was lost, and what only it held is at risk, as at_risk says.
 */
#ifndef CIRCLE_ENGINE_AWAY_H
#define CIRCLE_ENGINE_AWAY_H

#include <linux/types.h>

struct circle_circle;
struct circle_node;
struct circle_peer;

#define CIRCLE_LEAVE_SECONDS	300u	/* default */
#define CIRCLE_LEAVE_MAX	86400u	/* what is believed of anybody, too, once it is gone */

/* Our own wish, as a server. Process context; 0 takes it back. */
void circle_away_leave(struct circle_node *node, u32 seconds);
/* Any context: seconds of it that are left; 0: we are not leaving. */
u32 circle_away_left(struct circle_node *node);

/* peer->lock held: what its last answer said. */
void __circle_away_heard(struct circle_peer *p, u32 seconds);
/* Any context: it said that it leaves, and we can do without it. */
bool circle_away_let_go(struct circle_peer *p);

/* The steward's: lets go whom it can do without, and sees whose time is over. Sleeps. */
void circle_away_round(struct circle_node *node);
/*
 * circle->lock held, before the floor is set: this view is durable, and these are out of it. What
 * is missing for another reason too is healed, all of it.
 */
void __circle_away_view(struct circle_circle *c, u32 view, u32 gone);
/* circle->lock held: more holders are asked for than there were. */
void __circle_away_forget(struct circle_circle *c);

/*
 * Any context: all holders that are missing have left in order, and all of them are expected back.
 */
bool circle_away_expected(const struct circle_node *node);
/* Any context: seconds until this one is not expected any more; 0: it is not. */
u32 circle_away_due(const struct circle_peer *p);

#endif
