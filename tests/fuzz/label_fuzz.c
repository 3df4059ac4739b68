// SPDX-License-Identifier: GPL-2.0-only
/*
 * label: an area with up to 16 copies, good, patched, resealed or foreign. A verdict of 0 must name
 * a place whose label is in the area, with the highest generation of all newest copies.
 */
#include "fuzz.h"
#include "label.h"

static u8 area[CIRCLE_LABEL_AREA];

static u8 *place(u32 id, unsigned int copy)
{
	return area + circle_label_offset(id, copy);
}

static void add_copy(u32 id, unsigned int copy, const u8 **data, size_t *size)
{
	struct circle_label l = {
		.state = 1 + fuzz_byte(data, size) % 4, .seq = fuzz_byte(data, size),
		.generation = fuzz_byte(data, size) % 8, .activation = fuzz_byte(data, size) % 8,
		.node_id = id, .degree = 1, .block_sectors = 512, .origin_sectors = 1 << 20,
		.peer[3] = { .id = 5, .family = 4, .in_view = CIRCLE_IN_VIEW_ASKED },
	};
	u8 how = fuzz_byte(data, size);

	circle_label_encode(&l, place(id, copy), fuzz_crc);
	if (how & 1)
		fuzz_patch(place(id, copy), CIRCLE_MB_SIZE, data, size);
	if (how & 2)
		fuzz_seal(place(id, copy), CIRCLE_MB_SIZE, 8);
	if (how & 4)
		memset(place(id, copy), 0, 512);
}

/* Newest valid copy of a place, or NULL. */
static struct circle_label *newest(u32 id, struct circle_label l[2])
{
	bool a = !circle_label_decode(place(id, 0), id, &l[0], fuzz_crc);
	bool b = !circle_label_decode(place(id, 1), id, &l[1], fuzz_crc);

	if (a && b)
		return l[1].seq > l[0].seq ? &l[1] : &l[0];
	return a ? &l[0] : b ? &l[1] : NULL;
}

static void verdict_holds(const struct circle_label_view *v, const struct circle_label *cur, u32 my)
{
	static struct circle_label l[2];
	struct circle_label *n;
	bool tie = false;
	u32 id;

	HOLDS(v->my_copy < 2 && v->current_id == cur->node_id);
	for (id = 1; id <= CIRCLE_MAX_NODE_ID; id++) {
		n = newest(id, l);
		if (id == my) {
			HOLDS(v->my_valid == !!n);
			HOLDS(v->max_seq == (n ? n->seq : 0));
			HOLDS(!n || n == &l[1 - v->my_copy]);
		}
		if (!n)
			continue;
		HOLDS(n->generation <= cur->generation);
		if (n->generation != cur->generation)
			continue;
		/* One that is taking never hides one that is not. */
		HOLDS((n->state == CIRCLE_LS_TAKING) >= (cur->state == CIRCLE_LS_TAKING));
		if ((n->state == CIRCLE_LS_TAKING) == (cur->state == CIRCLE_LS_TAKING))
			HOLDS(n->activation <= cur->activation);
		tie |= id != v->current_id;
	}
	HOLDS(tie == v->tie);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct circle_label cur;
	struct circle_label_view v;
	u8 used[16] = { 0 }, n = 0, i, where;
	u32 my = fuzz_byte(&data, &size) % 130;

	while (size && n < sizeof(used)) {
		where = used[n++] = fuzz_byte(&data, &size);
		add_copy(where % 128, where >> 7, &data, &size);
	}
	circle_label_judge(area, my, &v, &cur, fuzz_crc);
	HOLDS(v.where < CIRCLE_LABEL_AREA && v.where % CIRCLE_MB_SIZE == 0);
	if (!v.status)
		verdict_holds(&v, &cur, my);
	for (i = 0; i < n; i++)
		memset(place(used[i] % 128, used[i] >> 7), 0, CIRCLE_MB_SIZE);
	return 0;
}
