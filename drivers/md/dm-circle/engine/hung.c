// SPDX-License-Identifier: GPL-2.0-only
/*
 * hung: see hung.h. It only tells: it must never end a wait, nor be what anything else waits for.
 * So a probe opens its device itself, and outlives the node if it is not answered, as does the
 * module.
 */
#include "hung.h"

#include <linux/bio.h>
#include <linux/completion.h>
#include <linux/jiffies.h>
#include <linux/kref.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <circle/compat.h>
#include "../log.h"
#include "bringup.h"
#include "node.h"

#define BEGIN	(6 * HZ)	/* most of what we wait for by ourselves has ended by then */
#define PATIENCE	(2 * HZ)
#define AGAIN	HZ
#define SLICE	(30 * HZ)	/* a device may hang for long, and that is not our fault */

/* One read of one device. Its work sleeps until that is over. */
struct circle_probe {
	struct kref ref;		/* the node's and the work's */
	struct work_struct work;
	dev_t dev;
	unsigned long since;		/* jiffies, 0: not begun; READ_ONCE */
	bool absent;			/* it cannot be opened; valid when closed */
	struct bio bio;
	struct bio_vec bv;
	struct completion answered;
	struct completion closed;
};

static const char *const name[CIRCLE_HUNG_DEVICES] = { "cache", "metadata", "origin", "label" };
static struct workqueue_struct *probe_wq;

static void free_probe(struct kref *ref)
{
	kfree(container_of(ref, struct circle_probe, ref));
}

static void put_probe(struct circle_probe *p)
{
	kref_put(&p->ref, free_probe);
}

static void answered(struct bio *bio)
{
	struct circle_probe *p = bio->bi_private;

	complete(&p->answered);
}

static void ask(struct circle_probe *p, struct block_device *bdev, struct page *page)
{
	bio_init(&p->bio, bdev, &p->bv, 1, REQ_OP_READ | REQ_META);
	__bio_add_page(&p->bio, page, bdev_logical_block_size(bdev), 0);
	p->bio.bi_private = p;
	p->bio.bi_end_io = answered;
	submit_bio(&p->bio);
	while (!wait_for_completion_io_timeout(&p->answered, SLICE))
		;
	bio_uninit(&p->bio);
}

static void probe_work(struct work_struct *work)
{
	struct circle_probe *p = container_of(work, struct circle_probe, work);
	unsigned int noio = memalloc_noio_save();	/* the host's memory may be behind us */
	struct page *page = alloc_page(GFP_NOIO | __GFP_NORETRY | __GFP_NOWARN);
	struct circle_compat_bdev bdev;

	WRITE_ONCE(p->since, jiffies ?: 1);
	if (page) {
		p->absent = circle_compat_bdev_open(&bdev, p->dev);
		if (!p->absent && bdev_logical_block_size(bdev.bdev) <= PAGE_SIZE)
			ask(p, bdev.bdev, page);
		if (!p->absent)
			circle_compat_bdev_close(&bdev);
		__free_page(page);
	}
	memalloc_noio_restore(noio);
	module_put(THIS_MODULE);	/* first: who sees it closed may unload us, and waits */
	complete_all(&p->closed);
	put_probe(p);
}

static void begin_probe(struct circle_lower *l)
{
	struct circle_probe *p = kzalloc(sizeof(*p), GFP_NOWAIT | __GFP_NOWARN);

	if (!p)
		return;
	kref_init(&p->ref);
	kref_get(&p->ref);
	INIT_WORK(&p->work, probe_work);
	init_completion(&p->answered);
	init_completion(&p->closed);
	p->dev = l->dev;
	l->probe = p;
	__module_get(THIS_MODULE);	/* a table of the node has it */
	queue_work(probe_wq, &p->work);
}

/* It is closed. */
static void end_probe(const struct circle_hung *h, unsigned int i, struct circle_lower *l)
{
	if (l->named)
		CIRCLE_INFO("%s: the %s device (%u:%u) answers again", h->what, name[i],
			    MAJOR(l->dev), MINOR(l->dev));
	WRITE_ONCE(l->named, false);
	if (l->probe->absent)
		l->dev = 0;
	put_probe(l->probe);
	l->probe = NULL;
}

