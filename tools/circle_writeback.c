// SPDX-License-Identifier: GPL-2.0-only
/*
 * circle_writeback: writes the dirty blocks of a cache that is not in use to its origin. wb.h has
 * the rules. It asks for exclusive access to all devices, and writes nothing before all is checked.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "mark.h"
#include "tool.h"
#include "wb.h"

struct paths {
	const char *meta, *origin, *fast, *label;
};

static const char usage_text[] =
"Usage: circle_writeback [options] --metadata-device <dev> --origin-device <dev>\n"
"                        --fast-device <dev>\n"
"\n"
"Writes what is dirty in a dm-circle cache to its origin, while none of the\n"
"devices is in use, and marks it clean. In a circle the label then says that\n"
"nothing is dirty: the origin may be used by itself.\n"
"\n"
"      --metadata-device <dev>\n"
"      --origin-device <dev>\n"
"      --fast-device <dev>      the cache device\n"
"      --label-device <dev>     where the circle's label is, if not at the origin\n"
"      --list-failed-blocks     on standard output\n"
"      --no-metadata-update     copy only; a local cache only\n"
"      --retry-count <n>        for each request that fails; default 0\n"
"      --buffer-size-meg <n>    copied at once, 1..256; default 1\n"
"      --force                  a circle, after an unclean stop: take the SSD's data\n"
"                               without asking the peers, who may have newer ones;\n"
"                               a local cache whose metadata failed in use: write\n"
"                               what they call dirty over the origin, older or not\n"
"  -q, --quiet                  errors only\n"
"  -h, --help\n"
"  -V, --version\n"
"\n"
"Exit code: 0 all is at the origin; 1 something is not, or it was refused.\n";

enum {
	OPT_META = 256, OPT_ORIGIN, OPT_FAST, OPT_LABEL, OPT_LIST, OPT_NO_UPDATE, OPT_RETRY,
	OPT_BUFFER, OPT_FORCE,
};

static const struct option long_options[] = {
	{ "metadata-device", required_argument, NULL, OPT_META },
	{ "origin-device", required_argument, NULL, OPT_ORIGIN },
	{ "fast-device", required_argument, NULL, OPT_FAST },
	{ "label-device", required_argument, NULL, OPT_LABEL },
	{ "list-failed-blocks", no_argument, NULL, OPT_LIST },
	{ "no-metadata-update", no_argument, NULL, OPT_NO_UPDATE },
	{ "retry-count", required_argument, NULL, OPT_RETRY },
	{ "buffer-size-meg", required_argument, NULL, OPT_BUFFER },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static int open_devices(struct wb *w, const struct paths *p)
{
	unsigned int rw = DEV_WRITE | DEV_EXCL;
	int err = dev_open(&w->meta_dev, p->meta, rw);

	if (!err)
		err = dev_open(&w->origin, p->origin, rw);
	if (!err)
		err = dev_open(&w->fast, p->fast, DEV_EXCL);
	if (!err && p->label)
		err = dev_open(&w->label_dev, p->label, rw);
	if (err)
		return err;
	if (dev_same(&w->meta_dev, &w->origin) || dev_same(&w->meta_dev, &w->fast) ||
	    dev_same(&w->origin, &w->fast) ||
	    (p->label && (dev_same(&w->label_dev, &w->origin) ||
			  dev_same(&w->label_dev, &w->fast) ||
			  dev_same(&w->label_dev, &w->meta_dev)))) {
		tool_err("one device was named twice");
		return -EINVAL;
	}
	return 0;
}

static int load(struct wb *w)
{
	struct meta *m = &w->meta;
	int err = meta_open(m, &w->meta_dev);

	if (!err)
		err = meta_load(m);
	if (!err)
		err = meta_judge_slots(m);
	if (err)
		return err;
	meta_complain_end(m);
	if (m->damage) {
		tool_err("refused: the metadata are damaged; circle_check tells more");
		return -EBADMSG;
	}
	if (w->fast.sectors / m->sb.block_sectors < m->sb.nr_slots) {
		tool_err("%s is smaller than the metadata say", w->fast.path);
		return -EINVAL;
	}
	if (w->origin.sectors < m->sb.origin_sectors) {
		tool_err("%s is smaller than the metadata say", w->origin.path);
		return -EINVAL;
	}
	w->circle = m->sb.flags & CIRCLE_SBF_CIRCLE;
	return 0;
}

/* Metadata that failed in use: what they call dirty may be older than the origin (store/void.c). */
static int check_void(struct wb *w)
{
	const struct circle_super *sb = &w->meta.sb;
	u64 at = sb->nr_slots * sb->block_sectors;
	struct circle_mark mark;
	enum circle_void v;
	int err = -EINVAL;
	void *mb;

	if (at + CIRCLE_MB_SECTORS <= w->fast.sectors) {
		mb = dev_alloc(CIRCLE_MB_SIZE);
		if (!mb)
			return -ENOMEM;
		err = dev_read(&w->fast, at, mb, CIRCLE_MB_SECTORS) ? -EIO :
		      circle_mark_decode(mb, &mark, tool_crc);
		free(mb);
	}
	v = circle_mark_judge(sb->flags, sb->meta_uuid, err, &mark);
	if (v == CIRCLE_VOID_NO)
		return 0;
	if (v == CIRCLE_VOID_DRAINED) {
		tool_err("refused: the metadata failed in use, or another cache took their place, and are void; the origin has everything");
		return -EPERM;
	}
	if (!w->force) {
		tool_err("refused: the metadata %s; what they call dirty may be older than the origin. --force writes it all the same",
			 v == CIRCLE_VOID_DIRTY ? "failed in use and are void" :
			 "may have failed in use: the mark on the cache device cannot be read");
		return -EPERM;
	}
	tool_note("the metadata are void: what they call dirty is written over the origin, by force; they stay void");
	w->no_update = true;
	return 0;
}

