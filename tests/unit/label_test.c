// SPDX-License-Identifier: GPL-2.0-only
/*
 * label: one copy, where copies stand, and the verdict over the whole area.
 */
#include <stdlib.h>
#include <asm/byteorder.h>

#include "t.h"
#include "label.h"

static u8 mb[CIRCLE_MB_SIZE];
static u8 area[CIRCLE_LABEL_AREA];
static struct circle_label_view v;
static struct circle_label cur;

static void fill_label(struct circle_label *l, u32 id, u64 seq, u64 gen, u64 act)
{
	memset(l, 0, sizeof(*l));
	l->state = CIRCLE_LS_ACTIVE;
	l->flags = CIRCLE_LBF_SSD;
	l->seq = seq;
	memset(l->set_uuid, 0x5e, CIRCLE_UUID_SIZE);
	l->generation = gen;
	l->activation = act;
	l->node_id = id;
	l->degree = 2;
	l->floor = 1;
	l->block_sectors = 512;
	l->origin_sectors = 0x123456789;
	memcpy(l->domain, "rack-1", 6);
	l->peer[0] = (struct circle_peer_rec) {
		.id = 2, .family = 4, .port = 7000, .addr = { 10, 0, 0, 2 }, .domain = "rack-2",
		.instance = 0xc1c2c3c4c5c6c7c8, .in_view = CIRCLE_IN_VIEW_COUNTS,
	};
	l->peer[31] = (struct circle_peer_rec) {
		.id = 127, .family = 6, .port = 65535, .addr = { 0xfe, 0x80, [15] = 1 },
		.instance = 9,
	};
	memcpy(l->peer[31].domain, "sixteen-letters!", CIRCLE_DOMAIN_SIZE);
}

static u8 *at(u32 id, unsigned int copy)
{
	return area + circle_label_offset(id, copy);
}

static void put_label(u32 id, unsigned int copy, u64 seq, u64 gen, u64 act)
{
	struct circle_label l;

	fill_label(&l, id, seq, gen, act);
	circle_label_encode(&l, at(id, copy), t_crc32c);
}

static void put_taking(u32 id, u64 seq, u64 gen, u64 act)
{
	struct circle_label l;

	fill_label(&l, id, seq, gen, act);
	l.state = CIRCLE_LS_TAKING;
	circle_label_encode(&l, at(id, 0), t_crc32c);
}

static void reseal(void *p)
{
	struct circle_disk_label *d = p;

	d->crc = 0;
	d->crc = cpu_to_le32(t_crc32c(~0u, d, CIRCLE_MB_SIZE));
}

static int judge(u32 my_id)
{
	memset(&v, 0xff, sizeof(v));
	memset(&cur, 0xff, sizeof(cur));
	circle_label_judge(area, my_id, &v, &cur, t_crc32c);
	return v.status;
}

static void clear(void)
{
	memset(area, 0, sizeof(area));
}

TEST(label, round_trip)
{
	struct circle_label a, b;

	fill_label(&a, 7, 5, 3, 9);
	memset(mb, 0xff, sizeof(mb));
	memset(&b, 0xff, sizeof(b));
	circle_label_encode(&a, mb, t_crc32c);
	CHECK_EQ(circle_label_decode(mb, 7, &b, t_crc32c), 0);
	CHECK(!memcmp(&a, &b, offsetof(struct circle_label, peer)));
	CHECK_EQ(b.peer[0].id, 2);
	CHECK_EQ(b.peer[0].port, 7000);
	CHECK_EQ(b.peer[0].instance, 0xc1c2c3c4c5c6c7c8);
	CHECK_EQ(b.peer[0].in_view, CIRCLE_IN_VIEW_COUNTS);
	CHECK_EQ(b.peer[1].id, 0);
	CHECK_EQ(b.peer[31].family, 6);
	CHECK(!b.peer[31].in_view);
	CHECK(!memcmp(b.peer[31].addr, a.peer[31].addr, 16));
	CHECK(!memcmp(b.peer[31].domain, "sixteen-letters!", 16));
}

