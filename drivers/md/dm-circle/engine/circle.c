// SPDX-License-Identifier: GPL-2.0-only
/*
 * circle: making and unmaking what a circle node has beyond a local cache. Threads and sockets are
 * started by activation (preresume) and the steward, never here.
 */
#include "circle.h"

#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/nsproxy.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <net/net_namespace.h>
#include "replicate.h"
#include "serve.h"

#define WRITE_RESERVE	4
#define MULTI_RESERVE	16
#define PAGE_RESERVE	CIRCLE_WRITE_PAGES
#define PAGES_SHARE	50		/* one part in so many of all memory for copies of writes */
#define START_MS	10000u		/* patience before there is I/O to wait */

static unsigned int timeout_ms = CIRCLE_TIMEOUT_MS;

static int set_timeout(const char *val, const struct kernel_param *kp)
{
	return param_set_uint_minmax(val, kp, CIRCLE_TIMEOUT_MIN_MS, CIRCLE_TIMEOUT_MAX_MS);
}

static const struct kernel_param_ops timeout_ops = {
	.set = set_timeout,
	.get = param_get_uint,
};

module_param_cb(timeout_ms, &timeout_ops, &timeout_ms, 0644);
MODULE_PARM_DESC(timeout_ms, "what timeout_ms of a new device begins with (100..60000)");

unsigned int circle_patience_ms(const struct circle_circle *c)
{
	unsigned int ms = READ_ONCE(c->timeout_ms);

	if (READ_ONCE(c->ending) || READ_ONCE(c->hurry))
		return min_t(unsigned int, ms, CIRCLE_TIMEOUT_MS);
	return READ_ONCE(c->role) == CIRCLE_ROLE_NONE ? max(ms, START_MS) : ms;
}

static void init_peer(struct circle_circle *c, unsigned int nr)
{
	struct circle_peer *p = &c->peer[nr];

	p->node = c->node;
	p->nr = nr;
	init_waitqueue_head(&p->wait);
	init_completion(&p->done);
	spin_lock_init(&p->lock);
	INIT_LIST_HEAD(&p->calls);
	p->next_id = 1;
}

static int init_pools(struct circle_circle *c)
{
	int r = mempool_init_kmalloc_pool(&c->write_pool, WRITE_RESERVE, circle_write_size());

	if (!r)
		r = mempool_init_kmalloc_pool(&c->multi_pool, MULTI_RESERVE,
					      circle_request_size());
	if (!r)
		r = mempool_init_page_pool(&c->page_pool, PAGE_RESERVE, 0);
	return r;
}

struct circle_circle *circle_circle_create(struct circle_node *node)
{
	struct circle_circle *c = kvzalloc(sizeof(*c), GFP_KERNEL);
	unsigned int i;

	if (!c)
		return ERR_PTR(-ENOMEM);
	c->node = node;
	c->net = get_net(current->nsproxy->net_ns);
	c->timeout_ms = READ_ONCE(timeout_ms);
	c->lend = CIRCLE_LEND;
	spin_lock_init(&c->lock);
	spin_lock_init(&c->lease_lock);
	INIT_LIST_HEAD(&c->multis);
	INIT_LIST_HEAD(&c->lease_waiters);
	INIT_LIST_HEAD(&c->readers);
	init_waitqueue_head(&c->steward_wait);
	init_waitqueue_head(&c->idle);
	mutex_init(&c->page_mutex);
	init_waitqueue_head(&c->page_wait);
	c->pages_max = max(totalram_pages() / PAGES_SHARE, 4ul * CIRCLE_WRITE_PAGES);
	circle_stash_init(&c->stash);
	for (i = 0; i < CIRCLE_MAX_PEERS; i++)
		init_peer(c, i);
	c->area = vmalloc(CIRCLE_LABEL_AREA);
	c->copy_wq = alloc_workqueue("circle_copy", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!c->area || !c->copy_wq || init_pools(c)) {
		circle_circle_destroy(c);
		return ERR_PTR(-ENOMEM);
	}
	return c;
}

void circle_circle_destroy(struct circle_circle *c)
{
	if (!c)
		return;
	if (c->copy_wq)
		destroy_workqueue(c->copy_wq);
	circle_stash_empty(&c->stash);
	mempool_exit(&c->page_pool);
	mempool_exit(&c->multi_pool);
	mempool_exit(&c->write_pool);
	vfree(c->area);
	put_net(c->net);
	kvfree(c);
}

static struct circle_peer *find_peer(struct circle_circle *c, u32 id)
{
	unsigned int i;

	for (i = 0; i < c->nr_peers; i++)
		if (c->peer[i].id == id)
			return &c->peer[i];
	return NULL;
}

/* Its manager has ended. */
void circle_peer_reset(struct circle_peer *p)
{
	p->id = 0;
	p->configured = false;
	p->greeted = false;
	p->heard = 0;
	p->instance = 0;
	p->counted = 0;
	p->failures = 0;
	p->leaves = false;
	p->let_go = false;
	p->undurable = 0;
	p->flushed = 0;
}

struct circle_peer *circle_peer_add(struct circle_circle *c, u32 id, const struct circle_addr *addr)
{
	struct circle_peer *p = find_peer(c, id);

	if (!p && c->nr_peers < CIRCLE_MAX_PEERS) {
		p = &c->peer[c->nr_peers++];
		p->id = id;
		p->addr = *addr;
	}
	return p;
}

unsigned int circle_peers_configured(const struct circle_circle *c)
{
	unsigned int i, n = 0;

	for (i = 0; i < c->nr_peers; i++)
		n += c->peer[i].configured;
	return n;
}

/* The first table's line. A later one may change degree and nothing else, for now. */
void circle_circle_config(struct circle_circle *c, const struct circle_config *conf, bool first)
{
	unsigned int i;

	c->degree = conf->degree;
	if (!first)
		return;
	c->nr_peers = 0;		/* of a start that failed */
	c->degree_now = conf->degree;
	memset(c->domain, 0, sizeof(c->domain));	/* of a start that failed */
	if (conf->domain[0])
		memcpy(c->domain, conf->domain, strnlen(conf->domain, CIRCLE_DOMAIN_SIZE));
	else
		snprintf((char *)c->domain, CIRCLE_DOMAIN_SIZE, "node%u", conf->id);
	for (i = 0; i < conf->nr_peers; i++) {
		struct circle_peer *p = circle_peer_add(c, conf->peer[i].id, &conf->peer[i].addr);

		p->configured = true;
	}
}

bool circle_lease_ok(const struct circle_node *node)
{
	struct circle_circle *c = node->circle;

	return !c || (READ_ONCE(c->role) == CIRCLE_ROLE_OWNER &&
		      time_before(jiffies, READ_ONCE(c->lease_until)));
}
