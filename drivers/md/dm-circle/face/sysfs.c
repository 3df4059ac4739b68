// SPDX-License-Identifier: GPL-2.0-only
/*
 * sysfs: what a node shows in /sys/block/dm-N/circle, one value a file, and the few values that may
 * be changed there while it runs. A store posts a wish and returns: it must never wait for a peer,
 * a device or the steward. Readers hold no lock and no reference: the directory goes before the
 * node is taken apart, and its removal waits for them.
 *
 * Made at the first resume (before preresume the disk need not be registered), kept across reloads.
 */
#include "sysfs.h"

#include <linux/kobject.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include "../engine/away.h"
#include "../engine/circle.h"
#include "../engine/repair.h"
#include "../engine/serve.h"
#include "../engine/steward.h"
#include "../log.h"

/* One directory. Its end is waited for: it is embedded, and its release is the module's code. */
struct circle_dir {
	struct kobject kobj;
	struct completion gone;
	bool there;
	struct circle_node *node;
	struct circle_peer *peer;	/* whose directory it is, else NULL */
};

struct circle_sysfs {
	struct circle_dir top, peers, peer[CIRCLE_MAX_PEERS];
};

struct circle_file {
	struct attribute attr;
	ssize_t (*show)(struct circle_dir *d, char *buf);
	ssize_t (*store)(struct circle_dir *d, const char *buf, size_t len);
};

#define FILE_RO(name)	static struct circle_file name##_file = __ATTR_RO(name)
#define FILE_RW(name)	static struct circle_file name##_file = __ATTR_RW(name)

/* every node */

static u64 bytes_of_pages(const struct circle_node *node, u64 pages)
{
	return pages * node->geom.page_sectors << SECTOR_SHIFT;
}

static ssize_t generation_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(d->node->gen));
}

FILE_RO(generation);

static ssize_t state_show(struct circle_dir *d, char *buf)
{
	static const char *const name[] = {
		[CIRCLE_NODE_NEW] = "new", [CIRCLE_NODE_QUIET] = "quiet",
		[CIRCLE_NODE_LIVE] = "live",
	};

	return sysfs_emit(buf, "%s\n", name[READ_ONCE(d->node->state)]);
}

FILE_RO(state);

static ssize_t mode_show(struct circle_dir *d, char *buf)
{
	static const char *const name[] = {
		[CIRCLE_WRITEBACK] = "writeback", [CIRCLE_WRITETHROUGH] = "writethrough",
		[CIRCLE_PASSTHROUGH] = "passthrough",
	};

	return sysfs_emit(buf, "%s\n", name[READ_ONCE(d->node->conf.mode)]);
}

FILE_RO(mode);

static ssize_t dirty_bytes_show(struct circle_dir *d, char *buf)
{
	s64 pages = atomic64_read(&d->node->slots->dirty_pages);

	return sysfs_emit(buf, "%llu\n", bytes_of_pages(d->node, pages));
}

FILE_RO(dirty_bytes);

static ssize_t drain_eta_show(struct circle_dir *d, char *buf)
{
	s64 eta = circle_writeback_eta(d->node);

	return eta < 0 ? sysfs_emit(buf, "-\n") : sysfs_emit(buf, "%lld\n", eta);
}

FILE_RO(drain_eta);

static ssize_t free_slots_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(d->node->slots->nr_free));
}

FILE_RO(free_slots);

static ssize_t used_slots_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%d\n", atomic_read(&d->node->slots->nr_mapped));
}

FILE_RO(used_slots);

static ssize_t cache_errors_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%llu\n", circle_stat_sum(d->node->stats, CIRCLE_STAT_CACHE_ERROR));
}

FILE_RO(cache_errors);

static ssize_t origin_errors_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%llu\n", circle_stat_sum(d->node->stats, CIRCLE_STAT_ORIGIN_ERROR));
}

FILE_RO(origin_errors);

static ssize_t retired_slots_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%d\n", atomic_read(&d->node->slots->nr_retired));
}

FILE_RO(retired_slots);

