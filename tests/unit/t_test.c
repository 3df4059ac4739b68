// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tests' own ground: the checksum, and the shims the core is compiled with.
 */
#include "t.h"

TEST(ground, crc32c_known_value)
{
	CHECK_EQ(~t_crc32c(~0u, "123456789", 9), 0xe3069283u);
	CHECK_EQ(t_crc32c(t_crc32c(~0u, "1234", 4), "56789", 5), t_crc32c(~0u, "123456789", 9));
}

TEST(ground, memchr_inv)
{
	CHECK(!memchr_inv("\0\0\0", 0, 3));
	CHECK(!memchr_inv("", 0, 0));
	CHECK(memchr_inv("\0\0x", 0, 3));
}

TEST(ground, kstrtou64)
{
	u64 v;

	CHECK(!kstrtou64("18446744073709551615", 10, &v) && v == U64_MAX);
	CHECK_EQ(kstrtou64("18446744073709551616", 10, &v), -ERANGE);
	CHECK_EQ(kstrtou64("-1", 10, &v), -EINVAL);
	CHECK_EQ(kstrtou64("", 10, &v), -EINVAL);
	CHECK_EQ(kstrtou64("1x", 10, &v), -EINVAL);
}

TEST(ground, tags_are_ordered_by_generation_first)
{
	struct circle_tag a = { 1, 9 }, b = { 2, 1 }, c = { 2, 2 };

	CHECK_EQ(circle_tag_cmp(a, b), -1);
	CHECK_EQ(circle_tag_cmp(c, b), 1);
	CHECK_EQ(circle_tag_cmp(b, b), 0);
}
