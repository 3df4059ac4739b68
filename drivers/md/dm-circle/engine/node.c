// SPDX-License-Identifier: GPL-2.0-only
/*
 * node: finding, making and unmaking the object that outlives tables. What it does in between
 * stands in bringup.c. nodes_lock covers the list of nodes and their count of tables, for those who
 * change them together with list_lock; who looks holds one of the two.
 */
#include "node.h"

#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "../log.h"
#include "bringup.h"
#include "circle.h"
#include "copy.h"
#include "heal.h"
#include "op.h"
#include "origin.h"
#include "repair.h"
#include "steward.h"

#define OP_RESERVE	96	/* a whole batch of write-back, and the promotions */
#define BIO_RESERVE	64

static DEFINE_MUTEX(nodes_lock);
static DEFINE_MUTEX(list_lock);		/* changes of the list: no memory is waited for with it */
static LIST_HEAD(nodes);

static void destroy(struct circle_node *node)
{
	circle_node_stop(node);
	cancel_delayed_work_sync(&node->wb.work);	/* releases may set its timer */
	if (node->next_wq)
		destroy_workqueue(node->next_wq);
	if (node->wq)
		destroy_workqueue(node->wq);
	if (node->bg_wq)
		destroy_workqueue(node->bg_wq);
	if (node->commit_wq)
		destroy_workqueue(node->commit_wq);
	if (node->flush_wq)
		destroy_workqueue(node->flush_wq);
	if (!IS_ERR_OR_NULL(node->kc))
		dm_kcopyd_client_destroy(node->kc);
	circle_copier_destroy(node->copier);
	circle_heal_exit(node);
	circle_event_exit(node);
	circle_circle_destroy(node->circle);
	circle_meta_destroy(node->meta);
	mempool_exit(&node->op_pool);
	bioset_exit(&node->bios);
	free_percpu(node->stats);
	vfree(node->policy_mem);
	kfree(node->wb.batch);
	circle_save_exit(node);
	circle_hung_exit(node);
	kfree(node);
}

