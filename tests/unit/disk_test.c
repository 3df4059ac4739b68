// SPDX-License-Identifier: GPL-2.0-only
/*
 * disk: round trips, golden bytes, and that nothing is believed that should not be.
 */
#include <stdlib.h>
#include <asm/byteorder.h>

#include "t.h"
#include "disk.h"

static const u8 meta_uuid[CIRCLE_UUID_SIZE] = "\x10\x11\x12\x13\x14\x15\x16\x17"
					      "\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f";
static u8 mb[CIRCLE_MB_SIZE];

static void fill_super(struct circle_super *sb)
{
	memset(sb, 0, sizeof(*sb));
	sb->flags = CIRCLE_SBF_CLEAN | CIRCLE_SBF_CIRCLE;
	sb->seq = 0x0102030405060708;
	memcpy(sb->meta_uuid, meta_uuid, CIRCLE_UUID_SIZE);
	memset(sb->set_uuid, 0x5e, CIRCLE_UUID_SIZE);
	sb->generation = 3;
	sb->activation = 0xa1a2a3a4a5a6a7a8;
	sb->node_id = 7;
	sb->block_sectors = 520;
	sb->page_sectors = 16;
	sb->label_kind = CIRCLE_LABEL_TAIL;
	sb->label_sector = 0x11223344;
	sb->nr_slots = 1000;
	sb->origin_sectors = 0x123456789;
	circle_disk_layout(sb, 1024, NULL);
	sb->tail_lsn = 0x2021;
	sb->max_seq = 0x3031;
	sb->map_lsn = 0x2022;
	memset(sb->owner[0].uuid, 0xb0, CIRCLE_UUID_SIZE);
	sb->owner[0].generation = 5;
	sb->owner[0].activation = 6;
	sb->owner[0].node_id = 127;
	memset(sb->owner[31].uuid, 0xb1, CIRCLE_UUID_SIZE);
	sb->owner[31].generation = U64_MAX;
}

static void reseal_super(void)
{
	struct circle_disk_super *d = (void *)mb;

	d->crc = 0;
	d->crc = cpu_to_le32(t_crc32c(~0u, mb, sizeof(mb)));
}

TEST(disk, super_round_trip)
{
	struct circle_super a, b;

	fill_super(&a);
	memset(mb, 0xff, sizeof(mb));
	memset(&b, 0xff, sizeof(b));
	circle_super_encode(&a, mb, t_crc32c);
	CHECK_EQ(circle_super_decode(mb, &b, t_crc32c), 0);
	CHECK(!memcmp(&a, &b, sizeof(a)));
}

TEST(disk, super_counters)
{
	struct circle_super sb, out;
	struct circle_disk_super *d = (void *)mb;

	fill_super(&sb);
	circle_super_encode(&sb, mb, t_crc32c);
	CHECK_EQ(d->compat, 0);
	sb.counter[2] = 0x1122334455;
	circle_super_encode(&sb, mb, t_crc32c);
	CHECK_HEX(mb + 16, 4, "01000000");
	CHECK_HEX(mb + 208, 32, "0000000000000000 0000000000000000 5544332211000000 0000000000000000");
	CHECK_EQ(circle_super_decode(mb, &out, t_crc32c), 0);
	CHECK(!memcmp(&sb, &out, sizeof(sb)));
	d->compat = 0;
	reseal_super();
	CHECK_EQ(circle_super_decode(mb, &out, t_crc32c), 0);
	CHECK_EQ(out.counter[2], 0);
}

TEST(disk, super_tidy)
{
	struct circle_super sb, out;
	struct circle_disk_super *d = (void *)mb;

	fill_super(&sb);
	sb.tidy = true;
	circle_super_encode(&sb, mb, t_crc32c);
	CHECK_HEX(mb + 16, 4, "02000000");
	CHECK_EQ(circle_super_decode(mb, &out, t_crc32c), 0);
	CHECK(out.tidy);
	sb.counter[0] = 1;
	circle_super_encode(&sb, mb, t_crc32c);
	CHECK_HEX(mb + 16, 4, "03000000");
	d->compat = cpu_to_le32(~2u);
	reseal_super();
	CHECK_EQ(circle_super_decode(mb, &out, t_crc32c), 0);
	CHECK(!out.tidy);
}

TEST(disk, super_renounced)
{
	struct circle_super sb, out;

	fill_super(&sb);
	sb.renounced = 0x01020304;
	circle_super_encode(&sb, mb, t_crc32c);
	CHECK_HEX(mb + 20, 4, "01000000");
	CHECK_HEX(mb + 172, 4, "04030201");
	CHECK_EQ(circle_super_decode(mb, &out, t_crc32c), 0);
	CHECK(!memcmp(&sb, &out, sizeof(sb)));
}

