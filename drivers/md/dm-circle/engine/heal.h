/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * heal: dirty blocks that have fewer holders than the degree asks for, since a peer left the view
 * or the degree was raised, are copied to other peers, those with the fewest holders first (R7).
 * What no peer has room for is left to write-back.
 */
#ifndef CIRCLE_ENGINE_HEAL_H
#define CIRCLE_ENGINE_HEAL_H

#include <linux/types.h>

struct circle_heal;
struct circle_node;

/* Process context. A local cache has none, which all of these allow. */
int circle_heal_init(struct circle_node *node);
void circle_heal_exit(struct circle_node *node);

/* Any context: the view has changed, or the degree was raised: from the most exposed on. */
void circle_heal_anew(struct circle_node *node);

/* Process context. start: live again. stop, with bg_stop set: no copy is under way when it returns;
 * bounded by the timeout.
 */
void circle_heal_start(struct circle_node *node);
void circle_heal_stop(struct circle_node *node);

/* Any context: it gets on, or is about to. */
bool circle_heal_tries(const struct circle_node *node);

/* Any context: it does not get on, nor is a peer expected back: exposed blocks are write-back's. */
bool circle_heal_unable(const struct circle_node *node);

#endif
