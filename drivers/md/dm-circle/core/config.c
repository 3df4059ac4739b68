// SPDX-License-Identifier: GPL-2.0-only
/*
 * config: the table line, read word by word by tables of arguments, and printed back. It must never
 * open a device, allocate, or guess: what is not understood is refused with a sentence that says
 * what was expected.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "config.h"
#include "words.h"

#define MAX_POLICY_ARGS		16
#define DEFAULT_THRESHOLD	2048

/* Devices and block size */

static int parse_devices(struct circle_config *c, struct circle_words *w, const char **error)
{
	char *const to[] = { c->metadata_dev, c->cache_dev, c->origin_dev };
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(to); i++) {
		if (!w->n)
			return circle_refuse(error,
					     "metadata, cache and origin device are required");
		ret = circle_copy_word(to[i], CIRCLE_PATH_MAX, circle_take(w));
		if (ret == -E2BIG)
			return circle_too_big(error,
					      "a device's path is longer than 255 characters");
		if (ret)
			return circle_refuse(error, "a device's path is empty");
	}
	return 0;
}

static int parse_block_size(struct circle_config *c, struct circle_words *w, const char **error)
{
	u64 n;

	if (!w->n)
		return circle_refuse(error, "block size is required");
	if (circle_number(circle_take(w), CIRCLE_MAX_BLOCK_SECTORS, &n) ||
	    n < CIRCLE_MIN_BLOCK_SECTORS || n % CIRCLE_MIN_BLOCK_SECTORS)
		return circle_refuse(error,
				     "block size must be 8..2097152 sectors, a multiple of 8");
	c->block_sectors = n;
	return 0;
}

/* Features */

static const char *const modes[] = {
	[CIRCLE_WRITEBACK] = "writeback",
	[CIRCLE_WRITETHROUGH] = "writethrough",
	[CIRCLE_PASSTHROUGH] = "passthrough",
};

static const struct feature {
	const char *word;
	size_t field;	/* a bool */
	bool act;	/* happens once, is not printed */
} features[] = {
	{ "metadata2", offsetof(struct circle_config, metadata2), false },
	{ "no_discard_passdown", offsetof(struct circle_config, no_discard_passdown), false },
	{ "recover", offsetof(struct circle_config, recover), true },
	{ "fenced", offsetof(struct circle_config, fenced), true },
	{ "force", offsetof(struct circle_config, force), true },
};

static bool find_mode(const char *word, enum circle_mode *mode)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		if (strcasecmp(word, modes[i]))
			continue;
		*mode = i;
		return true;
	}
	return false;
}

static const struct feature *set_feature(struct circle_config *c, const char *word)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(features); i++) {
		if (strcasecmp(word, features[i].word))
			continue;
		*(bool *)((char *)c + features[i].field) = true;
		return &features[i];
	}
	return NULL;
}

static int one_feature(struct circle_config *c, const char *word, const char **error)
{
	const struct feature *f = NULL;

	if (find_mode(word, &c->mode)) {
		if (c->mode_given)
			return circle_refuse(error,
					     "features: only one of writeback, writethrough, passthrough");
		c->mode_given = true;
	} else {
		f = set_feature(c, word);
		if (!f)
			return circle_refuse(error,
					     "features: unknown word, or the count is wrong; known: writeback, writethrough, passthrough, metadata2, no_discard_passdown, recover, fenced, force");
	}
	if (!f || !f->act)
		circle_copy_word(c->feature[c->nr_features++], CIRCLE_WORD_MAX, word);
	return 0;
}

static int parse_features(struct circle_config *c, struct circle_words *w, const char **error)
{
	struct circle_words group;
	int ret = 0;

	if (circle_take_count(w, &group) || group.n > CIRCLE_MAX_FEATURES)
		return circle_refuse(error,
				     "features: a count of the feature words that follow is expected");
	while (group.n && !ret)
		ret = one_feature(c, circle_take(&group), error);
	return ret;
}

/* Policy */

static const char *const policies[] = { "default", "smq", "mq", "cleaner" };

/* Accepted of old, without effect; in the order in which dm-cache shows them. */
static const char *const mq_keys[] = {
	"random_threshold", "sequential_threshold", "discard_promote_adjustment",
	"read_promote_adjustment", "write_promote_adjustment",
};

static bool listed(const char *word, const char *const *list, unsigned int n)
{
	while (n--)
		if (!strcasecmp(word, list[n]))
			return true;
	return false;
}

int circle_config_set(struct circle_config *c, const char *key, const char *value,
		      const char **error)
{
	bool threshold = !strcasecmp(key, "migration_threshold");
	bool mq = !strcmp(c->policy, "mq");
	u64 n;

	if (!threshold && !(mq && listed(key, mq_keys, ARRAY_SIZE(mq_keys))))
		return circle_refuse(error,
				     "policy: unknown key; known: migration_threshold, and those of the old mq for mq");
	if (circle_number(value, U64_MAX, &n))
		return circle_refuse(error, "policy: a value must be a number");
	if (threshold)
		c->migration_threshold = n;
	return 0;
}

