/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which versions may each sector show? The reasoning is in README.rst. Positions are sequence numbers of
 * log records; a version is the position of the record that announced its write.
 */
#ifndef HISTORY_MODEL_H
#define HISTORY_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "history_sector.h"

#define POS_NEVER	0xffffffffu
#define MODEL_WORKERS	1024

enum op_type { OP_NONE, OP_WRITE, OP_FUA, OP_READ, OP_FLUSH, OP_DISCARD, OP_TYPES };
enum discard_mode { DISCARD_OLD, DISCARD_ZEROES, DISCARD_ANY };
enum allow_mode { ALLOW_ALL, ALLOW_FLUSHED, ALLOW_FLUSHED_OBSERVED };

#define ENT_ANY		1	/* of the zero entry: a discard that may bring back any old version */
#define ENT_SUP_FLUSHED	2	/* something flushed surely came after it */
#define ENT_SUP_SEEN	4	/* something that was seen surely came after it */
#define ENT_SURE	8	/* completed without an error, or older than a crash */
#define ENT_FLUSHED	16	/* known to be durable */

/* A version (0: zeros) that a sector may show, or could have shown a moment ago. */
struct ent {
	uint32_t ver;
	uint32_t ub;		/* it took effect before this position, if at all */
	uint32_t drop;		/* from here on it is surely superseded */
	uint32_t next:27;	/* index into the pool; 0 ends the list */
	uint32_t fl:5;
};

struct op {
	enum op_type type;
	uint32_t inv;
	uint64_t start;		/* relative to the range */
	uint32_t n;
};

struct span {			/* an event which a FLUSH will make mandatory, or a range to tidy */
	uint64_t start;
	uint32_t n;
	uint32_t ver, inv, pos;
};

struct spanq {
	struct span *a;
	size_t head, used, size;	/* the size is a power of two */
};

struct model;
typedef void (*model_bad_fn)(struct model *m, uint64_t s, uint64_t found, uint32_t inv, uint32_t pos);

struct model {
	uint64_t sectors;
	enum discard_mode discard;
	bool track;		/* keep what is not yet superseded by something flushed */
	uint32_t pos;		/* the last position seen */
	struct ent *sec;	/* the first entry of each sector's list is in place */
	struct ent *pool;
	uint32_t pool_size, pool_used, pool_free;
	struct op ops[MODEL_WORKERS];
	unsigned int workers;	/* highest worker seen + 1 */
	uint32_t low;		/* no operation outstanding is older */
	unsigned int ticks;
	struct spanq unflushed, tidy;
	model_bad_fn bad;
	void *priv;
	uint64_t acked[OP_TYPES], failed[OP_TYPES], dead[OP_TYPES];
};

void model_init(struct model *m, uint64_t sectors, bool zero, enum discard_mode discard);
void model_free(struct model *m);

/* An operation is about to be issued; its record is at pos. False: the worker has one already, or the range is wrong. */
bool model_begin(struct model *m, unsigned int worker, enum op_type type, uint32_t pos, uint64_t start, uint32_t n);

/* It ended; found: what each sector of a read that succeeded showed. */
void model_end(struct model *m, unsigned int worker, uint32_t pos, bool ok, const uint64_t *found);

/* Everything in flight is over and may or may not have happened; with a mode other than ALLOW_ALL what was not
 * flushed may be lost. */
void model_crash(struct model *m, uint32_t pos, enum allow_mode mode);

/* May a read issued at inv show this? Does not change anything. */
bool model_legal(struct model *m, uint64_t s, uint64_t found, uint32_t inv);

/* It was seen: true when legal. When not, it is a possibility from now on, so that one lie is told once. */
bool model_observe(struct model *m, uint64_t s, uint64_t found, uint32_t inv, uint32_t pos);

/* From now on only what a running device may show is of interest. */
void model_go_live(struct model *m);

struct ent *model_next(struct model *m, struct ent *e);
static inline struct ent *model_first(struct model *m, uint64_t s)
{
	return &m->sec[s];
}

#endif
