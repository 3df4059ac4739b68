// SPDX-License-Identifier: GPL-2.0-only
/*
 * copymap: golden bytes, and that no map is taken for another one.
 */
#include <asm/byteorder.h>

#include "t.h"
#include "copymap.h"

static const u8 uuid[CIRCLE_UUID_SIZE] = "\x10\x11\x12\x13\x14\x15\x16\x17"
					 "\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f";
static u8 mb[CIRCLE_MB_SIZE];

static void good(void)
{
	memset(mb, 0xff, sizeof(mb));
	circle_map_start(mb, uuid, 3, 0x2021);
	circle_map_put(mb, 0, true);
	circle_map_put(mb, 1, false);
	circle_map_put(mb, 10, true);
	circle_map_put(mb, CIRCLE_MAP_BITS - 1, true);
	circle_map_put(mb, CIRCLE_MAP_BITS, true);	/* nowhere */
	circle_map_seal(mb, t_crc32c);
}

TEST(copymap, golden)
{
	good();
	CHECK_HEX(mb, 66, "63434d50 5ac62c6f 0300000000000000 2120000000000000"
		  "101112131415161718191a1b1c1d1e1f"
		  "000000000000000000000000000000000000000000000000 0104");
	CHECK(!memchr_inv(mb + 66, 0, sizeof(mb) - 67));
	CHECK_EQ(mb[4095], 0x80);
}

TEST(copymap, what_was_put_is_there)
{
	unsigned int i;

	good();
	CHECK_EQ(circle_map_check(mb, uuid, 3, 0x2021, t_crc32c), 0);
	for (i = 0; i < CIRCLE_MAP_BITS; i++)
		CHECK_EQ(circle_map_get(mb, i), i == 0 || i == 10 || i == CIRCLE_MAP_BITS - 1);
	CHECK_EQ(circle_map_get(mb, CIRCLE_MAP_BITS), false);
}

TEST(copymap, another_is_refused)
{
	u8 other[CIRCLE_UUID_SIZE] = { 1 };

	good();
	CHECK_EQ(circle_map_check(mb, uuid, 2, 0x2021, t_crc32c), -EBADMSG);
	CHECK_EQ(circle_map_check(mb, uuid, 3, 0x2022, t_crc32c), -EBADMSG);
	CHECK_EQ(circle_map_check(mb, other, 3, 0x2021, t_crc32c), -EINVAL);
	memset(mb, 0, sizeof(mb));
	CHECK_EQ(circle_map_check(mb, uuid, 3, 0x2021, t_crc32c), -ENODATA);
	CHECK(!circle_map_is(mb));
}

TEST(copymap, every_byte_counts)
{
	unsigned int i;

	good();
	CHECK(circle_map_is(mb));
	for (i = 0; i < sizeof(mb); i++) {
		mb[i] ^= 1 << (i % 8);
		CHECK(circle_map_check(mb, uuid, 3, 0x2021, t_crc32c));
		mb[i] ^= 1 << (i % 8);
	}
}

TEST(copymap, how_many)
{
	CHECK_EQ(circle_map_mbs(1), 1);
	CHECK_EQ(circle_map_mbs(CIRCLE_MAP_BITS), 1);
	CHECK_EQ(circle_map_mbs(CIRCLE_MAP_BITS + 1), 2);
	CHECK_EQ(circle_map_mbs(15 * CIRCLE_MAP_BITS), 15);
	CHECK_EQ(circle_map_mbs(15 * CIRCLE_MAP_BITS + 1), 0);
	CHECK_EQ(circle_map_mbs(~0ull), 0);
}
