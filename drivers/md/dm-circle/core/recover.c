// SPDX-License-Identifier: GPL-2.0-only
/*
 * recover: see recover.h. The rule is R6 of Documentation/design.rst; it never claims more than
 * the label's floor proves.
 */
#include "recover.h"

enum circle_verdict circle_recover_judge(const struct circle_evidence *e)
{
	if (e->lost)
		return CIRCLE_REFUSED;
	if (e->empty)
		return CIRCLE_COMPLETE;
	if (e->unreachable + e->restarted < e->floor)
		return e->weak ? CIRCLE_WEAK : CIRCLE_COMPLETE;
	if (e->unreachable < e->floor || e->ssd)
		return CIRCLE_WEAK;
	return CIRCLE_REFUSED;
}

int circle_copy_order(const void *a, const void *b)
{
	const struct circle_copy *x = a, *y = b;
	struct circle_tag s = { x->gen, x->seq }, t = { y->gen, y->seq };
	int c;

	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	if (x->believed != y->believed)
		return x->believed ? -1 : 1;
	c = circle_tag_cmp(t, s);
	if (c)
		return c;
	return (int)x->from - (int)y->from;
}
