/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * label format: the record at the origin that says who is the rightful owner, and whose replicas
 * count. Drawn in Documentation/format.rst.
 *
 * The label area is 1 MiB. Each node id has one place in it, and writes nobody else's; a place has
 * two copies, 64 KiB apart, written in turn (newest valid seq of a place wins). Place of id n:
 *	stripe pair k = n / 16, row j = n % 16:
 *	copy c at byte (2 * k + c) * 65536 + j * 4096.
 * The current label is the valid place with the highest (generation, activation), see core/label.
 */
#ifndef CIRCLE_FORMAT_LABEL_H
#define CIRCLE_FORMAT_LABEL_H

#include <circle/types.h>

#define CIRCLE_LABEL_MAGIC	"dmCirLbl"
#define CIRCLE_LABEL_VERSION	2	/* 1, which is read too, has no LOST, nor ASKED */
#define CIRCLE_LABEL_AREA	1048576u	/* bytes */

enum circle_label_state {
	CIRCLE_LS_TAKING = 1,	/* generation claimed; view is the one that was read */
	CIRCLE_LS_ACTIVE = 2,
	CIRCLE_LS_RECOVERING = 3,	/* lists are in; levelling has begun */
	CIRCLE_LS_CLEAN = 4,	/* nothing dirty anywhere: view empty, SSD not in */
};

#define CIRCLE_LBF_SSD		0x1	/* the owner's SSD holds all that is dirty */
#define CIRCLE_LBF_WEAK		0x2	/* recovery complete only up to the last FLUSH has begun */
#define CIRCLE_LBF_EMPTY	0x4	/* nothing is dirty anywhere: there is nothing to recover */
#define CIRCLE_LBF_UNSEEN	0x8	/* a taker's first label: the old owner's may be newer */
#define CIRCLE_LBF_VOID		0x10	/* metadata of this generation failed: never believed */
#define CIRCLE_LBF_LOST		0x20	/* which pages are lost only these metadata say */
#define CIRCLE_LBF_ALL		0x3f

/* Of a peer's replicas. 2: RECOVERING, and TAKING behind it, alone. */
#define CIRCLE_IN_VIEW_NOT	0
#define CIRCLE_IN_VIEW_COUNTS	1	/* R6 goes by them */
#define CIRCLE_IN_VIEW_ASKED	2	/* of the view before: the last to ask for a page */

struct circle_disk_peer {
	__le32	id;			/* 0: entry free */
	__le16	family;			/* 4 or 6 */
	__le16	port;
	u8	addr[16];		/* network order; IPv4 in the first four bytes */
	u8	domain[CIRCLE_DOMAIN_SIZE];
	__le64	instance;		/* of the peer when counted: another is not continuous */
	__le32	in_view;		/* CIRCLE_IN_VIEW_ */
	__le32	reserved;
} __packed;

struct circle_disk_label {
	u8	magic[8];
	__le32	crc;
	__le16	version;
	__le16	state;
	__le32	incompat;
	__le32	flags;			/* CIRCLE_LBF_ */
	__le64	seq;			/* of writes to this place */
	u8	set_uuid[CIRCLE_UUID_SIZE];
	__le64	generation;
	__le64	activation;
	__le32	node_id;		/* the place's, the writer's */
	__le32	degree;
	__le32	floor;
	__le32	block_sectors;
	__le64	origin_sectors;
	u8	domain[CIRCLE_DOMAIN_SIZE];
	u8	reserved1[152];		/* pads to 256 */
	struct circle_disk_peer peer[CIRCLE_MAX_PEERS];
	u8	reserved2[CIRCLE_MB_SIZE - 256 - CIRCLE_MAX_PEERS * 56];
} __packed;

static_assert(sizeof(struct circle_disk_peer) == 56);
static_assert(sizeof(struct circle_disk_label) == CIRCLE_MB_SIZE);

#endif