static ssize_t lost_bytes_show(struct circle_dir *d, char *buf)
{
	s64 pages = atomic64_read(&d->node->slots->lost_pages);

	return sysfs_emit(buf, "%llu\n", bytes_of_pages(d->node, pages));
}

FILE_RO(lost_bytes);

static ssize_t hung_show(struct circle_dir *d, char *buf)
{
	char names[CIRCLE_HUNG_NAMES];

	circle_hung_names(d->node, names, sizeof(names));
	return sysfs_emit(buf, "%s\n", names);
}

FILE_RO(hung);

static struct attribute *node_attrs[] = {
	&generation_file.attr, &state_file.attr, &mode_file.attr, &dirty_bytes_file.attr,
	&drain_eta_file.attr, &free_slots_file.attr, &used_slots_file.attr, &cache_errors_file.attr,
	&origin_errors_file.attr, &retired_slots_file.attr, &lost_bytes_file.attr, &hung_file.attr,
	NULL
};
ATTRIBUTE_GROUPS(node);

/* circle nodes: settings */

static ssize_t degree_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(d->node->circle->degree));
}

static ssize_t degree_store(struct circle_dir *d, const char *buf, size_t len)
{
	unsigned int v;
	int r = kstrtouint(buf, 10, &v);

	if (r)
		return r;
	if (v > CIRCLE_MAX_DEGREE || v > circle_peers_configured(d->node->circle))
		return -EINVAL;
	WRITE_ONCE(d->node->circle->degree, v);
	circle_steward_kick(d->node);
	return len;
}

FILE_RW(degree);

/* The connection that there is; the next ones begin with it. */
static void tell_conn(struct circle_peer *p, unsigned int ms)
{
	struct circle_conn *conn;

	spin_lock_irq(&p->lock);
	conn = p->conn;
	if (conn)
		circle_conn_get(conn);
	spin_unlock_irq(&p->lock);
	if (!conn)
		return;
	circle_conn_set_timeout(conn, ms);
	circle_conn_put(conn);
}

static ssize_t timeout_ms_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(d->node->circle->timeout_ms));
}

static ssize_t timeout_ms_store(struct circle_dir *d, const char *buf, size_t len)
{
	struct circle_circle *c = d->node->circle;
	unsigned int v, i;
	int r = kstrtouint(buf, 10, &v);

	if (r)
		return r;
	if (v < CIRCLE_TIMEOUT_MIN_MS || v > CIRCLE_TIMEOUT_MAX_MS)
		return -EINVAL;
	WRITE_ONCE(c->timeout_ms, v);
	for (i = 0; i < c->nr_peers; i++)
		tell_conn(&c->peer[i], circle_patience_ms(c));
	return len;
}

FILE_RW(timeout_ms);

static ssize_t lend_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(d->node->circle->lend));
}

static ssize_t lend_store(struct circle_dir *d, const char *buf, size_t len)
{
	unsigned int v;
	int r = kstrtouint(buf, 10, &v);

	if (r)
		return r;
	if (v > 100)
		return -EINVAL;
	WRITE_ONCE(d->node->circle->lend, v);
	return len;
}

FILE_RW(lend);

/* circle nodes: state */

static ssize_t degree_now_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(d->node->circle->degree_now));
}

FILE_RO(degree_now);

static ssize_t floor_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(d->node->circle->floor));
}

FILE_RO(floor);

static ssize_t role_show(struct circle_dir *d, char *buf)
{
	static const char *const name[] = {
		[CIRCLE_ROLE_NONE] = "none", [CIRCLE_ROLE_OWNER] = "owner",
		[CIRCLE_ROLE_FENCED] = "fenced",
	};

	return sysfs_emit(buf, "%s\n", name[READ_ONCE(d->node->circle->role)]);
}

FILE_RO(role);

static ssize_t at_risk_bytes_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%llu\n", circle_at_risk(d->node));
}

FILE_RO(at_risk_bytes);

static u32 lent(const struct circle_node *node)
{
	return max(atomic_read(&node->slots->nr_lent), 0);
}

static ssize_t replicas_held_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%u\n", lent(d->node));
}

FILE_RO(replicas_held);

