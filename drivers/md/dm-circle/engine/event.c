// SPDX-License-Identifier: GPL-2.0-only
/*
 * event: tells those who wait for the device (`dmsetup wait`) when the metadata's mode changed, and
 * when the last dirty block became clean. Posting never sleeps; the live table is told by a work
 * item, which its postsuspend waits for.
 */
#include "node.h"

#include <linux/device-mapper.h>

static void event_work(struct work_struct *work)
{
	struct circle_event *e = container_of(work, struct circle_event, work);

	mutex_lock(&e->lock);
	if (e->table)
		dm_table_event(e->table);
	mutex_unlock(&e->lock);
}

void circle_event_init(struct circle_node *node)
{
	mutex_init(&node->event.lock);
	INIT_WORK(&node->event.work, event_work);
}

void circle_event_exit(struct circle_node *node)
{
	cancel_work_sync(&node->event.work);
}

void circle_event_post(struct circle_node *node)
{
	schedule_work(&node->event.work);
}

void circle_event_table(struct circle_node *node, struct dm_table *table)
{
	struct circle_event *e = &node->event;

	if (!table)
		flush_work(&e->work);
	mutex_lock(&e->lock);
	e->table = table;
	mutex_unlock(&e->lock);
}

void circle_event_tick(struct circle_node *node)
{
	if (!READ_ONCE(node->slots->cleaned))
		return;
	WRITE_ONCE(node->slots->cleaned, false);	/* first: what is set again is told again */
	circle_event_post(node);
}
