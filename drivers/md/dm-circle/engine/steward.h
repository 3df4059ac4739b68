/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * steward: label and views. Process context, sleeps; the steward's thread, or activation before it
 * runs, alone.
 */
#ifndef CIRCLE_ENGINE_STEWARD_H
#define CIRCLE_ENGINE_STEWARD_H

#include "circle.h"

/* Reads the label area and renews the lease. 0; -ESTALE: somebody else is rightful, we are fenced;
 * -EIO: it cannot be read or judged.
 */
int circle_label_look(struct circle_node *node);

/* The label as last written is durable: does it say VOID? The steward. */
void circle_label_voided(struct circle_node *node);

/* Writes c->label to our place, then looks. 0: it is durable and we are the rightful owner. */
int circle_label_store(struct circle_node *node);

/* Dirty pages of blocks with fewer than degree holders in view; *dirty: is anything. */
u64 circle_exposed_pages(struct circle_node *node, u32 view, u32 degree, bool *dirty);

/* A round over all slots: has a block of ours holders, be it only since their release is under way?
 */
bool circle_holders_left(const struct circle_node *node);

u32 circle_ready_peers(const struct circle_circle *c);	/* any context: just now */

u64 circle_at_risk(struct circle_node *node);	/* process context: bytes; a round over all slots */

void circle_fenced(struct circle_node *node, u64 gen);	/* any context: gen exists */

/* The thread's life: activation. */
int circle_steward_start(struct circle_node *node);
void circle_steward_stop(struct circle_node *node);

#endif