TEST(disk, super_golden)
{
	struct circle_super sb;

	fill_super(&sb);
	circle_super_encode(&sb, mb, t_crc32c);
	CHECK_HEX(mb, 256,
		  "646d636972636c65 a84b6bcd 0200 0000 00000000 00000000 00000000 05000000"
		  "0807060504030201 101112131415161718191a1b1c1d1e1f"
		  "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e 0300000000000000 a8a7a6a5a4a3a2a1"
		  "07000000 08020000 10000000 01000000 4433221100000000 e803000000000000"
		  "8967452301000000 2000000000000000 0c00000000000000 3800000000000000"
		  "c803000000000000 2120000000000000 2000 0000 00000000 3130000000000000"
		  "000000000000000000000000000000000000000000000000000000000000000000000000"
		  "0000000000000000000000000000000000000000 2220000000000000 0000000000000000");
	CHECK_HEX(mb + 256, 48, "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0 0500000000000000 0600000000000000"
		  "7f000000 00000000 0000000000000000");
	CHECK_HEX(mb + 256 + 31 * 48, 24, "b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1 ffffffffffffffff");
	CHECK(!memchr_inv(mb + 256 + 32 * 48, 0, sizeof(mb) - 256 - 32 * 48));
}

TEST(disk, super_checksum_rule)
{
	struct circle_super sb;
	u32 crc;

	fill_super(&sb);
	circle_super_encode(&sb, mb, t_crc32c);
	crc = le32_to_cpu(((struct circle_disk_super *)mb)->crc);
	memset(mb + 8, 0, 4);
	CHECK_EQ(t_crc32c(~0u, mb, sizeof(mb)), crc);
}

TEST(disk, super_every_byte_counts)
{
	struct circle_super sb, out;
	unsigned int i;
	int ret;

	fill_super(&sb);
	circle_super_encode(&sb, mb, t_crc32c);
	for (i = 0; i < sizeof(mb); i++) {
		mb[i] ^= 1 << (i % 8);
		ret = circle_super_decode(mb, &out, t_crc32c);
		CHECK_EQ(ret, i < 8 ? -EINVAL : -EBADMSG);
		mb[i] ^= 1 << (i % 8);
	}
	CHECK_EQ(circle_super_decode(mb, &out, t_crc32c), 0);
}

TEST(disk, super_torn_at_every_sector)
{
	u8 old[CIRCLE_MB_SIZE], new[CIRCLE_MB_SIZE];
	struct circle_super sb, out;
	unsigned int at;

	fill_super(&sb);
	circle_super_encode(&sb, old, t_crc32c);
	sb.seq++;
	sb.owner[31].generation--;
	circle_super_encode(&sb, new, t_crc32c);
	for (at = 512; at < sizeof(mb); at += 512) {
		memcpy(mb, new, at);
		memcpy(mb + at, old + at, sizeof(mb) - at);
		if (memcmp(mb, new, sizeof(mb)))
			CHECK_EQ(circle_super_decode(mb, &out, t_crc32c), -EBADMSG);
		memcpy(mb, old, at);
		memcpy(mb + at, new + at, sizeof(mb) - at);
		if (memcmp(mb, old, sizeof(mb)))
			CHECK_EQ(circle_super_decode(mb, &out, t_crc32c), -EBADMSG);
	}
}

TEST(disk, super_blank_and_foreign)
{
	struct circle_super out;

	memset(mb, 0, sizeof(mb));
	CHECK_EQ(circle_super_decode(mb, &out, t_crc32c), -ENODATA);
	mb[4095] = 1;
	CHECK_EQ(circle_super_decode(mb, &out, t_crc32c), -EINVAL);
	memset(mb, 0xff, sizeof(mb));
	CHECK_EQ(circle_super_decode(mb, &out, t_crc32c), -EINVAL);
}

/* Sets a field of an otherwise good superblock, seals it, and expects a verdict. */
#define REFUSE_RAW(field, value, want) do {				\
	struct circle_disk_super *_d = (void *)mb;			\
	struct circle_super _sb;					\
	fill_super(&_sb);						\
	circle_super_encode(&_sb, mb, t_crc32c);			\
	_d->field = (value);						\
	reseal_super();							\
	CHECK_EQ(circle_super_decode(mb, &_sb, t_crc32c), want);	\
} while (0)

TEST(disk, super_versions_and_features)
{
	REFUSE_RAW(version, cpu_to_le16(1), 0);
	REFUSE_RAW(version, cpu_to_le16(3), -EPROTONOSUPPORT);
	REFUSE_RAW(version, cpu_to_le16(0xffff), -EPROTONOSUPPORT);
	REFUSE_RAW(version, 0, -EBADMSG);
	REFUSE_RAW(incompat, cpu_to_le32(1), -EPROTONOSUPPORT);
	REFUSE_RAW(incompat, cpu_to_le32(0x80000000), -EPROTONOSUPPORT);
	REFUSE_RAW(ro_compat, cpu_to_le32(2), -EPROTONOSUPPORT);
	REFUSE_RAW(flags, cpu_to_le32(0x10 | CIRCLE_SBF_CIRCLE), -EPROTONOSUPPORT);
	REFUSE_RAW(compat, cpu_to_le32(0xffffffff), 0);
	REFUSE_RAW(reserved3[5], 9, 0);
}

/* What version 1 had there was reserved. */
TEST(disk, super_of_version_1_has_no_map)
{
	struct circle_disk_super *d = (void *)mb;
	struct circle_super sb, out;

	fill_super(&sb);
	circle_super_encode(&sb, mb, t_crc32c);
	d->version = cpu_to_le16(1);
	reseal_super();
	CHECK_EQ(circle_super_decode(mb, &out, t_crc32c), 0);
	CHECK_EQ(out.map_lsn, 0);
	sb.map_lsn = 0;
	CHECK(!memcmp(&sb, &out, sizeof(sb)));
}

