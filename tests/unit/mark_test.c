// SPDX-License-Identifier: GPL-2.0-only
/*
 * mark: golden bytes, and that metadata which a mark names are never believed.
 */
#include "t.h"
#include "mark.h"

static const u8 uuid[CIRCLE_UUID_SIZE] = "\x10\x11\x12\x13\x14\x15\x16\x17"
					 "\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f";
static const u8 other[CIRCLE_UUID_SIZE] = "another one";
static u8 mb[CIRCLE_MB_SIZE];

static void make(u16 state)
{
	struct circle_mark m = { .state = state, .reason = 5 };

	memcpy(m.meta_uuid, uuid, sizeof(uuid));
	circle_mark_encode(&m, mb, t_crc32c);
}

static enum circle_void judge(u32 flags, const u8 *of)
{
	struct circle_mark m;
	int ret = circle_mark_decode(mb, &m, t_crc32c);

	return circle_mark_judge(flags, of, ret, &m);
}

TEST(mark, round_trip)
{
	struct circle_mark m;

	make(CIRCLE_MARK_DRAINED);
	MUST(!circle_mark_decode(mb, &m, t_crc32c));
	CHECK_EQ(m.state, CIRCLE_MARK_DRAINED);
	CHECK_EQ(m.reason, 5);
	CHECK(!memcmp(m.meta_uuid, uuid, sizeof(uuid)));
}

TEST(mark, golden)
{
	make(CIRCLE_MARK_UNDRAINED);
	CHECK_HEX(mb, 40, "646d436972566f64 2c4f8c32 0100 0100"
		  "101112131415161718191a1b1c1d1e1f 05000000 00000000");
	CHECK(!memchr_inv(mb + 36, 0, sizeof(mb) - 36));
}

TEST(mark, every_byte_counts)
{
	struct circle_mark m;
	unsigned int i;

	make(CIRCLE_MARK_UNDRAINED);
	for (i = 0; i < sizeof(mb); i++) {
		mb[i] ^= 1 << (i % 8);
		CHECK_EQ(circle_mark_decode(mb, &m, t_crc32c), i < 8 ? -EINVAL : -EBADMSG);
		mb[i] ^= 1 << (i % 8);
	}
}

/* Sealed with the right checksum, but of a version or state that is not known. */
static int sealed(size_t offset, u16 value)
{
	struct circle_disk_mark *d = (void *)mb;
	struct circle_mark m;

	make(CIRCLE_MARK_UNDRAINED);
	mb[offset] = value & 0xff;
	mb[offset + 1] = value >> 8;
	d->crc = 0;
	d->crc = t_crc32c(~0u, mb, sizeof(mb));
	return circle_mark_decode(mb, &m, t_crc32c);
}

TEST(mark, unknown_is_not_guessed_at)
{
	CHECK_EQ(sealed(offsetof(struct circle_disk_mark, version), 2), -EPROTONOSUPPORT);
	CHECK_EQ(sealed(offsetof(struct circle_disk_mark, version), 0), -EBADMSG);
	CHECK_EQ(sealed(offsetof(struct circle_disk_mark, state), 0), -EBADMSG);
	CHECK_EQ(sealed(offsetof(struct circle_disk_mark, state), 3), -EBADMSG);
	CHECK_EQ(sealed(offsetof(struct circle_disk_mark, state), 2), 0);
}

TEST(mark, judgement)
{
	make(CIRCLE_MARK_UNDRAINED);
	CHECK_EQ(judge(0, uuid), CIRCLE_VOID_DIRTY);
	CHECK_EQ(judge(CIRCLE_SBF_CLEAN, uuid), CIRCLE_VOID_DIRTY);
	CHECK_EQ(judge(0, other), CIRCLE_VOID_NO);
	CHECK_EQ(judge(CIRCLE_SBF_VOID, other), CIRCLE_VOID_DIRTY);
	make(CIRCLE_MARK_DRAINED);
	CHECK_EQ(judge(0, uuid), CIRCLE_VOID_DRAINED);
	CHECK_EQ(judge(CIRCLE_SBF_VOID, uuid), CIRCLE_VOID_DRAINED);
	CHECK_EQ(judge(0, other), CIRCLE_VOID_NO);
}

TEST(mark, judgement_without_a_mark)
{
	memset(mb, 0, sizeof(mb));
	CHECK_EQ(judge(0, uuid), CIRCLE_VOID_NO);
	CHECK_EQ(judge(CIRCLE_SBF_VOID, uuid), CIRCLE_VOID_DIRTY);
	memset(mb, 0xff, sizeof(mb));
	CHECK_EQ(judge(0, uuid), CIRCLE_VOID_NO);
	make(CIRCLE_MARK_DRAINED);
	mb[100] ^= 1;
	CHECK_EQ(judge(0, uuid), CIRCLE_VOID_UNKNOWN);
	CHECK_EQ(judge(0, other), CIRCLE_VOID_UNKNOWN);
	CHECK_EQ(circle_mark_judge(0, uuid, -EIO, NULL), CIRCLE_VOID_UNKNOWN);
}
