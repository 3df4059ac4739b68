// SPDX-License-Identifier: GPL-2.0-only
/*
 * config: any text as a table line. It is understood and comes back the same when printed, or is
 * refused with a reason.
 */
#include "fuzz.h"
#include "config.h"

#define MAX_WORDS	300
#define MAX_LINE	6000

static int parse(struct circle_config *c, char *line, const char **error)
{
	char *argv[MAX_WORDS], *save, *word;
	unsigned int argc = 0;

	for (word = strtok_r(line, " \n", &save); word && argc < MAX_WORDS;
	     word = strtok_r(NULL, " \n", &save))
		argv[argc++] = word;
	*error = NULL;
	return circle_config_parse(c, argc, argv, error);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct circle_config a, b;
	static char line[MAX_LINE + 1], text[MAX_LINE + 1];
	const char *error;
	int n, ret;

	if (size > 3000)
		return 0;
	memcpy(line, data, size);
	line[size] = '\0';
	ret = parse(&a, line, &error);
	HOLDS(ret == 0 || ret == -EINVAL || ret == -E2BIG);
	HOLDS(!ret == !error);
	if (ret)
		return 0;
	HOLDS(a.degree <= a.nr_peers && a.nr_peers <= CIRCLE_MAX_PEERS);
	n = sprintf(text, "%s %s %s ", a.metadata_dev, a.cache_dev, a.origin_dev);
	HOLDS(circle_config_print(&a, text + n, sizeof(text) - n) < (int)sizeof(text) - n);
	HOLDS(!parse(&b, text, &error));
	a.recover = false;
	a.fenced = false;
	a.force = false;
	HOLDS(!memcmp(&a, &b, sizeof(a)));
	return 0;
}