TEST(disk, super_ranges)
{
	REFUSE_RAW(block_sectors, 0, -EBADMSG);
	REFUSE_RAW(block_sectors, cpu_to_le32(4), -EBADMSG);
	REFUSE_RAW(block_sectors, cpu_to_le32(521), -EBADMSG);
	REFUSE_RAW(block_sectors, cpu_to_le32(2097160), -EBADMSG);
	REFUSE_RAW(page_sectors, cpu_to_le32(8), -EBADMSG);
	REFUSE_RAW(page_sectors, 0, -EBADMSG);
	REFUSE_RAW(label_kind, cpu_to_le32(3), -EBADMSG);
	REFUSE_RAW(label_kind, 0, -EBADMSG);
	REFUSE_RAW(node_id, 0, -EBADMSG);
	REFUSE_RAW(node_id, cpu_to_le32(128), -EBADMSG);
	REFUSE_RAW(flags, 0, -EBADMSG);
	REFUSE_RAW(nr_slots, 0, -EBADMSG);
	REFUSE_RAW(nr_slots, cpu_to_le64(0xfffffff1), -EBADMSG);
	REFUSE_RAW(nr_slots, cpu_to_le64(1009), -EBADMSG);
	REFUSE_RAW(nr_slots, cpu_to_le64(1008), 0);
	REFUSE_RAW(origin_sectors, 0, -EBADMSG);
	REFUSE_RAW(table_start, cpu_to_le64(16), -EBADMSG);
	REFUSE_RAW(table_start, cpu_to_le64(17), -EBADMSG);
	REFUSE_RAW(table_start, cpu_to_le64(31), -EBADMSG);
	REFUSE_RAW(table_start, cpu_to_le64(33), -EBADMSG);
	REFUSE_RAW(table_start, cpu_to_le64(U64_MAX), -EBADMSG);
	REFUSE_RAW(table_pages, cpu_to_le64(13), -EBADMSG);
	REFUSE_RAW(journal_start, cpu_to_le64(55), -EBADMSG);
	REFUSE_RAW(journal_start, cpu_to_le64(U64_MAX), -EBADMSG);
	REFUSE_RAW(journal_blocks, cpu_to_le64(63), -EBADMSG);
	REFUSE_RAW(journal_blocks, cpu_to_le64(32769), -EBADMSG);
	REFUSE_RAW(tail_lsn, cpu_to_le64(U64_MAX), -EBADMSG);
	REFUSE_RAW(nr_owners, cpu_to_le16(31), -EBADMSG);
	REFUSE_RAW(owner[9].node_id, cpu_to_le32(128), -EBADMSG);
}

TEST(disk, super_limits_are_allowed)
{
	REFUSE_RAW(journal_blocks, cpu_to_le64(64), 0);
	REFUSE_RAW(journal_blocks, cpu_to_le64(32768), 0);
	REFUSE_RAW(journal_start, cpu_to_le64(1ULL << 52), 0);
	REFUSE_RAW(journal_start, cpu_to_le64((1ULL << 52) + 1), -EBADMSG);
	REFUSE_RAW(table_start, cpu_to_le64(32), 0);
	REFUSE_RAW(label_kind, cpu_to_le32(2), 0);
	REFUSE_RAW(node_id, cpu_to_le32(127), 0);
	REFUSE_RAW(node_id, cpu_to_le32(1), 0);
	REFUSE_RAW(tail_lsn, cpu_to_le64(1ULL << 62), 0);
	REFUSE_RAW(tail_lsn, cpu_to_le64((1ULL << 62) + 1), -EBADMSG);
}

static int verdict_of_identity(u32 flags, u32 id, u32 kind)
{
	struct circle_super a, b;

	fill_super(&a);
	a.flags = flags;
	a.node_id = id;
	a.label_kind = kind;
	circle_super_encode(&a, mb, t_crc32c);
	return circle_super_decode(mb, &b, t_crc32c);
}

TEST(disk, super_identity_is_whole_or_none)
{
	CHECK_EQ(verdict_of_identity(0, 0, 0), 0);
	CHECK_EQ(verdict_of_identity(0, 1, 0), -EBADMSG);
	CHECK_EQ(verdict_of_identity(0, 0, 1), -EBADMSG);
	CHECK_EQ(verdict_of_identity(0, 1, 1), -EBADMSG);
	CHECK_EQ(verdict_of_identity(CIRCLE_SBF_CIRCLE, 1, 1), 0);
	CHECK_EQ(verdict_of_identity(CIRCLE_SBF_CIRCLE, 1, 0), -EBADMSG);
	CHECK_EQ(verdict_of_identity(CIRCLE_SBF_CIRCLE, 0, 1), -EBADMSG);
	CHECK_EQ(verdict_of_identity(CIRCLE_SBF_CIRCLE, 0, 0), -EBADMSG);
}

/* Every block size that is allowed makes a superblock that is believed; those beside do not. */
TEST(disk, super_every_block_size)
{
	static const u32 sizes[] = { 8, 16, 24, 512, 520, 8192, 2097144, 2097152 };
	struct circle_super a, b;
	unsigned int i, k;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		for (k = 0; k < 2; k++) {
			fill_super(&a);
			a.block_sectors = sizes[i] + k;
			a.page_sectors = circle_page_sectors(sizes[i]);
			circle_super_encode(&a, mb, t_crc32c);
			CHECK_EQ(circle_super_decode(mb, &b, t_crc32c), k ? -EBADMSG : 0);
		}
}

