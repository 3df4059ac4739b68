/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * payload: the data of a frame in memory, as pages (nr_bv != 0) or flat: walked for TCP or the crc.
 */
#ifndef CIRCLE_NET_PAYLOAD_H
#define CIRCLE_NET_PAYLOAD_H

#include <linux/types.h>

struct bio_vec;
struct iov_iter;
struct kvec;

/* crc32c with the seed that the wire wants: a circle_crc_fn. */
u32 circle_crc32c(u32 crc, const void *data, unsigned int len);

/*
 * src[0..nr) with what continues in memory as one vector: TCP and the crc take fewer, longer
 * pieces. dst: room for nr. Returns how many.
 */
unsigned int circle_payload_merge(struct bio_vec *dst, const struct bio_vec *src, unsigned int nr);

/*
 * The crc of the first len bytes, 0 if len is 0. Process context. Vectors that cross pages come
 * from circle_payload_merge().
 */
u32 circle_payload_crc(const struct bio_vec *bv, unsigned int nr_bv, const void *buf, u32 len);

/* direction: ITER_SOURCE or ITER_DEST. *vec is the caller's, used if nr_bv is 0. */
void circle_payload_iter(struct iov_iter *it, unsigned int direction, struct bio_vec *bv,
			 unsigned int nr_bv, void *buf, u32 len, struct kvec *vec);

#endif
