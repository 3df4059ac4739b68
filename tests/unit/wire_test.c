// SPDX-License-Identifier: GPL-2.0-only
/*
 * wire: round trips, golden bytes, and every length that a type allows or not.
 */
#include <stdlib.h>
#include <asm/byteorder.h>

#include "t.h"
#include "disk.h"
#include "wire.h"

static u8 buf[96];

static struct circle_frame some_frame(void)
{
	struct circle_frame f = {
		.version = 1, .type = CIRCLE_WT_REPLICATE, .flags = CIRCLE_WF_FILL, .length = 4096,
		.data_crc = 0xdeadbeef, .id = 0x0102030405060708, .generation = 3,
		.activation = 0xa1a2a3a4a5a6a7a8, .block = 0x99, .seq = 0x77, .pages = 0xf0,
		.sector = 16, .sectors = 8, .space = 0x55, .away = 0x31, .aux = 0x1234,
	};

	return f;
}

TEST(wire, frame_round_trip)
{
	struct circle_frame a = some_frame(), b;

	memset(&b, 0xff, sizeof(b));
	circle_frame_encode(&a, buf, t_crc32c);
	CHECK_EQ(circle_frame_decode(buf, &b, t_crc32c), 0);
	CHECK_EQ(b.version, a.version);
	CHECK_EQ(b.type, a.type);
	CHECK_EQ(b.flags, a.flags);
	CHECK_EQ(b.status, a.status);
	CHECK_EQ(b.length, a.length);
	CHECK_EQ(b.data_crc, a.data_crc);
	CHECK_EQ(b.id, a.id);
	CHECK_EQ(b.generation, a.generation);
	CHECK_EQ(b.activation, a.activation);
	CHECK_EQ(b.block, a.block);
	CHECK_EQ(b.seq, a.seq);
	CHECK_EQ(b.pages, a.pages);
	CHECK_EQ(b.sector, a.sector);
	CHECK_EQ(b.sectors, a.sectors);
	CHECK_EQ(b.space, a.space);
	CHECK_EQ(b.away, a.away);
	CHECK_EQ(b.aux, a.aux);
}

TEST(wire, frame_golden)
{
	struct circle_frame f = some_frame();

	f.flags = CIRCLE_WF_FILL;
	circle_frame_encode(&f, buf, t_crc32c);
	CHECK_HEX(buf, 96, "4349524c 369f5bbc 0100 0200 0400 0000 00100000 efbeadde"
		  "0807060504030201 0300000000000000 a8a7a6a5a4a3a2a1 9900000000000000"
		  "7700000000000000 f000000000000000 10000000 08000000 55000000 31000000"
		  "3412000000000000");
}

TEST(wire, frame_every_bit_counts)
{
	struct circle_frame f = some_frame();
	unsigned int i;

	circle_frame_encode(&f, buf, t_crc32c);
	for (i = 0; i < sizeof(buf) * 8; i++) {
		buf[i / 8] ^= 1 << (i % 8);
		CHECK_EQ(circle_frame_decode(buf, &f, t_crc32c), -EBADMSG);
		buf[i / 8] ^= 1 << (i % 8);
	}
}

TEST(wire, frame_blank_and_foreign)
{
	struct circle_frame f;

	memset(buf, 0, sizeof(buf));
	CHECK_EQ(circle_frame_decode(buf, &f, t_crc32c), -EBADMSG);
	memset(buf, 'G', sizeof(buf));
	CHECK_EQ(circle_frame_decode(buf, &f, t_crc32c), -EBADMSG);
}

/* The buffer has exactly 96 bytes, and stands at an odd address. */
TEST(wire, frame_reads_no_further)
{
	struct circle_frame f = some_frame();
	u8 *p = malloc(97);

	circle_frame_encode(&f, p + 1, t_crc32c);
	CHECK_EQ(circle_frame_decode(p + 1, &f, t_crc32c), 0);
	free(p);
}

static int verdict(const struct circle_frame *in)
{
	struct circle_frame f = *in;

	if (!f.length)
		f.data_crc = 0;
	circle_frame_encode(&f, buf, t_crc32c);
	return circle_frame_decode(buf, &f, t_crc32c);
}

