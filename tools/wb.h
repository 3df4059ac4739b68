/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * wb: the parts of circle_writeback. What is dirty on the SSD goes to the origin while no kernel
 * has the devices; the rules are the kernel's (Documentation/design.rst):
 *
 * - In a circle the SSD is believed only if the label is that of these metadata and counts the SSD,
 *   and only if nobody can have anything newer: after a stop in order, or when no peer is in the
 *   view (R3, R5, R6). wb_plan.c decides.
 * - In a circle nothing is written before the label is taken, with a new generation, and not while
 *   the last look at it is older than WB_LOOK_MS (R5). wb_label.c.
 * - The origin is flushed before anything says that it has the data (R4): first the label, which
 *   then says that nothing is dirty anywhere, then the metadata. So a crash between any two steps
 *   leaves what a restart, or a second run, does right.
 * - Replicas that are held for others are left alone.
 */
#ifndef CIRCLE_TOOL_WB_H
#define CIRCLE_TOOL_WB_H

#include "area.h"
#include "meta.h"

#define WB_LOOK_MS	2000
#define WB_LOOK_SECTORS	2048u	/* that a circle's origin is given behind one look */

struct wb_block {
	u32 slot;
	bool failed;
};

struct wb {
	struct dev meta_dev, origin, fast, label_dev;
	struct meta meta;
	bool circle;
	/* options */
	bool force, no_update, list_failed;
	u32 retries;
	u32 chunk;			/* sectors copied at once */
	/* what is to be copied, by block of the origin */
	struct wb_block *todo;
	u32 nr_todo;
	u64 pages, failed;
	bool shaken;			/* a write to the origin failed in this pass */
	/* a circle's label */
	struct area area;
	enum area_fit fit;
	struct circle_label label;	/* as we wrote it last */
	u32 label_copy;			/* to be written next */
	u64 looked_at;			/* ms */
	bool weak;			/* complete up to the last FLUSH only */
};

enum wb_plan { WB_GO, WB_NOTHING, WB_REFUSED };

/* A circle's only. Messages say why not. Sets w->weak. */
enum wb_plan wb_plan(struct wb *w);

/* 0 or -errno after a message. take: ours, with a new generation, and writing may begin. look: is
 * it still? Asks only when the last look is too old. clean: nothing is dirty anywhere.
 */
int wb_label_take(struct wb *w);
int wb_label_look(struct wb *w);
int wb_label_clean(struct wb *w);

/* Fills w->todo. -ENOMEM. */
int wb_collect(struct wb *w);

/* Copies, and flushes SSD and origin. Blocks that could not be copied are marked and counted; an
 * error, after a message, means that nothing can be said of any.
 */
int wb_copy(struct wb *w);

#endif