TEST(disk, super_local_cache_has_neither_id_nor_label)
{
	struct circle_super a, b;

	fill_super(&a);
	a.flags = 0;
	a.node_id = 0;
	a.label_kind = CIRCLE_LABEL_NONE;
	circle_super_encode(&a, mb, t_crc32c);
	CHECK_EQ(circle_super_decode(mb, &b, t_crc32c), 0);
}

TEST(disk, layout)
{
	struct circle_super sb = { .nr_slots = 84 };
	u64 need = 0;

	CHECK_EQ(circle_disk_layout(&sb, 98, &need), 0);
	CHECK_EQ(need, 98);
	CHECK_EQ(sb.table_start, 32);
	CHECK_EQ(sb.table_pages, 1);
	CHECK_EQ(sb.journal_start, 34);
	CHECK_EQ(sb.journal_blocks, 64);
	need = 0;
	CHECK_EQ(circle_disk_layout(&sb, 97, &need), -ENOSPC);
	CHECK_EQ(need, 98);
	CHECK_EQ(circle_disk_layout(&sb, 0, NULL), -ENOSPC);
	sb.nr_slots = 85;
	CHECK_EQ(circle_disk_layout(&sb, 1000000, NULL), 0);
	CHECK_EQ(sb.table_pages, 2);
	CHECK_EQ(sb.journal_start, 36);
	CHECK_EQ(sb.journal_blocks, 32768);
}

TEST(disk, layout_extremes)
{
	struct circle_super sb = { .nr_slots = CIRCLE_MAX_SLOTS };

	CHECK_EQ(circle_disk_layout(&sb, 1ULL << 40, NULL), 0);
	CHECK_EQ(sb.table_pages, (4294967280ULL + 83) / 84);
	sb.nr_slots = CIRCLE_MAX_SLOTS + 1ULL;
	CHECK_EQ(circle_disk_layout(&sb, 1ULL << 40, NULL), -EINVAL);
	sb.nr_slots = 0;
	CHECK_EQ(circle_disk_layout(&sb, 1ULL << 40, NULL), -EINVAL);
}

TEST(disk, page_sectors)
{
	CHECK_EQ(circle_page_sectors(8), 8);
	CHECK_EQ(circle_page_sectors(24), 8);
	CHECK_EQ(circle_page_sectors(512), 8);
	CHECK_EQ(circle_page_sectors(520), 16);
	CHECK_EQ(circle_page_sectors(1024), 16);
	CHECK_EQ(circle_page_sectors(8192), 128);
	CHECK_EQ(circle_page_sectors(8200), 256);
	CHECK_EQ(circle_page_sectors(2097152), 32768);
}

static struct circle_slot_state some_slot(u64 salt)
{
	struct circle_slot_state s = {
		.block = 0x0807060504030201 + salt, .valid = 0xf0 + salt, .dirty = 0x30 + salt,
		.seq = 0x1112 + salt, .gen = 0x21 + salt, .owner = 2, .flags = CIRCLE_SLOT_MAPPED,
	};

	return s;
}

TEST(disk, page_round_trip)
{
	struct circle_slot_state s, got;
	u64 lsn = 0;
	unsigned int i;

	circle_page_start(mb, meta_uuid, 11, 99);
	for (i = 0; i < CIRCLE_SLOTS_PER_MB; i++) {
		s = some_slot(i);
		circle_page_put(mb, i, &s);
	}
	circle_page_seal(mb, t_crc32c);
	CHECK_EQ(circle_page_check(mb, meta_uuid, 11, &lsn, t_crc32c), 0);
	CHECK_EQ(lsn, 99);
	for (i = 0; i < CIRCLE_SLOTS_PER_MB; i++) {
		s = some_slot(i);
		memset(&got, 0xff, sizeof(got));
		circle_page_get(mb, i, &got);
		CHECK_EQ(got.block, s.block);
		CHECK_EQ(got.valid, s.valid);
		CHECK_EQ(got.dirty, s.dirty);
		CHECK_EQ(got.seq, s.seq);
		CHECK_EQ(got.gen, s.gen);
		CHECK_EQ(got.owner, s.owner);
		CHECK_EQ(got.flags, s.flags);
	}
}

TEST(disk, page_golden)
{
	struct circle_slot_state s = some_slot(0);

	circle_page_start(mb, meta_uuid, 0x0a0b, 0x0c0d);
	circle_page_put(mb, 83, &s);
	circle_page_seal(mb, t_crc32c);
	CHECK_HEX(mb, 64, "63435047 2e3c4f07 0b0a000000000000 0d0c000000000000"
		  "101112131415161718191a1b1c1d1e1f"
		  "000000000000000000000000000000000000000000000000");
	CHECK(!memchr_inv(mb + 64, 0, 83 * 48));
	CHECK_HEX(mb + 64 + 83 * 48, 48, "0102030405060708 f000000000000000 3000000000000000"
		  "1211000000000000 2100000000000000 0200 0100 00000000");
}

