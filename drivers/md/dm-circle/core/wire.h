/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * wire: encode, decode and validate frames. Pure. Drawn in Documentation/format.rst.
 */
#ifndef CIRCLE_CORE_WIRE_H
#define CIRCLE_CORE_WIRE_H

#include <circle/format/wire.h>

struct circle_frame {			/* host-endian circle_wire_header */
	u16 version, type, flags, status;
	u32 length, data_crc;
	u64 id, generation, activation, block, seq, pages;
	u32 sector, sectors, space, away;
	u64 aux;
};

struct circle_hello {
	u16 version_min, version_max;
	u32 features;
	u8 set_uuid[CIRCLE_UUID_SIZE];
	u8 domain[CIRCLE_DOMAIN_SIZE];
	u32 node_id, peer_id;
	u64 instance;
	u32 block_sectors, page_sectors;
	u64 origin_sectors;
};

struct circle_item {
	u64 block, gen, seq, pages;
	u32 flags;
};

void circle_frame_encode(const struct circle_frame *f, void *buf96, circle_crc_fn crc);

/* Length of buf is 96. Checks magic, crc, known type, known flags and status, and that length is
 * what type and direction allow (HELLO: 128; REPLICATE request: sectors * 512, 1..2048 sectors;
 * LIST answer: a multiple of 40, at most 4096 items; FETCH answer with status OK: sectors * 512;
 * PING request: 0 or 65536; everything else, and any answer with a status other than OK: 0 -- but a
 * HELLO answer carries its 128 bytes with every status). version is not judged here (only HELLO may
 * differ, the session judges). -EBADMSG: magic or crc; -EPROTO: anything else.
 */
int circle_frame_decode(const void *buf96, struct circle_frame *out, circle_crc_fn crc);

void circle_hello_encode(const struct circle_hello *h, void *buf128);
int circle_hello_decode(const void *buf128, struct circle_hello *out);	/* -EPROTO: ranges */

void circle_item_encode(const struct circle_item *i, void *buf40);
void circle_item_decode(const void *buf40, struct circle_item *out);

/* Version both sides speak, or 0. */
u16 circle_wire_agree(u16 amin, u16 amax, u16 bmin, u16 bmax);

#endif
