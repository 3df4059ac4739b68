/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * behind: the clean blocks of a local cache are loaded while it serves already.
 */
#ifndef CIRCLE_ENGINE_BEHIND_H
#define CIRCLE_ENGINE_BEHIND_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

struct circle_io;
struct circle_node;

struct circle_behind {
	spinlock_t lock;		/* irq-safe; covers waiters */
	struct list_head waiters;	/* requests, until all is loaded */
	struct work_struct work;
};

void circle_behind_init(struct circle_node *node);
void circle_behind_start(struct circle_node *node);	/* live; nothing to load: does nothing */

/* Process context: waits for the end of what was started, which needs local I/O alone. */
void circle_behind_finish(struct circle_node *node);

/*
 * Any context. While it is true, a block that is not in the index may be in the cache all the same.
 * To be asked before the index is.
 */
bool circle_is_behind(const struct circle_node *node);

/*
 * Any context, no lock held. True: all is loaded. Else step will be run, on a queue, when it is:
 * first, as circle_io_queue() does it, or a later one.
 */
bool circle_behind_wait(struct circle_io *io, void (*step)(struct circle_io *io), bool first);

#endif