TEST(label, golden)
{
	struct circle_label l;

	fill_label(&l, 7, 0x0102030405060708, 3, 0xa1a2a3a4a5a6a7a8);
	circle_label_encode(&l, mb, t_crc32c);
	CHECK_HEX(mb, 104, "646d4369724c626c 9157e2a3 0200 0200 00000000 01000000 0807060504030201"
		  "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e 0300000000000000 a8a7a6a5a4a3a2a1"
		  "07000000 02000000 01000000 00020000 8967452301000000"
		  "7261636b2d3100000000000000000000");
	CHECK(!memchr_inv(mb + 104, 0, 152));
	CHECK_HEX(mb + 256, 56, "02000000 0400 581b 0a000002000000000000000000000000"
		  "7261636b2d3200000000000000000000 c8c7c6c5c4c3c2c1 01000000 00000000");
	CHECK_HEX(mb + 256 + 31 * 56, 56, "7f000000 0600 ffff fe800000000000000000000000000001"
		  "7369787465656e2d6c65747465727321 0900000000000000 00000000 00000000");
	CHECK(!memchr_inv(mb + 256 + 56, 0, 30 * 56));
	CHECK(!memchr_inv(mb + 256 + 32 * 56, 0, sizeof(mb) - 256 - 32 * 56));
}

TEST(label, flags)
{
	struct circle_label l, got;

	fill_label(&l, 7, 1, 3, 1);
	l.flags = CIRCLE_LBF_VOID | CIRCLE_LBF_LOST;
	circle_label_encode(&l, mb, t_crc32c);
	CHECK_HEX(mb + 20, 4, "30000000");
	CHECK_EQ(circle_label_decode(mb, 7, &got, t_crc32c), 0);
	CHECK_EQ(got.flags, 0x30);
	CHECK_EQ(CIRCLE_LBF_ALL, 0x3f);
}

TEST(label, who_is_asked)
{
	struct circle_label l, got;

	fill_label(&l, 7, 1, 3, 1);
	l.state = CIRCLE_LS_RECOVERING;
	l.peer[31].in_view = CIRCLE_IN_VIEW_ASKED;
	circle_label_encode(&l, mb, t_crc32c);
	CHECK_HEX(mb + 256 + 31 * 56 + 40, 16, "0900000000000000 02000000 00000000");
	CHECK_EQ(circle_label_decode(mb, 7, &got, t_crc32c), 0);
	CHECK_EQ(got.peer[0].in_view, CIRCLE_IN_VIEW_COUNTS);
	CHECK_EQ(got.peer[31].in_view, CIRCLE_IN_VIEW_ASKED);
}

TEST(label, every_byte_counts)
{
	struct circle_label l;
	unsigned int i;
	int ret;

	fill_label(&l, 7, 1, 1, 1);
	circle_label_encode(&l, mb, t_crc32c);
	for (i = 0; i < sizeof(mb); i++) {
		mb[i] ^= 1 << (i % 8);
		ret = circle_label_decode(mb, 7, &l, t_crc32c);
		CHECK_EQ(ret, i < 8 ? -EINVAL : -EBADMSG);
		mb[i] ^= 1 << (i % 8);
	}
	CHECK_EQ(circle_label_decode(mb, 7, &l, t_crc32c), 0);
}

#define VERDICT(field, value, want) do {				\
	struct circle_disk_label *_d = (void *)mb;			\
	struct circle_label _l;						\
	fill_label(&_l, 7, 1, 1, 1);					\
	circle_label_encode(&_l, mb, t_crc32c);				\
	_d->field = (value);						\
	reseal(mb);							\
	CHECK_EQ(circle_label_decode(mb, 7, &_l, t_crc32c), want);	\
} while (0)

TEST(label, versions_and_features)
{
	VERDICT(version, cpu_to_le16(3), -EPROTONOSUPPORT);
	VERDICT(version, cpu_to_le16(2), 0);
	VERDICT(version, cpu_to_le16(1), 0);
	VERDICT(version, 0, -EBADMSG);
	VERDICT(incompat, cpu_to_le32(1), -EPROTONOSUPPORT);
	VERDICT(flags, cpu_to_le32(64), -EPROTONOSUPPORT);
	VERDICT(flags, cpu_to_le32(0x80000000), -EPROTONOSUPPORT);
	VERDICT(flags, cpu_to_le32(63), 0);
	VERDICT(reserved1[9], 9, 0);
}