TEST(disk, page_puts_outside_are_dropped)
{
	struct circle_slot_state s = some_slot(0), got;

	circle_page_start(mb, meta_uuid, 0, 0);
	circle_page_put(mb, 84, &s);
	circle_page_put(mb, ~0u, &s);
	CHECK(!memchr_inv(mb + 64, 0, sizeof(mb) - 64));
	circle_page_get(mb, 84, &got);
	CHECK(!got.flags && !got.block);
	circle_page_put(mb, 0, &s);
	circle_page_get(mb, 0, &got);
	CHECK_EQ(got.block, s.block);
}

TEST(disk, page_rejections)
{
	u8 other[CIRCLE_UUID_SIZE] = { 1 };
	unsigned int i;
	u64 lsn = 0;
	int ret;

	memset(mb, 0, sizeof(mb));
	CHECK_EQ(circle_page_check(mb, meta_uuid, 0, &lsn, t_crc32c), -ENODATA);
	memset(mb, 0x42, sizeof(mb));
	CHECK_EQ(circle_page_check(mb, meta_uuid, 0, &lsn, t_crc32c), -EINVAL);
	circle_page_start(mb, meta_uuid, 4, U64_MAX);
	circle_page_seal(mb, t_crc32c);
	CHECK_EQ(circle_page_check(mb, meta_uuid, 4, &lsn, t_crc32c), -EBADMSG);
	circle_page_start(mb, meta_uuid, 4, 5);
	circle_page_seal(mb, t_crc32c);
	CHECK_EQ(circle_page_check(mb, other, 4, &lsn, t_crc32c), -EINVAL);
	CHECK_EQ(circle_page_check(mb, meta_uuid, 3, &lsn, t_crc32c), -EBADMSG);
	CHECK_EQ(lsn, 0);
	for (i = 0; i < sizeof(mb); i++) {
		mb[i] ^= 0x80 >> (i % 8);
		ret = circle_page_check(mb, meta_uuid, 4, &lsn, t_crc32c);
		CHECK_EQ(ret, i < 4 ? -EINVAL : -EBADMSG);
		mb[i] ^= 0x80 >> (i % 8);
	}
}

static struct circle_jhead some_head(void)
{
	struct circle_jhead h = { .lsn = 0x1005, .commit = 0x1003, .commit_blocks = 4,
				  .nr_records = 72 };

	return h;
}

TEST(disk, jblock_round_trip)
{
	struct circle_jhead h = some_head(), got;
	struct circle_record r, back;
	unsigned int i;

	circle_jblock_start(mb, meta_uuid, &h);
	for (i = 0; i < CIRCLE_RECORDS_PER_MB; i++) {
		r.slot = 1000 + i;
		r.state = some_slot(i);
		circle_jblock_put(mb, i, &r);
	}
	circle_jblock_seal(mb, t_crc32c);
	CHECK_EQ(circle_jblock_check(mb, meta_uuid, &got, t_crc32c), 0);
	CHECK_EQ(got.lsn, h.lsn);
	CHECK_EQ(got.commit, h.commit);
	CHECK_EQ(got.commit_blocks, h.commit_blocks);
	CHECK_EQ(got.nr_records, h.nr_records);
	for (i = 0; i < CIRCLE_RECORDS_PER_MB; i++) {
		circle_jblock_get(mb, i, &back);
		CHECK_EQ(back.slot, 1000 + i);
		CHECK_EQ(back.state.block, some_slot(i).block);
		CHECK_EQ(back.state.gen, some_slot(i).gen);
		CHECK_EQ(back.state.flags, some_slot(i).flags);
	}
}

TEST(disk, jblock_golden)
{
	struct circle_record r = { .slot = 0x0a0b0c0d, .state = some_slot(0) };
	struct circle_jhead h = some_head();

	circle_jblock_start(mb, meta_uuid, &h);
	circle_jblock_put(mb, 71, &r);
	circle_jblock_put(mb, 72, &r);
	circle_jblock_seal(mb, t_crc32c);
	CHECK_HEX(mb, 64, "63434a42 84ebf2b6 0510000000000000 0310000000000000 04000000 4800 0000"
		  "101112131415161718191a1b1c1d1e1f 00000000000000000000000000000000");
	CHECK(!memchr_inv(mb + 64, 0, 71 * 56));
	CHECK_HEX(mb + 64 + 71 * 56, 56, "0d0c0b0a 00000000 0102030405060708 f000000000000000"
		  "3000000000000000 1211000000000000 2100000000000000 0200 0100 00000000");
}

static int head_verdict(u64 lsn, u64 commit, u32 blocks, u16 records)
{
	struct circle_jhead h = { .lsn = lsn, .commit = commit, .commit_blocks = blocks,
				  .nr_records = records };

	circle_jblock_start(mb, meta_uuid, &h);
	circle_jblock_seal(mb, t_crc32c);
	return circle_jblock_check(mb, meta_uuid, &h, t_crc32c);
}

TEST(disk, jblock_ranges)
{
	CHECK_EQ(head_verdict(10, 10, 1, 0), 0);
	CHECK_EQ(head_verdict(10, 8, 3, 72), 0);
	CHECK_EQ(head_verdict(10, 8, 2, 1), -EBADMSG);
	CHECK_EQ(head_verdict(10, 11, 2, 1), -EBADMSG);
	CHECK_EQ(head_verdict(10, 10, 0, 1), -EBADMSG);
	CHECK_EQ(head_verdict(10, 10, 1, 73), -EBADMSG);
	CHECK_EQ(head_verdict(10, 10, 32768, 1), 0);
	CHECK_EQ(head_verdict(10, 10, 32769, 1), -EBADMSG);
	CHECK_EQ(head_verdict(U64_MAX, U64_MAX, 1, 1), -EBADMSG);
}

