// SPDX-License-Identifier: GPL-2.0-only
/*
 * mutate: metadata and label areas of any content. mutate IMAGE RUNS SEED: patches random bytes of
 * the image, sets the checksum right most of the time so that what stands behind it is reached,
 * loads and judges. The sanitizers are the judges; beyond them, what is called undamaged must be in
 * range.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <asm/byteorder.h>
#include <sys/mman.h>
#include <unistd.h>

#include "area.h"
#include "meta.h"
#include "tool.h"

#define HOLDS(cond)	do { if (!(cond)) fails(#cond); } while (0)

static u64 state;

static void fails(const char *what)
{
	printf("# not true: %s\n", what);
	abort();
}

static u64 draw(u64 below)
{
	u64 z = state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (z ^ z >> 31) % below;
}

static void seal(u8 *mb, unsigned int field)
{
	__le32 crc = 0;

	memcpy(mb + field, &crc, sizeof(crc));
	crc = cpu_to_le32(tool_crc(~0u, mb, CIRCLE_MB_SIZE));
	memcpy(mb + field, &crc, sizeof(crc));
}

/* Interesting blocks more often than their share. */
static u64 pick(u64 mbs)
{
	switch (draw(6)) {
	case 0:
		return 0;
	case 1:
		return CIRCLE_SB_COPY1_MB;
	case 2:
	case 3:
		return 32 + draw(16);
	case 4:			/* places of ids 1 and 2 */
		return 1 + draw(2) + 16 * draw(2);
	}
	return draw(mbs);
}

static void patch(u8 *mb)
{
	static const u64 odd[] = { 0, 1, ~0ull, 1ull << 63, 1ull << 62, 0xffffffff, 84, 72 };
	unsigned int n = 1 + draw(4);
	u64 v;

	while (n--) {
		v = draw(2) ? odd[draw(ARRAY_SIZE(odd))] : draw(~0ull);
		memcpy(mb + draw(draw(2) ? 256 : CIRCLE_MB_SIZE - 8), &v, 1 << draw(4));
	}
}

static void load(const struct dev *dev)
{
	struct meta m;
	u64 dirty;
	u32 n;

	if (meta_open(&m, dev) || meta_load(&m) || meta_judge_slots(&m))
		goto out;
	for (n = 0; n < m.sb.nr_slots; n++) {
		dirty = meta_dirty(&m, n);
		HOLDS(!(dirty & ~m.geom.all));
		HOLDS(!dirty || m.slot[n].block < m.nr_blocks);
	}
	HOLDS(m.sum.own + m.sum.lent + m.sum.free + m.sum.retired >= m.sb.nr_slots);
out:
	meta_close(&m);
}

static void look(const struct dev *dev, const struct circle_super *sb)
{
	struct area a;
	char why[256];

	if (area_init(&a, dev))
		return;
	if (!area_read(&a, 1))
		area_fit_text(area_fit(&a, sb), &a, sb, why, sizeof(why));
	area_exit(&a);
}

static int copy_of(const struct dev *from, struct dev *to, u8 **map)
{
	u64 len = from->sectors << CIRCLE_SECTOR_SHIFT;

	*to = *from;
	to->fd = memfd_create("mutate", 0);
	if (to->fd < 0 || ftruncate(to->fd, len))
		return -EIO;
	*map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, to->fd, 0);
	return *map == MAP_FAILED ? -EIO : dev_read(from, 0, *map, from->sectors);
}

int main(int argc, char **argv)
{
	struct circle_super sb = { .generation = 3, .activation = 7, .block_sectors = 64 };
	u64 runs, i, mbs, at;
	struct dev from, dev;
	u8 *map, *keep;

	tool_begin("mutate", TOOL_SAY_NOTHING);
	if (argc != 4 || dev_open(&from, argv[1], 0) || copy_of(&from, &dev, &map))
		return 1;
	runs = strtoull(argv[2], NULL, 0);
	state = strtoull(argv[3], NULL, 0);
	mbs = dev.sectors / CIRCLE_MB_SECTORS;
	keep = malloc(mbs * CIRCLE_MB_SIZE);
	if (!keep)
		return 1;
	memcpy(keep, map, mbs * CIRCLE_MB_SIZE);
	for (i = 0; i < runs; i++) {
		unsigned int n = 1 + draw(3), field;

		while (n--) {
			at = pick(mbs);
			patch(map + at * CIRCLE_MB_SIZE);
			field = !memcmp(map + at * CIRCLE_MB_SIZE, "dmC", 3) ||
				!memcmp(map + at * CIRCLE_MB_SIZE, "dmc", 3) ? 8 : 4;
			if (draw(8))
				seal(map + at * CIRCLE_MB_SIZE, field);
		}
		load(&dev);
		if (dev.sectors >= AREA_SECTORS)
			look(&dev, &sb);
		if (draw(3))		/* else they add up */
			memcpy(map, keep, mbs * CIRCLE_MB_SIZE);
	}
	free(keep);
	return 0;
}