/* What version 1 says is read; it cannot say LOST, nor that a peer is asked. */
TEST(label, version_1)
{
	struct circle_disk_label *d = (void *)mb;
	struct circle_label l;

	fill_label(&l, 7, 1, 1, 1);
	circle_label_encode(&l, mb, t_crc32c);
	d->version = cpu_to_le16(1);
	reseal(mb);
	CHECK_EQ(circle_label_decode(mb, 7, &l, t_crc32c), 0);
	CHECK_EQ(l.peer[0].in_view, CIRCLE_IN_VIEW_COUNTS);
	d->flags = cpu_to_le32(CIRCLE_LBF_LOST);
	reseal(mb);
	CHECK_EQ(circle_label_decode(mb, 7, &l, t_crc32c), -EBADMSG);
	d->flags = cpu_to_le32(0x1f);
	reseal(mb);
	CHECK_EQ(circle_label_decode(mb, 7, &l, t_crc32c), 0);
	d->peer[31].in_view = cpu_to_le32(CIRCLE_IN_VIEW_ASKED);
	reseal(mb);
	CHECK_EQ(circle_label_decode(mb, 7, &l, t_crc32c), -EBADMSG);
}

TEST(label, ranges)
{
	VERDICT(state, 0, -EBADMSG);
	VERDICT(state, cpu_to_le16(5), -EBADMSG);
	VERDICT(state, cpu_to_le16(4), 0);
	VERDICT(state, cpu_to_le16(1), 0);
	VERDICT(degree, cpu_to_le32(8), 0);
	VERDICT(floor, cpu_to_le32(8), 0);
	VERDICT(block_sectors, cpu_to_le32(8), 0);
	VERDICT(block_sectors, cpu_to_le32(2097152), 0);
	VERDICT(node_id, cpu_to_le32(8), -EBADMSG);
	VERDICT(node_id, 0, -EBADMSG);
	VERDICT(degree, cpu_to_le32(9), -EBADMSG);
	VERDICT(floor, cpu_to_le32(9), -EBADMSG);
	VERDICT(block_sectors, 0, -EBADMSG);
	VERDICT(block_sectors, cpu_to_le32(12), -EBADMSG);
	VERDICT(block_sectors, cpu_to_le32(2097160), -EBADMSG);
	VERDICT(origin_sectors, 0, -EBADMSG);
	VERDICT(peer[0].id, cpu_to_le32(128), -EBADMSG);
	VERDICT(peer[0].id, cpu_to_le32(127), -EBADMSG);
	VERDICT(peer[0].id, cpu_to_le32(7), 0);
	VERDICT(peer[0].family, 0, -EBADMSG);
	VERDICT(peer[0].family, cpu_to_le16(5), -EBADMSG);
	VERDICT(peer[0].in_view, cpu_to_le32(2), 0);
	VERDICT(peer[0].in_view, cpu_to_le32(3), -EBADMSG);
	VERDICT(peer[0].in_view, cpu_to_le32(0x102), -EBADMSG);
	VERDICT(peer[5].port, cpu_to_le16(2), 0);
}

TEST(label, blank_and_foreign)
{
	struct circle_label l;

	memset(mb, 0, sizeof(mb));
	CHECK_EQ(circle_label_decode(mb, 7, &l, t_crc32c), -ENODATA);
	mb[0] = 1;
	CHECK_EQ(circle_label_decode(mb, 7, &l, t_crc32c), -EINVAL);
	mb[0] = 0;
	mb[4095] = 1;
	CHECK_EQ(circle_label_decode(mb, 7, &l, t_crc32c), -EINVAL);
	fill_label(&l, 7, 1, 1, 1);
	circle_label_encode(&l, mb, t_crc32c);
	CHECK_EQ(circle_label_decode(mb, 0, &l, t_crc32c), -EBADMSG);
	CHECK_EQ(circle_label_decode(mb, 135, &l, t_crc32c), -EBADMSG);
}

TEST(label, places_do_not_overlap)
{
	static u8 used[CIRCLE_LABEL_AREA / CIRCLE_MB_SIZE];
	unsigned int copy, n = 0;
	u32 id, off;

	for (id = 0; id <= CIRCLE_MAX_NODE_ID; id++)
		for (copy = 0; copy < 2; copy++) {
			off = circle_label_offset(id, copy);
			CHECK_EQ(off % CIRCLE_MB_SIZE, 0);
			MUST(off + CIRCLE_MB_SIZE <= CIRCLE_LABEL_AREA);
			CHECK_EQ(used[off / CIRCLE_MB_SIZE]++, 0);
			n++;
		}
	CHECK_EQ(n, ARRAY_SIZE(used));
	for (id = 1; id <= CIRCLE_MAX_NODE_ID; id++)
		CHECK_EQ(circle_label_offset(id, 1) - circle_label_offset(id, 0), 65536);
	CHECK_EQ(circle_label_offset(1, 0), 4096);
	CHECK_EQ(circle_label_offset(15, 1), 65536 + 15 * 4096);
	CHECK_EQ(circle_label_offset(16, 0), 2 * 65536);
	CHECK_EQ(circle_label_offset(127, 1), CIRCLE_LABEL_AREA - CIRCLE_MB_SIZE);
}

