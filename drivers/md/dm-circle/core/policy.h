/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * policy: which blocks to take into the cache and which to take out. Pure; never decides anything
 * that correctness depends on.
 *
 * After S3-FIFO: what is new enters a small queue, what was used there or comes back soon after it
 * left moves to a main queue; two bits count uses, and nothing moves on a hit. Two things differ,
 * because a read that is promoted costs a write to the SSD:
 * - while the cache is full, a block is promoted when it is missed again while a table of ghosts
 *   still remembers it (a scan leaves nothing behind);
 * - and then only if the main queue's oldest block has no uses left. Else that one loses a use and
 *   gets another round, and the candidate may try again. So a loop larger than the cache keeps a
 *   part of it, instead of pushing out each block just before it is needed.
 *
 * The ghosts and streams are shared by all CPUs without a lock: a race makes one be forgotten, or
 * a stream be taken for none.
 */
#ifndef CIRCLE_CORE_POLICY_H
#define CIRCLE_CORE_POLICY_H

#include <linux/types.h>

#define CIRCLE_STREAMS		8
#define CIRCLE_STREAM_SECTORS	2048u	/* a stream longer than 1 MiB is sequential */
#define CIRCLE_USES_MAX		3u	/* of a block: two bits */
#define CIRCLE_GHOSTS		4	/* tags in a set */

struct circle_stream {
	u64 next;		/* sector that would continue it */
	u32 run;		/* sectors so far */
};

struct circle_policy {
	u64 *ghost;		/* sets of tags of 16 bits; 0: none */
	u32 nr_sets;
	u32 turn;		/* which tag of a full set goes next */
	struct circle_stream stream[CIRCLE_STREAMS];
	u32 victim;		/* stream that is replaced next */
};

/* Of a block that is not in the cache. */
enum circle_admit {
	CIRCLE_ADMIT_NOT,
	CIRCLE_ADMIT_SMALL,	/* into the small queue */
	CIRCLE_ADMIT_MAIN,	/* into the main queue; a read if it wins, see below */
};

/* Of the oldest block in a queue, when room is needed. */
enum circle_fate {
	CIRCLE_FATE_EVICT,
	CIRCLE_FATE_AGAIN,	/* to the head of its queue */
	CIRCLE_FATE_MAIN,	/* to the head of the main queue */
};

/* How many sets remember as many blocks as the cache holds. */
static inline u32 circle_policy_sets(u32 nr_slots)
{
	return nr_slots / CIRCLE_GHOSTS + 1;
}

void circle_policy_init(struct circle_policy *p, u64 *ghost, u32 nr_sets);

/* A request for sectors [sector, sector + n). True: part of a long sequential stream. */
bool circle_policy_sequential(struct circle_policy *p, u64 sector, u32 n);

/* A block is remembered; or asked for, and forgotten if it was. */
void circle_policy_remember(struct circle_policy *p, u64 block);
bool circle_policy_recall(struct circle_policy *p, u64 block);

/*
 * A read missed. stream: circle_policy_sequential() said so. room: there are slots that nobody
 * needs. On CIRCLE_ADMIT_MAIN it is promoted if circle_policy_wins() against the main queue's
 * oldest, and is to be remembered if not.
 */
enum circle_admit circle_policy_read(struct circle_policy *p, u64 block, bool stream, bool room);
/* A write missed. It enters; if the cache is crowded, only when it was missed lately. */
enum circle_admit circle_policy_write(struct circle_policy *p, u64 block, bool crowded);
/* False: the oldest has lost a use and goes to the head. */
bool circle_policy_wins(u32 *uses);

/* Where to look for a victim first: what is small is a tenth. */
bool circle_policy_small_first(u32 nr_small, u32 nr_main);
/* The oldest block of a queue. One that is evicted from the small queue is to be remembered. */
enum circle_fate circle_policy_fate(bool main, u32 *uses);

#endif
