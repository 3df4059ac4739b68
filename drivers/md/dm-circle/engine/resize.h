/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * resize: origin and cache device of another size than the metadata know.
 */
#ifndef CIRCLE_ENGINE_RESIZE_H
#define CIRCLE_ENGINE_RESIZE_H

#include "bringup.h"

/* Slots that the cache device has room for. */
u64 circle_slots_of(const struct circle_devices *dev, const struct circle_config *conf);

/*
 * Preresume, process context: node loaded and quiet, before the table's configuration is taken; in
 * a circle before its server runs. Follows both devices' sizes, or says in the log why not and
 * changes nothing: -EFBIG: something dirty, or a peer's, stands in what would go; -ENOSPC, -ENOMEM,
 * -EIO.
 */
int circle_resize(struct circle_node *node, const struct circle_devices *dev,
		  const struct circle_config *conf);

#endif
