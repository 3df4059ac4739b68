// SPDX-License-Identifier: GPL-2.0-only
/*
 * disk: a metadata block of any content, raw or with its checksum set right, starting from zeros
 * or from a good block. What is believed must be in range and come back the same when encoded.
 */
#include "fuzz.h"
#include "disk.h"
#include "mark.h"

static const u8 uuid[CIRCLE_UUID_SIZE] = "0123456789abcde";

static void good_super(u8 *mb)
{
	struct circle_super sb = {
		.flags = CIRCLE_SBF_CIRCLE, .node_id = 3, .label_kind = CIRCLE_LABEL_DEV,
		.block_sectors = 512, .page_sectors = 8, .nr_slots = 1000, .origin_sectors = 1 << 20,
	};

	circle_disk_layout(&sb, 4096, NULL);
	circle_super_encode(&sb, mb, fuzz_crc);
}

static void super(u8 *mb)
{
	static u8 again[CIRCLE_MB_SIZE];
	struct circle_super a, b;

	if (circle_super_decode(mb, &a, fuzz_crc))
		return;
	HOLDS(a.block_sectors >= 8 && a.block_sectors <= CIRCLE_MAX_BLOCK_SECTORS);
	HOLDS(a.page_sectors >= 8 && a.page_sectors * 64ULL >= a.block_sectors);
	HOLDS(a.nr_slots <= a.table_pages * CIRCLE_SLOTS_PER_MB);
	HOLDS(a.table_start + 2 * a.table_pages <= a.journal_start);
	HOLDS(a.journal_start + a.journal_blocks > a.journal_start);
	HOLDS(a.tail_lsn + a.journal_blocks > a.tail_lsn);
	circle_super_encode(&a, again, fuzz_crc);
	HOLDS(!circle_super_decode(again, &b, fuzz_crc));
	HOLDS(!memcmp(&a, &b, sizeof(a)));
}

static void page(const u8 *mb)
{
	struct circle_slot_state s;
	unsigned int i;
	u64 lsn;

	if (circle_page_check(mb, uuid, 7, &lsn, fuzz_crc))
		return;
	for (i = 0; i < CIRCLE_SLOTS_PER_MB; i++) {
		circle_page_get(mb, i, &s);
		if (!circle_slot_state_ok(&s, 0xffff, 1000))
			continue;
		HOLDS(!(s.dirty & ~s.valid) && s.owner <= CIRCLE_MAX_OWNERS);
		HOLDS((s.flags & CIRCLE_SLOT_MAPPED) || !(s.valid | s.seq | s.gen | s.block));
	}
}

static void jblock(const u8 *mb)
{
	struct circle_record r;
	struct circle_jhead h;
	unsigned int i;

	if (circle_jblock_check(mb, uuid, &h, fuzz_crc))
		return;
	HOLDS(h.commit <= h.lsn && h.lsn < h.commit + h.commit_blocks);
	HOLDS(h.nr_records <= CIRCLE_RECORDS_PER_MB);
	for (i = 0; i < h.nr_records; i++)
		circle_jblock_get(mb, i, &r);
}

static void mark(const u8 *mb)
{
	static u8 again[CIRCLE_MB_SIZE];
	struct circle_mark a, b;
	int ret = circle_mark_decode(mb, &a, fuzz_crc);

	HOLDS(ret || a.state == CIRCLE_MARK_DRAINED || a.state == CIRCLE_MARK_UNDRAINED);
	HOLDS(ret == -EINVAL || circle_mark_judge(0, uuid, ret, &a) != CIRCLE_VOID_NO ||
	      memcmp(a.meta_uuid, uuid, sizeof(uuid)));
	if (ret)
		return;
	circle_mark_encode(&a, again, fuzz_crc);
	HOLDS(!circle_mark_decode(again, &b, fuzz_crc));
	HOLDS(!memcmp(&a, &b, sizeof(a)));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct circle_jhead h = { .lsn = 9, .commit = 8, .commit_blocks = 2, .nr_records = 4 };
	struct circle_mark m = { .state = CIRCLE_MARK_UNDRAINED, .reason = 5 };
	static u8 mb[CIRCLE_MB_SIZE];
	u8 what = fuzz_byte(&data, &size);

	memset(mb, 0, sizeof(mb));
	switch (what % 5) {
	case 0:
		good_super(mb);
		break;
	case 1:
		circle_page_start(mb, uuid, 7, 3);
		break;
	case 2:
		circle_jblock_start(mb, uuid, &h);
		break;
	case 3:
		memcpy(m.meta_uuid, uuid, sizeof(uuid));
		circle_mark_encode(&m, mb, fuzz_crc);
		break;
	}
	while (size)
		fuzz_patch(mb, sizeof(mb), &data, &size);
	if (what & 0x80)
		fuzz_seal(mb, sizeof(mb), what % 5 == 0 || what % 5 == 3 ? 8 : 4);
	super(mb);
	page(mb);
	jblock(mb);
	mark(mb);
	return 0;
}
