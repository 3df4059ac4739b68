// SPDX-License-Identifier: GPL-2.0-only
/*
 * policy: see policy.h. What several CPUs may touch at once is read once and written once.
 */
#include "policy.h"

#include <linux/compiler.h>
#include <linux/string.h>

#define TAG_BITS	16
#define TAG_MASK	0xffffull

void circle_policy_init(struct circle_policy *p, u64 *ghost, u32 nr_sets)
{
	memset(p, 0, sizeof(*p));
	p->ghost = ghost;
	p->nr_sets = nr_sets;
	memset(ghost, 0, nr_sets * sizeof(*ghost));
}

static bool continues(struct circle_stream *s, u64 sector, u32 n, bool *stream)
{
	u32 run = READ_ONCE(s->run);

	if (!run || READ_ONCE(s->next) != sector)
		return false;
	WRITE_ONCE(s->next, sector + n);
	if (run <= CIRCLE_STREAM_SECTORS) {
		run += n;
		WRITE_ONCE(s->run, run);
	}
	*stream = run > CIRCLE_STREAM_SECTORS;
	return true;
}

bool circle_policy_sequential(struct circle_policy *p, u64 sector, u32 n)
{
	struct circle_stream *s;
	bool stream;
	u32 i;

	for (i = 0; i < CIRCLE_STREAMS; i++)
		if (continues(&p->stream[i], sector, n, &stream))
			return stream;
	i = READ_ONCE(p->victim);
	WRITE_ONCE(p->victim, i + 1);
	s = &p->stream[i % CIRCLE_STREAMS];
	WRITE_ONCE(s->run, n);
	WRITE_ONCE(s->next, sector + n);
	return false;
}

static u64 *set_of(struct circle_policy *p, u64 block, u64 *tag)
{
	u64 h = block * 0x9e3779b97f4a7c15ull;

	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9ull;
	*tag = (h & TAG_MASK) ?: 1;
	return &p->ghost[(h >> 32) * p->nr_sets >> 32];
}

bool circle_policy_recall(struct circle_policy *p, u64 block)
{
	u64 tag, *set = set_of(p, block, &tag), v = READ_ONCE(*set);
	u32 at;

	for (at = 0; at < CIRCLE_GHOSTS * TAG_BITS; at += TAG_BITS)
		if ((v >> at & TAG_MASK) == tag) {
			WRITE_ONCE(*set, v & ~(TAG_MASK << at));
			return true;
		}
	return false;
}

/* In a full set any may go: taking the oldest would forget all of a loop that just exceeds it. */
void circle_policy_remember(struct circle_policy *p, u64 block)
{
	u64 tag, *set = set_of(p, block, &tag), v = READ_ONCE(*set);
	u32 at, turn;

	for (at = 0; at < CIRCLE_GHOSTS * TAG_BITS; at += TAG_BITS)
		if (!(v >> at & TAG_MASK))
			break;
	if (at == CIRCLE_GHOSTS * TAG_BITS) {
		turn = READ_ONCE(p->turn);
		WRITE_ONCE(p->turn, turn + 1);
		at = (turn * 0x9e3779b9u >> 30) * TAG_BITS;
	}
	WRITE_ONCE(*set, (v & ~(TAG_MASK << at)) | tag << at);
}

enum circle_admit circle_policy_read(struct circle_policy *p, u64 block, bool stream, bool room)
{
	if (room)
		return CIRCLE_ADMIT_SMALL;
	if (circle_policy_recall(p, block))
		return CIRCLE_ADMIT_MAIN;
	if (!stream)
		circle_policy_remember(p, block);
	return CIRCLE_ADMIT_NOT;
}

enum circle_admit circle_policy_write(struct circle_policy *p, u64 block, bool crowded)
{
	if (circle_policy_recall(p, block))
		return CIRCLE_ADMIT_MAIN;
	if (!crowded)
		return CIRCLE_ADMIT_SMALL;
	circle_policy_remember(p, block);
	return CIRCLE_ADMIT_NOT;
}

bool circle_policy_wins(u32 *uses)
{
	if (!*uses)
		return true;
	--*uses;
	return false;
}

bool circle_policy_small_first(u32 nr_small, u32 nr_main)
{
	return nr_small && (u64)nr_small * 10 >= (u64)nr_small + nr_main;
}

enum circle_fate circle_policy_fate(bool main, u32 *uses)
{
	if (!*uses)
		return CIRCLE_FATE_EVICT;
	if (main) {
		--*uses;
		return CIRCLE_FATE_AGAIN;
	}
	*uses = 0;
	return CIRCLE_FATE_MAIN;
}
