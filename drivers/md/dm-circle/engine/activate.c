// SPDX-License-Identifier: GPL-2.0-only
/*
 * activate: see activate.h. The order is R5's: ask the peers whether they still hear another owner;
 * note the coming generation in the metadata; label with generation + 1; tell the peers; wait out
 * the old owner's lease; look again; recover; label with what is left. Nothing is served before.
 */
#include "activate.h"

#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/uuid.h>
#include "../log.h"
#include "../store/label.h"
#include "replicate.h"
#include "steward.h"

#define ORIGIN_IO_MS	5000	/* by then what the old owner sent has landed */

static int find_label(struct circle_node *node, const struct circle_devices *dev,
		      const struct circle_config *conf, bool blank)
{
	struct circle_circle *c = node->circle;
	struct circle_super *sb = &node->meta->sb;

	if (!blank) {
		c->label_dev = sb->label_kind == CIRCLE_LABEL_DEV ? dev->label : dev->origin;
		c->label_sector = sb->label_sector;
	} else {
		c->label_dev = dev->label ?: dev->origin;
		c->label_sector = dev->label ? 0 : circle_label_tail(dev->origin);
		sb->label_kind = dev->label ? CIRCLE_LABEL_DEV : CIRCLE_LABEL_TAIL;
		sb->label_sector = c->label_sector;
	}
	if (!c->label_dev) {
		CIRCLE_ERR("the label is on a device of its own: the table line must name it (label <dev>)");
		return -EINVAL;
	}
	if (sb->label_kind == CIRCLE_LABEL_TAIL && c->label_sector < dev->origin_sectors) {
		CIRCLE_ERR("no room for the label: the target must end at sector %llu of the origin, or the line must name a label device",
			   c->label_sector);
		return -EINVAL;
	}
	return 0;
}

static int read_label(struct circle_node *node, const struct circle_config *conf)
{
	struct circle_circle *c = node->circle;
	struct circle_label_view v;

	if (circle_label_read(node->meta->io, c->label_dev, c->label_sector, c->area)) {
		CIRCLE_ERR("the label cannot be read");
		return -EIO;
	}
	circle_label_judge(c->area, conf->id, &v, &c->seen, circle_crc);
	c->label_copy = v.my_copy;
	c->label.seq = v.max_seq;
	switch (v.status) {
	case 0:
	case -ENODATA:
		return v.status;
	case -EPROTONOSUPPORT:
		CIRCLE_ERR("the label was written by a newer version");
		return -EINVAL;
	default:
		CIRCLE_ERR("label area at sector %llu, byte %u: %s; it is not overwritten",
			   c->label_sector, v.where,
			   v.status == -EBADMSG ? "damaged" : "neither blank nor a label");
		return -EINVAL;
	}
}

/*
 * Blank metadata, and no label at the origin's end: the origin may have grown since, and the label
 * stands where the target ends. Only a label is believed there; anything else is somebody's data.
 */
static int find_older_label(struct circle_node *node, const struct circle_devices *dev,
			    const struct circle_config *conf)
{
	struct circle_circle *c = node->circle;
	u64 sectors = CIRCLE_LABEL_AREA >> CIRCLE_SECTOR_SHIFT;
	u64 there = DIV_ROUND_UP_ULL(dev->origin_sectors, sectors) * sectors;
	struct circle_label_view v;

	if (dev->label || there >= c->label_sector ||
	    circle_label_read(node->meta->io, c->label_dev, there, c->area))
		return -ENODATA;
	circle_label_judge(c->area, conf->id, &v, &c->seen, circle_crc);
	if (v.status)
		return -ENODATA;
	CIRCLE_INFO("the origin has grown: its label is at sector %llu", there);
	c->label_sector = there;
	node->meta->sb.label_sector = there;
	return read_label(node, conf);
}

static bool ours(const struct circle_super *sb, const struct circle_label *l)
{
	return (sb->generation == l->generation && sb->activation == l->activation) ||
	       (sb->next_generation == l->generation && sb->next_activation == l->activation);
}

