// SPDX-License-Identifier: GPL-2.0-only
/*
 * wb_plan: may the dirty blocks of a circle's own set go from this SSD to the origin? Only if the
 * SSD has the newest of all of them, as far as can be known without asking a peer. It never
 * guesses: what --force may add is only what a stop out of order leaves open.
 */
#include "tool.h"
#include "wb.h"

static enum wb_plan refuse_fit(const struct wb *w)
{
	char why[256];

	area_fit_text(w->fit, &w->area, &w->meta.sb, why, sizeof(why));
	tool_err("refused: %s", why);
	if (w->fit == AREA_OVERTAKEN && w->area.cur.state != CIRCLE_LS_TAKING)
		tool_err("what was dirty here was recovered from the peers; these metadata can only be wiped");
	return WB_REFUSED;
}

/* Peers in view may have completed writes that an unclean stop has taken from the SSD (R6). */
static enum wb_plan stopped_badly(struct wb *w, unsigned int peers)
{
	w->weak = true;
	if (!peers) {
		tool_note("the stop was unclean and no peer has replicas: what the SSD has is complete up to the last FLUSH");
		return WB_GO;
	}
	if (!w->force) {
		tool_err("refused: the stop was unclean, and %u peers of the view may have newer data than this SSD%s. Create the device, which asks them; or say --force, which takes the SSD's: completed writes since the last FLUSH may be lost",
			 peers, w->area.cur.state == CIRCLE_LS_RECOVERING ?
			 "; a recovery has begun to write these to the origin" : "");
		return WB_REFUSED;
	}
	tool_log("--force: node %u, generation %llu: after an unclean stop the SSD's data are taken, those of %u peers are not asked for: completed writes since the last FLUSH may be lost",
		 w->meta.sb.node_id, w->meta.sb.generation, peers);
	return WB_GO;
}

enum wb_plan wb_plan(struct wb *w)
{
	const struct circle_label *l = &w->area.cur;

	if (w->fit == AREA_UNUSED && (l->state != CIRCLE_LS_CLEAN || w->area.view.tie)) {
		tool_err("refused: these metadata were never used, and the origin is not whole: node %u, generation %llu, has the rest, or those that hold its blocks",
			 l->node_id, l->generation);
		return WB_REFUSED;
	}
	if ((w->fit == AREA_FRESH || w->fit == AREA_UNUSED) && !w->meta.sum.own_dirty) {
		tool_note("these metadata were never used: there is nothing to write back");
		return WB_NOTHING;
	}
	if (w->fit != AREA_OURS) {
		if (w->fit == AREA_FRESH || w->fit == AREA_UNUSED)
			tool_err("refused: there are dirty blocks, but these metadata were never the label's");
		else
			refuse_fit(w);
		return WB_REFUSED;
	}
	/* What is marked dirty beside it are intents; the origin may have changed since. */
	if (area_says_empty(l)) {
		tool_note("the label says that nothing is dirty: there is nothing to write back");
		return WB_NOTHING;
	}
	if (!(l->flags & CIRCLE_LBF_SSD)) {
		tool_err("refused: the label does not count this SSD, so what it has is not believed. Create the device, which asks the peers");
		return WB_REFUSED;
	}
	return w->meta.unclean ? stopped_badly(w, area_in_view(l)) : WB_GO;
}
