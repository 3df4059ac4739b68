// SPDX-License-Identifier: GPL-2.0-only
/*
 * message: what an administrator says to a running device. A message posts a wish and returns.
 */
#include "face.h"

#include "../engine/repair.h"
#include "../log.h"

static int set_threshold(struct circle_table *t, const char *value)
{
	u64 v;

	if (kstrtoull(value, 10, &v)) {
		CIRCLE_ERR("message migration_threshold: \"%s\" is no number of sectors", value);
		return -EINVAL;
	}
	t->conf.migration_threshold = v;
	t->node->conf.migration_threshold = v;
	return 0;
}

/* A line for each run of sectors of which no copy is left: <first>+<number> */
static int list_lost(struct circle_table *t, char *result, unsigned int maxlen)
{
	unsigned int sz = 0;
	u32 n = 0, page = 0, sectors;
	u64 sector;

	*result = '\0';
	while (t->node->slots && sz < maxlen &&
	       circle_lost_next(t->node, &n, &page, &sector, &sectors))
		DMEMIT("%llu+%u\n", sector, sectors);
	return 1;		/* there is a result */
}

int circle_message(struct dm_target *ti, unsigned int argc, char **argv, char *result,
		   unsigned int maxlen)
{
	struct circle_table *t = ti->private;

	if (argc == 2 && !strcasecmp(argv[0], "migration_threshold"))
		return set_threshold(t, argv[1]);
	if (argc == 1 && !strcasecmp(argv[0], "drain")) {
		WRITE_ONCE(t->node->wb.drain, true);
		circle_writeback_kick(t->node);
		return 0;
	}
	if (argc == 1 && !strcasecmp(argv[0], "undrain")) {
		WRITE_ONCE(t->node->wb.drain, false);
		return 0;
	}
	if (argc == 1 && !strcasecmp(argv[0], "lost"))
		return list_lost(t, result, maxlen);
	if (argc == 1 && !strcasecmp(argv[0], "retry_lost") && t->node->slots) {
		circle_repair_retry(t->node);
		return 0;
	}
	CIRCLE_ERR("unknown message \"%s\" (have: migration_threshold <sectors>, drain, undrain, lost, retry_lost)",
		   argc ? argv[0] : "");
	return -EINVAL;
}
