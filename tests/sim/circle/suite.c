// SPDX-License-Identifier: GPL-2.0-only
/*
 * suite: ten thousand schedules that hold, in which all that is to be met was met; then each rule
 * taken away, which must give a violation: else the simulator would see no fault of that kind.
 */
#include <linux/types.h>
#include <stdio.h>

#include "cover.h"
#include "rules.h"
#include "run.h"
#include "suite.h"

#define SEEDS	10000
#define LIMIT	5000	/* without a rule: seeds behind the known one to look for a violation */

static u32 nr, failures;
static u64 times[NR_COVERS];

static void result(bool good, const char *name)
{
	printf("%sok %u - %s\n", good ? "" : "not ", ++nr, name);
	fflush(stdout);
	failures += !good;
}

static bool all_hold(void)
{
	u64 seed;
	u32 i;

	for (seed = 1; seed <= SEEDS; seed++) {
		if (!run_seed(seed)) {
			run_tell(seed);
			printf("# again: circle-sim --seed %llu --count 1 --trace\n",
			       (unsigned long long)seed);
			return false;
		}
		for (i = 0; i < NR_COVERS; i++)
			times[i] += met[i];
	}
	return true;
}

static bool all_met(void)
{
	bool all = true;
	u32 i;

	for (i = 0; i < NR_COVERS; i++) {
		printf("# %-36s %llu\n", cover_text[i], (unsigned long long)times[i]);
		all &= !!times[i];
	}
	return all;
}

static bool is_needed(enum rule r)
{
	bool bad = false;
	u64 seed;

	without = 1ull << r;
	seed = rule_text[r].seed;
	bad = !run_seed(seed);
	while (!bad && seed < rule_text[r].seed + LIMIT)
		bad = !run_seed(++seed);
	without = 0;
	if (bad)
		printf("# seed %llu: %s\n", (unsigned long long)seed, run_why());
	return bad;
}

int suite_run(void)
{
	char name[200];
	u32 i, known = 0;

	for (i = 0; i < NR_RULES; i++)
		known += !!rule_text[i].seed;
	printf("TAP version 13\n1..%u\n", 2 + known);
	result(all_hold(), "ten thousand schedules without a violation");
	result(all_met(), "all that schedules are to meet was met");
	for (i = 0; i < NR_RULES; i++) {
		if (!rule_text[i].seed)
			continue;
		snprintf(name, sizeof(name), "without %s a violation: %s", rule_text[i].name,
			 rule_text[i].what);
		result(is_needed(i), name);
	}
	return !!failures;
}
