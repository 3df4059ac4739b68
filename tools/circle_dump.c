// SPDX-License-Identifier: GPL-2.0-only
/*
 * circle_dump: what stands on a metadata device, or in a label area, as JSON. It reads only. With
 * damage it prints nothing, unless --repair asks for what is left.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "area.h"
#include "config.h"
#include "json.h"
#include "meta.h"
#include "tool.h"

struct options {
	const char *path, *out;
	bool label, repair, have_sector;
	u64 sector;
};

static const char usage_text[] =
"Usage: circle_dump [options] <metadata device or file>\n"
"       circle_dump [options] --label <origin, or label device>\n"
"\n"
"Prints a dm-circle metadata device, with the journal applied, or a label area\n"
"as JSON. A metadata device must not be in use; an origin may be.\n"
"\n"
"  -o, --output <file>   not to standard output\n"
"  -r, --repair          print what is left of damaged metadata\n"
"      --label           the label area: at the end of the device, else at its start\n"
"      --sector <n>      the label area begins there (an origin that has grown)\n"
"  -h, --help\n"
"  -V, --version\n"
"\n"
"Exit code: 0; 1 if something is damaged or cannot be read.\n";

enum { OPT_LABEL = 256, OPT_SECTOR };

static const struct option long_options[] = {
	{ "output", required_argument, NULL, 'o' },
	{ "repair", no_argument, NULL, 'r' },
	{ "label", no_argument, NULL, OPT_LABEL },
	{ "sector", required_argument, NULL, OPT_SECTOR },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

/* Names of flags, lowest bit first. */
static const char * const super_flags[] = { "clean", "needs_check", "circle", "void", NULL };
static const char * const slot_flags[] = { "mapped", "intent", "retired", "lost", NULL };
static const char * const label_flags[] = { "ssd", "weak", "empty", "unseen", "void", "lost",
						  NULL };

static void flags(struct json *j, u32 value, const char * const *name)
{
	char text[64] = "";
	size_t used = 0;

	for (; *name; name++, value >>= 1)
		if (value & 1)
			used += snprintf(text + used, sizeof(text) - used, "%s%s",
					 used ? " " : "", *name);
	json_str(j, "flags", text);
}

static void dump_super(struct json *j, const struct meta *m)
{
	static const char * const kinds[] = { "none", "tail", "device" };
	const struct circle_super *sb = &m->sb;

	json_open(j, "superblock", '{');
	json_u64(j, "copy", m->super_copy);
	json_bool(j, "other_copy_valid", !m->super_status[!m->super_copy]);
	flags(j, sb->flags, super_flags);
	json_u64(j, "seq", sb->seq);
	json_uuid(j, "meta_uuid", sb->meta_uuid);
	json_uuid(j, "set_uuid", sb->set_uuid);
	json_u64(j, "generation", sb->generation);
	json_hex(j, "activation", sb->activation);
	json_u64(j, "next_generation", sb->next_generation);
	json_hex(j, "next_activation", sb->next_activation);
	json_u64(j, "node_id", sb->node_id);
	json_u64(j, "block_sectors", sb->block_sectors);
	json_u64(j, "page_sectors", sb->page_sectors);
	json_u64(j, "nr_slots", sb->nr_slots);
	json_u64(j, "origin_sectors", sb->origin_sectors);
	json_str(j, "label_kind", kinds[sb->label_kind]);
	json_u64(j, "label_sector", sb->label_sector);
	json_u64(j, "table_start", sb->table_start);
	json_u64(j, "table_pages", sb->table_pages);
	json_u64(j, "journal_start", sb->journal_start);
	json_u64(j, "journal_blocks", sb->journal_blocks);
	json_u64(j, "tail_lsn", sb->tail_lsn);
	json_hex(j, "table_digest", sb->table_digest);
	json_u64(j, "map_lsn", sb->map_lsn);
	json_close(j, '}');
}

