// SPDX-License-Identifier: GPL-2.0-only
/*
 * status: dm-cache's status line field by field, then `circle` and key-value pairs; the table line
 * as it was given; dm-cache's attributes for IMA. Fields are only ever appended.
 */
#include "face.h"

#include "../engine/circle.h"
#include "../engine/live.h"
#include "../engine/degrade.h"
#include "../engine/repair.h"
#include "../engine/steward.h"

static const char *const mode_name[] = { "writeback", "writethrough", "passthrough" };

static unsigned int features(const struct circle_config *c, char *result, unsigned int maxlen)
{
	unsigned int sz = 0;

	DMEMIT("%u ", 1 + c->metadata2 + c->no_discard_passdown);
	if (c->metadata2)
		DMEMIT("metadata2 ");
	DMEMIT("%s ", mode_name[c->mode]);
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
	DMEMIT("at_risk %llu lent %d auth none recovering %u ", circle_at_risk(node),
	       atomic_read(&node->slots->nr_lent), circle_live_left(node));
	return sz;
}

static unsigned int faults(struct circle_node *node, char *result, unsigned int maxlen)
{
	static const char *const health[] = { "well", "failing", "draining", "bare" };
	unsigned int sz = 0;
	char hung[CIRCLE_HUNG_NAMES];

	DMEMIT("health %s caching %s ", health[circle_node_health(node)],
	       circle_node_through(node) ? "off" : "on");
	DMEMIT("cache_errors %llu origin_errors %llu retired %d lost_pages %llu loading %d ",
	       circle_stat_sum(node->stats, CIRCLE_STAT_CACHE_ERROR),
	       circle_stat_sum(node->stats, CIRCLE_STAT_ORIGIN_ERROR),
	       atomic_read(&node->slots->nr_retired), (u64)atomic64_read(&node->slots->lost_pages),
	       circle_is_behind(node));
	circle_hung_names(node, hung, sizeof(hung));
	DMEMIT("hung %s ", hung);
	return sz;
}

/* Behind dm-cache's fields: `circle <number of words> <key> <value> ...` */
static unsigned int ours(struct circle_node *node, char *result, unsigned int maxlen)
{
	s64 eta = circle_writeback_eta(node);
	unsigned int sz = 0;

	DMEMIT("circle %u generation %u free %u dirty_pages %lld ", node->circle ? 42 : 26,
	       node->gen, node->slots->nr_free, (s64)atomic64_read(&node->slots->dirty_pages));
	if (eta < 0)
		DMEMIT("drain_eta - ");
	else
		DMEMIT("drain_eta %lld ", eta);
	if (node->circle)
		sz += in_a_circle(node, result + sz, maxlen - sz);
	DMEMIT("ram_per_block %u ", circle_node_ram_per_block(node));
	return sz + faults(node, result + sz, maxlen - sz);
}

static unsigned int counters(const struct circle_node *node, char *result, unsigned int maxlen)
{
	static const enum circle_stat which[] = {
		CIRCLE_STAT_READ_HIT, CIRCLE_STAT_READ_MISS, CIRCLE_STAT_WRITE_HIT,
		CIRCLE_STAT_WRITE_MISS, CIRCLE_STAT_DEMOTION, CIRCLE_STAT_PROMOTION,
	};
	unsigned int sz = 0, i;

	for (i = 0; i < ARRAY_SIZE(which); i++)
		DMEMIT("%llu ", circle_stat_sum(node->stats, which[i]));
	return sz;
}

/* From the features on: what does not depend on whether the node is loaded. */
static unsigned int settings(const struct circle_config *c, char *result, unsigned int maxlen)
{
	unsigned int sz = features(c, result, maxlen);

	DMEMIT("2 migration_threshold %llu ", c->migration_threshold);
	if (sz < maxlen)
		sz += circle_config_print_policy(c, result + sz, maxlen - sz);
	return min(sz, maxlen);
}

