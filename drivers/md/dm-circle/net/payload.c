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

/* Also as struct pages: whoever walks a vector counts those on. Mapped so is lowmem only. */
static bool continues(const struct bio_vec *a, const struct bio_vec *b)
{
	unsigned int end = a->bv_offset + a->bv_len;

	return !IS_ENABLED(CONFIG_HIGHMEM) && b->bv_offset == offset_in_page(end) &&
	       b->bv_page == a->bv_page + (end >> PAGE_SHIFT) &&
	       page_address(b->bv_page) == page_address(a->bv_page) + (end & PAGE_MASK);
}

unsigned int circle_payload_merge(struct bio_vec *dst, const struct bio_vec *src, unsigned int nr)
{
	unsigned int i, n = 0;

	for (i = 0; i < nr; i++) {
		if (n && continues(&dst[n - 1], &src[i]))
			dst[n - 1].bv_len += src[i].bv_len;
		else
			dst[n++] = src[i];
	}
	return n;
}

static u32 crc_bvec(const struct bio_vec *bv, u32 len)
{
	u32 crc = ~0, n;
	char *p;

	for (; len; bv++, len -= n) {
		n = min(len, bv->bv_len);
		p = kmap_local_page(bv->bv_page);
		crc = crc32c(crc, p + bv->bv_offset, n);
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
