// SPDX-License-Identifier: GPL-2.0-only
/*
 * circle-history: writes a block device so that every sector tells which version it is, logs what it
 * does, and judges what can be read later: by the log, may this sector show this version?
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history.h"

static const char usage[] =
"circle-history init  --dev D [--seed S] [--zero] [--log L]\n"
"circle-history run   --dev D --log L [--resume [--history F] [--allow MODE]] [--seconds N] [--ops N]\n"
"                     [--seed S] [--zero] [--threads T] [--qd N] [--overlap] [--hot PCT]\n"
"                     [--mix write=60,read=25,flush=5,fua=5,discard=5]\n"
"                     [--sizes 512,1024,4096,8192,65536,262144] [--errors fail|record]\n"
"                     [--stall SECONDS] [--pause MICROSECONDS] [--discard old|zeroes|any] [--marks NAME]\n"
"circle-history check --dev D --log L --allow MODE [--observed] [--record [--history F]]\n"
"                     [--errors-allowed LIST]\n"
"circle-history dump  --log L [--sector N]\n"
"  MODE: all, flushed, flushed+observed\n"
"  for all: [--size BYTES] [--offset BYTES] [--align BYTES] [--buffered] [--log-sync]\n"
"exit: 0 clean, 1 usage or log, 2 violation, 3 I/O error, 4 stalled\n";

enum {
	O_DEV = 256, O_LOG, O_HISTORY, O_SIZE, O_OFFSET, O_ALIGN, O_SEED, O_SECONDS, O_OPS, O_THREADS, O_QD, O_MIX, O_SIZES,
	O_HOT, O_OVERLAP, O_ERRORS, O_STALL, O_PAUSE, O_DISCARD, O_DISCARD_ZEROES, O_ALLOW, O_OBSERVED, O_RECORD,
	O_ERRORS_ALLOWED, O_RESUME, O_ZERO, O_BUFFERED, O_LOG_SYNC, O_SECTOR, O_MARKS, O_HELP,
};

static const struct option options[] = {
	{ "dev", 1, 0, O_DEV }, { "log", 1, 0, O_LOG }, { "history", 1, 0, O_HISTORY }, { "size", 1, 0, O_SIZE },
	{ "offset", 1, 0, O_OFFSET }, { "align", 1, 0, O_ALIGN }, { "seed", 1, 0, O_SEED },
	{ "seconds", 1, 0, O_SECONDS }, { "ops", 1, 0, O_OPS }, { "threads", 1, 0, O_THREADS }, { "qd", 1, 0, O_QD },
	{ "mix", 1, 0, O_MIX }, { "sizes", 1, 0, O_SIZES }, { "hot", 1, 0, O_HOT }, { "overlap", 0, 0, O_OVERLAP },
	{ "errors", 1, 0, O_ERRORS }, { "stall", 1, 0, O_STALL }, { "pause", 1, 0, O_PAUSE },
	{ "discard", 1, 0, O_DISCARD }, { "discard-zeroes", 0, 0, O_DISCARD_ZEROES }, { "allow", 1, 0, O_ALLOW },
	{ "observed", 0, 0, O_OBSERVED }, { "record", 0, 0, O_RECORD }, { "errors-allowed", 1, 0, O_ERRORS_ALLOWED },
	{ "resume", 0, 0, O_RESUME }, { "zero", 0, 0, O_ZERO }, { "buffered", 0, 0, O_BUFFERED },
	{ "log-sync", 0, 0, O_LOG_SYNC }, { "sector", 1, 0, O_SECTOR }, { "marks", 1, 0, O_MARKS },
	 { "help", 0, 0, O_HELP }, { 0 }
};

static bool number(const char *s, uint64_t *out, uint64_t min, uint64_t max)
{
	char *end;
	uint64_t v;

	errno = 0;
	v = strtoull(s, &end, 0);
	if (end == s || errno || *s == '-')
		return false;
	switch (*end) {
	case 'G': case 'g': v <<= 10; /* fall through */
	case 'M': case 'm': v <<= 10; /* fall through */
	case 'K': case 'k': v <<= 10; end++;
	}
	*out = v;
	return !*end && v >= min && v <= max;
}

static bool parse_mix(struct opts *o, char *s)
{
	uint64_t v, total = 0;
	char *p, *eq;
	int t;

	memset(o->mix, 0, sizeof(o->mix));
	for (p = strtok(s, ","); p; p = strtok(NULL, ",")) {
		eq = strchr(p, '=');
		if (!eq || !number(eq + 1, &v, 0, 1000000))
			return false;
		*eq = 0;
		for (t = OP_WRITE; t < OP_TYPES && strcmp(p, op_names[t]); t++)
			;
		if (t == OP_TYPES)
			return false;
		o->mix[t] = v;
		total += v;
	}
	return total;
}

