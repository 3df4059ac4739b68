/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * place: which peers shall hold a block. Pure. Two holders never share a domain (R2).
 */
#ifndef CIRCLE_CORE_PLACE_H
#define CIRCLE_CORE_PLACE_H

#include <circle/types.h>

struct circle_cand {
	bool able;		/* in the durable view, reachable, resynchronised */
	u32 space;		/* slots that it still lends */
	const u8 *domain;	/* CIRCLE_DOMAIN_SIZE bytes */
};

/* Chooses `degree` of n candidates, from number `start` on, foreign domains before our own. Returns
 * their mask, or 0 when there are not enough. degree >= 1, n <= CIRCLE_MAX_PEERS.
 */
u32 circle_place_choose(const struct circle_cand *cand, unsigned int n, unsigned int degree,
			const u8 *own_domain, unsigned int start);

/* One more for a block that those of `have` hold already: its bit, or 0. Spoils `able`. */
u32 circle_place_add(struct circle_cand *cand, unsigned int n, u32 have, const u8 *own_domain,
		     unsigned int start);

#endif
