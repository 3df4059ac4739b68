/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * policy: which missed blocks to promote. Pure; the caller gives memory and holds a lock.
 *
 * A block is promoted when it is missed again while a table of recent misses still remembers it
 * (so a single scan leaves nothing behind), and not while it is part of a long sequential stream.
 */
#ifndef CIRCLE_CORE_POLICY_H
#define CIRCLE_CORE_POLICY_H

#include <linux/types.h>

#define CIRCLE_STREAMS		8
#define CIRCLE_STREAM_SECTORS	2048u	/* a stream longer than 1 MiB is sequential */

struct circle_stream {
	u64 next;		/* sector that would continue it */
	u32 run;		/* sectors so far */
};

struct circle_policy {
	u16 *ghost;		/* tags of recent misses, nr_ghosts (a power of two); 0: none */
	u32 nr_ghosts;
	struct circle_stream stream[CIRCLE_STREAMS];
	u32 victim;		/* stream that is replaced next */
};

void circle_policy_init(struct circle_policy *p, u16 *ghost, u32 nr_ghosts);

/* A request for sectors [sector, sector + n). True: part of a long sequential stream. */
bool circle_policy_sequential(struct circle_policy *p, u64 sector, u32 n);

/* A read of this block missed. True: promote it. */
bool circle_policy_miss(struct circle_policy *p, u64 block);

#endif