#define FRAME(want, ...) do {						\
	struct circle_frame _f = { .id = 1, __VA_ARGS__ };		\
	CHECK_EQ(verdict(&_f), want);					\
} while (0)
#define ANSWER(want, ...) FRAME(want, .flags = CIRCLE_WF_ANSWER, __VA_ARGS__)

TEST(wire, types_flags_status)
{
	FRAME(-EPROTO, .type = 0);
	FRAME(-EPROTO, .type = 10);
	FRAME(-EPROTO, .type = 0xffff);
	FRAME(0, .type = CIRCLE_WT_FLUSH);
	FRAME(-EPROTO, .type = CIRCLE_WT_FLUSH, .flags = 0x20);
	FRAME(-EPROTO, .type = CIRCLE_WT_FLUSH, .flags = 0x8001);
	FRAME(-EPROTO, .type = CIRCLE_WT_FLUSH, .status = CIRCLE_WS_IO);
	ANSWER(0, .type = CIRCLE_WT_FLUSH, .status = CIRCLE_WS_IO);
	ANSWER(0, .type = CIRCLE_WT_FLUSH, .status = CIRCLE_WS_BUSY);
	ANSWER(-EPROTO, .type = CIRCLE_WT_FLUSH, .status = 10);
	FRAME(0, .type = CIRCLE_WT_RELEASE, .flags = CIRCLE_WF_ALL_GENS);
	FRAME(0, .type = CIRCLE_WT_RELEASE, .flags = CIRCLE_WF_ALL_GENS | CIRCLE_WF_KEEP);
	ANSWER(0, .type = CIRCLE_WT_REVIVE, .status = CIRCLE_WS_NOT_FOUND);
	FRAME(0, .type = CIRCLE_WT_FLUSH, .version = 1);
	FRAME(0, .type = CIRCLE_WT_FLUSH, .version = 77);
}

TEST(wire, data_crc_without_data)
{
	struct circle_frame f = { .version = 1, .type = CIRCLE_WT_FLUSH, .data_crc = 1 };

	circle_frame_encode(&f, buf, t_crc32c);
	CHECK_EQ(circle_frame_decode(buf, &f, t_crc32c), -EPROTO);
}

TEST(wire, length_hello)
{
	unsigned int s;

	FRAME(0, .type = CIRCLE_WT_HELLO, .length = 128);
	FRAME(-EPROTO, .type = CIRCLE_WT_HELLO, .length = 0);
	FRAME(-EPROTO, .type = CIRCLE_WT_HELLO, .length = 127);
	FRAME(-EPROTO, .type = CIRCLE_WT_HELLO, .length = 129);
	for (s = 0; s < CIRCLE_WS_NR; s++) {
		ANSWER(0, .type = CIRCLE_WT_HELLO, .length = 128, .status = s);
		ANSWER(-EPROTO, .type = CIRCLE_WT_HELLO, .length = 0, .status = s);
	}
}

TEST(wire, length_replicate)
{
	FRAME(0, .type = CIRCLE_WT_REPLICATE, .sectors = 1, .length = 512);
	FRAME(0, .type = CIRCLE_WT_REPLICATE, .sectors = 2048, .length = 1048576);
	FRAME(-EPROTO, .type = CIRCLE_WT_REPLICATE, .sectors = 2049, .length = 2049 * 512);
	FRAME(-EPROTO, .type = CIRCLE_WT_REPLICATE, .sectors = 0, .length = 0);
	FRAME(-EPROTO, .type = CIRCLE_WT_REPLICATE, .sectors = 8, .length = 0);
	FRAME(-EPROTO, .type = CIRCLE_WT_REPLICATE, .sectors = 8, .length = 4095);
	FRAME(-EPROTO, .type = CIRCLE_WT_REPLICATE, .sectors = 0x800001, .length = 512);
	FRAME(-EPROTO, .type = CIRCLE_WT_REPLICATE, .sectors = U32_MAX, .length = 4294966784u);
	FRAME(0, .type = CIRCLE_WT_REPLICATE, .sector = 2097151, .sectors = 1, .length = 512);
	FRAME(-EPROTO, .type = CIRCLE_WT_REPLICATE, .sector = 2097152, .sectors = 1, .length = 512);
	FRAME(-EPROTO, .type = CIRCLE_WT_REPLICATE, .sector = U32_MAX, .sectors = 1, .length = 512);
	ANSWER(0, .type = CIRCLE_WT_REPLICATE);
	ANSWER(0, .type = CIRCLE_WT_REPLICATE, .sectors = 8);
	ANSWER(-EPROTO, .type = CIRCLE_WT_REPLICATE, .sectors = 8, .length = 4096);
	FRAME(0, .type = CIRCLE_WT_REPLICATE, .flags = CIRCLE_WF_ANSWER | CIRCLE_WF_DURABLE);
}