static bool parse_sizes(struct opts *o, char *s)
{
	uint64_t v;
	char *p;

	o->nr_sizes = 0;
	for (p = strtok(s, ","); p; p = strtok(NULL, ",")) {
		/* a read's record must fit, with a run for each sector */
		if (o->nr_sizes == 32 || !number(p, &v, SECTOR, 16 << 20) || v % SECTOR)
			return false;
		o->sizes[o->nr_sizes++] = v / SECTOR;
	}
	return o->nr_sizes;
}

static bool parse_word(const char *s, const char *const *words, int n, int *out)
{
	for (*out = 0; *out < n; ++*out)
		if (!strcmp(s, words[*out]))
			return true;
	return false;
}

static bool parse(struct opts *o, int argc, char **argv)
{
	static const char *const discards[] = { "old", "zeroes", "any" }, *const errors[] = { "fail", "record" };
	uint64_t v = 0;
	bool ok = true;
	int c, w;

	while (ok && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case O_DEV: o->dev = optarg; break;
		case O_LOG: o->log = optarg; break;
		case O_HISTORY: o->history = optarg; break;
		case O_SIZE: ok = number(optarg, &o->size, SECTOR, ~0ull >> 1) && o->size % SECTOR == 0; break;
		case O_OFFSET: ok = number(optarg, &o->offset, 0, ~0ull >> 1) && o->offset % SECTOR == 0; break;
		case O_ALIGN: ok = number(optarg, &v, SECTOR, 1 << 20) && v % SECTOR == 0; o->align = v; break;
		case O_SEED: ok = number(optarg, &o->seed, 0, ~0ull); break;
		case O_SECONDS: o->seconds = strtod(optarg, NULL); ok = o->seconds > 0; break;
		case O_OPS: ok = number(optarg, &o->ops, 1, ~0ull); break;
		case O_THREADS: ok = number(optarg, &v, 1, MODEL_WORKERS); o->threads = v; break;
		case O_QD: ok = number(optarg, &v, 1, MODEL_WORKERS); o->qd = v; break;
		case O_MIX: ok = parse_mix(o, optarg); break;
		case O_SIZES: ok = parse_sizes(o, optarg); break;
		case O_HOT: ok = number(optarg, &v, 0, 100); o->hot = v; break;
		case O_OVERLAP: o->overlap = true; break;
		case O_ERRORS: ok = parse_word(optarg, errors, 2, &w); o->record_errors = w; break;
		case O_STALL: ok = number(optarg, &v, 1, 1000000); o->stall = v; break;
		case O_PAUSE: ok = number(optarg, &v, 0, 900000); o->pause = v; break;
		case O_DISCARD: ok = parse_word(optarg, discards, 3, &w); o->discard = w; break;
		case O_DISCARD_ZEROES: o->discard = DISCARD_ZEROES; break;
		case O_ALLOW: ok = parse_word(optarg, allow_names, 3, &w); o->allow = w; o->allow_given = true; break;
		case O_OBSERVED: o->observed = true; break;
		case O_RECORD: o->record = true; break;
		case O_ERRORS_ALLOWED: o->errors_allowed = optarg; break;
		case O_RESUME: o->resume = true; break;
		case O_ZERO: o->zero = true; break;
		case O_BUFFERED: o->buffered = true; break;
		case O_LOG_SYNC: o->log_sync = true; break;
		case O_SECTOR: ok = number(optarg, &o->sector, 0, ~0ull); o->have_sector = true; break;
		case O_MARKS: o->marks = optarg; break;
		case O_HELP: fputs(usage, stdout); exit(0);
		default: return false;
		}
		if (!ok)
			die("wrong value: %s", optarg);
	}
	if (o->observed && o->allow == ALLOW_FLUSHED)
		o->allow = ALLOW_FLUSHED_OBSERVED;
	if (o->threads * o->qd > MODEL_WORKERS)
		return die("at most %d operations at a time", MODEL_WORKERS), false;
	return ok && optind == argc;
}

int main(int argc, char **argv)
{
	static struct opts o = {
		.seed = 1, .threads = 1, .qd = 1,
		.mix = { [OP_WRITE] = 60, [OP_READ] = 25, [OP_FLUSH] = 5, [OP_FUA] = 5, [OP_DISCARD] = 5 },
		.sizes = { 1, 2, 8, 16, 128, 512 }, .nr_sizes = 6,
	};

	if (argc < 2 || !parse(&o, argc - 1, argv + 1)) {
		fputs(usage, argc > 1 && !strcmp(argv[1], "--help") ? stdout : stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "init"))
		return cmd_init(&o);
	if (!strcmp(argv[1], "run")) {
		if (!o.ops && !o.seconds)
			o.seconds = 10;
		return cmd_run(&o);
	}
	if (!strcmp(argv[1], "check")) {
		if (!o.allow_given)
			return die("--allow is missing");
		return cmd_check(&o);
	}
	if (!strcmp(argv[1], "dump"))
		return cmd_dump(&o);
	fputs(usage, stderr);
	return EXIT_USAGE;
}
