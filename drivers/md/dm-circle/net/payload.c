// SPDX-License-Identifier: GPL-2.0-only
/*
 * payload: see payload.h. No state, no lock, allocates nothing.
 */
#include "payload.h"

#include <linux/bvec.h>
#include <linux/crc32c.h>
#include <linux/highmem.h>
#include <linux/uio.h>

u32 circle_crc32c(u32 crc, const void *data, unsigned int len)
{
	return crc32c(crc, data, len);
}

static u32 crc_bvec(const struct bio_vec *bvs, u32 len)
{
	struct bvec_iter start = { .bi_size = len };
	struct bvec_iter i;
	struct bio_vec bv;
	u32 crc = ~0;
	void *p;

	for_each_bvec(bv, bvs, i, start) {	/* one page at a time */
		p = bvec_kmap_local(&bv);
		crc = crc32c(crc, p, bv.bv_len);
		kunmap_local(p);
	}
	return crc;
}

u32 circle_payload_crc(const struct bio_vec *bv, unsigned int nr_bv, const void *buf, u32 len)
{
	if (!len)
		return 0;
	return nr_bv ? crc_bvec(bv, len) : crc32c(~0, buf, len);
}

void circle_payload_iter(struct iov_iter *it, unsigned int direction, struct bio_vec *bv,
			 unsigned int nr_bv, void *buf, u32 len, struct kvec *vec)
{
	if (nr_bv) {
		iov_iter_bvec(it, direction, bv, nr_bv, len);
		return;
	}
	*vec = (struct kvec){ buf, len };
	iov_iter_kvec(it, direction, vec, 1, len);
}