TEST(wire, length_list)
{
	FRAME(0, .type = CIRCLE_WT_LIST);
	FRAME(-EPROTO, .type = CIRCLE_WT_LIST, .length = 40);
	ANSWER(0, .type = CIRCLE_WT_LIST);
	ANSWER(0, .type = CIRCLE_WT_LIST, .length = 40);
	ANSWER(0, .type = CIRCLE_WT_LIST, .length = 4096 * 40);
	ANSWER(-EPROTO, .type = CIRCLE_WT_LIST, .length = 4097 * 40);
	ANSWER(-EPROTO, .type = CIRCLE_WT_LIST, .length = 39);
	ANSWER(-EPROTO, .type = CIRCLE_WT_LIST, .length = 40, .status = CIRCLE_WS_FENCED);
	ANSWER(0, .type = CIRCLE_WT_LIST, .status = CIRCLE_WS_FENCED);
}

TEST(wire, length_fetch)
{
	FRAME(0, .type = CIRCLE_WT_FETCH, .sectors = 8);
	FRAME(-EPROTO, .type = CIRCLE_WT_FETCH, .sectors = 0);
	FRAME(-EPROTO, .type = CIRCLE_WT_FETCH, .sectors = 2049);
	FRAME(-EPROTO, .type = CIRCLE_WT_FETCH, .sectors = 8, .length = 4096);
	ANSWER(0, .type = CIRCLE_WT_FETCH, .sectors = 8, .length = 4096);
	ANSWER(-EPROTO, .type = CIRCLE_WT_FETCH, .sectors = 8, .length = 4608);
	ANSWER(-EPROTO, .type = CIRCLE_WT_FETCH, .sectors = 8);
	ANSWER(0, .type = CIRCLE_WT_FETCH, .sectors = 8, .status = CIRCLE_WS_NOT_FOUND);
	ANSWER(-EPROTO, .type = CIRCLE_WT_FETCH, .sectors = 8, .length = 4096,
	       .status = CIRCLE_WS_NOT_FOUND);
}

TEST(wire, length_ping)
{
	FRAME(0, .type = CIRCLE_WT_PING);
	FRAME(0, .type = CIRCLE_WT_PING, .length = 65536);
	FRAME(-EPROTO, .type = CIRCLE_WT_PING, .length = 1);
	FRAME(-EPROTO, .type = CIRCLE_WT_PING, .length = 65535);
	ANSWER(0, .type = CIRCLE_WT_PING);
	ANSWER(-EPROTO, .type = CIRCLE_WT_PING, .length = 65536);
}

TEST(wire, length_of_the_others_is_0)
{
	static const u16 types[] = {
		CIRCLE_WT_FLUSH, CIRCLE_WT_RELEASE, CIRCLE_WT_FENCE, CIRCLE_WT_REVIVE,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		FRAME(0, .type = types[i]);
		ANSWER(0, .type = types[i]);
		FRAME(-EPROTO, .type = types[i], .length = 1);
		ANSWER(-EPROTO, .type = types[i], .length = 512, .sectors = 1);
	}
}

/* No frame that is believed announces more than the longest payload. */
TEST(wire, random_headers)
{
	struct circle_frame f;
	u64 seed = 8, k, good = 0;

	for (k = 0; k < 300000; k++) {
		memset(&f, 0, sizeof(f));
		f.type = t_random(&seed) % 11;
		f.flags = t_random(&seed) % 33;
		f.status = t_random(&seed) % 3 ? 0 : t_random(&seed) % 11;
		f.sectors = t_random(&seed) % 3 ? t_random(&seed) % 9 : t_random(&seed);
		f.length = t_random(&seed) % 3 ? f.sectors * 512 : t_random(&seed) % 200;
		if (verdict(&f))
			continue;
		good++;
		CHECK(f.length <= CIRCLE_WIRE_MAX_DATA);
	}
	CHECK(good > 1000);
}

