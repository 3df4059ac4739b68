/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bringup: from devices and a configuration to a node that serves, and back to a quiet one.
 * Process context; all may sleep.
 */
#ifndef CIRCLE_ENGINE_BRINGUP_H
#define CIRCLE_ENGINE_BRINGUP_H

#include "node.h"

/* What a table hands over. The block devices are held by the table. */
struct circle_devices {
	struct block_device *meta, *cache, *origin, *label;
	u64 origin_sectors;
};

/* What the metadata device says, or will when it is formatted. */
struct circle_outlook {
	u64 meta_used, meta_blocks, slots;
	bool blank;		/* it will be formatted */
};

/* Reads the metadata device and says whether this configuration can use it; changes nothing.
 * -EINVAL with *error, a constant string for the user.
 */
int circle_node_check(const struct circle_devices *dev, const struct circle_config *conf,
		      struct circle_outlook *out, const char **error);

/* open.c: formats the metadata device if it is blank, or else judges it, and the label. Says in the
 * log what is wrong.
 */
int circle_node_open(struct circle_node *node, const struct circle_devices *dev,
		     const struct circle_config *conf);

/* open.c: 0, or -EINVAL with *error if it is not NULL. */
int circle_node_fits(const struct circle_super *sb, const struct circle_devices *dev,
		     const struct circle_config *conf, const char **error);

/* preresume: formats or loads at the first time; takes over the table's configuration. Says in the
 * log what is wrong.
 */
int circle_node_resume(struct circle_node *node, const struct circle_devices *dev,
		       const struct circle_config *conf);

/* A node that was started. Bytes of RAM for each slot, of all that grows with their number. */
u32 circle_node_ram_per_block(const struct circle_node *node);

/*
 * handover.c. May a table with other devices follow this node, which was or is live? NULL, or what
 * to tell the user, a constant string. Process context; the node must stay: under node.c's lock,
 * or in the preresume that its table outlives.
 */
const char *circle_node_may_follow(const struct circle_node *old, const struct circle_devices *dev,
				   const struct circle_config *conf);
/*
 * preresume of a node that was not live before: another one of this mapped device, *before, if
 * there is one, ends as far as it would be in the way. When the new one is ready to serve: handed
 * over. -EBUSY: not possible; of a local cache this node is refused from then on. In any case
 * it has now what the host's next FLUSH is to report.
 */
int circle_hand_over(struct circle_node *node, const struct circle_devices *dev,
		     const struct circle_config *conf, struct circle_node **before);
int circle_handed_over(struct circle_node *node, struct circle_node *before,
		       const struct circle_config *conf);

void circle_node_live(struct circle_node *node);	/* resume: background work starts */
/* Background work ends. requeue: host requests that cannot end are to be tried again. */
void circle_node_presuspend(struct circle_node *node, bool requeue);
void circle_node_suspend(struct circle_node *node);	/* postsuspend: durable and quiet */

/* The last table goes: peers, label and server end, bounded. Also for a node never started. */
void circle_node_stop(struct circle_node *node);

#endif