int circle_range_parse(const char *word, u32 nr, u32 *begin, u32 *end, const char **error)
{
	const char *dash = strchr(word, '-');
	char first[12] = "";
	size_t len = dash ? dash - word : strlen(word);
	u64 b, e;

	if (!len || len >= sizeof(first))
		goto bad;
	memcpy(first, word, len);
	if (circle_number(first, U32_MAX, &b))
		goto bad;
	e = b + 1;
	if (dash && (!dash[1] || circle_number(dash + 1, U32_MAX, &e)))
		goto bad;
	if (b >= nr || e > nr)
		return circle_refuse(error, "is beyond the last block of the cache");
	if (b >= e)
		return circle_refuse(error, "is empty: the end is not part of a range");
	*begin = b;
	*end = e;
	return 0;
bad:
	return circle_refuse(error, "is neither a block (5) nor a range of blocks (5-9)");
}

static int keep_policy_args(struct circle_config *c, const struct circle_words *group,
			    const char **error)
{
	unsigned int i;

	if (group->n > MAX_POLICY_ARGS)
		return circle_too_big(error, "policy: more than 16 argument words");
	for (i = 0; i < group->n; i++)
		if (circle_copy_word(c->policy_arg[i], CIRCLE_WORD_MAX, group->v[i]))
			return circle_too_big(error, "policy: a word must have 1..31 characters");
	c->nr_policy_args = group->n;
	return 0;
}

static int parse_policy(struct circle_config *c, struct circle_words *w, const char **error)
{
	struct circle_words group;
	const char *key;
	unsigned int i;
	int ret;

	if (!w->n)
		return circle_refuse(error, "a policy is required: default, smq, mq or cleaner");
	key = circle_take(w);
	for (i = 0; i < ARRAY_SIZE(policies) && strcmp(key, policies[i]); i++)
		;
	if (i == ARRAY_SIZE(policies))
		return circle_refuse(error,
				     "policy: must be default, smq, mq or cleaner (is the feature count right?)");
	circle_copy_word(c->policy, CIRCLE_WORD_MAX, policies[i]);

	if (circle_take_count(w, &group))
		return circle_refuse(error,
				     "policy: a count of the argument words that follow is expected");
	if (group.n % 2)
		return circle_refuse(error,
				     "policy: arguments are pairs of key and value: count even");
	ret = keep_policy_args(c, &group, error);
	for (i = 0; !ret && i < group.n; i += 2)
		ret = circle_config_set(c, group.v[i], group.v[i + 1], error);
	return ret;
}

int circle_config_parse(struct circle_config *c, unsigned int argc, char **argv,
			const char **error)
{
	static int (*const parts[])(struct circle_config *c, struct circle_words *w,
				    const char **error) = {
		parse_devices, parse_block_size, parse_features, parse_policy, circle_args_parse,
	};
	struct circle_words w = { .n = argc, .v = argv };
	unsigned int i;
	int ret;

	memset(c, 0, sizeof(*c));
	c->migration_threshold = DEFAULT_THRESHOLD;
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		ret = parts[i](c, &w, error);
		if (ret)
			return ret;
	}
	if (w.n)
		return circle_refuse(error, "words are left over at the end of the line");
	return 0;
}

/* Printing */

static void print_words(struct circle_out *o, unsigned int n, const char (*word)[CIRCLE_WORD_MAX])
{
	unsigned int i;

	circle_put(o, " %u", n);
	for (i = 0; i < n; i++)
		circle_put(o, " %s", word[i]);
}

int circle_config_print_policy(const struct circle_config *c, char *buf, unsigned int len)
{
	struct circle_out o = { .buf = buf, .len = len };
	bool mq = !strcmp(c->policy, "mq");
	unsigned int i;

	circle_put(&o, "%s %zu ", strcmp(c->policy, "default") ? c->policy : "smq",
		   mq ? 2 * ARRAY_SIZE(mq_keys) : 0);
	for (i = 0; mq && i < ARRAY_SIZE(mq_keys); i++)
		circle_put(&o, "%s 0 ", mq_keys[i]);
	return o.used;
}

int circle_config_print(const struct circle_config *c, char *buf, unsigned int len)
{
	struct circle_out o = { .buf = buf, .len = len };

	circle_put(&o, "%u", c->block_sectors);
	print_words(&o, c->nr_features, c->feature);
	circle_put(&o, " %s", c->policy);
	print_words(&o, c->nr_policy_args, c->policy_arg);
	if (c->circle)
		circle_args_print(c, &o);
	return o.used;
}
