// SPDX-License-Identifier: GPL-2.0-only
/*
 * policy: see policy.h. Never decides anything that correctness depends on.
 */
#include "policy.h"

#include <linux/string.h>

void circle_policy_init(struct circle_policy *p, u16 *ghost, u32 nr_ghosts)
{
	memset(p, 0, sizeof(*p));
	p->ghost = ghost;
	p->nr_ghosts = nr_ghosts;
	memset(ghost, 0, nr_ghosts * sizeof(*ghost));
}

bool circle_policy_sequential(struct circle_policy *p, u64 sector, u32 n)
{
	struct circle_stream *s;
	u32 i;

	for (i = 0; i < CIRCLE_STREAMS; i++) {
		s = &p->stream[i];
		if (s->next != sector || !s->run)
			continue;
		s->next = sector + n;
		if (s->run <= CIRCLE_STREAM_SECTORS)
			s->run += n;
		return s->run > CIRCLE_STREAM_SECTORS;
	}
	s = &p->stream[p->victim++ % CIRCLE_STREAMS];
	s->next = sector + n;
	s->run = n;
	return false;
}

bool circle_policy_miss(struct circle_policy *p, u64 block)
{
	u64 h = block * 0x9e3779b97f4a7c15ull;
	u16 tag = (u16)(h >> 16) | 1;
	u16 *g = &p->ghost[(u32)(h >> 32) & (p->nr_ghosts - 1)];

	if (*g == tag) {
		*g = 0;
		return true;
	}
	*g = tag;
	return false;
}
