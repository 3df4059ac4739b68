// SPDX-License-Identifier: GPL-2.0-only
/*
 * handover: a reload with another cache and another metadata device: a new SSD in the place of one
 * that failed, or is too small. The new table's node is another one. Device-mapper resumes it when
 * the one before is suspended, and destroys that one's table afterwards, whether that succeeded or
 * not: so nothing may depend on it then. Hence the one before must have nothing dirty, and must not
 * cache writes any more, before the new table is accepted.
 *
 * It must never let a new node serve while the one before has something that the origin has not, or
 * knows of pages that are lost (P4), or while its metadata could be believed later, when what is
 * clean there has become older than the origin (P3); nor forget what the host's next FLUSH is to
 * report (R4).
 */
#include "bringup.h"

#include <linux/delay.h>
#include <linux/sched/signal.h>
#include "../log.h"
#include "circle.h"
#include "degrade.h"
#include "steward.h"

#define LOOK_MS		50

/*
 * All is at the origin, and stays so: writes go there. By force also if nothing could be written
 * that says that a local cache's metadata are void.
 */
static bool is_done(const struct circle_node *old, const struct circle_config *conf)
{
	enum circle_health health = circle_node_health(old);

	return !READ_ONCE(old->recovering) && circle_node_through(old) &&
	       !atomic_read(&old->slots->nr_dirty) && !atomic_read(&old->slots->nr_old) &&
	       (health == CIRCLE_WELL || health == CIRCLE_BARE || (conf->force && !old->circle));
}

const char *circle_node_may_follow(const struct circle_node *old, const struct circle_devices *dev,
				   const struct circle_config *conf)
{
	if (!!old->circle != conf->circle)
		return "circle arguments cannot come or go by a reload: remove the device";
	if (old->origin_dev != dev->origin->bd_dev)
		return "the origin cannot be changed together with the cache: remove the device";
	if (conf->circle && old->circle->label_dev->bd_dev != (dev->label ?: dev->origin)->bd_dev)
		return "the label cannot be changed together with the cache: remove the device";
	if (old->circle && READ_ONCE(old->circle->role) != CIRCLE_ROLE_OWNER)
		return "another node has taken over: remove the device";
	if (!is_done(old, conf))
		return "the cache in use must be clean and not in mode writeback, or bare";
	return NULL;
}

/* The steward, which goes on in a suspend, has its holders forget what is clean. */
static void wait_for_holders(struct circle_node *old)
{
	unsigned long end = jiffies + msecs_to_jiffies(CIRCLE_END_MS);

	while (READ_ONCE(old->circle->role) == CIRCLE_ROLE_OWNER && circle_holders_left(old) &&
	       time_before(jiffies, end) && !fatal_signal_pending(current)) {
		circle_steward_kick(old);
		msleep(LOOK_MS);
	}
}

/* A circle's: two of them cannot have the one label, or listen at the one address. */
static int end_circle(struct circle_node *old)
{
	int lent = atomic_read(&old->slots->nr_lent);

	wait_for_holders(old);
	if (lent)
		CIRCLE_WARN("the cache is exchanged, and with it go %d blocks of other nodes, which replicate them again",
			    lent);
	circle_node_stop(old);
	if (old->circle->label.state == CIRCLE_LS_CLEAN)	/* the next one supersedes it */
		return 0;
	CIRCLE_ERR("the cache cannot be exchanged: the label could not be marked clean. Load the old table again");
	return -EBUSY;
}

/* The old one's table goes, whatever comes of this. Where the label is no witness, it is noted. */
static void note_refusal(struct circle_node *node, struct circle_node *old, bool done)
{
	node->refused = !old->circle && (!done || !READ_ONCE(old->meta->voided));
	node->force_helps = done;
}

static int take_over(struct circle_node *node, const struct circle_devices *dev,
		     const struct circle_config *conf, struct circle_node **before)
{
	const char *error = NULL;
	struct circle_node *old;
	int r = 0;

	*before = NULL;
	if (node->refused && !(conf->force && node->force_helps)) {
		CIRCLE_ERR("this table could not take the place of the one before: load that one again");
		if (node->force_helps)
			CIRCLE_ERR("or, if its devices will never be used again, this one with force");
		return -EBUSY;
	}
	old = circle_node_before(node);
	*before = old;
	if (!old)
		return 0;
	mutex_lock(&old->admin);
	if (!is_done(old, conf))
		error = "it is not clean, or has just failed";
	note_refusal(node, old, !atomic_read(&old->slots->nr_dirty));
	if (!error)
		error = circle_node_may_follow(old, dev, conf);
	if (error) {
		CIRCLE_ERR("the cache cannot be exchanged: %s. Load the old table again", error);
		circle_node_keep(old);
		r = -EBUSY;
	} else if (old->circle) {
		r = end_circle(old);
	}
	mutex_unlock(&old->admin);
	return r;
}

int circle_hand_over(struct circle_node *node, const struct circle_devices *dev,
		     const struct circle_config *conf, struct circle_node **before)
{
	int r = take_over(node, dev, conf, before);

	circle_node_inherit(node);	/* behind the last FLUSH of the one before */
	return r;
}

/* A local cache's metadata; those of a circle are superseded by the label. */
static bool supersede(struct circle_node *old)
{
	bool voided = READ_ONCE(old->meta->voided);

	return old->circle || !circle_meta_void(old->meta, true) || voided;
}

int circle_handed_over(struct circle_node *node, struct circle_node *old,
		       const struct circle_config *conf)
{
	bool sure = supersede(old);

	if (!sure && !conf->force) {
		CIRCLE_ERR("the cache cannot be exchanged: nothing could be written to the old one that says that it counts no more. Load the old table again; or, if its devices will never be used again, the new one with force");
		return -EBUSY;
	}
	if (!sure)
		CIRCLE_WARN("nothing could be written to the old cache that says that it counts no more: wipe its metadata before it is used again");
	if (old->on_destroy)		/* its directory is the new one's now */
		old->on_destroy(old);
	node->refused = false;
	CIRCLE_INFO("the cache of this device is exchanged");
	return 0;
}
