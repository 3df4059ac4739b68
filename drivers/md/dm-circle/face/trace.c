// SPDX-License-Identifier: GPL-2.0-only
/*
 * trace: the bodies of the tracepoints that ../trace.h declares.
 */
#include <linux/device-mapper.h>
#include "../engine/node.h"

static inline dev_t circle_trace_dev(const struct circle_node *node)
{
	return disk_devt(dm_disk(node->md));
}

#define CREATE_TRACE_POINTS
#include "../trace.h"
