// SPDX-License-Identifier: GPL-2.0-only
/*
 * status: dm-cache's status line field by field, then `circle` and key-value pairs. Fields are
 * only ever appended.
 */
#include "face.h"

#include "../engine/circle.h"

static unsigned int features(const struct circle_config *c, char *buf, unsigned int len)
{
	static const char *const mode[] = { "writeback", "writethrough", "passthrough" };
	unsigned int sz = 0, n = 1 + c->metadata2 + c->no_discard_passdown;
	char *result = buf;
	unsigned int maxlen = len;

	DMEMIT("%u ", n);
	if (c->metadata2)
		DMEMIT("metadata2 ");
	DMEMIT("%s ", mode[c->mode]);
	if (c->no_discard_passdown)
		DMEMIT("no_discard_passdown ");
	return sz;
}

static unsigned int in_a_circle(struct circle_node *node, char *result, unsigned int maxlen)
{
	static const char *const role[] = { "none", "owner", "fenced" };
	struct circle_circle *c = node->circle;
	unsigned int sz = 0;

	DMEMIT("role %s degree %u floor %u in_view %u ", role[c->role], c->degree_now, c->floor,
	       hweight32(c->view));
	DMEMIT("at_risk %llu lent %d auth none ", circle_at_risk(node),
	       atomic_read(&node->slots->nr_lent));
	return sz;
}

/* Behind dm-cache's fields: `circle <number of words> <key> <value> ...` */
static unsigned int ours(struct circle_node *node, char *result, unsigned int maxlen)
{
	unsigned int sz = 0;

	DMEMIT("circle %u generation %u free %u dirty_pages %lld ", node->circle ? 22 : 8,
	       node->gen, node->slots->nr_free, (s64)atomic64_read(&node->slots->dirty_pages));
	if (node->circle)
		sz += in_a_circle(node, result + sz, maxlen - sz);
	DMEMIT("ram_per_block %u ", circle_node_ram_per_block(node));
	return sz;
}

static unsigned int info(struct circle_table *t, char *result, unsigned int maxlen)
{
	struct circle_node *node = t->node;
	const struct circle_slots *s = node->slots;
	const struct circle_super *sb = &node->meta->sb;
	u64 used = sb->table_start + 2 * sb->table_pages + node->meta->next_lsn - sb->tail_lsn;
	unsigned int sz = 0;

	DMEMIT("%u %llu/%llu %u %u/%u ", CIRCLE_MB_SECTORS, used,
	       sb->journal_start + sb->journal_blocks, sb->block_sectors,
	       atomic_read(&s->nr_mapped), s->nr - atomic_read(&s->nr_lent));
	DMEMIT("%llu %llu %llu %llu %llu %llu %d ",
	       circle_stat_sum(node->stats, CIRCLE_STAT_READ_HIT),
	       circle_stat_sum(node->stats, CIRCLE_STAT_READ_MISS),
	       circle_stat_sum(node->stats, CIRCLE_STAT_WRITE_HIT),
	       circle_stat_sum(node->stats, CIRCLE_STAT_WRITE_MISS),
	       circle_stat_sum(node->stats, CIRCLE_STAT_DEMOTION),
	       circle_stat_sum(node->stats, CIRCLE_STAT_PROMOTION), atomic_read(&s->nr_dirty));
	sz += features(&t->conf, result + sz, maxlen - sz);
	DMEMIT("2 migration_threshold %llu ", t->conf.migration_threshold);
	DMEMIT("%s 0 ", !strcmp(t->conf.policy, "default") ? "smq" : t->conf.policy);
	DMEMIT("%s %s ", node->meta->failed ? "ro" : "rw",
	       sb->flags & CIRCLE_SBF_NEEDS_CHECK || node->meta->failed ? "needs_check" : "-");
	sz += ours(node, result + sz, maxlen - sz);
	return sz;
}

static unsigned int table(const struct circle_table *t, char *result, unsigned int maxlen)
{
	unsigned int sz = 0;

	DMEMIT("%s %s %s ", t->meta->name, t->cache->name, t->origin->name);
	sz += circle_config_print(&t->conf, result + sz, maxlen - sz);
	return sz;
}

void circle_status(struct dm_target *ti, status_type_t type, unsigned int flags, char *result,
		   unsigned int maxlen)
{
	struct circle_table *t = ti->private;
	unsigned int sz = 0;

	*result = '\0';
	switch (type) {
	case STATUSTYPE_INFO:
		if (t->node->state == CIRCLE_NODE_NEW)
			DMEMIT("Error");
		else
			info(t, result, maxlen);
		break;
	case STATUSTYPE_TABLE:
		table(t, result, maxlen);
		break;
	case STATUSTYPE_IMA:
		DMEMIT_TARGET_NAME_VERSION(ti->type);
		DMEMIT(",metadata_mode=%s", t->node->state == CIRCLE_NODE_NEW ? "fail" :
		       t->node->meta->failed ? "ro" : "rw");
		DMEMIT(",block_size=%u,mode=%u;", t->conf.block_sectors, t->conf.mode);
		break;
	}
}
