// SPDX-License-Identifier: GPL-2.0-only
/*
 * circle-sim: schedules of messages, crashes, restarts and takeovers, many seeds of them, against
 * an oracle of what each page may show. See README.rst. It must never pass over a seed that is bad.
 */
#include <getopt.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cover.h"
#include "rules.h"
#include "run.h"
#include "suite.h"

#define MAX_JOBS	64

#define RULE_TEXT(name, text, seed, what) [name] = { text, what, seed },
const struct rule_text rule_text[NR_RULES] = { RULES(RULE_TEXT) };

#define COVER_TEXT(name, text) [COVER_##name] = text,
const char *const cover_text[NR_COVERS] = { COVERS(COVER_TEXT) };

u64 without;

struct tally {			/* of one job; shared with the parent */
	u64 done, bad, met[NR_COVERS];
};

static void usage(void)
{
	printf("circle-sim [option...]\n"
	       "  --seed N        the first seed (1)\n"
	       "  --count M       so many seeds (1000)\n"
	       "  --jobs J        so many processes (1)\n"
	       "  --without RULE  without this rule, which must give a violation\n"
	       "  --trace         tell what happens, step by step\n"
	       "  --rules         list the rules that can be taken away\n"
	       "  --check         the test: a thousand seeds, then each rule taken away; KTAP\n");
}

static int list_rules(void)
{
	u32 i;

	for (i = 0; i < NR_RULES; i++)
		printf("%-28s %s%s\n", rule_text[i].name, rule_text[i].what,
		       rule_text[i].seed ? "" : " (no seed is known)");
	return 0;
}

static bool take_away(const char *name)
{
	u32 i;

	for (i = 0; i < NR_RULES; i++)
		if (!strcmp(rule_text[i].name, name))
			without |= 1ull << i;
	return without;
}

/* Every jobs'th seed, until one is bad. */
static void work(struct tally *t, u64 seed, u64 end, u32 jobs)
{
	u32 i;

	for (; seed < end; seed += jobs) {
		if (!run_seed(seed)) {
			t->bad = seed;
			return;
		}
		t->done++;
		for (i = 0; i < NR_COVERS; i++)
			t->met[i] += met[i];
	}
}

static u64 run_jobs(struct tally *t, u64 seed, u64 count, u32 jobs)
{
	u64 bad = 0;
	u32 i, k;

	for (i = 0; i < jobs; i++) {
		if (jobs > 1 && fork())
			continue;
		work(&t[i], seed + i, seed + count, jobs);
		if (jobs > 1)
			_exit(0);
	}
	while (jobs > 1 && wait(NULL) > 0)
		;
	for (i = 0; i < jobs; i++) {
		if (t[i].bad && (!bad || t[i].bad < bad))
			bad = t[i].bad;
		for (k = 0; i && k < NR_COVERS; k++)
			t[0].met[k] += t[i].met[k];
		t[0].done += i ? t[i].done : 0;
	}
	return bad;
}

/* 0 if all hold, and nothing of what schedules are to meet was never met. */
static int many(u64 seed, u64 count, u32 jobs)
{
	struct tally *t = mmap(NULL, MAX_JOBS * sizeof(*t), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	u64 bad = run_jobs(t, seed, count, jobs);
	bool died = !bad && t->done < count;
	u32 i;

	for (i = 0; i < NR_COVERS; i++)
		printf("# %-36s %llu\n", cover_text[i], (unsigned long long)t->met[i]);
	printf("circle-sim: %llu schedules, seeds %llu to %llu: %s\n", (unsigned long long)t->done,
	       (unsigned long long)seed, (unsigned long long)(seed + count - 1),
	       bad || died ? "a violation" : "no violation");
	if (!bad)
		return died;
	run_tell(bad);
	printf("# again: circle-sim --seed %llu --count 1 --trace\n", (unsigned long long)bad);
	return 1;
}

static int told(u64 seed, u64 count)
{
	u64 end = seed + count;

	tracing = true;
	trace_all = true;
	for (; seed < end; seed++) {
		if (run_seed(seed))
			continue;
		printf("violation, seed %llu: %s\n", (unsigned long long)seed, run_why());
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "seed", 1, NULL, 's' }, { "count", 1, NULL, 'c' }, { "jobs", 1, NULL, 'j' },
		{ "without", 1, NULL, 'w' }, { "trace", 0, NULL, 't' },
		{ "rules", 0, NULL, 'r' }, { "check", 0, NULL, 'k' }, { }
	};
	u64 seed = 1, count = 1000;
	bool trace = false;
	u32 jobs = 1;
	int o;

	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		switch (o) {
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'c':
			count = strtoull(optarg, NULL, 0);
			break;
		case 'j':
			jobs = strtoul(optarg, NULL, 0);
			break;
		case 't':
			trace = true;
			break;
		case 'r':
			return list_rules();
		case 'k':
			return suite_run();
		case 'w':
			if (take_away(optarg))
				break;
			fprintf(stderr, "no such rule: %s (see --rules)\n", optarg);
			return 2;
		default:
			usage();
			return 2;
		}
	}
	if (!seed || !count || !jobs || jobs > MAX_JOBS) {
		usage();
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	return trace ? told(seed, count) : many(seed, count, jobs);
}
