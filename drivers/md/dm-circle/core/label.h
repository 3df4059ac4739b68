/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * label: encode, decode and compare label copies; where each stands; which one is current. Pure.
 * Drawn in Documentation/format.rst.
 */
#ifndef CIRCLE_CORE_LABEL_H
#define CIRCLE_CORE_LABEL_H

#include <circle/format/label.h>

struct circle_peer_rec {
	u32 id;			/* 0: free */
	u16 family;		/* 4, 6 */
	u16 port;
	u8 addr[16];
	u8 domain[CIRCLE_DOMAIN_SIZE];
	u64 instance;
	u8 in_view;		/* CIRCLE_IN_VIEW_ */
};

struct circle_label {
	u16 state;
	u32 flags;
	u64 seq;
	u8 set_uuid[CIRCLE_UUID_SIZE];
	u64 generation, activation;
	u32 node_id, degree, floor, block_sectors;
	u64 origin_sectors;
	u8 domain[CIRCLE_DOMAIN_SIZE];
	struct circle_peer_rec peer[CIRCLE_MAX_PEERS];
};

/* Byte offset in the label area of copy 0 or 1 of a node id's place (id 1..127). */
u32 circle_label_offset(u32 node_id, unsigned int copy);

void circle_label_encode(const struct circle_label *l, void *mb, circle_crc_fn crc);

/* Returns as the decoders of the metadata device do; -EBADMSG also if it is not node_id's place. */
int circle_label_decode(const void *mb, u32 node_id, struct circle_label *out, circle_crc_fn crc);

/* The whole area, 1 MiB, as read: verdict over all places. */
struct circle_label_view {
	/* 0: at least one valid; -ENODATA: blank; -EINVAL foreign content; -EBADMSG: a place is
	 * damaged in both copies, or a copy with a right checksum is not possible there;
	 * -EPROTONOSUPPORT
	 */
	int status;
	u32 where;		/* byte offset of the first offending copy */
	u32 current_id;		/* place of the label with the highest (generation, activation) */
	bool tie;		/* another place has the same generation, */
	bool rival;		/* ... and more than one of those is not only taking */
	u64 max_seq;		/* highest seq of my own place, 0 if none */
	u32 my_copy;		/* copy of my place to be written next: not the newest valid one */
	bool my_valid;
};

/* area: CIRCLE_LABEL_AREA bytes. Reads every place of 1..127; bytes outside of places (row 0 of
 * pair 0 included) must be zero. *cur is the current label when status is 0. One torn copy beside
 * a valid or a blank one in the same place is normal (a crash while writing it) and believed to be
 * absent. All valid places name the same set_uuid, else -EINVAL.
 */
void circle_label_judge(const void *area, u32 my_id, struct circle_label_view *v,
			struct circle_label *cur, circle_crc_fn crc);

#endif
