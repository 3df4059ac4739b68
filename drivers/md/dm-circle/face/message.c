// SPDX-License-Identifier: GPL-2.0-only
/*
 * message: what an administrator says to a running device: dm-cache's messages with its exit codes,
 * and ours. All but invalidate_cblocks post a wish and return. What is refused is so with a line in
 * the log that says why.
 */
#include "face.h"

#include "../engine/away.h"
#include "../engine/invalidate.h"
#include "../engine/repair.h"
#include "../log.h"

#define KNOWN "migration_threshold <sectors>, invalidate_cblocks [<block>|<begin>-<end>]*, drain, undrain, lost, retry_lost, leave [<seconds>], stay"

static int set_key(struct circle_table *t, const char *key, const char *value)
{
	const char *error;
	int r = circle_config_set(&t->conf, key, value, &error);

	if (r) {
		CIRCLE_ERR("message %s %s: %s; messages: " KNOWN, key, value, error);
		return r;
	}
	WRITE_ONCE(t->node->conf.migration_threshold, t->conf.migration_threshold);
	return 0;
}

static int invalidated(const char *range, int r, u32 refused)
{
	switch (r) {
	case -EBUSY:
		CIRCLE_ERR("message invalidate_cblocks %s: block %u is dirty or held by a peer and stays, maybe others too: drain first",
			   range, refused - 1);
		break;
	case -EAGAIN:
		CIRCLE_ERR("message invalidate_cblocks %s: block %u was in use for seconds: try again",
			   range, refused - 1);
		break;
	case -ENODEV:
		CIRCLE_ERR("message invalidate_cblocks: the device is suspended: resume it first");
		break;
	case -EIO:
		CIRCLE_ERR("message invalidate_cblocks: the metadata device cannot be written");
		break;
	}
	return r;
}

static int invalidate(struct circle_table *t, unsigned int argc, char **argv)
{
	u32 nr = t->node->state == CIRCLE_NODE_NEW ? 0 : t->node->slots->nr;
	u32 begin, end, refused;
	const char *error;
	unsigned int i;
	int r = 0;

	if (t->conf.mode != CIRCLE_PASSTHROUGH) {
		CIRCLE_ERR("message invalidate_cblocks: only in passthrough mode: reload the table with it first");
		return -EPERM;
	}
	for (i = 1; i < argc && !r; i++) {
		r = circle_range_parse(argv[i], nr, &begin, &end, &error);
		if (r) {
			CIRCLE_ERR("message invalidate_cblocks: %s %s; the cache has %u", argv[i],
				   error, nr);
			return r;
		}
		r = invalidated(argv[i], circle_invalidate(t->node, begin, end, &refused), refused);
	}
	return r;
}

/* -ENOENT: none of these. */
static int ours(struct circle_table *t, unsigned int argc, char **argv)
{
	bool drain = !strcasecmp(argv[0], "drain");

	if (argc != 1 || (!drain && strcasecmp(argv[0], "undrain")))
		return -ENOENT;
	WRITE_ONCE(t->node->wb.drain, drain);
	if (drain)
		circle_writeback_kick(t->node);
	return 0;
}

/* R7. -ENOENT: none of these. */
static int of_leaving(struct circle_table *t, unsigned int argc, char **argv)
{
	bool leave = !strcasecmp(argv[0], "leave");
	unsigned int seconds = leave ? CIRCLE_LEAVE_SECONDS : 0;

	if (!leave && strcasecmp(argv[0], "stay"))
		return -ENOENT;
	if (!t->node->circle) {
		CIRCLE_ERR("message %s: this cache is in no circle: nobody relies on it", argv[0]);
		return -EINVAL;
	}
	if (argc > 1 + leave) {
		CIRCLE_ERR("message %s: %u words too many: leave [<seconds>], stay", argv[0],
			   argc - 1 - leave);
		return -EINVAL;
	}
	if (argc == 2 && (kstrtouint(argv[1], 10, &seconds) || !seconds ||
			  seconds > CIRCLE_LEAVE_MAX)) {
		CIRCLE_ERR("message leave %s: how long it will be away is a number of seconds, 1 to %u",
			   argv[1], CIRCLE_LEAVE_MAX);
		return -EINVAL;
	}
	circle_away_leave(t->node, seconds);
	return 0;
}

/* A line for each run of sectors of which no copy is left: <first>+<number> */
static void list_lost(struct circle_table *t, char *result, unsigned int maxlen)
{
	unsigned int sz = 0;
	u32 n = 0, page = 0, sectors;
	u64 sector;

	*result = '\0';
	while (t->node->slots && sz < maxlen &&
	       circle_lost_next(t->node, &n, &page, &sector, &sectors))
		DMEMIT("%llu+%u\n", sector, sectors);
}

/* -ENOENT: none of these. 1: there is a result. A resume, which may be long, is not waited for. */
static int of_lost(struct circle_table *t, unsigned int argc, char **argv, char *result,
		   unsigned int maxlen)
{
	bool list = !strcasecmp(argv[0], "lost");

	if (argc != 1 || (!list && strcasecmp(argv[0], "retry_lost")))
		return -ENOENT;
	if (!mutex_trylock(&t->node->admin)) {
		CIRCLE_ERR("message %s: the device is being suspended, resumed or changed: try again",
			   argv[0]);
		return -EBUSY;
	}
	if (list)
		list_lost(t, result, maxlen);
	else if (t->node->slots)
		circle_repair_retry(t->node);
	mutex_unlock(&t->node->admin);
	return list;
}

int circle_message(struct dm_target *ti, unsigned int argc, char **argv, char *result,
		   unsigned int maxlen)
{
	struct circle_table *t = ti->private;
	int r;

	if (!argc)
		return -EINVAL;
	r = ours(t, argc, argv);
	if (r != -ENOENT)
		return r;
	r = of_leaving(t, argc, argv);
	if (r != -ENOENT)
		return r;
	r = of_lost(t, argc, argv, result, maxlen);
	if (r != -ENOENT)
		return r;
	if (t->node->state != CIRCLE_NODE_NEW &&
	    circle_meta_mode(t->node->meta) != CIRCLE_META_RW) {
		CIRCLE_ERR("message %s: not while the metadata are read-only or failed", argv[0]);
		return -EOPNOTSUPP;
	}
	if (!strcasecmp(argv[0], "invalidate_cblocks"))
		return invalidate(t, argc, argv);
	if (argc == 2)
		return set_key(t, argv[0], argv[1]);
	CIRCLE_ERR("message \"%s\" with %u more words is not known; messages: " KNOWN, argv[0],
		   argc - 1);
	return -EINVAL;
}