static int fit_blank(struct circle_node *node, const struct circle_config *conf)
{
	struct circle_circle *c = node->circle;
	const struct circle_label *l = &c->seen;

	memcpy(node->meta->sb.set_uuid, l->set_uuid, CIRCLE_UUID_SIZE);
	if (conf->recover) {
		c->start = CIRCLE_START_TAKE;
		return 0;
	}
	if (l->state != CIRCLE_LS_CLEAN) {
		CIRCLE_ERR("the origin belongs to node %u, generation %llu, and is not clean: the metadata device is blank, so say recover to take it over",
			   l->node_id, l->generation);
		return -EINVAL;
	}
	c->start = CIRCLE_START_ADOPT;
	return 0;
}

/* Newest of a place's copies that has none of the flags; false: there is none. */
static bool newest_of(struct circle_circle *c, u32 id, u32 but, struct circle_label *l,
		      struct circle_label *scratch)
{
	bool got = false;
	u32 copy;

	for (copy = 0; copy < 2; copy++) {
		char *at = (char *)c->area + circle_label_offset(id, copy);

		if (circle_label_decode(at, id, scratch, circle_crc) || (scratch->flags & but) ||
		    (got && scratch->seq <= l->seq))
			continue;
		*l = *scratch;
		got = true;
	}
	return got;
}

/*
 * A taker that only says taking has drained nothing: it says recovering before it does. If it got
 * no further, our SSD may be what has the newest data, and the owner may come back.
 */
static bool taker_stuck(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	const struct circle_super *sb = &node->meta->sb;
	struct circle_label *l = &c->found, *scratch = &c->label;
	u64 seq = c->label.seq;
	bool mine;

	if (c->seen.state != CIRCLE_LS_TAKING || c->seen.node_id == node->conf.id)
		return false;
	mine = newest_of(c, node->conf.id, 0, l, scratch) && ours(sb, l) &&
	       c->seen.generation > l->generation;
	c->label.seq = seq;
	return mine;
}

static int fit(struct circle_node *node, const struct circle_config *conf)
{
	struct circle_circle *c = node->circle;
	const struct circle_super *sb = &node->meta->sb;
	const struct circle_label *l = &c->seen;

	if (memcmp(sb->set_uuid, l->set_uuid, CIRCLE_UUID_SIZE)) {
		CIRCLE_ERR("the metadata belong to another origin (their set differs from the label's)");
		return -EINVAL;
	}
	if (ours(sb, l)) {
		if (conf->recover) {
			CIRCLE_ERR("recover: these metadata are the label's generation already; leave recover out");
			return -EINVAL;
		}
		c->start = CIRCLE_START_RESTART;
		return 0;
	}
	if (taker_stuck(node)) {
		CIRCLE_WARN("node %u began to take over (generation %llu), but recovered nothing: restarting above it",
			    l->node_id, l->generation);
		c->start = CIRCLE_START_RESTART;
		c->usurped = true;
		return 0;
	}
	if (l->generation >= sb->generation)
		CIRCLE_ERR("node %u has taken over at generation %llu, these metadata are of generation %llu: refused. Wipe the metadata device (first 128 KiB) to rejoin; what was dirty here %s from the peers",
			   l->node_id, l->generation, sb->generation,
			   l->state == CIRCLE_LS_RECOVERING || l->state == CIRCLE_LS_TAKING ?
			   "is being recovered" : "was recovered");
	else
		CIRCLE_ERR("the label is older than the metadata (generation %llu, metadata %llu): was the origin rolled back? Refused; wipe the metadata and say recover only if the origin's state is wanted",
			   l->generation, sb->generation);
	return -ESTALE;
}

int circle_activate_plan(struct circle_node *node, const struct circle_devices *dev,
			 const struct circle_config *conf, bool blank)
{
	struct circle_circle *c = node->circle;
	struct circle_super *sb = &node->meta->sb;
	int r = find_label(node, dev, conf, blank);

	if (r)
		return r;
	c->start = CIRCLE_START_RESTART;
	c->usurped = false;
	r = read_label(node, conf);
	if (r == -ENODATA && blank)
		r = find_older_label(node, dev, conf);
	if (r == -ENODATA) {
		if (conf->recover || (!blank && sb->generation)) {
			CIRCLE_ERR("there is no label at the origin, but %s: refused",
				   conf->recover ? "recover needs one" :
				   "the metadata have been in use");
			return -EINVAL;
		}
		if (blank)
			generate_random_uuid(sb->set_uuid);
		c->start = CIRCLE_START_FRESH;
		return 0;
	}
	if (r)
		return r;
	if (c->seen.block_sectors != conf->block_sectors ||
	    c->seen.origin_sectors != dev->origin_sectors) {
		CIRCLE_ERR("the label says block size %u and %llu sectors, the table %u and %llu",
			   c->seen.block_sectors, c->seen.origin_sectors, conf->block_sectors,
			   dev->origin_sectors);
		return -EINVAL;
	}
	/* Formatted by an attempt that was refused: never used. */
	if (blank || (!sb->generation && !ours(sb, &c->seen)))
		return fit_blank(node, conf);
	if (conf->recover && !ours(sb, &c->seen)) {
		CIRCLE_ERR("recover wants a blank metadata device: wipe its first 128 KiB");
		return -EINVAL;
	}
	return fit(node, conf);
}

