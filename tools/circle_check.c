// SPDX-License-Identifier: GPL-2.0-only
/*
 * circle_check: is a metadata device whole, and what would a load make of it? It reads only, but
 * for --clear-needs-check-flag. A state that a crash may leave behind is good.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "area.h"
#include "meta.h"
#include "tool.h"

struct options {
	const char *path, *label;
	bool super_only, skip_mappings, clear;
};

static const char usage_text[] =
"Usage: circle_check [options] <metadata device or file>\n"
"\n"
"Checks superblock, slot table and journal of a dm-circle metadata device, says\n"
"what is damaged and what a load would do. The device must not be in use.\n"
"\n"
"  -q, --quiet                 say nothing, the exit code tells\n"
"      --super-block-only      the superblock alone\n"
"      --skip-mappings         not what the slot entries say\n"
"      --label <device>        also: do these metadata fit to the label of this\n"
"                              origin, or on this label device?\n"
"      --clear-needs-check-flag  if all is good, clear the flag\n"
"  -h, --help\n"
"  -V, --version\n"
"\n"
"Exit code: 0 good, 1 bad or not readable.\n";

enum { OPT_SUPER_ONLY = 256, OPT_SKIP_MAPPINGS, OPT_LABEL, OPT_CLEAR };

static const struct option long_options[] = {
	{ "quiet", no_argument, NULL, 'q' },
	{ "super-block-only", no_argument, NULL, OPT_SUPER_ONLY },
	{ "skip-mappings", no_argument, NULL, OPT_SKIP_MAPPINGS },
	{ "label", required_argument, NULL, OPT_LABEL },
	{ "clear-needs-check-flag", no_argument, NULL, OPT_CLEAR },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static void say_super(const struct meta *m)
{
	const struct circle_super *sb = &m->sb;
	char uuid[TOOL_UUID_TEXT];

	tool_uuid(sb->set_uuid, uuid);
	if (sb->flags & CIRCLE_SBF_CIRCLE)
		tool_note("node %u, generation %llu of set %s", sb->node_id, sb->generation, uuid);
	else
		tool_note("a local cache");
	tool_note("%llu slots of %u sectors, an origin of %llu sectors, stopped %s", sb->nr_slots,
		  sb->block_sectors, sb->origin_sectors, m->unclean ? "uncleanly" : "in order");
	if (sb->flags & CIRCLE_SBF_NEEDS_CHECK)
		tool_note("a check was asked for");
	if (sb->flags & CIRCLE_SBF_VOID)
		tool_note("void: they failed in use, and are not believed any more");
}

static void say_load(const struct meta *m)
{
	const struct meta_sum *s = &m->sum;

	tool_note("journal: lsn %llu to %llu, %llu records are not in the table yet",
		  m->sb.tail_lsn, m->journal_end, m->records);
	tool_note("%llu own blocks, %llu of them dirty (%llu pages); %llu lent; %llu free", s->own,
		  s->own_dirty, s->own_dirty_pages, s->lent, s->free);
	if (s->intents)
		tool_note("%llu of the dirty ones may be clean: after the unclean stop all their valid pages count as dirty",
			  s->intents);
	if (s->doubles)
		tool_note("%llu slots have a block that another one has newer: a load frees them",
			  s->doubles);
	if (s->newer)
		tool_note("%llu blocks are of a later generation than the superblock that is left",
			  s->newer);
	if (s->retired || s->lost)
		tool_note("%llu slots retired, %llu lost", s->retired, s->lost);
}

static void say_ours(const struct meta *m, const struct area *a)
{
	const struct circle_label *l = &a->cur;
	unsigned int peers = area_in_view(l);

	tool_note("label: %s, generation %llu, degree %u, floor %u, %u peers in view%s",
		  tool_label_state(l->state), l->generation, l->degree, l->floor, peers,
		  l->flags & CIRCLE_LBF_SSD ? ", this SSD counts" : "");
	if (area_says_empty(l))
		tool_note("it says that nothing is dirty: what is marked dirty here does not count");
	else if (!(l->flags & CIRCLE_LBF_SSD) && m->sum.own_dirty)
		tool_note("this SSD is not in the label: a load takes nothing dirty from it");
	else if (peers)
		tool_note("a load asks the peers of the view before it believes the SSD");
}

static void check_label(struct meta *m, const char *path)
{
	struct area a = { .buf = NULL };
	enum area_fit fit;
	struct dev dev;
	char why[256];
	int err;

	if (!(m->sb.flags & CIRCLE_SBF_CIRCLE)) {
		meta_complain(m, "these are a local cache's metadata: they have no label");
		return;
	}
	if (dev_open(&dev, path, 0)) {
		m->damage++;
		return;
	}
	err = area_init(&a, &dev);
	if (!err)
		err = area_place(&a, &m->sb);
	if (!err) {
		err = area_read(&a, m->sb.node_id);
		if (err)
			tool_err("the label cannot be read: %s", strerror(-err));
	}
	if (err) {
		m->damage++;
		goto out;
	}
	fit = area_fit(&a, &m->sb);
	area_fit_text(fit, &a, &m->sb, why, sizeof(why));
	if (*why)
		meta_complain(m, "%s", why);
	else if (fit == AREA_OURS)
		say_ours(m, &a);
	else
		tool_note(fit == AREA_FRESH ? "label and metadata are unused" :
			  "these metadata were never used with this label");
out:
	area_exit(&a);
	dev_close(&dev);
}

static int check(struct meta *m, const struct options *o, const struct dev *dev)
{
	int err = meta_open(m, dev);

	if (err)
		return err;
	say_super(m);
	if (!o->super_only) {
		err = meta_load(m);
		if (!err && !o->skip_mappings)
			err = meta_judge_slots(m);
		if (err)
			return err;
		meta_complain_end(m);
		if (!o->skip_mappings && !m->damage)
			say_load(m);
	}
	if (o->label)
		check_label(m, o->label);
	if (m->damage) {
		tool_err("bad: a load refuses it, or takes what is not right");
		return -EBADMSG;
	}
	return 0;
}

static int clear_flag(struct meta *m)
{
	if (!(m->sb.flags & CIRCLE_SBF_NEEDS_CHECK))
		return 0;
	m->sb.flags &= ~CIRCLE_SBF_NEEDS_CHECK;
	return meta_write_super(m);
}

/* 0, or the exit code plus one. */
static int parse(int argc, char **argv, struct options *o)
{
	int c;

	while ((c = getopt_long(argc, argv, "qhV", long_options, NULL)) != -1) {
		switch (c) {
		case 'q':
			tool_begin("circle_check", TOOL_SAY_NOTHING);
			break;
		case OPT_SUPER_ONLY:
			o->super_only = true;
			break;
		case OPT_SKIP_MAPPINGS:
			o->skip_mappings = true;
			break;
		case OPT_LABEL:
			o->label = optarg;
			break;
		case OPT_CLEAR:
			o->clear = true;
			break;
		case 'h':
			fputs(usage_text, stdout);
			return 1;
		case 'V':
			tool_version();
			return 1;
		default:
			fputs(usage_text, stderr);
			return 2;
		}
	}
	if (optind + 1 != argc) {
		fputs(usage_text, stderr);
		return 2;
	}
	o->path = argv[optind];
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = { .path = NULL };
	struct meta m = { .dev = NULL };
	struct dev dev;
	int err;

	tool_begin("circle_check", TOOL_SAY_ALL);
	err = parse(argc, argv, &o);
	if (err)
		return err - 1;
	if (dev_open(&dev, o.path, DEV_EXCL | (o.clear ? DEV_WRITE : 0)))
		return 1;
	err = check(&m, &o, &dev);
	if (!err && o.clear)
		err = clear_flag(&m);
	meta_close(&m);
	dev_close(&dev);
	return err ? 1 : 0;
}