TEST(label, judge_blank)
{
	clear();
	CHECK_EQ(judge(1), -ENODATA);
	CHECK(!v.my_valid && !v.tie && !v.current_id);
	CHECK_EQ(v.my_copy, 0);
	CHECK_EQ(v.max_seq, 0);
}

TEST(label, judge_one)
{
	clear();
	put_label(7, 0, 1, 1, 0xaa);
	CHECK_EQ(judge(7), 0);
	CHECK_EQ(v.current_id, 7);
	CHECK_EQ(cur.node_id, 7);
	CHECK_EQ(cur.activation, 0xaa);
	CHECK(v.my_valid);
	CHECK_EQ(v.max_seq, 1);
	CHECK_EQ(v.my_copy, 1);
	CHECK_EQ(judge(8), 0);
	CHECK(!v.my_valid);
	CHECK_EQ(v.max_seq, 0);
	CHECK_EQ(v.current_id, 7);
}

TEST(label, judge_every_place)
{
	u32 id;

	for (id = 1; id <= CIRCLE_MAX_NODE_ID; id += 9) {
		clear();
		put_label(id, 1, 4, 1, 1);
		CHECK_EQ(judge(id), 0);
		CHECK_EQ(v.current_id, id);
		CHECK_EQ(v.my_copy, 0);
	}
}

TEST(label, judge_newest_copy_of_a_place)
{
	clear();
	put_label(7, 0, 10, 1, 0xa);
	put_label(7, 1, 11, 1, 0xb);
	CHECK_EQ(judge(7), 0);
	CHECK_EQ(cur.seq, 11);
	CHECK_EQ(v.max_seq, 11);
	CHECK_EQ(v.my_copy, 0);
	put_label(7, 0, 12, 1, 0xc);
	CHECK_EQ(judge(7), 0);
	CHECK_EQ(cur.seq, 12);
	CHECK_EQ(cur.activation, 0xc);
	CHECK_EQ(v.my_copy, 1);
	CHECK(!v.tie);
}

/* The newest copy counts even if an older copy of the same place names a higher generation. */
TEST(label, judge_old_copies_do_not_count)
{
	clear();
	put_label(7, 0, 10, 9, 1);
	put_label(7, 1, 11, 2, 1);
	put_label(8, 0, 1, 3, 1);
	CHECK_EQ(judge(7), 0);
	CHECK_EQ(v.current_id, 8);
}

TEST(label, judge_highest_generation)
{
	clear();
	put_label(1, 0, 50, 4, 9);
	put_label(60, 0, 1, 6, 1);
	put_label(127, 0, 99, 5, 9);
	CHECK_EQ(judge(1), 0);
	CHECK_EQ(v.current_id, 60);
	CHECK_EQ(cur.generation, 6);
	CHECK(!v.tie);
}

TEST(label, judge_tie)
{
	clear();
	put_label(3, 0, 1, 6, 0x50);
	put_label(9, 0, 1, 6, 0x51);
	CHECK_EQ(judge(3), 0);
	CHECK_EQ(v.current_id, 9);
	CHECK(v.tie);
	put_label(3, 0, 1, 6, 0x52);
	CHECK_EQ(judge(3), 0);
	CHECK_EQ(v.current_id, 3);
	CHECK_EQ(cur.node_id, 3);
	CHECK_EQ(cur.activation, 0x52);
	CHECK(v.tie);
	put_label(9, 1, 2, 7, 1);
	CHECK_EQ(judge(3), 0);
	CHECK_EQ(v.current_id, 9);
	CHECK(!v.tie);
	put_label(3, 0, 1, 7, 1);
	CHECK_EQ(judge(3), 0);
	CHECK(v.tie);
	CHECK_EQ(v.current_id, 3);	/* the lower id: both tags are the same */
}

/* One that is only taking is no rival of one that went on, wherever it stands. */
TEST(label, judge_rivals)
{
	clear();
	put_taking(3, 1, 6, 0x50);
	put_label(9, 0, 1, 6, 0x51);
	CHECK_EQ(judge(9), 0);
	CHECK_EQ(v.current_id, 9);
	CHECK(v.tie && !v.rival);
	put_taking(20, 1, 6, 0x60);
	CHECK_EQ(judge(9), 0);
	CHECK_EQ(v.current_id, 9);
	CHECK(v.tie && !v.rival);
	put_label(5, 0, 1, 6, 0x52);
	CHECK_EQ(judge(9), 0);
	CHECK(v.tie && v.rival);
	put_label(30, 0, 1, 7, 1);
	CHECK_EQ(judge(9), 0);
	CHECK(!v.tie && !v.rival);
}

