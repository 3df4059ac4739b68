/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * face: one table of the target, as device-mapper sees it.
 */
#ifndef CIRCLE_FACE_FACE_H
#define CIRCLE_FACE_FACE_H

#include <linux/device-mapper.h>
#include "../engine/bringup.h"

struct circle_table {
	struct dm_target *ti;
	struct circle_node *node;
	struct dm_dev *meta, *cache, *origin, *label;
	struct circle_config conf;	/* as on the line, without what acts once after it acted */
	struct circle_outlook outlook;	/* until the first resume */
	bool resumed;
};

/* build.c. Process context, may sleep; ti->error says what is wrong. */
int circle_ctr(struct dm_target *ti, unsigned int argc, char **argv);
void circle_dtr(struct dm_target *ti);
void circle_table_devices(const struct circle_table *t, struct circle_devices *dev);

/* status.c. Process context. */
void circle_status(struct dm_target *ti, status_type_t type, unsigned int flags, char *result,
		   unsigned int maxlen);

/* message.c. Process context. */
int circle_message(struct dm_target *ti, unsigned int argc, char **argv, char *result,
		   unsigned int maxlen);

#endif
