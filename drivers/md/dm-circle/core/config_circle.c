// SPDX-License-Identifier: GPL-2.0-only
/*
 * config_circle: the circle arguments of the table line: who this node is, where it listens, who
 * its peers are. It must never look up a name or decide whether a peer is trusted.
 */
#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "config.h"
#include "disk.h"
#include "words.h"

#define MAX_CIRCLE_PAGE	128u	/* sectors: the page of a 4 MiB block */

static int parse_id(struct circle_config *c, const char *word)
{
	u64 n;

	if (circle_number(word, CIRCLE_MAX_NODE_ID, &n) || !n)
		return -EINVAL;
	c->id = n;
	return 0;
}

static int parse_listen(struct circle_config *c, const char *word)
{
	return circle_addr_parse(word, &c->listen);
}

static int parse_degree(struct circle_config *c, const char *word)
{
	u64 n;

	if (circle_number(word, CIRCLE_MAX_DEGREE, &n))
		return -EINVAL;
	c->degree = n;
	return 0;
}

static int parse_label(struct circle_config *c, const char *word)
{
	return circle_copy_plain(c->label_dev, sizeof(c->label_dev), word);
}

static int parse_domain(struct circle_config *c, const char *word)
{
	return circle_copy_plain(c->domain, sizeof(c->domain), word);
}

static int parse_key(struct circle_config *c, const char *word)
{
	return circle_copy_plain(c->key, sizeof(c->key), word);
}

static bool addr_unset(const struct circle_addr *a)
{
	static const u8 zero[sizeof(a->addr)];

	return !memcmp(a->addr, zero, sizeof(zero));
}

static int parse_peer(struct circle_config *c, const char *word)
{
	const char *at = strchr(word, '@');
	struct circle_peer_conf *p;
	char id[4] = "";
	u64 n;

	if (c->nr_peers == CIRCLE_MAX_PEERS)
		return -E2BIG;
	if (!at || (size_t)(at - word) >= sizeof(id))
		return -EINVAL;
	memcpy(id, word, at - word);
	if (circle_number(id, CIRCLE_MAX_NODE_ID, &n) || !n)
		return -EINVAL;
	p = &c->peer[c->nr_peers];
	if (circle_addr_parse(at + 1, &p->addr) || addr_unset(&p->addr))
		return -EINVAL;
	p->id = n;
	c->nr_peers++;
	return 0;
}

static const struct circle_arg {
	const char *word;
	int (*parse)(struct circle_config *c, const char *word);
	const char *bad, *big;	/* errors: value not understood, too long or too many */
	const char *missing;	/* error if it is required and not given */
	bool many;
} circle_args[] = {
	{ "id", parse_id, "circle: id must be 1..127", NULL, "circle: id is required", false },
	{ "listen", parse_listen,
	  "circle: listen must be an address and a port: 10.0.0.1:7000 or [fe80::1]:7000", NULL,
	  "circle: listen is required", false },
	{ "degree", parse_degree, "circle: degree must be 0..8", NULL,
	  "circle: degree is required", false },
	{ "label", parse_label, "circle: label must be a path without blanks and backslashes",
	  "circle: label is longer than 255 characters", NULL, false },
	{ "domain", parse_domain, "circle: domain must be a word without blanks and backslashes",
	  "circle: domain is longer than 16 characters", NULL, false },
	{ "key", parse_key, "circle: key must be a word without blanks and backslashes",
	  "circle: key is longer than 63 characters", NULL, false },
	{ "peer", parse_peer,
	  "circle: peer must be <node 1..127>@<address>:<port>, as 2@10.0.0.2:7000",
	  "circle: more than 32 peers", NULL, true },
};

static int circle_arg(struct circle_config *c, struct circle_words *group, u32 *seen,
		      const char **error)
{
	const char *word = circle_take(group);
	const struct circle_arg *a;
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(circle_args) && strcasecmp(word, circle_args[i].word); i++)
		;
	if (i == ARRAY_SIZE(circle_args))
		return circle_refuse(error,
				     "circle: unknown argument; known: id, listen, degree, label, domain, key, peer");
	a = &circle_args[i];
	if (!a->many && (*seen & BIT(i)))
		return circle_refuse(error, "circle: an argument other than peer is given twice");
	*seen |= BIT(i);
	ret = a->parse(c, circle_take(group));
	if (ret == -E2BIG)
		return circle_too_big(error, a->big);
	return ret ? circle_refuse(error, a->bad) : 0;
}

static int judge_peers(const struct circle_config *c, const char **error)
{
	unsigned int i, k;

	for (i = 0; i < c->nr_peers; i++) {
		if (c->peer[i].id == c->id)
			return circle_refuse(error, "circle: a peer has this node's own id");
		for (k = 0; k < i; k++)
			if (c->peer[k].id == c->peer[i].id)
				return circle_refuse(error, "circle: two peers have the same id");
	}
	if (c->degree > c->nr_peers)
		return circle_refuse(error, "circle: degree is above the number of peers");
	return 0;
}

static int judge_circle(const struct circle_config *c, u32 seen, const char **error)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(circle_args); i++)
		if (circle_args[i].missing && !(seen & BIT(i)))
			return circle_refuse(error, circle_args[i].missing);
	if (c->mode == CIRCLE_WRITETHROUGH)
		return circle_refuse(error,
				     "circle: not with writethrough, which has nothing to replicate");
	if (circle_page_sectors(c->block_sectors) > MAX_CIRCLE_PAGE)
		return circle_refuse(error,
				     "circle: block size must be at most 8192 sectors (4 MiB)");
	return judge_peers(c, error);
}

int circle_args_parse(struct circle_config *c, struct circle_words *w, const char **error)
{
	struct circle_words group;
	u32 seen = 0;
	int ret;

	if (!w->n)
		return 0;
	if (circle_take_count(w, &group))
		return circle_refuse(error,
				     "circle: a count of the argument words that follow is expected");
	if (!group.n)
		return 0;
	if (group.n % 2)
		return circle_refuse(error, "circle: every argument has one value: count even");
	c->circle = true;
	while (group.n) {
		ret = circle_arg(c, &group, &seen, error);
		if (ret)
			return ret;
	}
	return judge_circle(c, seen, error);
}

void circle_args_print(const struct circle_config *c, struct circle_out *o)
{
	unsigned int i, n = 3 + !!c->label_dev[0] + !!c->domain[0] + !!c->key[0] + c->nr_peers;
	char addr[64];

	circle_addr_print(&c->listen, addr, sizeof(addr));
	circle_put(o, " %u id %u listen %s degree %u", 2 * n, c->id, addr, c->degree);
	if (c->label_dev[0])
		circle_put(o, " label %s", c->label_dev);
	if (c->domain[0])
		circle_put(o, " domain %s", c->domain);
	if (c->key[0])
		circle_put(o, " key %s", c->key);
	for (i = 0; i < c->nr_peers; i++) {
		circle_addr_print(&c->peer[i].addr, addr, sizeof(addr));
		circle_put(o, " peer %u@%s", c->peer[i].id, addr);
	}
}
