/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * invalidate: see invalidate.c.
 */
#ifndef CIRCLE_ENGINE_INVALIDATE_H
#define CIRCLE_ENGINE_INVALIDATE_H

#include "node.h"

/*
 * Process context, sleeps. Slots [begin, end): what they have of the own origin leaves the cache,
 * durably when this returns. Replicas are passed over. 0; -EBUSY or -EAGAIN: *refused - 1 is the
 * first slot that stayed, since it is dirty or held, or was in use for seconds on end; -ERANGE:
 * there are fewer slots; -ENODEV: the device is suspended; -EIO: the metadata cannot be written.
 */
int circle_invalidate(struct circle_node *node, u32 begin, u32 end, u32 *refused);

#endif
