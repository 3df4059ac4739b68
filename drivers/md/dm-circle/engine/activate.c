// SPDX-License-Identifier: GPL-2.0-only
/*
 * activate: see activate.h. The order is R5's: ask the peers whether they still hear another owner;
 * note the coming generation in the metadata; label with generation + 1; tell the peers; wait out
 * the old owner's lease; look again; recover; label with what is left. Nothing is served before.
 */
#include "activate.h"

#include <linux/random.h>
#include <linux/sched/signal.h>
#include "../log.h"
#include "../store/label.h"
#include "live.h"
#include "peer.h"
#include "replicate.h"
#include "steward.h"

#define ORIGIN_IO_MS	5000	/* by then what the old owner sent has landed */
#define PEERS_MS	4000	/* for peers without which nothing is missing */
#define NEEDED_MS	30000	/* for those without which completed writes may be */

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
	c->asked = 0;
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
		if (rec->in_view == CIRCLE_IN_VIEW_COUNTS)
			c->old_view |= 1u << p->nr;
		else if (rec->in_view == CIRCLE_IN_VIEW_ASKED)
			c->asked |= 1u << p->nr;
		p->counted = rec->instance;
	}
	return 0;
}

static u32 who_is_here(struct circle_circle *c, bool fenced)
{
	unsigned int i;
	u32 here = 0;

	for (i = 0; i < c->nr_peers; i++)
		if (fenced ? READ_ONCE(c->peer[i].state) >= CIRCLE_PEER_UP :
			     circle_peer_here(&c->peer[i]))
			here |= 1u << i;
	return here;
}

/* For those of the old view. 0, also when some do not come in time; -EINTR. */
static int wait_for_peers(struct circle_node *node, bool fenced)
{
	unsigned long end = jiffies + msecs_to_jiffies(PEERS_MS);
	struct circle_circle *c = node->circle;

	while ((c->old_view & ~who_is_here(c, fenced)) && time_before(jiffies, end)) {
		if (fatal_signal_pending(current))
			return -EINTR;
		schedule_timeout_killable(HZ / 20);
	}
	return 0;
}

/*
 * The same, longer, for those without which the verdict would be worse: a recovery that does
 * without one that is only slow drops what that one alone has. until: of the whole activation.
 */
static int wait_for_needed(struct circle_node *node, bool fenced, unsigned long until)
{
	struct circle_circle *c = node->circle;
	bool told = false;

	while (!node->conf.force && time_before(jiffies, until) &&
	       circle_recover_wants(node, who_is_here(c, fenced))) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (!told)
			CIRCLE_INFO("waiting up to %u s for peers of the view without which completed writes may be missing",
				    NEEDED_MS / 1000);
		told = true;
		schedule_timeout_killable(HZ / 20);
	}
	return 0;
}

static int wait_for_all(struct circle_node *node, bool fenced, unsigned long until)
{
	return wait_for_peers(node, fenced) ?: wait_for_needed(node, fenced, until);
}

/* Also when an earlier attempt of ours wrote its label and did not get through. */
static bool taking_over(const struct circle_circle *c)
{
	return c->start == CIRCLE_START_TAKE ||
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
		      circle_label_newest(c, id, CIRCLE_LBF_UNSEEN, l, scratch) &&
		      l->state != CIRCLE_LS_TAKING && l->generation > c->found.generation;
	kfree(scratch);
	return yes;
}

/*
 * The old owner may have changed its label after we read it and before it could see ours. What it
 * says now is what counts: our label is there, so it does not change any more (R5).
 */
static int look_back(struct circle_node *node, unsigned long until)
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
	c->label.flags = c->found.flags & ~(CIRCLE_LBF_SSD | CIRCLE_LBF_VOID);
	if (!r)
		r = start_peers(c);
	if (!r)
		r = wait_for_all(node, false, until);
	return r ?: circle_recover_check(node);
}

/* Is the label of the old owner, behind that of a taker, still what we found? */
static bool as_found(struct circle_circle *c, struct circle_label *now)
{
	struct circle_label *scratch = kmalloc(sizeof(*scratch), GFP_KERNEL);
	bool same;

	same = scratch &&
	       circle_label_newest(c, c->found.node_id, CIRCLE_LBF_UNSEEN, now, scratch) &&
	       now->generation == c->found.generation && now->seq == c->found.seq;
	kfree(scratch);
	return same;
}

/*
 * Formatting, loading and asking took their time: is the label still the one that we plan with?
 * An owner that has just changed its view is alive, and may have on its SSD alone what we would
 * not find: then it must not be stopped by us.
 */
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
	if (!same)
		return -ESTALE;
	if (c->start == CIRCLE_START_FRESH)
		return 0;
	return now->seq == c->seen.seq && (!c->was_unseen || as_found(c, now)) ? 0 : -EAGAIN;
}

static int take_label(struct circle_node *node, unsigned long until)
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
	c->label.flags &= ~(CIRCLE_LBF_VOID |	/* which was of metadata that are gone */
			    (c->start == CIRCLE_START_RESTART ? 0 : CIRCLE_LBF_SSD));
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
		r = look_back(node, until);
	if (!r)
		r = circle_label_store(node);	/* both copies: a torn one is never the only one */
out:
	if (r == -ESTALE)
		CIRCLE_ERR("another node is taking over at the same time: withdrawn, try again");
	else if (r == -EAGAIN)
		CIRCLE_ERR("the old owner has just changed its label: it is alive, or was a moment ago. Nothing was done; look whether it is stopped, then try again");
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
	return 0;
}