TEST(disk, jblock_rejections)
{
	struct circle_jhead h = some_head();
	u8 other[CIRCLE_UUID_SIZE] = { 1 };
	unsigned int i;
	int ret;

	memset(mb, 0, sizeof(mb));
	CHECK_EQ(circle_jblock_check(mb, meta_uuid, &h, t_crc32c), -ENODATA);
	memset(mb, 0x63, sizeof(mb));
	CHECK_EQ(circle_jblock_check(mb, meta_uuid, &h, t_crc32c), -EINVAL);
	h = some_head();
	circle_jblock_start(mb, meta_uuid, &h);
	circle_jblock_seal(mb, t_crc32c);
	CHECK_EQ(circle_jblock_check(mb, other, &h, t_crc32c), -EINVAL);
	for (i = 0; i < sizeof(mb); i++) {
		mb[i] ^= 1 << (i % 8);
		ret = circle_jblock_check(mb, meta_uuid, &h, t_crc32c);
		CHECK_EQ(ret, i < 4 ? -EINVAL : -EBADMSG);
		mb[i] ^= 1 << (i % 8);
	}
}

TEST(disk, jblock_records_outside_are_dropped)
{
	struct circle_record r = { .slot = 5, .state = some_slot(0) }, got;
	struct circle_jhead h = some_head();
	u8 *p = malloc(CIRCLE_MB_SIZE);

	circle_jblock_start(p, meta_uuid, &h);
	circle_jblock_put(p, 72, &r);
	circle_jblock_put(p, ~0u, &r);
	CHECK(!memchr_inv(p + 64, 0, CIRCLE_MB_SIZE - 64));
	circle_jblock_get(p, 72, &got);
	CHECK(!got.slot && !got.state.block);
	circle_jblock_put(p, 0, &r);
	circle_jblock_get(p, 0, &got);
	CHECK_EQ(got.slot, 5);
	circle_page_put(p, 84, &r.state);
	circle_page_get(p, 84, &got.state);
	CHECK(!got.state.block);
	free(p);
}

TEST(disk, kinds_of_blocks_are_not_confused)
{
	struct circle_jhead h = some_head();
	struct circle_super sb;
	u64 lsn;

	fill_super(&sb);
	circle_super_encode(&sb, mb, t_crc32c);
	CHECK_EQ(circle_page_check(mb, meta_uuid, 0, &lsn, t_crc32c), -EINVAL);
	CHECK_EQ(circle_jblock_check(mb, meta_uuid, &h, t_crc32c), -EINVAL);
	circle_page_start(mb, meta_uuid, 0, 0);
	circle_page_seal(mb, t_crc32c);
	CHECK_EQ(circle_super_decode(mb, &sb, t_crc32c), -EINVAL);
	CHECK_EQ(circle_jblock_check(mb, meta_uuid, &h, t_crc32c), -EINVAL);
}

#define SLOT_OK(want, ...) do {						\
	struct circle_slot_state _s = { __VA_ARGS__ };			\
	CHECK_EQ(circle_slot_state_ok(&_s, 0xff, 100), want);		\
} while (0)

TEST(disk, slot_states)
{
	SLOT_OK(true, .flags = 0);
	SLOT_OK(true, .flags = 4);
	SLOT_OK(true, .flags = 1);
	SLOT_OK(true, .flags = 1, .block = 99, .valid = 0xff, .dirty = 0xff, .seq = 1, .gen = 1);
	SLOT_OK(true, .flags = 0xf, .block = 99, .valid = 3, .dirty = 1);
	SLOT_OK(true, .flags = 3, .block = 1000, .owner = 32, .valid = 3);
	SLOT_OK(true, .flags = 1, .block = CIRCLE_MAX_BLOCK, .owner = 1, .seq = CIRCLE_MAX_SEQ,
		.gen = CIRCLE_MAX_GEN);
	SLOT_OK(false, .flags = 1, .block = CIRCLE_MAX_BLOCK + 1, .owner = 1);
	SLOT_OK(false, .flags = 1, .seq = CIRCLE_MAX_SEQ + 1);
	SLOT_OK(false, .flags = 1, .gen = CIRCLE_MAX_GEN + 1);
	SLOT_OK(false, .flags = 1, .block = 100);
	SLOT_OK(false, .flags = 1, .block = 1, .owner = 33);
	SLOT_OK(false, .flags = 1, .valid = 0x100);
	SLOT_OK(false, .flags = 1, .valid = 1, .dirty = 2);
	SLOT_OK(false, .flags = 1, .dirty = 1);
	SLOT_OK(false, .flags = 0x11);
	SLOT_OK(false, .flags = 0x8001);
	SLOT_OK(false, .flags = 2);
	SLOT_OK(false, .flags = 8);
	SLOT_OK(true, .flags = 0xb, .block = 99, .valid = 3, .dirty = 3);
	SLOT_OK(false, .flags = 0xb, .block = 99, .valid = 3);
	SLOT_OK(false, .flags = 0xb, .block = 99, .owner = 1, .valid = 3, .dirty = 3);
	SLOT_OK(false, .flags = 0, .block = 1);
	SLOT_OK(false, .flags = 0, .valid = 1);
	SLOT_OK(false, .flags = 0, .seq = 1);
	SLOT_OK(false, .flags = 0, .gen = 1);
	SLOT_OK(false, .flags = 4, .owner = 1);
}

