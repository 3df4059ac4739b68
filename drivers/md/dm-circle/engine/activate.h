/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * activate: how a node becomes the rightful owner of its set (R5, R6). preresume, process context,
 * sleeps; waits are killable or bounded.
 */
#ifndef CIRCLE_ENGINE_ACTIVATE_H
#define CIRCLE_ENGINE_ACTIVATE_H

#include "bringup.h"
#include "circle.h"

enum circle_start {
	CIRCLE_START_FRESH = 0,	/* no label, no metadata: a new set */
	CIRCLE_START_ADOPT,	/* label clean, no metadata */
	CIRCLE_START_RESTART,	/* metadata match the label */
	CIRCLE_START_TAKE,	/* recover */
};

/*
 * plan.c. Reads the label and says whether metadata (m->sb; blank: none yet), label and table fit
 * together; sets m->sb's set_uuid and label place. Says in the log what does not fit, and what to
 * do.
 */
int circle_activate_plan(struct circle_node *node, const struct circle_devices *dev,
			 const struct circle_config *conf, bool blank);

/* Newest of a place's copies in c->area that has none of the flags `but`; false: there is none. */
bool circle_label_newest(struct circle_circle *c, u32 id, u32 but, struct circle_label *l,
			 struct circle_label *scratch);

/* The metadata are loaded, the server listens. On 0 the node is the owner; peers may join. */
int circle_activate(struct circle_node *node);

/* Undoes it, also when it failed half-way. Host I/O has ended. */
void circle_deactivate(struct circle_node *node);

/* recover.c: would a recovery be refused? Asked before the label is touched. -ENODATA. */
int circle_recover_check(struct circle_node *node);

/* May peers of the old view that are not in `here` have what would be missing without them? */
bool circle_recover_wants(struct circle_node *node, u32 here);

/*
 * activate.c: the label of an owner with nothing dirty but what is lost. Activation, or the steward
 * at the end of a recovery.
 */
int circle_label_open(struct circle_node *node);

/*
 * activate.c: all that was dirty is at the origin, durably, and no page is lost: whatever copies
 * there still are count no more. Activation, within its recovery.
 */
int circle_label_empty(struct circle_node *node);

/*
 * recover.c: lists, decision, drain (R6), unless it goes live before. The label says that we are
 * taking. -EAGAIN: a peer went away or restarted meanwhile, nothing was dropped.
 */
int circle_recover(struct circle_node *node);

#endif
