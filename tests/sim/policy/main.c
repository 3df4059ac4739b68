// SPDX-License-Identifier: GPL-2.0-only
/*
 * policy-sim: hit ratios of policies over traces. See README.rst.
 */
#include <getopt.h>
#include <linux/kernel.h>
#include <string.h>

#include "sim.h"

#define MAX_TRACES	64
#define TOLERANCE	1.0	/* points of the hit ratio that ours may be below smq's */

static const struct model *const models[] = {
	&lru_model, &smq_model, &sieve_model, &s3fifo_model, &circle_model,
};

#define NR_MODELS	ARRAY_SIZE(models)
#define SMQ		1
#define OURS		(NR_MODELS - 1)

struct options {
	u32 slots, block_sectors, depth;
	bool check;
	const char *dir, *shape;
};

static u64 mask_of(const struct setup *s, u32 start, u32 n)
{
	u32 first = start / s->page_sectors, last = (start + n - 1) / s->page_sectors;
	u64 low = last >= 63 ? ~0ull : (1ull << (last + 1)) - 1;

	return low & ~0ull << first;
}

static void account(struct tally *t, bool write, bool hit)
{
	if (write) {
		t->writes++;
		t->write_hits += hit;
	} else {
		t->reads++;
		t->read_hits += hit;
	}
}

/* A request that crosses blocks is one access to each. */
static void feed(const struct model *m, void *state, const struct setup *s,
		 const struct request *r, struct tally *t)
{
	u64 sector = r->sector, end = r->sector + r->sectors;

	while (sector < end) {
		u32 start = sector % s->block_sectors;
		u32 n = min_t(u64, end - sector, s->block_sectors - start);
		struct access a = {
			.us = r->us, .block = sector / s->block_sectors, .sector = sector,
			.sectors = n, .pages = mask_of(s, start, n), .write = r->write,
			.whole = n == s->block_sectors,
		};

		account(t, r->write, m->access(state, &a, t));
		sector += n;
	}
}

static void replay(const struct model *m, const struct setup *s, const struct trace *t,
		   struct result *out)
{
	void *state = m->create(s);
	size_t i;

	memset(out, 0, sizeof(*out));
	out->trace = t->name;
	out->model = m->name;
	for (i = 0; i < t->nr; i++)
		feed(m, state, s, &t->req[i], &out->t);
	m->destroy(state);
}

static struct setup setup_for(const struct options *o, const struct trace *t)
{
	struct setup s = { .slots = o->slots, .block_sectors = o->block_sectors,
			   .page_sectors = 8, .depth = o->depth };
	u64 end = 0;
	size_t i;

	while (s.page_sectors * 64 < s.block_sectors)
		s.page_sectors *= 2;
	for (i = 0; i < t->nr; i++)
		end = max_t(u64, end, t->req[i].sector + t->req[i].sectors);
	s.nr_blocks = end / s.block_sectors + 1;
	return s;
}

static void run_trace(const struct options *o, const struct trace *t, struct result *out)
{
	struct setup s = setup_for(o, t);
	size_t k;

	for (k = 0; k < NR_MODELS; k++) {
		memset(&out[k], 0, sizeof(out[k]));
		if (o->check && k != SMQ && k != OURS)
			continue;
		replay(models[k], &s, t, &out[k]);
	}
}

/* Prints one result of KTAP. */
static bool check(unsigned int nr, const struct trace *t, const struct result *r)
{
	double smq = hit_ratio(&r[SMQ].t), ours = hit_ratio(&r[OURS].t);
	bool good = ours >= smq - TOLERANCE;

	printf("# %s: %s: ours %.2f %%, smq %.2f %%\n", t->name, t->what, ours, smq);
	printf("%sok %u - %s\n", good ? "" : "not ", nr, t->name);
	fflush(stdout);
	return good;
}

static size_t run_shapes(const struct options *o, struct result *out, bool *good)
{
	struct trace t;
	size_t nr = 0;
	unsigned int i;

	for (i = 0; nr < MAX_TRACES && shape_make(&t, i, o->slots, o->block_sectors); i++) {
		if (!o->shape || strstr(t.name, o->shape)) {
			run_trace(o, &t, out + nr * NR_MODELS);
			if (o->check)
				*good &= check(nr + 1, &t, out + nr * NR_MODELS);
			nr++;
		}
		trace_free(&t);
	}
	return nr;
}

static size_t run_files(const struct options *o, char **path, int nr, struct result *out)
{
	struct trace t;
	int i;

	for (i = 0; i < nr && i < MAX_TRACES; i++) {
		if (csv_read(&t, path[i]))
			exit(1);
		run_trace(o, &t, out + i * NR_MODELS);
		trace_free(&t);
	}
	return i;
}

static void usage(void)
{
	fprintf(stderr, "usage: policy-sim [options] [trace.csv ...]\n"
		"  --slots N    blocks in the cache (8192)\n"
		"  --block N    KiB of a block (64)\n"
		"  --depth N    requests under way (8)\n"
		"  --out DIR    write results.tsv and a chart there\n"
		"  --shape X    only shapes with X in their name\n"
		"  --check      KTAP: is ours as good as smq on each shape?\n"
		"Without files: the built-in shapes.\n");
	exit(2);
}

static void parse_options(int argc, char **argv, struct options *o)
{
	static const struct option known[] = {
		{ "slots", 1, NULL, 'n' }, { "block", 1, NULL, 'b' }, { "depth", 1, NULL, 'd' },
		{ "out", 1, NULL, 'o' }, { "shape", 1, NULL, 's' }, { "check", 0, NULL, 'c' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 'n':
			o->slots = strtoul(optarg, NULL, 0);
			break;
		case 'b':
			o->block_sectors = strtoul(optarg, NULL, 0) * 2;
			break;
		case 'd':
			o->depth = strtoul(optarg, NULL, 0);
			break;
		case 'o':
			o->dir = optarg;
			break;
		case 's':
			o->shape = optarg;
			break;
		case 'c':
			o->check = true;
			break;
		default:
			usage();
		}
	}
	if (o->slots < 64 || !o->depth || o->block_sectors < 8 || o->block_sectors % 8)
		usage();
}

int main(int argc, char **argv)
{
	struct options o = { .slots = 8192, .block_sectors = 128, .depth = 8 };
	struct result *r = must_alloc(MAX_TRACES * NR_MODELS, sizeof(*r));
	bool good = true;
	size_t nr;

	parse_options(argc, argv, &o);
	if (o.check)
		printf("KTAP version 1\n");
	if (optind < argc)
		nr = run_files(&o, argv + optind, argc - optind, r);
	else
		nr = run_shapes(&o, r, &good);
	if (o.check) {
		printf("1..%zu\n", nr);
	} else {
		table_print(r, nr, NR_MODELS);
		chart_print(r, nr, NR_MODELS);
		if (o.dir && results_write(o.dir, r, nr, NR_MODELS))
			return 1;
	}
	free(r);
	return !good;
}
