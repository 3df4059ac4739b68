/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * wire format: frames between an owner (client) and a peer (server), over one TCP connection per
 * pair and direction. Drawn in Documentation/format.rst.
 *
 * A frame is a header of 96 bytes and `length` bytes of payload. The header's crc32c (seed ~0, own
 * field zero) covers its 96 bytes; `data_crc` covers the payload (0 when there is none). An answer
 * has the request's type and id, CIRCLE_WF_ANSWER and a status. Requests of one connection are
 * applied in the order sent, per block (R10).
 */
#ifndef CIRCLE_FORMAT_WIRE_H
#define CIRCLE_FORMAT_WIRE_H

#include <circle/types.h>

#define CIRCLE_WIRE_MAGIC	0x4c524943u	/* "CIRL" */
#define CIRCLE_WIRE_VERSION	1		/* newest that we speak */
#define CIRCLE_WIRE_VERSION_MIN	1
#define CIRCLE_WIRE_MAX_DATA	1048576u	/* payload bytes */
#define CIRCLE_WIRE_PING_DATA	65536u		/* payload of the ping that admits a peer */

enum circle_wire_type {
	CIRCLE_WT_HELLO = 1,	/* both ways; payload circle_wire_hello */
	CIRCLE_WT_REPLICATE = 2,	/* payload: sectors of a block */
	CIRCLE_WT_FLUSH = 3,	/* all that was stored before is durable when answered */
	CIRCLE_WT_RELEASE = 4,	/* pages of a block up to a tag; durable when answered */
	CIRCLE_WT_LIST = 5,	/* cursor in block; answer: items, next cursor in seq */
	CIRCLE_WT_FETCH = 6,	/* sectors of a replica; answer payload: data */
	CIRCLE_WT_PING = 7,	/* payload 0 or CIRCLE_WIRE_PING_DATA, answered without */
	CIRCLE_WT_FENCE = 8,	/* this (generation, activation) is rightful; durable */
	/*
	 * What is parked of a block, with this very tag, is a replica again, of these pages; else
	 * NOT_FOUND, or as to REPLICATE. In pages of the answer: how many blocks of this set are
	 * parked still. Not durable. Only to a server with HF_KEEPS.
	 */
	CIRCLE_WT_REVIVE = 9,
	CIRCLE_WT_NR
};

#define CIRCLE_WF_ANSWER	0x1
#define CIRCLE_WF_DURABLE	0x2	/* REPLICATE answer: stored and already durable */
/* REPLICATE: part of a new replica; it exists when a frame without this flag follows. The holder
 * keeps no tag until then (R2).
 */
#define CIRCLE_WF_FILL		0x4
#define CIRCLE_WF_ALL_GENS	0x8	/* RELEASE: of any generation up to the frame's */
/* RELEASE of all: no replica is left; those of the frame's generation are parked: spare space, but
 * they may be revived. In pages of the answer: how many. Only to a server with HF_KEEPS.
 */
#define CIRCLE_WF_KEEP		0x10
#define CIRCLE_WF_ALL		0x1f

/* Of a server: aux of its answers, but to HELLO, is how many slots it wants back from this session.
 */
#define CIRCLE_HF_WANTS		0x1
#define CIRCLE_HF_KEEPS		0x2	/* of a server: it knows KEEP and REVIVE */
#define CIRCLE_HF_LEAVES	0x4	/* of a server: away of its answers is meant */

enum circle_wire_status {
	CIRCLE_WS_OK = 0,		/* stored, released, ... */
	CIRCLE_WS_NO_SPACE = 1,
	CIRCLE_WS_FENCED = 2,		/* generation in the answer is the one that is rightful */
	CIRCLE_WS_NOT_ADMITTED = 3,
	CIRCLE_WS_VERSION = 4,
	CIRCLE_WS_IO = 5,
	CIRCLE_WS_NOT_FOUND = 6,
	CIRCLE_WS_NEWER = 7,		/* RELEASE: the replica is newer than named, kept */
	CIRCLE_WS_BAD = 8,		/* malformed or out of range; the connection ends */
	CIRCLE_WS_BUSY = 9,		/* HELLO: another owner is connected (its id in aux) */
	CIRCLE_WS_NR
};

struct circle_wire_header {
	__le32	magic;
	__le32	crc;
	__le16	version;		/* agreed one; in HELLO: the sender's newest */
	__le16	type;
	__le16	flags;
	__le16	status;
	__le32	length;			/* of the payload */
	__le32	data_crc;
	__le64	id;			/* chosen by the client, echoed */
	__le64	generation;
	__le64	activation;
	__le64	block;
	__le64	seq;
	__le64	pages;			/* mask: which pages the frame is about */
	__le32	sector;			/* first sector within the block */
	__le32	sectors;
	__le32	space;			/* answers: slots still lent to this set */
	__le32	away;			/* answers: seconds for which it leaves, in order; 0: not */
	__le64	aux;
} __packed;

struct circle_wire_hello {		/* 128 bytes */
	__le16	version_min;
	__le16	version_max;
	__le32	features;		/* CIRCLE_HF_*; unknown ones are not used */
	u8	set_uuid[CIRCLE_UUID_SIZE];	/* the client's; echoed, or zero: not admitted */
	u8	domain[CIRCLE_DOMAIN_SIZE];
	__le32	node_id;
	__le32	peer_id;		/* whom the client means; in the answer: the client */
	__le64	instance;		/* high half: the sender's store; low: drawn at each load */
	__le32	block_sectors;		/* of the set; in the answer: of the server's slots */
	__le32	page_sectors;
	__le64	origin_sectors;
	u8	reserved[56];
} __packed;

struct circle_wire_item {		/* 40 bytes: one replica, in a LIST answer */
	__le64	block;
	__le64	gen;
	__le64	seq;
	__le64	pages;
	__le32	flags;			/* 1: durable */
	__le32	reserved;
} __packed;

#define CIRCLE_WI_DURABLE	0x1
#define CIRCLE_WIRE_MAX_ITEMS	4096	/* in one LIST answer */

static_assert(sizeof(struct circle_wire_header) == 96);
static_assert(sizeof(struct circle_wire_hello) == 128);
static_assert(sizeof(struct circle_wire_item) == 40);

#endif