/* What dm-cache's metadata have behind their superblock: an array's index stands at byte 16. */
TEST(disk, blocks_of_dm_cache)
{
	static const u32 mix[] = { 121107, 595846735, 240779, 160478 };
	__le32 crc;
	__le64 index;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(mix); i++) {
		memset(mb, 0xa5, sizeof(mb));
		index = cpu_to_le64(7);
		memcpy(mb + (i == 1 ? 16 : 8), &index, sizeof(index));
		crc = cpu_to_le32(t_crc32c(~0u, mb + 4, sizeof(mb) - 4) ^ mix[i]);
		memcpy(mb, &crc, sizeof(crc));
		CHECK_EQ(circle_dm_block_check(mb, 7, t_crc32c), 0);
		CHECK_EQ(circle_dm_block_check(mb, 8, t_crc32c), -EINVAL);
		mb[4095] ^= 1;
		CHECK_EQ(circle_dm_block_check(mb, 7, t_crc32c), -EINVAL);
	}
	memset(mb, 0, sizeof(mb));
	CHECK_EQ(circle_dm_block_check(mb, 0, t_crc32c), -EINVAL);
}

TEST(disk, superblock_by_its_magic)
{
	struct circle_super sb;

	fill_super(&sb);
	circle_super_encode(&sb, mb, t_crc32c);
	mb[100] ^= 1;
	CHECK(circle_super_is(mb));
	mb[0] ^= 1;
	CHECK(!circle_super_is(mb));
}

TEST(disk, resize_within_what_is_there)
{
	struct circle_super sb = { .nr_slots = 1000 };
	u64 need = 0;

	CHECK_EQ(circle_disk_layout(&sb, 1000, NULL), 0);	/* 12 pages, journal at 56 */
	CHECK_EQ(circle_disk_resize(&sb, 1008, 1000, &need), 0);
	CHECK_EQ(sb.nr_slots, 1008);
	CHECK_EQ(sb.table_pages, 12);
	CHECK_EQ(sb.journal_start, 56);
	CHECK_EQ(sb.journal_blocks, 944);
	CHECK_EQ(circle_disk_resize(&sb, 84, 1000, &need), 0);
	CHECK_EQ(sb.table_pages, 1);
	CHECK_EQ(sb.table_start, 32);
	CHECK_EQ(sb.journal_start, 56);		/* it need not move */
	CHECK_EQ(sb.journal_blocks, 944);
	CHECK_EQ(circle_disk_resize(&sb, 1008, 1000, &need), 0);
	CHECK_EQ(sb.journal_start, 56);
}

TEST(disk, resize_moves_the_journal)
{
	struct circle_super sb = { .nr_slots = 1000 };
	u64 need = 0;

	CHECK_EQ(circle_disk_layout(&sb, 1000, NULL), 0);
	CHECK_EQ(circle_disk_resize(&sb, 1009, 122, &need), 0);	/* 13 pages */
	CHECK_EQ(need, 122);
	CHECK_EQ(sb.table_pages, 13);
	CHECK_EQ(sb.journal_start, 58);
	CHECK_EQ(sb.journal_blocks, 64);
	CHECK_EQ(circle_disk_resize(&sb, 84 * 14, 123, &need), -ENOSPC);
	CHECK_EQ(need, 124);
	CHECK_EQ(sb.nr_slots, 1009);		/* nothing was changed */
	CHECK_EQ(sb.journal_start, 58);
	CHECK_EQ(circle_disk_resize(&sb, 84 * 14, 1ULL << 30, &need), 0);
	CHECK_EQ(sb.journal_blocks, 32768);
	CHECK_EQ(circle_disk_resize(&sb, 0, 1ULL << 30, &need), -EINVAL);
	CHECK_EQ(circle_disk_resize(&sb, CIRCLE_MAX_SLOTS + 1ULL, 1ULL << 40, &need), -EINVAL);
	CHECK_EQ(circle_disk_resize(&sb, CIRCLE_MAX_SLOTS, 1ULL << 40, &need), 0);
}

static u8 odd[CIRCLE_SLOTS_PER_MB];

static unsigned int odds(unsigned int nr)
{
	struct circle_plain plain = { };

	memset(odd, 0xee, sizeof(odd));
	return circle_page_odd(mb, nr, odd, &plain);
}