TEST(label, judge_tie_below_the_current_does_not_matter)
{
	clear();
	put_label(3, 0, 1, 6, 0x50);
	put_label(9, 0, 1, 6, 0x51);
	put_label(20, 0, 1, 7, 1);
	put_label(30, 0, 1, 5, 1);
	CHECK_EQ(judge(3), 0);
	CHECK_EQ(v.current_id, 20);
	CHECK(!v.tie);
}

TEST(label, judge_torn_copy_beside_a_valid_one)
{
	clear();
	put_label(7, 0, 10, 3, 1);
	put_label(7, 1, 11, 3, 1);
	at(7, 1)[600] ^= 1;
	CHECK_EQ(judge(7), 0);
	CHECK_EQ(cur.seq, 10);
	CHECK_EQ(v.my_copy, 1);
	CHECK_EQ(v.max_seq, 10);
}

/* A write of a label, torn at every sector, over a blank copy and over an older one. */
TEST(label, judge_torn_at_every_sector)
{
	u8 new[CIRCLE_MB_SIZE], old[CIRCLE_MB_SIZE];
	unsigned int over_old, head, cut;
	struct circle_label l;

	fill_label(&l, 7, 12, 3, 1);
	l.peer[20] = l.peer[0];
	l.peer[20].id = 99;
	circle_label_encode(&l, new, t_crc32c);
	for (over_old = 0; over_old < 2; over_old++)
		for (head = 0; head < 2; head++)
			for (cut = 512; cut < sizeof(new); cut += 512) {
				clear();
				put_label(7, 0, 11, 2, 1);
				if (over_old)
					put_label(7, 1, 10, 1, 1);
				memcpy(old, at(7, 1), sizeof(old));
				memcpy(at(7, 1), new, sizeof(new));
				if (head)
					memcpy(at(7, 1) + cut, old + cut, sizeof(old) - cut);
				else
					memcpy(at(7, 1), old, cut);
				CHECK_EQ(judge(7), 0);
				if (!memcmp(at(7, 1), new, sizeof(new)))
					continue;
				CHECK_EQ(cur.seq, 11);
				CHECK_EQ(v.my_copy, 1);
			}
}

TEST(label, judge_torn_first_write_of_a_place)
{
	clear();
	put_label(7, 0, 10, 3, 1);
	put_label(9, 0, 1, 4, 1);
	at(9, 0)[600] ^= 1;
	CHECK_EQ(judge(9), 0);
	CHECK_EQ(v.current_id, 7);
	CHECK(!v.my_valid);
	CHECK_EQ(v.my_copy, 0);	/* over the torn one, never beside it */
	put_label(9, 0, 1, 4, 1);
	memcpy(at(9, 1), at(9, 0), CIRCLE_MB_SIZE);
	memset(at(9, 0), 0, CIRCLE_MB_SIZE);
	at(9, 1)[600] ^= 1;
	CHECK_EQ(judge(9), 0);
	CHECK_EQ(v.my_copy, 1);
}

TEST(label, judge_headless_first_write)
{
	clear();
	put_label(9, 0, 1, 4, 1);
	memset(at(9, 0), 0, 512);
	CHECK_EQ(judge(9), -EINVAL);	/* nothing says that this area is ours */
	CHECK_EQ(v.where, circle_label_offset(9, 0));
	put_label(7, 0, 10, 3, 1);
	CHECK_EQ(judge(9), 0);
	CHECK_EQ(v.current_id, 7);
	CHECK_EQ(v.my_copy, 0);
}

/* Both copies begin with a zero sector: nothing here says that it was ours. */
TEST(label, judge_headless_in_both_copies)
{
	clear();
	put_label(7, 0, 10, 3, 1);
	at(9, 0)[512] = 1;
	at(9, 1)[512] = 1;
	CHECK_EQ(judge(7), -EINVAL);
	CHECK_EQ(v.where, circle_label_offset(9, 0));
}

/* Both copies have the same seq, which no writer does: copy 0 counts, and is not written next. */
TEST(label, judge_same_seq)
{
	clear();
	put_label(7, 0, 10, 3, 1);
	put_label(7, 1, 10, 3, 2);
	CHECK_EQ(judge(7), 0);
	CHECK_EQ(cur.activation, 1);
	CHECK_EQ(v.my_copy, 1);
}