static int init(struct circle_node *node)
{
	int r;

	atomic64_set(&node->seq, 0);
	atomic64_set(&node->origin_written, 1);	/* by whoever was before us, perhaps */
	atomic64_set(&node->origin_flushed, 0);
	atomic64_set(&node->acked_through, 1);		/* the same */
	node->bg_stop = true;
	mutex_init(&node->admin);
	circle_event_init(node);
	circle_commit_init(node);
	circle_origin_init(node);
	circle_reclaim_init(node);
	circle_repair_init(node);
	circle_behind_init(node);
	circle_hung_init(node);
	r = circle_writeback_init(node);
	if (!r)
		r = circle_save_init(node);
	if (!r)
		r = bioset_init(&node->bios, BIO_RESERVE, 0, BIOSET_NEED_BVECS);
	if (!r)
		r = mempool_init_kmalloc_pool(&node->op_pool, OP_RESERVE, circle_op_size());
	if (r)
		return r;
	node->stats = alloc_percpu(struct circle_stats);
	node->wq = alloc_workqueue("circle_io", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	node->next_wq = alloc_workqueue("circle_next", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	node->bg_wq = alloc_workqueue("circle_bg", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	node->commit_wq = alloc_ordered_workqueue("circle_commit", WQ_MEM_RECLAIM);
	node->flush_wq = alloc_ordered_workqueue("circle_flush", WQ_MEM_RECLAIM);
	node->kc = dm_kcopyd_client_create(NULL);
	node->copier = circle_copier_create(node);
	if (!node->stats || !node->copier || !node->wq || !node->next_wq || !node->bg_wq ||
	    !node->commit_wq || !node->flush_wq || IS_ERR(node->kc))
		return -ENOMEM;
	return 0;
}

static struct circle_node *find(struct mapped_device *md, dev_t meta_dev, dev_t cache_dev)
{
	struct circle_node *node;

	list_for_each_entry(node, &nodes, link) {
		if (node->meta_dev != meta_dev && node->cache_dev != cache_dev &&
		    node->meta_dev != cache_dev && node->cache_dev != meta_dev)
			continue;
		if (!node->tables || node->md != md)
			return ERR_PTR(-EBUSY);
		if (node->meta_dev != meta_dev || node->cache_dev != cache_dev)
			return ERR_PTR(-EXDEV);
		return node;
	}
	return NULL;
}

/* False: its last one is about to go, since another node takes its place. */
static bool count_table(struct circle_node *node)
{
	bool may;

	mutex_lock(&list_lock);
	may = !node->replaced;
	node->tables += may;
	mutex_unlock(&list_lock);
	return may;
}

struct circle_node *circle_node_get(struct mapped_device *md, dev_t meta_dev, dev_t cache_dev,
				    bool circle)
{
	struct circle_node *node;
	int r;

	mutex_lock(&nodes_lock);
	node = find(md, meta_dev, cache_dev);
	if (node) {
		if (!IS_ERR(node) && !!node->circle != circle)
			node = ERR_PTR(-EINVAL);
		if (!IS_ERR(node) && !count_table(node))
			node = ERR_PTR(-EBUSY);
		goto out;
	}
	node = kzalloc(sizeof(*node), GFP_KERNEL);
	if (!node) {
		node = ERR_PTR(-ENOMEM);
		goto out;
	}
	r = init(node);
	if (!r && circle) {
		node->circle = circle_circle_create(node);
		r = PTR_ERR_OR_ZERO(node->circle);
		if (r)
			node->circle = NULL;
		else
			r = circle_heal_init(node);
	}
	if (r) {
		destroy(node);
		node = ERR_PTR(r);
		goto out;
	}
	node->md = md;
	node->meta_dev = meta_dev;
	node->cache_dev = cache_dev;
	node->tables = 1;
	mutex_lock(&list_lock);
	list_add(&node->link, &nodes);
	mutex_unlock(&list_lock);
out:
	mutex_unlock(&nodes_lock);
	return node;
}

bool circle_node_place(struct circle_node *node, dev_t origin, dev_t label)
{
	bool same = true;

	if (!node->circle)
		return true;
	mutex_lock(&list_lock);
	if (!node->origin_dev) {
		node->origin_dev = origin;
		node->label_dev = label;
	} else {
		same = node->origin_dev == origin && node->label_dev == label;
	}
	mutex_unlock(&list_lock);
	return same;
}

struct circle_node *circle_node_before(struct circle_node *node)
{
	struct circle_node *n, *before = NULL;

	mutex_lock(&list_lock);
	list_for_each_entry(n, &nodes, link)
		if (n != node && n->tables && !n->replaced && n->md == node->md &&
		    n->state == CIRCLE_NODE_QUIET)
			before = n;
	if (before)
		before->replaced = true;
	mutex_unlock(&list_lock);
	return before;
}

/* Also if it cannot take the place: the tables of the others go, whatever comes of it. */
void circle_node_inherit(struct circle_node *node)
{
	struct circle_node *n;

	mutex_lock(&list_lock);
	list_for_each_entry(n, &nodes, link)
		if (n != node && n->md == node->md && READ_ONCE(n->loss_untold))
			WRITE_ONCE(node->loss_untold, true);
	mutex_unlock(&list_lock);
}

bool circle_node_is_replaced(struct circle_node *node)
{
	bool yes;

	mutex_lock(&list_lock);
	yes = node->replaced;
	mutex_unlock(&list_lock);
	if (yes)
		CIRCLE_ERR("another cache has taken the place of this one meanwhile: load the table again");
	return yes;
}

void circle_node_keep(struct circle_node *node)
{
	mutex_lock(&list_lock);
	node->replaced = false;
	mutex_unlock(&list_lock);
}

const char *circle_node_follows(struct circle_node *node, const struct circle_devices *dev,
				const struct circle_config *conf, bool *exchange)
{
	const char *error = NULL;
	struct circle_node *n;

	*exchange = false;
	mutex_lock(&nodes_lock);
	list_for_each_entry(n, &nodes, link) {
		if (n == node || !n->tables || n->replaced || n->md != node->md ||
		    n->state == CIRCLE_NODE_NEW)
			continue;
		*exchange = true;
		error = error ?: circle_node_may_follow(n, dev, conf);
		if (!error && n->circle && circle_holders_left(n))
			error = "peers still hold what is clean here: try again in some seconds";
	}
	mutex_unlock(&nodes_lock);
	return error;
}

void circle_node_put(struct circle_node *node)
{
	bool last;

	mutex_lock(&nodes_lock);
	mutex_lock(&list_lock);
	last = !--node->tables;
	mutex_unlock(&list_lock);
	mutex_unlock(&nodes_lock);
	if (!last)
		return;
	if (node->on_destroy)
		node->on_destroy(node);
	circle_node_stop(node);		/* the devices are ours until then */
	flush_workqueue(node->commit_wq);
	mutex_lock(&nodes_lock);
	mutex_lock(&list_lock);
	list_del(&node->link);
	mutex_unlock(&list_lock);
	mutex_unlock(&nodes_lock);
	destroy(node);
}