static int write_super(struct circle_node *node)
{
	int r;

	mutex_lock(&node->meta->lock);
	r = __circle_meta_write_super(node->meta);
	mutex_unlock(&node->meta->lock);
	return r;
}

/* Those of the label that the line does not name, and where the label's view stands in our bits. */
static int add_label_peers(struct circle_circle *c)
{
	unsigned int i;

	c->old_view = 0;
	for (i = 0; i < CIRCLE_MAX_PEERS; i++) {
		const struct circle_peer_rec *rec = &c->found.peer[i];
		struct circle_addr addr = { .family = rec->family, .port = rec->port };
		struct circle_peer *p;

		if (rec->id == c->node->conf.id && rec->in_view) {
			CIRCLE_ERR("node %u holds replicas of this set: take it over under another id",
				   rec->id);
			return -EINVAL;
		}
		if (!rec->id || rec->id == c->node->conf.id)
			continue;
		memcpy(addr.addr, rec->addr, sizeof(addr.addr));
		p = circle_peer_add(c, rec->id, &addr);
		if (!p)
			return -E2BIG;
		if (rec->in_view)
			c->old_view |= 1u << p->nr;
		p->counted = rec->instance;
	}
	return 0;
}

static bool all_there(struct circle_circle *c, u32 mask, bool fenced)
{
	unsigned int i;

	for (i = 0; i < c->nr_peers; i++)
		if ((mask >> i & 1) && (fenced ? READ_ONCE(c->peer[i].state) < CIRCLE_PEER_UP :
				       !READ_ONCE(c->peer[i].greeted)))
			return false;
	return true;
}

/* 0, also when some do not come in time; -EINTR. */
static int wait_for_peers(struct circle_circle *c, u32 mask, bool fenced)
{
	unsigned long end = jiffies + msecs_to_jiffies(2 * c->timeout_ms);

	while (!all_there(c, mask, fenced) && time_before(jiffies, end)) {
		if (fatal_signal_pending(current))
			return -EINTR;
		schedule_timeout_killable(HZ / 20);
	}
	return 0;
}

/* Also when an earlier attempt of ours wrote its label and did not get through. */
static bool taking_over(const struct circle_circle *c)
{
	return c->start == CIRCLE_START_TAKE || c->usurped ||
	       (c->start == CIRCLE_START_RESTART && c->found.state == CIRCLE_LS_TAKING);
}

/* Does a peer still hear another owner? */
static int ask_peers(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	unsigned int i;
	int r = 0;

	for (i = 0; i < c->nr_peers && !r; i++) {
		struct circle_peer *p = &c->peer[i];

		if (!READ_ONCE(p->greeted) || !p->heard || node->conf.fenced)
			continue;
		CIRCLE_ERR("recover: peer %u still hears node %u. Stop that node first; if it surely is, say fenced",
			   p->id, p->heard);
		r = -EBUSY;
	}
	return r;
}

static int start_peers(struct circle_circle *c)
{
	unsigned int i;
	int r = 0;

	for (i = 0; i < c->nr_peers && !r; i++)
		if (!c->peer[i].thread)
			r = circle_peer_start(&c->peer[i]);
	return r;
}

/* A taker between the old owner and us got beyond taking: what it did, we do not know. */
static bool another_went_on(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	struct circle_label *l = &c->seen, *scratch = kmalloc(sizeof(*scratch), GFP_KERNEL);
	bool yes = !scratch;
	u32 id;

	for (id = 1; id <= CIRCLE_MAX_NODE_ID && !yes; id++)
		yes = id != node->conf.id &&
		      newest_of(c, id, CIRCLE_LBF_UNSEEN, l, scratch) &&
		      l->state != CIRCLE_LS_TAKING && l->generation > c->found.generation;
	kfree(scratch);
	return yes;
}