/* What circle_page_odd() says of raw bytes is what circle_slot_state_plain() says of the entry. */
TEST(disk, page_odd)
{
	static const struct circle_slot_state s[] = {
		{ .flags = CIRCLE_SLOT_MAPPED, .block = 5, .valid = 0xff, .seq = 1, .gen = 2 },
		{ .flags = CIRCLE_SLOT_MAPPED },
		{ .flags = CIRCLE_SLOT_MAPPED, .valid = 1, .dirty = 1 },
		{ .flags = CIRCLE_SLOT_MAPPED, .valid = 1ull << 63, .dirty = 1ull << 63 },
		{ .flags = CIRCLE_SLOT_MAPPED | CIRCLE_SLOT_INTENT, .valid = 1 },
		{ .flags = CIRCLE_SLOT_MAPPED | CIRCLE_SLOT_LOST, .valid = 1 },
		{ .flags = CIRCLE_SLOT_MAPPED | 0x8000 },
		{ .flags = CIRCLE_SLOT_MAPPED, .owner = 1 },
		{ .flags = CIRCLE_SLOT_MAPPED, .owner = 0x100 },
		{ .flags = CIRCLE_SLOT_RETIRED },
		{ },
	};
	unsigned int i, k, at;

	for (i = 0; i < CIRCLE_SLOTS_PER_MB; i++)
		for (k = 0; k < ARRAY_SIZE(s); k++) {
			memset(mb, 0, sizeof(mb));
			circle_page_put(mb, i, &s[k]);
			CHECK_EQ(circle_slot_state_plain(&s[k]), k <= 1);
			/* the others are not mapped, so they are odd */
			CHECK_EQ(odds(CIRCLE_SLOTS_PER_MB), CIRCLE_SLOTS_PER_MB - (k <= 1));
			for (at = 0; at < CIRCLE_SLOTS_PER_MB - (k <= 1); at++)
				CHECK_EQ(odd[at], at + (k <= 1 && at >= i));
		}
}

TEST(disk, page_odd_looks_no_further)
{
	static const struct circle_slot_state plain = { .flags = CIRCLE_SLOT_MAPPED };
	unsigned int i;

	memset(mb, 0, sizeof(mb));
	for (i = 0; i < CIRCLE_SLOTS_PER_MB; i++)
		circle_page_put(mb, i, &plain);
	for (i = 0; i <= CIRCLE_SLOTS_PER_MB; i++)
		CHECK_EQ(odds(i), 0);
	((struct circle_disk_page *)mb)->slot[70].reserved = cpu_to_le32(1);
	CHECK_EQ(odds(84), 0);
	for (i = 0; i < CIRCLE_SLOTS_PER_MB; i++) {
		((struct circle_disk_page *)mb)->slot[i].flags = 0;
		CHECK_EQ(odds(84), 1);
		CHECK_EQ(odd[0], i);
		CHECK_EQ(odds(i), 0);
		CHECK_EQ(odds(i + 1), 1);
		CHECK_EQ(odd[0], i);
		circle_page_put(mb, i, &plain);
	}
}

/* What is noted of plain entries is what circle_slot_state_ok() says of each. */
TEST(disk, page_plain_is_judged)
{
	const u64 all = 0xff, blocks = 1000;
	static const struct {
		struct circle_slot_state s;
		bool ok;
	} c[] = {
		{ { .block = 999, .valid = 0xff, .seq = CIRCLE_MAX_SEQ, .gen = CIRCLE_MAX_GEN }, true },
		{ { .block = 1000 }, false },
		{ { .block = CIRCLE_MAX_BLOCK }, false },
		{ { .block = CIRCLE_MAX_BLOCK + 1 }, false },
		{ { .block = U64_MAX }, false },
		{ { .block = 1ULL << 63 }, false },
		{ { .block = (1ULL << 63) + 1000 }, false },
		{ { .valid = 0x100 }, false },
		{ { .valid = 1ULL << 63 }, false },
		{ { .seq = CIRCLE_MAX_SEQ + 1 }, false },
		{ { .gen = (u64)CIRCLE_MAX_GEN + 1 }, false },
	};
	struct circle_plain plain;
	struct circle_slot_state s;
	unsigned int i, k, at;

	for (k = 0; k < ARRAY_SIZE(c); k++)
		for (at = 0; at < 5; at++) {
			s = (struct circle_slot_state){ .flags = CIRCLE_SLOT_MAPPED, .block = 7 };
			memset(mb, 0, sizeof(mb));
			for (i = 0; i < 5; i++)
				circle_page_put(mb, i, &s);
			s = c[k].s;
			s.flags = CIRCLE_SLOT_MAPPED;
			circle_page_put(mb, at, &s);
			plain = (struct circle_plain){ };
			CHECK_EQ(circle_page_odd(mb, 5, odd, &plain), 0);
			CHECK_EQ(circle_plain_ok(&plain, all, blocks), c[k].ok);
			CHECK_EQ(circle_slot_state_ok(&s, all, blocks), c[k].ok);
		}
}

TEST(disk, which_of_two_slots_counts)
{
	struct circle_slot_state old = { .flags = CIRCLE_SLOT_MAPPED, .gen = 1, .seq = 9 };
	struct circle_slot_state new = { .flags = CIRCLE_SLOT_MAPPED, .gen = 2, .seq = 1 };

	CHECK(circle_slot_state_beats(&new, &old));
	CHECK(!circle_slot_state_beats(&old, &new));
	CHECK(!circle_slot_state_beats(&old, &old));
	old.flags |= CIRCLE_SLOT_INTENT;	/* plain is only the new one */
	CHECK(circle_slot_state_beats(&old, &new));
	CHECK(!circle_slot_state_beats(&new, &old));
	new.valid = 1;
	new.dirty = 1;				/* neither */
	CHECK(circle_slot_state_beats(&new, &old));
	CHECK(!circle_slot_state_beats(&old, &new));
}
