// SPDX-License-Identifier: GPL-2.0-only
/*
 * The packed record of a slot, and its masks.
 */
#include "t.h"
#include "../../drivers/md/dm-circle/store/slot.h"

TEST(slot, key_and_tag_keep_all_their_bits)
{
	static const u64 v[] = { 0, 1, 0xffffffffull, 0x100000000ull, 0x123456789abcull,
				 CIRCLE_MAX_BLOCK };
	struct circle_slot sl;
	u32 i, k;

	memset(&sl, 0xff, sizeof(sl));
	for (i = 0; i < ARRAY_SIZE(v); i++)
		for (k = 0; k < ARRAY_SIZE(v); k++) {
			__circle_slot_set_key(&sl, CIRCLE_MAX_OWNERS, v[i]);
			__circle_slot_set_tag(&sl, 0xfffffffe, v[k]);
			CHECK_EQ(circle_slot_block(&sl), v[i]);
			CHECK_EQ(sl.owner, CIRCLE_MAX_OWNERS);
			CHECK_EQ(circle_slot_seq(&sl), v[k]);
			CHECK_EQ(circle_slot_tag(&sl).gen, 0xfffffffe);
			CHECK_EQ(circle_slot_tag(&sl).seq, v[k]);
			CHECK_EQ(sl.flags, 0xffff);
			CHECK_EQ(sl.stamp, 0xff);
		}
}

TEST(slot, a_mask_is_as_wide_as_a_block_has_pages)
{
	u32 sectors;

	CHECK_EQ(circle_mask_width(1), 1);
	CHECK_EQ(circle_mask_width(8), 1);
	CHECK_EQ(circle_mask_width(9), 2);
	CHECK_EQ(circle_mask_width(16), 2);
	CHECK_EQ(circle_mask_width(17), 4);
	CHECK_EQ(circle_mask_width(32), 4);
	CHECK_EQ(circle_mask_width(33), 8);
	CHECK_EQ(circle_mask_width(64), 8);
	for (sectors = 8; sectors < 4096; sectors += 8) {
		struct circle_geom g;

		circle_geom_init(&g, sectors);
		CHECK(circle_mask_width(g.nr_pages) * 8 >= g.nr_pages);
	}
}

static u64 all_of(u32 width)
{
	return width == 8 ? ~0ull : (1ull << width * 8) - 1;
}

TEST(slot, masks_do_not_touch_one_another)
{
	u64 room[3 * CIRCLE_NR_MASKS], want;
	struct circle_masks m = { .at = room };
	u32 n, i;

	for (m.width = 1; m.width <= 8; m.width *= 2) {
		memset(room, 0, sizeof(room));
		circle_mask_put(&m, 1, CIRCLE_MASK_DIRTY, all_of(m.width));
		for (n = 0; n < 3; n++)
			for (i = 0; i < CIRCLE_NR_MASKS; i++) {
				want = n == 1 && i == CIRCLE_MASK_DIRTY ? all_of(m.width) : 0;
				CHECK_EQ(circle_mask_get(&m, n, i), want);
			}
	}
}