static int read_label(struct wb *w)
{
	const struct circle_super *sb = &w->meta.sb;
	bool apart = sb->label_kind == CIRCLE_LABEL_DEV;
	int err;

	if (apart != !!w->label_dev.path) {
		tool_err("%s", apart ?
			 "the label is on a device of its own: name it with --label-device" :
			 "the label is at the origin: leave --label-device out");
		return -EINVAL;
	}
	err = area_init(&w->area, apart ? &w->label_dev : &w->origin);
	if (!err)
		err = area_place(&w->area, sb);
	if (err)
		return err;
	err = area_read(&w->area, sb->node_id);
	if (err)
		tool_err("the label cannot be read: %s", strerror(-err));
	else
		w->fit = area_fit(&w->area, sb);
	return err;
}

/* In m->slot: what was copied is clean, what was not is dirty, and not only intended. */
static void settle(struct wb *w)
{
	struct meta *m = &w->meta;
	struct circle_slot_state *s;
	u32 i, n;

	for (i = 0; i < w->nr_todo; i++) {
		n = w->todo[i].slot;
		s = &m->slot[n];
		s->dirty = w->todo[i].failed ? meta_dirty(m, n) : 0;
		m->page[n / CIRCLE_SLOTS_PER_MB].stale = true;
	}
	for (n = 0; n < m->sb.nr_slots; n++) {
		if (!m->dropped[n])
			continue;
		memset(&m->slot[n], 0, sizeof(m->slot[n]));
		m->page[n / CIRCLE_SLOTS_PER_MB].stale = true;
	}
	m->sb.flags |= CIRCLE_SBF_CLEAN;
}

static int update_metadata(struct wb *w)
{
	if (w->no_update)
		return 0;
	if (!w->nr_todo && !w->meta.unclean && !w->circle)
		return 0;
	settle(w);
	return meta_checkpoint(&w->meta);
}

/* Returns 0 when all is at the origin and said to be. */
static int write_back(struct wb *w)
{
	int err = w->circle ? wb_label_take(w) : 0;

	if (!err)
		err = wb_copy(w);
	if (err)
		return err;
	if (w->circle && w->failed) {
		tool_err("nothing is marked clean: in a circle all goes to the origin, or the label stays");
	} else {
		err = w->circle ? wb_label_clean(w) : 0;
		if (!err)
			err = update_metadata(w);
	}
	tool_note("%llu of %u dirty blocks (%llu pages) written to the origin",
		  w->nr_todo - w->failed, w->nr_todo, w->pages);
	return err ?: w->failed ? -EIO : 0;
}

static int run(struct wb *w, const struct paths *p)
{
	int err = open_devices(w, p);

	if (!err)
		err = load(w);
	if (!err && w->circle && w->no_update) {
		tool_err("refused: in a circle the label and the metadata must know who wrote to the origin");
		err = -EINVAL;
	}
	if (!err && !w->circle && p->label) {
		tool_err("a local cache has no label");
		err = -EINVAL;
	}
	if (!err)
		err = w->circle ? read_label(w) : check_void(w);
	if (err)
		return err;
	switch (w->circle ? wb_plan(w) : WB_GO) {
	case WB_NOTHING:
		return 0;
	case WB_REFUSED:
		return -EPERM;
	case WB_GO:
		break;
	}
	err = wb_collect(w);
	return err ?: write_back(w);
}

static bool take_option(int c, struct wb *w, struct paths *p)
{
	u64 v;

	switch (c) {
	case OPT_META:
		p->meta = optarg;
		break;
	case OPT_ORIGIN:
		p->origin = optarg;
		break;
	case OPT_FAST:
		p->fast = optarg;
		break;
	case OPT_LABEL:
		p->label = optarg;
		break;
	case OPT_LIST:
		w->list_failed = true;
		break;
	case OPT_NO_UPDATE:
		w->no_update = true;
		break;
	case OPT_FORCE:
		w->force = true;
		break;
	case OPT_RETRY:
		if (!tool_number("--retry-count", optarg, 0, 1000, &v))
			return false;
		w->retries = v;
		break;
	case OPT_BUFFER:
		if (!tool_number("--buffer-size-meg", optarg, 1, 256, &v))
			return false;
		w->chunk = v * 2048;
		break;
	case 'q':
		tool_begin("circle_writeback", TOOL_SAY_ERRORS);
		break;
	default:
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	struct wb w = { .meta_dev.fd = -1, .origin.fd = -1, .fast.fd = -1, .label_dev.fd = -1,
			.chunk = 2048 };
	struct paths p = { .meta = NULL };
	int c, err;

	tool_begin("circle_writeback", TOOL_SAY_ALL);
	while ((c = getopt_long(argc, argv, "qhV", long_options, NULL)) != -1) {
		if (c == 'h') {
			fputs(usage_text, stdout);
			return 0;
		}
		if (c == 'V') {
			tool_version();
			return 0;
		}
		if (!take_option(c, &w, &p)) {
			fputs(usage_text, stderr);
			return 1;
		}
	}
	if (optind != argc || !p.meta || !p.origin || !p.fast) {
		fputs(usage_text, stderr);
		return 1;
	}
	err = run(&w, &p);
	free(w.todo);
	area_exit(&w.area);
	meta_close(&w.meta);
	dev_close(&w.meta_dev);
	dev_close(&w.origin);
	dev_close(&w.fast);
	dev_close(&w.label_dev);
	return err ? 1 : 0;
}