static void dump_owners(struct json *j, const struct meta *m)
{
	u32 i;

	json_open(j, "owners", '[');
	for (i = 0; i < CIRCLE_MAX_OWNERS; i++) {
		const struct circle_owner *o = &m->sb.owner[i];

		if (!memchr_inv(o->uuid, 0, CIRCLE_UUID_SIZE))
			continue;
		json_open_flat(j, NULL);
		json_u64(j, "owner", i + 1);
		json_uuid(j, "set_uuid", o->uuid);
		json_u64(j, "node_id", o->node_id);
		json_u64(j, "generation", o->generation);
		json_hex(j, "activation", o->activation);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void dump_slot(struct json *j, const struct meta *m, u32 n)
{
	const struct circle_slot_state *s = &m->slot[n];

	if (!s->flags)
		return;
	json_open_flat(j, NULL);
	json_u64(j, "slot", n);
	flags(j, s->flags, slot_flags);
	if (s->flags & CIRCLE_SLOT_MAPPED) {
		json_u64(j, "owner", s->owner);
		json_u64(j, "block", s->block);
		json_hex(j, "valid", s->valid);
		json_hex(j, "dirty", s->dirty);
		json_u64(j, "gen", s->gen);
		json_u64(j, "seq", s->seq);
	}
	if (m->dropped[n])
		json_bool(j, "superseded", true);
	else if (meta_is_own(m, n) && meta_dirty(m, n) != s->dirty)
		json_hex(j, "dirty_at_load", meta_dirty(m, n));
	json_close(j, '}');
}

static void dump_load(struct json *j, const struct meta *m)
{
	json_open(j, "load", '{');
	json_bool(j, "unclean", m->unclean);
	json_u64(j, "journal_end", m->journal_end);
	json_u64(j, "journal_records", m->records);
	json_u64(j, "own", m->sum.own);
	json_u64(j, "own_dirty", m->sum.own_dirty);
	json_u64(j, "own_dirty_pages", m->sum.own_dirty_pages);
	json_u64(j, "lent", m->sum.lent);
	json_u64(j, "free", m->sum.free);
	json_u64(j, "superseded", m->sum.doubles);
	json_u64(j, "damage", m->damage);
	json_close(j, '}');
}

static void dump_meta(struct json *j, const struct meta *m)
{
	u32 n;

	json_open(j, NULL, '{');
	dump_super(j, m);
	dump_owners(j, m);
	json_open(j, "slots", '[');
	for (n = 0; n < m->sb.nr_slots; n++)
		dump_slot(j, m, n);
	json_close(j, ']');
	dump_load(j, m);
	json_close(j, '}');
}

static void dump_peers(struct json *j, const struct circle_label *l)
{
	char text[64];
	u32 i;

	json_open(j, "peers", '[');
	for (i = 0; i < CIRCLE_MAX_PEERS; i++) {
		const struct circle_peer_rec *p = &l->peer[i];
		struct circle_addr addr = { .family = p->family, .port = p->port };

		if (!p->id)
			continue;
		memcpy(addr.addr, p->addr, sizeof(addr.addr));
		circle_addr_print(&addr, text, sizeof(text));
		json_open_flat(j, NULL);
		json_u64(j, "id", p->id);
		json_str(j, "address", text);
		json_bytes(j, "domain", p->domain, CIRCLE_DOMAIN_SIZE);
		json_hex(j, "instance", p->instance);
		json_bool(j, "in_view", p->in_view == CIRCLE_IN_VIEW_COUNTS);
		json_bool(j, "asked", p->in_view == CIRCLE_IN_VIEW_ASKED);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static const char *copy_status(int status)
{
	switch (status) {
	case 0:
		return "valid";
	case -EBADMSG:
		return "damaged";
	case -EPROTONOSUPPORT:
		return "newer version";
	}
	return "not a label";
}

static void dump_copy(struct json *j, const struct area *a, u32 id, unsigned int copy)
{
	const u8 *at = a->buf + circle_label_offset(id, copy);
	struct circle_label l;
	int status = circle_label_decode(at, id, &l, tool_crc);

	if (status == -ENODATA)
		return;
	json_open(j, NULL, '{');
	json_u64(j, "place", id);
	json_u64(j, "copy", copy);
	json_str(j, "status", copy_status(status));
	if (!status) {
		json_str(j, "state", tool_label_state(l.state));
		flags(j, l.flags, label_flags);
		json_u64(j, "seq", l.seq);
		json_uuid(j, "set_uuid", l.set_uuid);
		json_u64(j, "generation", l.generation);
		json_hex(j, "activation", l.activation);
		json_u64(j, "degree", l.degree);
		json_u64(j, "floor", l.floor);
		json_u64(j, "block_sectors", l.block_sectors);
		json_u64(j, "origin_sectors", l.origin_sectors);
		json_bytes(j, "domain", l.domain, CIRCLE_DOMAIN_SIZE);
		dump_peers(j, &l);
	}
	json_close(j, '}');
}

static const char *area_status(int status)
{
	switch (status) {
	case 0:
		return "valid";
	case -ENODATA:
		return "blank";
	case -EBADMSG:
		return "damaged";
	case -EPROTONOSUPPORT:
		return "newer version";
	}
	return "foreign";
}

static void dump_area(struct json *j, const struct area *a)
{
	unsigned int copy;
	u32 id;

	json_open(j, NULL, '{');
	json_u64(j, "sector", a->sector);
	json_str(j, "status", area_status(a->view.status));
	if (!a->view.status) {
		json_u64(j, "current", a->view.current_id);
		json_bool(j, "tie", a->view.tie);
	} else if (a->view.status != -ENODATA) {
		json_u64(j, "offending_byte", a->view.where);
	}
	json_open(j, "copies", '[');
	for (id = 1; id <= CIRCLE_MAX_NODE_ID; id++)
		for (copy = 0; copy < 2; copy++)
			dump_copy(j, a, id, copy);
	json_close(j, ']');
	json_close(j, '}');
}

static int run_label(const struct options *o, const struct dev *dev, struct json *j)
{
	struct area a;
	int err = area_init(&a, dev);

	if (err)
		return err;
	if (o->have_sector) {
		a.sector = o->sector;
		err = area_read(&a, 0);
	} else {
		err = area_find(&a);
	}
	if (err == -ENODATA)
		tool_err("%s has no label at its end, and none at its start", dev->path);
	else if (err)
		tool_err("the label cannot be read: %s", strerror(-err));
	if (!err)
		dump_area(j, &a);
	if (!err && a.view.status && a.view.status != -ENODATA)
		err = -EBADMSG;
	area_exit(&a);
	return err;
}

static int run_meta(const struct options *o, const struct dev *dev, struct json *j)
{
	struct meta m;
	int err = meta_open(&m, dev);

	if (!err)
		err = meta_load(&m);
	if (!err)
		err = meta_judge_slots(&m);
	if (!err) {
		meta_complain_end(&m);
		if (!m.damage || o->repair)
			dump_meta(j, &m);
		else
			tool_err("damaged: nothing is printed without --repair");
		if (m.damage)
			err = -EBADMSG;
	}
	meta_close(&m);
	return err;
}

/* 0, or the exit code plus one. */
static int parse(int argc, char **argv, struct options *o)
{
	int c;

	while ((c = getopt_long(argc, argv, "o:rhV", long_options, NULL)) != -1) {
		switch (c) {
		case 'o':
			o->out = optarg;
			break;
		case 'r':
			o->repair = true;
			break;
		case OPT_LABEL:
			o->label = true;
			break;
		case OPT_SECTOR:
			o->have_sector = true;
			if (!tool_number("--sector", optarg, 0, ~0ull >> 10, &o->sector))
				return 2;
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
	if (optind + 1 != argc || (o->have_sector && !o->label)) {
		fputs(usage_text, stderr);
		return 2;
	}
	o->path = argv[optind];
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = { .path = NULL };
	struct json j = { .out = stdout };
	struct dev dev;
	int err;

	tool_begin("circle_dump", TOOL_SAY_ALL);
	err = parse(argc, argv, &o);
	if (err)
		return err - 1;
	if (dev_open(&dev, o.path, o.label ? 0 : DEV_EXCL))
		return 1;
	if (o.out)
		j.out = fopen(o.out, "w");
	if (!j.out) {
		tool_err("%s cannot be written: %s", o.out, strerror(errno));
		dev_close(&dev);
		return 1;
	}
	err = o.label ? run_label(&o, &dev, &j) : run_meta(&o, &dev, &j);
	if ((fflush(j.out) || ferror(j.out)) && !err) {
		tool_err("the output cannot be written: %s", strerror(errno));
		err = -EIO;
	}
	if (o.out)
		fclose(j.out);
	dev_close(&dev);
	return err ? 1 : 0;
}
