/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * raw: what strangers do to a port, and a port that never answers.
 */
#ifndef CIRCLE_TEST_RAW_H
#define CIRCLE_TEST_RAW_H

#include "end.h"

enum raw_kind {
	RAW_NOISE,		/* bytes that are no header */
	RAW_BAD_CRC,		/* good header, payload damaged */
	RAW_BAD_PAGE,		/* the same, a whole page */
	RAW_BAD_TYPE,		/* good crc, unknown type */
	RAW_TOO_LONG,		/* good crc, absurd length */
	RAW_HALF_HEADER,	/* then the connection ends */
	RAW_HALF_PAYLOAD,	/* then the connection ends */
	RAW_NR
};

int raw_send(const struct server *s, enum raw_kind kind);

/*
 * Frames of these lengths, step bytes at a time. back: an echo server sends the same bytes back: then
 * it ends the connection; else the server is to end it.
 */
int raw_stream(const struct server *s, const u32 *length, unsigned int nr, u32 step, bool back);

struct hole;
struct hole *hole_open(struct circle_addr *addr);	/* connects to addr time out */
void hole_close(struct hole *h);

#endif