TEST(label, judge_damaged_in_both_copies)
{
	clear();
	put_label(7, 0, 10, 3, 1);
	put_label(20, 0, 1, 4, 1);
	put_label(20, 1, 2, 4, 1);
	at(20, 0)[70] ^= 1;
	CHECK_EQ(judge(7), 0);
	at(20, 1)[4000] ^= 1;
	CHECK_EQ(judge(7), -EBADMSG);
	CHECK_EQ(v.where, circle_label_offset(20, 0));
	memset(at(20, 1), 0, 512);
	CHECK_EQ(judge(7), -EBADMSG);
}

TEST(label, judge_copy_of_another_place)
{
	clear();
	put_label(7, 0, 10, 3, 1);
	put_label(20, 0, 1, 4, 1);
	memcpy(at(21, 1), at(20, 0), CIRCLE_MB_SIZE);
	CHECK_EQ(judge(7), -EBADMSG);
	CHECK_EQ(v.where, circle_label_offset(21, 1));
}

TEST(label, judge_foreign_bytes_everywhere)
{
	unsigned int row;

	for (row = 0; row < CIRCLE_LABEL_AREA / CIRCLE_MB_SIZE; row++) {
		clear();
		put_label(7, 0, 10, 3, 1);
		if (area + row * CIRCLE_MB_SIZE == at(7, 0))
			continue;
		area[row * CIRCLE_MB_SIZE + row % 512] = 0x80;
		CHECK_EQ(judge(7), -EINVAL);
		CHECK_EQ(v.where, row * CIRCLE_MB_SIZE);
	}
}

TEST(label, judge_id_0_must_be_zero)
{
	clear();
	put_label(7, 0, 10, 3, 1);
	area[4095] = 1;
	CHECK_EQ(judge(7), -EINVAL);
	CHECK_EQ(v.where, 0);
	area[4095] = 0;
	area[65536 + 4095] = 1;
	CHECK_EQ(judge(7), -EINVAL);
	CHECK_EQ(v.where, 65536);
}

TEST(label, judge_newer_version)
{
	struct circle_disk_label *d;

	clear();
	put_label(7, 0, 10, 3, 1);
	put_label(90, 0, 1, 1, 1);
	put_label(90, 1, 2, 1, 1);
	d = (void *)at(90, 0);
	d->version = cpu_to_le16(3);
	reseal(d);
	CHECK_EQ(judge(7), -EPROTONOSUPPORT);
	CHECK_EQ(v.where, circle_label_offset(90, 0));
}

TEST(label, judge_another_set)
{
	struct circle_disk_label *d;

	clear();
	put_label(7, 0, 10, 3, 1);
	put_label(90, 0, 1, 1, 1);
	d = (void *)at(90, 0);
	d->set_uuid[0] ^= 1;
	reseal(d);
	CHECK_EQ(judge(7), -EINVAL);
	CHECK_EQ(v.where, circle_label_offset(90, 0));
}

TEST(label, judge_without_a_place_of_mine)
{
	clear();
	put_label(7, 0, 10, 3, 1);
	CHECK_EQ(judge(0), 0);
	CHECK_EQ(v.current_id, 7);
	CHECK(!v.my_valid);
	CHECK_EQ(judge(1000), 0);
	CHECK(!v.my_valid);
}

/* A node writes its place many times and each write is torn once: never is the place lost. */
TEST(label, writes_in_turn_with_crashes)
{
	struct circle_label l;
	u8 new[CIRCLE_MB_SIZE];
	u64 seed = 4, seq = 0;
	unsigned int round, cut;

	clear();
	for (round = 0; round < 200; round++) {
		CHECK_EQ(judge(5), seq ? 0 : -ENODATA);
		CHECK_EQ(v.max_seq, seq);
		fill_label(&l, 5, v.max_seq + 1, round, t_random(&seed));
		l.peer[30] = l.peer[0];
		l.peer[30].id = 66 + round % 50;
		circle_label_encode(&l, new, t_crc32c);
		cut = 512 * (1 + t_random(&seed) % 7);
		if (t_random(&seed) % 2) {
			memcpy(at(5, v.my_copy), new, sizeof(new));
			seq++;
			continue;
		}
		memcpy(at(5, v.my_copy), new, cut);
		if (!memcmp(at(5, v.my_copy), new, sizeof(new)))
			seq++;
	}
}
