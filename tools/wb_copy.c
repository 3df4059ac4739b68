// SPDX-License-Identifier: GPL-2.0-only
/*
 * wb_copy: dirty pages from the SSD to the origin, in the origin's order, then a flush of both.
 * Only slots of the own set that count are read; it never marks anything clean.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "tool.h"
#include "wb.h"

static const struct meta *sorted;	/* for by_block() */

static int by_block(const void *a, const void *b)
{
	const struct wb_block *x = a, *y = b;
	u64 i = sorted->slot[x->slot].block, j = sorted->slot[y->slot].block;

	return i < j ? -1 : i > j;
}

int wb_collect(struct wb *w)
{
	const struct meta *m = &w->meta;
	u32 n;

	w->todo = calloc(max(m->sum.own_dirty, 1ull), sizeof(*w->todo));
	if (!w->todo) {
		tool_err("out of memory for %llu blocks", m->sum.own_dirty);
		return -ENOMEM;
	}
	for (n = 0; n < m->sb.nr_slots; n++)
		if (meta_dirty(m, n) && w->nr_todo < m->sum.own_dirty)
			w->todo[w->nr_todo++].slot = n;
	sorted = m;
	qsort(w->todo, w->nr_todo, sizeof(*w->todo), by_block);
	return 0;
}

static void say_failed(struct wb *w, struct wb_block *b, const char *what, int err)
{
	const struct meta *m = &w->meta;

	if (!b->failed)
		w->failed++;
	b->failed = true;
	tool_err("block %llu: %s%s%s", m->slot[b->slot].block, what, err ? ": " : "",
		 err ? strerror(-err) : "");
	if (w->list_failed)
		printf("block %llu slot %u pages %#llx\n", m->slot[b->slot].block, b->slot,
		       meta_dirty(m, b->slot));
}

static int read_some(struct wb *w, u64 sector, void *buf, u32 n)
{
	u32 tries = w->retries + 1;
	int err;

	do {
		err = dev_read(&w->fast, sector, buf, n);
	} while (err && --tries);
	return err;
}

/* *stop: -errno: no more may be written. Each attempt may take so long that another takes over. */
static int write_some(struct wb *w, u64 sector, const void *buf, u32 n, int *stop)
{
	u32 tries = w->retries + 1;
	int err;

	do {
		*stop = w->circle ? wb_label_look(w) : 0;
		if (*stop == -ESTALE || *stop == -EBADMSG)
			return 0;
		/* a label that cannot be read may be so for as long as the origin is away */
		err = *stop ?: dev_write(&w->origin, sector, buf, n);
		*stop = 0;
		w->shaken |= !!err;
	} while (err && --tries);
	return err;
}

/* Sectors [from, to) of a block. 1: this block failed; -errno: no more may be written. */
static int copy_run(struct wb *w, struct wb_block *b, u32 from, u32 to, void *buf)
{
	const struct circle_super *sb = &w->meta.sb;
	u64 src = (u64)b->slot * sb->block_sectors;
	u64 dst = w->meta.slot[b->slot].block * sb->block_sectors;
	u32 n, most = w->circle ? min(w->chunk, WB_LOOK_SECTORS) : w->chunk;
	int err, stop;

	for (; from < to; from += n) {
		n = min(to - from, most);
		err = read_some(w, src + from, buf, n);
		if (err) {
			say_failed(w, b, "the SSD cannot be read", err);
			return 1;
		}
		err = write_some(w, dst + from, buf, n, &stop);
		if (stop)
			return stop;
		if (err) {
			say_failed(w, b, "the origin cannot be written", err);
			return 1;
		}
	}
	return 0;
}

static int copy_block(struct wb *w, struct wb_block *b, void *buf)
{
	const struct circle_slot_state *s = &w->meta.slot[b->slot];
	const struct circle_geom *g = &w->meta.geom;
	u64 left = w->meta.sb.origin_sectors - s->block * g->block_sectors;
	u32 limit = min_t(u64, left, g->block_sectors), pos, stop;
	u64 dirty = meta_dirty(&w->meta, b->slot);
	bool set;
	int err;

	if (s->flags & CIRCLE_SLOT_LOST) {
		say_failed(w, b, "the only copy of it is lost", 0);
		return 0;
	}
	for (pos = 0; pos < limit; pos = stop) {
		stop = circle_pages_run(g, dirty, pos, limit, &set);
		err = set ? copy_run(w, b, pos, stop, buf) : 0;
		if (err)
			return err < 0 ? err : 0;
	}
	w->pages += hweight64(dirty);
	return 0;
}

/* What a power cut takes from the SSD must not be older there than at the origin: the SSD first. */
static int flush_both(struct wb *w)
{
	int err = dev_flush(&w->fast);

	if (err) {
		tool_err("the SSD cannot be flushed: %s", strerror(-err));
		return err;
	}
	err = dev_flush(&w->origin);
	if (err)
		tool_err("the origin cannot be flushed: %s: all stays dirty", strerror(-err));
	return err;
}

static int copy_all(struct wb *w, void *buf)
{
	int err = 0;
	u32 i;

	w->pages = 0;
	w->shaken = false;
	for (i = 0; i < w->nr_todo && !err; i++)
		if (!w->todo[i].failed)
			err = copy_block(w, &w->todo[i], buf);
	return err;
}

/*
 * An origin that refused something may have been away, and have lost what it took before (R4): all
 * that once more. If it refuses something of that, nothing is known of any.
 */
int wb_copy(struct wb *w)
{
	void *buf = dev_alloc((size_t)w->chunk << CIRCLE_SECTOR_SHIFT);
	int err = buf ? copy_all(w, buf) : -ENOMEM;

	if (!err && w->shaken) {
		tool_note("the origin refused a write: what it took is written once more");
		err = copy_all(w, buf);
		if (!err && w->shaken) {
			tool_err("the origin refused another write: all stays dirty");
			err = -EIO;
		}
	}
	free(buf);
	return err ?: flush_both(w);
}