static struct circle_hello some_hello(void)
{
	struct circle_hello h = {
		.version_min = 1, .version_max = 1, .domain = "rack-1", .node_id = 7, .peer_id = 2,
		.instance = 0xc1c2c3c4c5c6c7c8, .block_sectors = 520, .page_sectors = 16,
		.origin_sectors = 0x123456789,
	};

	memset(h.set_uuid, 0x5e, CIRCLE_UUID_SIZE);
	return h;
}

TEST(wire, hello_round_trip_and_golden)
{
	struct circle_hello h = some_hello(), got;
	u8 b[128];

	memset(b, 0xff, sizeof(b));
	circle_hello_encode(&h, b);
	CHECK_HEX(b, 128, "0100 0100 00000000 5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e"
		  "7261636b2d3100000000000000000000 07000000 02000000 c8c7c6c5c4c3c2c1"
		  "08020000 10000000 8967452301000000"
		  "00000000000000000000000000000000000000000000000000000000"
		  "00000000000000000000000000000000000000000000000000000000");
	memset(&got, 0xff, sizeof(got));
	CHECK_EQ(circle_hello_decode(b, &got), 0);
	CHECK(!memcmp(&h, &got, sizeof(h)));
}

#define HELLO(want, field, value) do {		\
	struct circle_hello _h = some_hello();	\
	u8 _b[128];				\
	_h.field = (value);			\
	circle_hello_encode(&_h, _b);		\
	CHECK_EQ(circle_hello_decode(_b, &_h), want);	\
} while (0)

TEST(wire, hello_ranges)
{
	HELLO(-EPROTO, version_min, 0);
	HELLO(-EPROTO, version_min, 2);
	HELLO(0, version_max, 65535);
	HELLO(0, features, 0xffffffff);
	HELLO(-EPROTO, node_id, 0);
	HELLO(-EPROTO, node_id, 128);
	HELLO(-EPROTO, peer_id, 0);
	HELLO(-EPROTO, peer_id, 0x80000001);
	HELLO(-EPROTO, block_sectors, 0);
	HELLO(-EPROTO, block_sectors, 12);
	HELLO(-EPROTO, block_sectors, 2097160);
	HELLO(-EPROTO, page_sectors, 8);
	HELLO(-EPROTO, page_sectors, 0);
	HELLO(0, origin_sectors, 0);
	HELLO(0, node_id, 1);
	HELLO(0, node_id, 127);
	HELLO(0, peer_id, 127);
}

TEST(wire, hello_every_block_size)
{
	static const u32 sizes[] = { 8, 16, 520, 8192, 2097152 };
	struct circle_hello h = some_hello();
	unsigned int i;
	u8 b[128];

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		h.block_sectors = sizes[i];
		h.page_sectors = circle_page_sectors(sizes[i]);
		circle_hello_encode(&h, b);
		CHECK_EQ(circle_hello_decode(b, &h), 0);
		h.page_sectors *= 2;
		circle_hello_encode(&h, b);
		CHECK_EQ(circle_hello_decode(b, &h), -EPROTO);
	}
}

TEST(wire, item_round_trip)
{
	struct circle_item i = { .block = 1, .gen = 2, .seq = 3, .pages = 4,
				 .flags = CIRCLE_WI_DURABLE }, got;
	u8 b[40];

	memset(b, 0xff, sizeof(b));
	circle_item_encode(&i, b);
	CHECK_HEX(b, 40, "0100000000000000 0200000000000000 0300000000000000 0400000000000000"
		  "01000000 00000000");
	circle_item_decode(b, &got);
	CHECK(got.block == 1 && got.gen == 2 && got.seq == 3 && got.pages == 4 && got.flags == 1);
}

TEST(wire, agree)
{
	CHECK_EQ(circle_wire_agree(1, 1, 1, 1), 1);
	CHECK_EQ(circle_wire_agree(1, 3, 2, 9), 3);
	CHECK_EQ(circle_wire_agree(2, 9, 1, 3), 3);
	CHECK_EQ(circle_wire_agree(1, 2, 3, 4), 0);
	CHECK_EQ(circle_wire_agree(3, 4, 1, 2), 0);
	CHECK_EQ(circle_wire_agree(5, 5, 1, 9), 5);
}