static ssize_t parked_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%d\n", max(atomic_read(&d->node->slots->nr_parked), 0));
}

FILE_RO(parked);

static ssize_t lent_bytes_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%llu\n",
			  (u64)lent(d->node) * d->node->geom.block_sectors << SECTOR_SHIFT);
}

FILE_RO(lent_bytes);

static ssize_t view_show(struct circle_dir *d, char *buf)
{
	struct circle_circle *c = d->node->circle;
	u32 view = READ_ONCE(c->view);
	unsigned int i;
	int n = 0;

	for (i = 0; i < c->nr_peers; i++)
		if (view >> i & 1)
			n += sysfs_emit_at(buf, n, "%s%u", n ? " " : "", c->peer[i].id);
	return n + sysfs_emit_at(buf, n, "\n");
}

FILE_RO(view);

static ssize_t healed_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%llu\n", circle_stat_sum(d->node->stats, CIRCLE_STAT_HEALED));
}

FILE_RO(healed);

static ssize_t revived_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%llu\n", circle_stat_sum(d->node->stats, CIRCLE_STAT_REVIVED));
}

FILE_RO(revived);

static ssize_t leaving_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%u\n", circle_away_left(d->node));
}

FILE_RO(leaving);

static ssize_t relied_on_show(struct circle_dir *d, char *buf)
{
	struct circle_circle *c = d->node->circle;
	u32 owners = 0;

	/* While a cache is exchanged, the old node's server ends before this directory. */
	spin_lock_irq(&c->lock);
	if (c->server)
		owners = circle_server_owners(c->server);
	spin_unlock_irq(&c->lock);
	return sysfs_emit(buf, "%u\n", owners);
}

FILE_RO(relied_on);

static struct attribute *circle_attrs[] = {
	&degree_file.attr, &timeout_ms_file.attr, &lend_file.attr, &degree_now_file.attr,
	&floor_file.attr, &role_file.attr, &at_risk_bytes_file.attr, &replicas_held_file.attr,
	&lent_bytes_file.attr, &view_file.attr, &healed_file.attr,
	&revived_file.attr, &parked_file.attr, &leaving_file.attr, &relied_on_file.attr,
	NULL
};

static const struct attribute_group circle_group = { .attrs = circle_attrs };
static const struct attribute_group *circle_groups[] = { &node_group, &circle_group, NULL };

/* peers; `state` and its like are the node's, so these have longer names */

static ssize_t peer_state_show(struct circle_dir *d, char *buf)
{
	static const char *const name[] = {
		[CIRCLE_PEER_DOWN] = "down", [CIRCLE_PEER_UP] = "up", [CIRCLE_PEER_READY] = "ready",
	};

	return sysfs_emit(buf, "%s\n", name[READ_ONCE(d->peer->state)]);
}

static ssize_t space_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(d->peer->space));
}

static ssize_t wanted_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(d->peer->wanted));
}

static ssize_t in_view_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(d->node->circle->view) >> d->peer->nr & 1);
}

static ssize_t address_show(struct circle_dir *d, char *buf)
{
	char name[64];

	circle_addr_print(&d->peer->addr, name, sizeof(name));
	return sysfs_emit(buf, "%s\n", name);
}

static ssize_t lost_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%llu\n", READ_ONCE(d->peer->nr_lost));
}

static ssize_t bit_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%u\n", d->peer->nr);
}

static struct circle_file peer_state_file = __ATTR(state, 0444, peer_state_show, NULL);
FILE_RO(space);
FILE_RO(wanted);
FILE_RO(in_view);
FILE_RO(address);
FILE_RO(lost);
FILE_RO(bit);

static ssize_t away_show(struct circle_dir *d, char *buf)
{
	return sysfs_emit(buf, "%u\n", circle_away_due(d->peer));
}

FILE_RO(away);

static struct attribute *peer_attrs[] = {
	&peer_state_file.attr, &space_file.attr, &wanted_file.attr, &in_view_file.attr,
	&address_file.attr, &lost_file.attr, &bit_file.attr, &away_file.attr, NULL
};
ATTRIBUTE_GROUPS(peer);

/* directories */