static void info(struct circle_table *t, char *result, unsigned int maxlen)
{
	struct circle_node *node = t->node;
	const struct circle_slots *s = node->slots;
	const struct circle_super *sb = &node->meta->sb;
	u64 used = sb->table_start + 2 * sb->table_pages + node->meta->next_lsn - sb->tail_lsn;
	unsigned int sz = 0;

	DMEMIT("%u %llu/%llu %u %u/%u ", CIRCLE_MB_SECTORS, used,
	       sb->journal_start + sb->journal_blocks, sb->block_sectors,
	       atomic_read(&s->nr_mapped), s->nr - atomic_read(&s->nr_lent));
	sz += counters(node, result + sz, maxlen - sz);
	DMEMIT("%d ", atomic_read(&s->nr_dirty));
	sz += settings(&t->conf, result + sz, maxlen - sz);
	DMEMIT("%s %s ", node->meta->failed ? "ro" : "rw",
	       node->meta->failed || sb->flags & CIRCLE_SBF_NEEDS_CHECK ? "needs_check" : "-");
	sz += ours(node, result + sz, maxlen - sz);
}

/* A table that was never live: what its constructor saw. */
static void outlook(struct circle_table *t, char *result, unsigned int maxlen)
{
	const struct circle_outlook *o = &t->outlook;
	unsigned int sz = 0;

	DMEMIT("%u %llu/%llu %u 0/%llu 0 0 0 0 0 0 0 ", CIRCLE_MB_SECTORS, o->meta_used,
	       o->meta_blocks, t->conf.block_sectors, o->slots);
	sz += settings(&t->conf, result + sz, maxlen - sz);
	DMEMIT("rw - ");
}

static void status_info(struct circle_table *t, char *result, unsigned int maxlen)
{
	struct circle_node *node = t->node;
	unsigned int sz = 0;

	if (node->state != CIRCLE_NODE_NEW && circle_node_failed(node))
		DMEMIT("Fail");
	else if (node->state != CIRCLE_NODE_NEW)
		info(t, result, maxlen);
	else if (t->outlook.slots)
		outlook(t, result, maxlen);
	else
		DMEMIT("Error");
}

static void table(const struct circle_table *t, char *result, unsigned int maxlen)
{
	unsigned int sz = 0;

	DMEMIT("%s %s %s ", t->meta->name, t->cache->name, t->origin->name);
	if (sz < maxlen)
		circle_config_print(&t->conf, result + sz, maxlen - sz);
}

static void ima(struct circle_table *t, char *result, unsigned int maxlen)
{
	static const char *const mode[] = { "rw", "ro", "fail" };
	const struct circle_config *c = &t->conf;
	unsigned int sz = 0;

	DMEMIT_TARGET_NAME_VERSION(t->ti->type);
	DMEMIT(",metadata_mode=%s",
	       t->node->state != CIRCLE_NODE_NEW ? mode[circle_meta_mode(t->node->meta)] : "rw");
	DMEMIT(",cache_metadata_device=%s,cache_device=%s,cache_origin_device=%s", t->meta->name,
	       t->cache->name, t->origin->name);
	DMEMIT(",writethrough=%c,writeback=%c,passthrough=%c",
	       c->mode == CIRCLE_WRITETHROUGH ? 'y' : 'n', c->mode == CIRCLE_WRITEBACK ? 'y' : 'n',
	       c->mode == CIRCLE_PASSTHROUGH ? 'y' : 'n');
	DMEMIT(",metadata2=%c,no_discard_passdown=%c", c->metadata2 ? 'y' : 'n',
	       c->no_discard_passdown ? 'y' : 'n');
	if (c->circle)
		DMEMIT(",id=%u,degree=%u", c->id, c->degree);
	DMEMIT(";");
}

void circle_status(struct dm_target *ti, status_type_t type, unsigned int flags, char *result,
		   unsigned int maxlen)
{
	struct circle_table *t = ti->private;

	*result = '\0';
	switch (type) {
	case STATUSTYPE_INFO:
		status_info(t, result, maxlen);
		break;
	case STATUSTYPE_TABLE:
		table(t, result, maxlen);
		break;
	case STATUSTYPE_IMA:
		ima(t, result, maxlen);
		break;
	}
}