/*
 * The old owner may have changed its label after we read it and before it could see ours. What it
 * says now is what counts: our label is there, so it does not change any more (R5).
 */
static int look_back(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	struct circle_label *old = &c->seen;
	bool newer = false;
	unsigned int copy;
	int r;

	if (c->start == CIRCLE_START_FRESH)
		return 0;
	if (another_went_on(node))
		return -ESTALE;
	if (c->found.node_id == node->conf.id)
		return 0;
	for (copy = 0; copy < 2; copy++) {
		u32 at = circle_label_offset(c->found.node_id, copy);

		if (circle_label_decode((char *)c->area + at, c->found.node_id, old, circle_crc) ||
		    old->generation != c->found.generation || old->seq <= c->found.seq)
			continue;
		c->found = *old;
		newer = true;
	}
	c->label.flags &= ~CIRCLE_LBF_UNSEEN;
	if (!newer)
		return 0;
	CIRCLE_INFO("the old owner has changed its label meanwhile: taking that");
	r = add_label_peers(c);
	memcpy(c->label.peer, c->found.peer, sizeof(c->label.peer));
	c->label.floor = c->found.floor;
	c->label.flags = c->found.flags & ~CIRCLE_LBF_SSD;
	if (!r)
		r = start_peers(c);
	if (!r)
		r = wait_for_peers(c, c->old_view, false);
	return r ?: circle_recover_check(node);
}

/* Formatting, loading and asking took their time: is the label still the one that we plan with? */
static int still_as_planned(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	struct circle_label *now = &c->label;	/* scratch: take_label() fills it anew */
	struct circle_label_view v;
	bool same;

	if (circle_label_read(node->meta->io, c->label_dev, c->label_sector, c->area))
		return -EIO;
	circle_label_judge(c->area, node->conf.id, &v, now, circle_crc);
	if (c->start == CIRCLE_START_FRESH)
		same = v.status == -ENODATA;
	else
		same = !v.status && now->generation == c->seen.generation &&
		       now->activation == c->seen.activation &&
		       !(c->was_unseen && !(now->flags & CIRCLE_LBF_UNSEEN));
	return same ? 0 : -ESTALE;
}

static int take_label(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	struct circle_super *sb = &node->meta->sb;
	u64 seq = c->label.seq;
	int r;

	r = still_as_planned(node);
	if (r)
		goto out;

	sb->next_generation = c->start == CIRCLE_START_FRESH ? 1 : c->seen.generation + 1;
	get_random_bytes(&sb->next_activation, sizeof(sb->next_activation));
	r = write_super(node);
	if (r)
		return r;
	if (c->start == CIRCLE_START_FRESH) {
		memset(&c->label, 0, sizeof(c->label));
		c->label.flags = CIRCLE_LBF_EMPTY;
	} else {
		c->label = c->found;
	}
	c->label.seq = seq;
	c->label.state = CIRCLE_LS_TAKING;
	if (c->start != CIRCLE_START_RESTART)
		c->label.flags &= ~CIRCLE_LBF_SSD;
	if (c->start != CIRCLE_START_FRESH && c->found.node_id != node->conf.id)
		c->label.flags |= CIRCLE_LBF_UNSEEN;
	memcpy(c->label.set_uuid, sb->set_uuid, CIRCLE_UUID_SIZE);
	memcpy(c->label.domain, c->domain, CIRCLE_DOMAIN_SIZE);
	c->label.generation = sb->next_generation;
	c->label.activation = sb->next_activation;
	c->label.node_id = node->conf.id;
	c->label.degree = c->degree;
	c->label.block_sectors = node->geom.block_sectors;
	c->label.origin_sectors = node->origin_sectors;
	r = circle_label_store(node);
	if (!r)
		r = look_back(node);
	if (!r)
		r = circle_label_store(node);	/* both copies: a torn one is never the only one */
out:
	if (r == -ESTALE)
		CIRCLE_ERR("another node is taking over at the same time: withdrawn, try again");
	else if (r == -EIO)
		CIRCLE_ERR("the label cannot be written");
	if (r)
		return r;
	sb->generation = sb->next_generation;
	sb->activation = sb->next_activation;
	node->gen = sb->generation;
	c->activation = sb->activation;
	return write_super(node);
}