/* Nothing is dirty but what is lost, nor will be, with a degree, before a label with peers. */
int circle_label_open(struct circle_node *node)
{
	struct circle_circle *c = node->circle;

	memset(c->label.peer, 0, sizeof(c->label.peer));
	c->label.state = CIRCLE_LS_ACTIVE;
	c->label.flags &= CIRCLE_LBF_VOID;
	if (c->degree && !atomic_read(&node->slots->nr_lost))
		c->label.flags |= CIRCLE_LBF_EMPTY;
	else if (!c->label.flags)
		c->label.flags = CIRCLE_LBF_SSD;
	c->label.floor = 0;
	return circle_label_store(node);
}

int circle_label_empty(struct circle_node *node)
{
	struct circle_circle *c = node->circle;

	memset(c->label.peer, 0, sizeof(c->label.peer));
	c->label.state = CIRCLE_LS_RECOVERING;
	c->label.flags = (c->label.flags & CIRCLE_LBF_VOID) | CIRCLE_LBF_EMPTY;
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
static int last_owner(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	struct circle_label *l = &c->label;	/* take_label() fills it anew */
	struct circle_label *scratch = kmalloc(sizeof(*scratch), GFP_KERNEL);
	u64 my_seq = c->label.seq;
	bool got = false;
	u32 id;

	if (!scratch)
		return -ENOMEM;
	for (id = 1; id <= CIRCLE_MAX_NODE_ID; id++) {
		if (!circle_label_newest(c, id, CIRCLE_LBF_UNSEEN, l, scratch) ||
		    (got && !beats(l, &c->found)))
			continue;
		c->found = *l;
		got = true;
	}
	kfree(scratch);
	c->label.seq = my_seq;
	c->start = CIRCLE_START_TAKE;		/* our SSD has no part in it */
	if (!got)
		return -EINVAL;
	/*
	 * Ours: the next one would stand in its place, so it could not be UNSEEN; and if the other
	 * taker went on meanwhile, the next recovery would go by ours, and not know of what that
	 * has completed.
	 */
	if (c->found.node_id == node->conf.id && c->seen.node_id != node->conf.id) {
		CIRCLE_ERR("node %u has begun to take this origin over from node %u, generation %llu: let it go on, or recover with an id that the label does not name",
			   c->seen.node_id, node->conf.id, c->seen.generation);
		return -EBUSY;
	}
	return 0;
}

/* Who hears another owner is asked before the long wait: what a hello said grows old. */
static int find_peers(struct circle_node *node, unsigned long until)
{
	bool taking = taking_over(node->circle);
	int r = wait_for_peers(node, false);

	if (!r && taking)
		r = ask_peers(node);
	if (!r)
		r = wait_for_needed(node, false, until);
	if (!r && taking)
		r = ask_peers(node);	/* who has come since */
	return r;
}

/* A peer that goes away or restarts before its list is in, or its data are, is judged anew. */
static int recover(struct circle_node *node, unsigned long until)
{
	int r;

	for (;;) {
		/* what comes next goes by who is there then */
		r = wait_for_all(node, true, until);
		if (!r)
			r = circle_label_look(node);
		if (!r)
			r = circle_recover(node);
		if (r != -EAGAIN)
			return r;
		if (fatal_signal_pending(current))
			return -EINTR;
		if (time_after(jiffies, until))
			break;
		CIRCLE_INFO("recovery: a peer went away or restarted meanwhile: begun again");
	}
	CIRCLE_ERR("recovery: a peer went away or restarted meanwhile; start again");
	return r;
}

int circle_activate(struct circle_node *node)
{
	unsigned long until = jiffies + msecs_to_jiffies(NEEDED_MS);
	struct circle_circle *c = node->circle;
	int r = 0;

	c->hurry = false;
	c->was_unseen = c->start != CIRCLE_START_FRESH && (c->seen.flags & CIRCLE_LBF_UNSEEN);
	c->found = c->seen;
	if (c->was_unseen)
		r = last_owner(node);
	if (!r && c->start != CIRCLE_START_FRESH)
		r = add_label_peers(c);
	if (!r)
		r = start_peers(c);
	if (!r)
		r = find_peers(node, until);
	if (!r)
		r = circle_recover_check(node);
	if (!r)
		r = take_label(node, until);
	if (r)
		return r;
	smp_store_release(&c->may_fence, true);	/* pairs with may_fence(), peer.c */
	r = wait_lease(node);
	if (!r)
		r = recover(node, until);
	if (!r && !node->recovering)
		r = circle_label_open(node);
	if (r)
		return r;
	spin_lock_irq(&c->lock);
	c->view = 0;
	if (!node->recovering)
		c->wait = 0;
	c->floor = 0;
	smp_store_release(&c->role, CIRCLE_ROLE_OWNER);	/* pairs with may_resync(): wait is set */
	spin_unlock_irq(&c->lock);
	return circle_steward_start(node);
}

void circle_deactivate(struct circle_node *node)
{
	struct circle_circle *c = node->circle;
	unsigned int i;

	circle_live_stop(node);
	circle_steward_stop(node);
	circle_live_free(node);
	for (i = 0; i < c->nr_peers; i++)
		circle_peer_stop(&c->peer[i]);
	circle_multi_forget(node, ~0u);
	wait_event(c->idle, !atomic_read(&c->releasing));
	c->role = CIRCLE_ROLE_NONE;
	c->may_fence = false;
	for (i = 0; i < c->nr_peers; i++)
		circle_peer_reset(&c->peer[i]);
	c->nr_peers = 0;		/* the next attempt's table says who they are */
	c->away = 0;
	c->label_unsure = false;
	c->copy_unsure = false;
	c->old_view = 0;
	c->asked = 0;
}