static ssize_t file_show(struct kobject *kobj, struct attribute *attr, char *buf)
{
	struct circle_file *f = container_of(attr, struct circle_file, attr);

	return f->show(container_of(kobj, struct circle_dir, kobj), buf);
}

static ssize_t file_store(struct kobject *kobj, struct attribute *attr, const char *buf, size_t len)
{
	struct circle_file *f = container_of(attr, struct circle_file, attr);

	return f->store ? f->store(container_of(kobj, struct circle_dir, kobj), buf, len) : -EIO;
}

static void released(struct kobject *kobj)
{
	complete(&container_of(kobj, struct circle_dir, kobj)->gone);
}

static const struct sysfs_ops file_ops = { .show = file_show, .store = file_store };

static const struct kobj_type local_type = {
	.sysfs_ops = &file_ops, .release = released, .default_groups = node_groups,
};

static const struct kobj_type circle_type = {
	.sysfs_ops = &file_ops, .release = released, .default_groups = circle_groups,
};

static const struct kobj_type peer_type = {
	.sysfs_ops = &file_ops, .release = released, .default_groups = peer_groups,
};

static const struct kobj_type empty_type = { .sysfs_ops = &file_ops, .release = released };

/* When it returns nobody is in a file of it, nor will be. */
static void dir_remove(struct circle_dir *d)
{
	if (!d->there)
		return;
	kobject_del(&d->kobj);
	kobject_put(&d->kobj);
	wait_for_completion(&d->gone);
	d->there = false;
}

/* d->node and d->peer are set, all else is zero. */
static int dir_add(struct circle_dir *d, const struct kobj_type *type, struct kobject *parent,
		   const char *name)
{
	int r;

	if (d->there)
		return 0;
	memset(&d->kobj, 0, sizeof(d->kobj));
	init_completion(&d->gone);
	r = kobject_init_and_add(&d->kobj, type, parent, "%s", name);
	d->there = !r;
	if (r) {
		kobject_put(&d->kobj);
		wait_for_completion(&d->gone);
	}
	return r;
}

/* Before the node is taken apart: the last table is gone, so no resume adds any more. */
static void sysfs_remove(struct circle_node *node)
{
	struct circle_sysfs *s = node->sysfs;
	unsigned int i;

	for (i = 0; i < CIRCLE_MAX_PEERS; i++)
		dir_remove(&s->peer[i]);
	dir_remove(&s->peers);
	dir_remove(&s->top);
	node->sysfs = NULL;
	node->on_destroy = NULL;
	kfree(s);
}

static int add_peer(struct circle_sysfs *s, struct circle_peer *p)
{
	struct circle_dir *d = &s->peer[p->nr];
	char name[12];

	snprintf(name, sizeof(name), "%u", p->id);
	d->node = p->node;
	d->peer = p;
	return dir_add(d, &peer_type, &s->peers.kobj, name);
}

static int add(struct circle_node *node)
{
	struct kobject *disk = &disk_to_dev(dm_disk(node->md))->kobj;
	struct circle_circle *c = node->circle;
	struct circle_sysfs *s = node->sysfs;
	unsigned int i;
	int r;

	s->top.node = node;
	s->peers.node = node;
	r = dir_add(&s->top, c ? &circle_type : &local_type, disk, "circle");
	if (!r && c)
		r = dir_add(&s->peers, &empty_type, &s->top.kobj, "peers");
	for (i = 0; !r && c && i < c->nr_peers; i++)
		r = add_peer(s, &c->peer[i]);
	return r;
}

void circle_sysfs_add(struct circle_node *node)
{
	unsigned int noio = memalloc_noio_save();	/* the device is not resumed yet */
	int r = -ENOMEM;

	if (!node->sysfs) {
		node->sysfs = kzalloc(sizeof(*node->sysfs), GFP_NOIO);
		if (node->sysfs)
			node->on_destroy = sysfs_remove;
	}
	if (node->sysfs)
		r = add(node);
	if (r)
		CIRCLE_WARN("not all of it is shown in sysfs (%d); it works without", r);
	memalloc_noio_restore(noio);
}