static void look(const struct circle_hung *h, unsigned int i, struct circle_lower *l)
{
	unsigned long since;

	if (l->probe && completion_done(&l->probe->closed))
		end_probe(h, i, l);
	if (!l->probe) {
		if (l->dev)
			begin_probe(l);
		return;
	}
	since = READ_ONCE(l->probe->since);
	if (l->named || !since || time_before(jiffies, since + PATIENCE))
		return;
	if (!l->told)
		CIRCLE_WARN("%s: the %s device (%u:%u) does not answer: what it holds is waited for",
			    h->what, name[i], MAJOR(l->dev), MINOR(l->dev));
	l->told = true;
	WRITE_ONCE(l->named, true);
}

static void look_work(struct work_struct *work)
{
	struct circle_hung *h = container_of(work, struct circle_hung, work.work);
	unsigned int i;

	h->looked = true;
	for (i = 0; i < CIRCLE_HUNG_DEVICES; i++)
		if (h->lower[i].dev)
			look(h, i, &h->lower[i]);
	queue_delayed_work(system_unbound_wq, &h->work, AGAIN);
}

static void set_device(struct circle_lower *l, dev_t dev)
{
	if (l->probe && l->dev != dev) {
		put_probe(l->probe);
		l->probe = NULL;
	}
	l->dev = dev;
}

void circle_hung_devices(struct circle_node *node, const struct circle_devices *dev)
{
	struct circle_lower *l = node->hung.lower;

	set_device(&l[0], dev->cache->bd_dev);
	set_device(&l[1], dev->meta->bd_dev);
	set_device(&l[2], dev->origin->bd_dev);
	set_device(&l[3], dev->label && dev->label != dev->origin ? dev->label->bd_dev : 0);
}

bool circle_hung_begin(struct circle_node *node, const char *what)
{
	struct circle_hung *h = &node->hung;
	unsigned int i;

	if (h->what)
		return false;
	h->what = what;
	h->looked = false;
	for (i = 0; i < CIRCLE_HUNG_DEVICES; i++)
		h->lower[i].told = false;
	queue_delayed_work(system_unbound_wq, &h->work, BEGIN);
	return true;
}

void circle_hung_end(struct circle_node *node)
{
	struct circle_hung *h = &node->hung;
	unsigned long left = 0;
	unsigned int i;

	if (!h->what)
		return;
	cancel_delayed_work_sync(&h->work);
	if (h->looked)
		left = HZ;	/* lest who has just answered is found to be in use */
	for (i = 0; i < CIRCLE_HUNG_DEVICES; i++) {
		struct circle_lower *l = &h->lower[i];

		if (!l->probe)
			continue;
		if (left)
			left = wait_for_completion_timeout(&l->probe->closed, left);
		if (completion_done(&l->probe->closed))
			end_probe(h, i, l);
		WRITE_ONCE(l->named, false);
	}
	h->what = NULL;
}

int circle_hung_names(const struct circle_node *node, char *buf, size_t size)
{
	unsigned int i;
	int n = 0;

	for (i = 0; i < CIRCLE_HUNG_DEVICES; i++)
		if (READ_ONCE(node->hung.lower[i].named))
			n += scnprintf(buf + n, size - n, "%s%s", n ? "," : "", name[i]);
	return n ?: scnprintf(buf, size, "-");
}

void circle_hung_init(struct circle_node *node)
{
	INIT_DELAYED_WORK(&node->hung.work, look_work);
}

void circle_hung_exit(struct circle_node *node)
{
	unsigned int i;

	for (i = 0; i < CIRCLE_HUNG_DEVICES; i++)
		set_device(&node->hung.lower[i], 0);
}

int circle_hung_setup(void)
{
	probe_wq = alloc_workqueue("circle_probe", WQ_UNBOUND, 0);
	return probe_wq ? 0 : -ENOMEM;
}

void circle_hung_teardown(void)
{
	destroy_workqueue(probe_wq);
}