/* A taker waits out the lease of the old owner, and what that had sent to the origin. */
static int wait_lease(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	unsigned long end = jiffies + msecs_to_jiffies(CIRCLE_LEASE_MS + ORIGIN_IO_MS);

	if (!taking_over(c) || node->conf.fenced ||
	    (c->found.state == CIRCLE_LS_CLEAN && !c->was_unseen))
		return 0;
	CIRCLE_INFO("waiting %u ms for the lease of the old owner (not needed with fenced)",
		    CIRCLE_LEASE_MS + ORIGIN_IO_MS);
	while (time_before(jiffies, end)) {
		schedule_timeout_killable(HZ / 10);
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return circle_label_look(node);
}

/* Nothing is dirty anywhere: peers enter by the steward. */
static int open_label(struct circle_node *node)
{
	struct circle_circle *c = node->circle;

	memset(c->label.peer, 0, sizeof(c->label.peer));
	c->label.state = CIRCLE_LS_ACTIVE;
	/* With a degree, nothing is dirty before a label with peers, which also counts the SSD. */
	c->label.flags = c->degree ? CIRCLE_LBF_EMPTY : CIRCLE_LBF_SSD;
	c->label.floor = 0;
	return circle_label_store(node);
}

/* Of two labels of one generation one that is only taking has withdrawn, or will. */
static bool beats(const struct circle_label *a, const struct circle_label *b)
{
	bool ta = a->state == CIRCLE_LS_TAKING, tb = b->state == CIRCLE_LS_TAKING;

	if (a->generation != b->generation)
		return a->generation > b->generation;
	return ta != tb ? tb : a->activation > b->activation;
}

/* A taker got no further than its first label: what counts is the label of the owner before. */
static int last_owner(struct circle_circle *c)
{
	struct circle_label *l = &c->label;	/* take_label() fills it anew */
	struct circle_label *scratch = kmalloc(sizeof(*scratch), GFP_KERNEL);
	u64 my_seq = c->label.seq;
	bool got = false;
	u32 id;

	if (!scratch)
		return -ENOMEM;
	for (id = 1; id <= CIRCLE_MAX_NODE_ID; id++) {
		if (!newest_of(c, id, CIRCLE_LBF_UNSEEN, l, scratch) ||
		    (got && !beats(l, &c->found)))
			continue;
		c->found = *l;
		got = true;
	}
	kfree(scratch);
	c->label.seq = my_seq;
	c->start = CIRCLE_START_TAKE;		/* our SSD has no part in it */
	return got ? 0 : -EINVAL;
}

int circle_activate(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	int r = 0;

	c->was_unseen = c->start != CIRCLE_START_FRESH && (c->seen.flags & CIRCLE_LBF_UNSEEN);
	if (!c->usurped) {		/* then it is the label that was ours */
		c->found = c->seen;
		r = c->was_unseen ? last_owner(c) : 0;
	}
	if (!r && c->start != CIRCLE_START_FRESH)
		r = add_label_peers(c);
	if (!r)
		r = start_peers(c);
	if (!r)
		r = wait_for_peers(c, c->old_view, false);
	if (!r && taking_over(c))
		r = ask_peers(node);
	if (!r)
		r = circle_recover_check(node);
	if (!r)
		r = take_label(node);
	if (r)
		return r;
	WRITE_ONCE(c->may_fence, true);
	r = wait_for_peers(c, c->old_view, true);
	if (!r)
		r = wait_lease(node);
	if (!r)
		r = circle_recover(node);
	if (!r)
		r = open_label(node);
	if (r)
		return r;
	spin_lock_irq(&c->lock);
	c->view = 0;
	c->wait = 0;
	c->floor = 0;
	c->role = CIRCLE_ROLE_OWNER;
	spin_unlock_irq(&c->lock);
	return circle_steward_start(node);
}

void circle_deactivate(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	unsigned int i;

	circle_steward_stop(node);
	for (i = 0; i < c->nr_peers; i++)
		circle_peer_stop(&c->peer[i]);
	circle_multi_forget(node, ~0u);
	wait_event(c->idle, !atomic_read(&c->releasing));
	c->role = CIRCLE_ROLE_NONE;
	c->may_fence = false;
	for (i = 0; i < c->nr_peers; i++)
		circle_peer_reset(&c->peer[i]);
	c->nr_peers = 0;		/* the next attempt's table says who they are */
	c->old_view = 0;
}
