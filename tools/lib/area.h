/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * area: the label area at an origin or on a device of its own: where it is, what it says, whether
 * metadata fit to it (R5). Reading never changes it; area_write() writes one copy of one place.
 */
#ifndef CIRCLE_TOOL_AREA_H
#define CIRCLE_TOOL_AREA_H

#include "disk.h"
#include "label.h"
#include "dev.h"

#define AREA_SECTORS	(CIRCLE_LABEL_AREA >> CIRCLE_SECTOR_SHIFT)
#define AREA_NOWHERE	(~0ull)

struct area {
	const struct dev *dev;
	u64 sector;
	u8 *buf;			/* CIRCLE_LABEL_AREA bytes */
	struct circle_label_view view;	/* whose status is the verdict */
	struct circle_label cur;	/* when that is 0 */
};

/* Room for an area; -ENOMEM after a message. */
int area_init(struct area *a, const struct dev *dev);
void area_exit(struct area *a);

/* Where a tail label of this device stands; AREA_NOWHERE if the device is too small. */
u64 area_tail(const struct dev *dev);

/* Reads and judges what stands at a->sector. my_id: whose place is one's own, or 0. -errno if it
 * cannot be read, silently; the verdict is in a->view.
 */
int area_read(struct area *a, u32 my_id);

/* At its tail, else at its beginning: 0 when a->sector has what may be called a label, good or
 * damaged; -ENODATA if there is nothing of ours; -errno.
 */
int area_find(struct area *a);

/* Does any place begin as a label does? */
bool area_has_magic(const struct area *a);

/* Where these metadata's label is, and is there room for it? 0, or -EINVAL after a message. */
int area_place(struct area *a, const struct circle_super *sb);

/* One copy of l's place, durably. */
int area_write(const struct area *a, const struct circle_label *l, unsigned int copy, void *mb);

/* What a load of these metadata would make of this label, as circle_activate_plan() does. */
enum area_fit {
	AREA_OURS,		/* the metadata are the label's activation */
	AREA_FRESH,		/* both unused */
	AREA_UNUSED,		/* metadata never used: adopt a clean label, or recover */
	AREA_GONE,		/* no label, but metadata were in use */
	AREA_BAD,		/* damaged, foreign or newer: see view */
	AREA_OTHER_SET,
	AREA_OTHER_SIZE,
	AREA_TIE,		/* two nodes have this generation */
	AREA_OVERTAKEN,		/* another activation is newer */
	AREA_ROLLED_BACK,	/* the label is older */
};

enum area_fit area_fit(const struct area *a, const struct circle_super *sb);

/* Why it does not fit, for all but the first three; one line, no end of line. */
void area_fit_text(enum area_fit fit, const struct area *a, const struct circle_super *sb,
		   char *text, size_t len);

/* Nothing is dirty anywhere, says the label: whatever the SSD has does not count. */
bool area_says_empty(const struct circle_label *l);
unsigned int area_in_view(const struct circle_label *l);	/* how many peers */

#endif
