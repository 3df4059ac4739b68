/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hung: names the lower device that does not answer (P7). A resume, suspend or removal waits for
 * what a lower device holds, for ever if need be. Once it has lasted 6 s each device is asked for
 * its first sectors, again and again; one that has not answered within 2 s is named, in the log and
 * by circle_hung_names(), until it does.
 */
#ifndef CIRCLE_ENGINE_HUNG_H
#define CIRCLE_ENGINE_HUNG_H

#include <linux/types.h>
#include <linux/workqueue.h>

struct circle_devices;
struct circle_node;
struct circle_probe;

#define CIRCLE_HUNG_DEVICES	4u
#define CIRCLE_HUNG_NAMES	32	/* bytes, for all names */

struct circle_lower {
	dev_t dev;			/* 0: there is none */
	struct circle_probe *probe;	/* or NULL; a reference; may outlive what it began for */
	bool named;			/* READ_ONCE */
	bool told;			/* in the log, since it began */
};

/* All but `named` belongs to who begins and ends, one at a time, and in between to the work. */
struct circle_hung {
	struct delayed_work work;
	const char *what;		/* lasts; NULL: nothing does */
	bool looked;			/* since it began */
	struct circle_lower lower[CIRCLE_HUNG_DEVICES];
};

int circle_hung_setup(void);		/* module: -ENOMEM */
void circle_hung_teardown(void);	/* what was asked and has not answered keeps the module */

void circle_hung_init(struct circle_node *node);
void circle_hung_exit(struct circle_node *node);
/* preresume: those of the table, from then on. */
void circle_hung_devices(struct circle_node *node, const struct circle_devices *dev);

/*
 * A device that does not answer stays in use by its probe until it does, whatever becomes of the
 * node.
 *
 * Process context. what: a constant, "suspend". begin: false if something lasts already. end: if it
 * has lasted so long, waits 1 s at most, for probes that are about to be answered; without begin it
 * does nothing.
 */
bool circle_hung_begin(struct circle_node *node, const char *what);
void circle_hung_end(struct circle_node *node);

/* Any context: "cache,origin", or "-". Returns its length. */
int circle_hung_names(const struct circle_node *node, char *buf, size_t size);

#endif
