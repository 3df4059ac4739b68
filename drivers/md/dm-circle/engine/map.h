/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * map: what device-mapper calls for a request.
 */
#ifndef CIRCLE_ENGINE_MAP_H
#define CIRCLE_ENGINE_MAP_H

#include "node.h"

struct bio;

/* Map path: does no synchronous I/O, never sleeps, allocates nothing. sector: within the target. */
int circle_map(struct circle_node *node, struct bio *bio, u64 sector);

/* Completion, any context. Returns DM_ENDIO_*. */
int circle_end_io(struct bio *bio, blk_status_t *status);

size_t circle_io_size(void);

#endif
