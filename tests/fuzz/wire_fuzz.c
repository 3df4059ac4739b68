// SPDX-License-Identifier: GPL-2.0-only
/*
 * wire: a header and a hello of any content, raw or sealed. What is believed announces no more than
 * the longest payload, and comes back the same when encoded.
 */
#include "fuzz.h"
#include "wire.h"

static void frame(const u8 *buf)
{
	struct circle_frame a, b;
	u8 again[96];
	int ret;

	ret = circle_frame_decode(buf, &a, fuzz_crc);
	HOLDS(ret == 0 || ret == -EBADMSG || ret == -EPROTO);
	if (ret)
		return;
	HOLDS(a.type >= 1 && a.type < CIRCLE_WT_NR && a.status < CIRCLE_WS_NR);
	HOLDS(a.length <= CIRCLE_WIRE_MAX_DATA);
	circle_frame_encode(&a, again, fuzz_crc);
	HOLDS(!circle_frame_decode(again, &b, fuzz_crc));
	HOLDS(!memcmp(&a, &b, sizeof(a)));
}

static void hello(const u8 *buf)
{
	struct circle_hello a, b;
	u8 again[128];

	if (circle_hello_decode(buf, &a))
		return;
	HOLDS(a.node_id >= 1 && a.node_id <= CIRCLE_MAX_NODE_ID);
	HOLDS(a.page_sectors * 64ULL >= a.block_sectors && a.block_sectors >= 8);
	circle_hello_encode(&a, again);
	HOLDS(!circle_hello_decode(again, &b));
	HOLDS(!memcmp(&a, &b, sizeof(a)));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct circle_frame f = { .version = 1, .id = 5 };
	struct circle_hello h = { .version_min = 1, .version_max = 1, .node_id = 1, .peer_id = 2,
				  .block_sectors = 512, .page_sectors = 8 };
	u8 what = fuzz_byte(&data, &size);
	u8 head[96], greet[128];

	f.type = what % 16;
	f.flags = fuzz_byte(&data, &size);
	f.status = fuzz_byte(&data, &size);
	f.sectors = fuzz_byte(&data, &size);
	f.length = what & 0x20 ? f.sectors * 512 : fuzz_byte(&data, &size);
	circle_frame_encode(&f, head, fuzz_crc);
	circle_hello_encode(&h, greet);
	while (size) {
		fuzz_patch(head, sizeof(head), &data, &size);
		fuzz_patch(greet, sizeof(greet), &data, &size);
	}
	if (what & 0x80)
		fuzz_seal(head, sizeof(head), 4);
	frame(head);
	hello(greet);
	return 0;
}
