// SPDX-License-Identifier: GPL-2.0-only
/*
 * place: see place.h. It never asks who is full or away: the caller knows.
 */
#include "place.h"

#include <linux/string.h>

static bool clashes(const struct circle_cand *cand, unsigned int n, u32 chosen, unsigned int i)
{
	unsigned int k;

	for (k = 0; k < n; k++)
		if ((chosen >> k & 1) &&
		    !memcmp(cand[k].domain, cand[i].domain, CIRCLE_DOMAIN_SIZE))
			return true;
	return false;
}

u32 circle_place_choose(const struct circle_cand *cand, unsigned int n, unsigned int degree,
			const u8 *own_domain, unsigned int start)
{
	unsigned int pass, k, got = 0;
	u32 chosen = 0;

	for (pass = 0; pass < 2; pass++) {
		for (k = 0; k < n && got < degree; k++) {
			unsigned int i = (start + k) % n;
			bool own = !memcmp(cand[i].domain, own_domain, CIRCLE_DOMAIN_SIZE);

			if (own != !!pass || !cand[i].able || !cand[i].space)
				continue;
			if (clashes(cand, n, chosen, i))
				continue;
			chosen |= 1u << i;
			got++;
		}
	}
	return got == degree ? chosen : 0;
}

u32 circle_place_add(struct circle_cand *cand, unsigned int n, u32 have, const u8 *own_domain,
		     unsigned int start)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		cand[i].able &= !(have >> i & 1) && !clashes(cand, n, have, i);
	return circle_place_choose(cand, n, 1, own_domain, start);
}
