// SPDX-License-Identifier: GPL-2.0-only
/*
 * check: reads the whole range and judges it by the log. init: the first contents. dump: the log as text.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "history.h"

#define SHOWN		20
#define KEPT		65536

enum kind { K_LOST, K_ZEROED, K_UNISSUED, K_TORN, K_GARBAGE, K_MISPLACED, K_FOREIGN, K_ERROR, K_KINDS };

struct viol {
	uint64_t sector, found;
	uint64_t done;		/* record that completed the write of what was found; 0: none */
	enum kind kind;
	bool issued, dead;
	int worker, result;
};

struct range {
	uint64_t first, last;
};

struct check {
	struct hist h;
	struct viol *v;
	size_t nv;
	uint64_t count[K_KINDS], errors_allowed;
	struct range *ranges;
	size_t nr_ranges;
	unsigned int bad_shown;
};

/* Lines: FIRST, FIRST-LAST or FIRST+COUNT, in sectors of the device; # begins a comment. */
static bool ranges_read(struct check *c, const char *path)
{
	char line[256], *p, *end;
	FILE *f = fopen(path, "r");
	struct range r;

	if (!f)
		return die("%s: %s", path, strerror(errno)), false;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "#\n")] = 0;
		p = line + strspn(line, " \t");
		if (!*p)
			continue;
		r.first = r.last = strtoull(p, &end, 0);
		if (*end == '-')
			r.last = strtoull(end + 1, &end, 0);
		else if (*end == '+')
			r.last = r.first + strtoull(end + 1, &end, 0) - 1;
		if (end == p || end[strspn(end, " \t\r")] || r.last + 1 < r.first)
			return die("%s: not a range of sectors: %s", path, line), false;
		c->ranges = realloc(c->ranges, (c->nr_ranges + 1) * sizeof(r));
		if (!c->ranges)
			return die("out of memory"), false;
		c->ranges[c->nr_ranges++] = r;
	}
	fclose(f);
	return true;
}

static bool may_fail(const struct check *c, uint64_t sector)
{
	size_t i;

	for (i = 0; i < c->nr_ranges; i++)
		if (sector >= c->ranges[i].first && sector <= c->ranges[i].last)
			return true;
	return false;
}

static void violation(struct check *c, uint64_t sector, uint64_t found)
{
	enum kind k;

	switch (found) {
	case FOUND_ZERO: k = K_ZEROED; break;
	case FOUND_ERROR: k = K_ERROR; break;
	case FOUND_GARBAGE: k = K_GARBAGE; break;
	case FOUND_TORN: k = K_TORN; break;
	case FOUND_MISPLACED: k = K_MISPLACED; break;
	case FOUND_FOREIGN: k = K_FOREIGN; break;
	default: k = found > c->h.seq ? K_UNISSUED : K_LOST;
	}
	c->count[k]++;
	if (c->nv < KEPT)
		c->v[c->nv++] = (struct viol){ .sector = sector, .found = found, .kind = k };
}

/* Read what can be read; whole blocks that cannot are FOUND_ERROR. */
static void read_found(const struct dev *d, char *buf, uint64_t sector, uint32_t n, uint64_t set, uint64_t *found)
{
	uint32_t step = n <= d->align ? n : n > 8 ? (n / 8 + d->align - 1) / d->align * d->align : d->align, i;
	ssize_t got;

	buf_poison(buf, n);
	do
		got = pread(d->fd, buf, (size_t)n * SECTOR, sector * SECTOR);
	while (got < 0 && errno == EINTR);
	if (got == (ssize_t)n * SECTOR) {
		for (i = 0; i < n; i++)
			found[i] = sector_read((uint64_t *)(buf + (size_t)i * SECTOR), set, sector + i);
	} else if (n <= d->align) {
		for (i = 0; i < n; i++)
			found[i] = FOUND_ERROR;
	} else {
		for (i = 0; i < n; i += step)
			read_found(d, buf, sector + i, n - i < step ? n - i : step, set, found + i);
	}
}

static void bad_read(struct hist *h, uint64_t sector, uint64_t found, uint32_t inv, uint32_t pos)
{
	struct check *c = (struct check *)h;
	char name[32];

	if (c->bad_shown++ < SHOWN)
		printf("violation: sector %" PRIu64 ": a read of the history (record %u, issued at %u) was shown %s\n",
		       sector, pos, inv, found_name(found, name, sizeof(name)));
}

static int by_found(const void *a, const void *b)
{
	const struct viol *x = a, *y = b;

	return x->found < y->found ? -1 : x->found > y->found ? 1 : x->sector < y->sector ? -1 : x->sector > y->sector;
}

static int by_sector(const void *a, const void *b)
{
	const struct viol *x = a, *y = b;

	return x->sector < y->sector ? -1 : x->sector > y->sector;
}

static size_t first_of(const struct check *c, uint64_t found)
{
	size_t lo = 0, hi = c->nv, mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (c->v[mid].found < found)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* A second look at the log: who wrote what was found, if anybody did? */
static void explain(struct check *c, const char *path)
{
	const struct rec *r;
	struct logr lr;
	size_t i;

	qsort(c->v, c->nv, sizeof(*c->v), by_found);
	if (!log_read_open(&lr, path))
		return;
	while (log_next(&lr, &r) > 0) {
		if (r->type == REC_HEADER && !c->h.zero) {
			for (i = first_of(c, 1); i < c->nv && c->v[i].found == 1; i++) {
				c->v[i].issued = true;
				c->v[i].done = 1;
				c->v[i].worker = -1;
			}
		} else if (r->type == REC_INTENT && (r->result == OP_WRITE || r->result == OP_FUA)) {
			for (i = first_of(c, r->seq); i < c->nv && c->v[i].found == r->seq; i++) {
				c->v[i].issued = c->v[i].sector - r->sector < r->nr;
				c->v[i].worker = r->worker;
			}
		} else if (r->type == REC_DONE) {
			for (i = first_of(c, r->ref); i < c->nv && c->v[i].found == r->ref; i++) {
				c->v[i].done = r->seq;
				c->v[i].result = r->result;
			}
		}
	}
	log_read_close(&lr);
	for (i = 0; i < c->nv; i++) {
		if (c->v[i].kind == K_LOST && !c->v[i].issued) {
			c->v[i].kind = K_UNISSUED;
			c->count[K_LOST]--;
			c->count[K_UNISSUED]++;
		}
	}
	qsort(c->v, c->nv, sizeof(*c->v), by_sector);
}

static void print_violation(struct check *c, const struct viol *v)
{
	struct ent *e;
	char name[32];
	int n = 0;

	printf("violation: sector %" PRIu64 ": found %s", v->sector, found_name(v->found, name, sizeof(name)));
	if (v->kind == K_UNISSUED)
		printf(", which was never written here");
	else if (v->issued && v->worker < 0)
		printf(" (of init)");
	else if (v->issued && !v->done)
		printf(" (by worker %d, never completed)", v->worker);
	else if (v->issued && v->result)
		printf(" (by worker %d, failed at %" PRIu64 ")", v->worker, v->done);
	else if (v->issued)
		printf(" (by worker %d, completed at %" PRIu64 ")", v->worker, v->done);
	printf(", expected");
	for (e = model_first(&c->h.m, v->sector - c->h.first); e; e = model_next(&c->h.m, e)) {
		if (e->drop != POS_NEVER)
			continue;
		if (n++ < 8)
			printf("%s %s (over by %u)", n > 1 ? " or" : "", found_name(e->ver, name, sizeof(name)), e->ub);
	}
	printf("\n");
}

static void print_result(struct check *c, const struct opts *o, uint64_t inflight)
{
	const struct model *m = &c->h.m;
	uint64_t total = c->h.reads_bad, garbage;
	size_t i;

	for (i = 0; i < K_KINDS; i++)
		total += c->count[i];
	garbage = c->count[K_TORN] + c->count[K_GARBAGE] + c->count[K_MISPLACED] + c->count[K_FOREIGN];

	printf("mode: %s\n", allow_names[o->allow]);
	printf("log: %" PRIu64 " records, %" PRIu64 " rounds before this, %s%s\n", c->h.records, c->h.rounds,
	       c->h.ended ? "ended in order" : "cut off", c->h.torn ? ", last record torn" : "");
	printf("sectors checked: %" PRIu64 "\n", c->h.sectors);
	printf("acknowledged versions: %" PRIu64 "\n", m->acked[OP_WRITE] + m->acked[OP_FUA]);
	printf("failed writes: %" PRIu64 "\n", m->failed[OP_WRITE] + m->failed[OP_FUA]);
	printf("in flight at the end: %" PRIu64 "\n", inflight);
	printf("lost: %" PRIu64 "\n", c->count[K_LOST] + c->count[K_ZEROED]);
	printf("zeroed: %" PRIu64 "\n", c->count[K_ZEROED]);
	printf("garbage: %" PRIu64 "\n", garbage);
	printf("torn: %" PRIu64 "\n", c->count[K_TORN]);
	printf("misplaced: %" PRIu64 "\n", c->count[K_MISPLACED]);
	printf("foreign: %" PRIu64 "\n", c->count[K_FOREIGN]);
	printf("never written: %" PRIu64 "\n", c->count[K_UNISSUED]);
	printf("errors: %" PRIu64 "\n", c->count[K_ERROR]);
	printf("errors allowed: %" PRIu64 "\n", c->errors_allowed);
	printf("bad reads in the history: %" PRIu64 "\n", c->h.reads_bad);
	for (i = 0; i < c->nv && i < SHOWN; i++)
		print_violation(c, &c->v[i]);
	if (total > i + (c->h.reads_bad < SHOWN ? c->h.reads_bad : SHOWN))
		printf("(and more)\n");
	printf("violations: %" PRIu64 "\n", total);
}

int cmd_check(struct opts *o)
{
	static struct check c;
	struct rec_run *runs = NULL;
	struct opts range = *o;
	uint64_t *found, s, check_seq, inflight = 0;
	struct logw w = { .fd = -1 };
	struct rec r;
	struct dev d;
	uint32_t n, i;
	char *buf;

	if (!o->log && !o->history)
		return die("--log is missing");
	c.h.bad = bad_read;
	if (!hist_replay(&c.h, o->history ? o->history : o->log))
		return EXIT_USAGE;
	if (!c.h.have)
		return die("the log is empty");
	if (o->errors_allowed && !ranges_read(&c, o->errors_allowed))
		return EXIT_USAGE;
	range.offset = c.h.first * SECTOR;
	range.size = c.h.sectors * SECTOR;
	if (!dev_open(&d, &range, false, false))
		return EXIT_USAGE;

	for (i = 0; i < c.h.m.workers; i++)
		inflight += c.h.m.ops[i].type == OP_WRITE || c.h.m.ops[i].type == OP_FUA;
	c.v = calloc(KEPT, sizeof(*c.v));
	found = malloc(CHUNK_SECTORS * sizeof(*found));
	buf = buf_alloc(CHUNK);
	if (!c.v || !found)
		return die("out of memory");
	if (o->record) {
		if (!o->log || !log_open(&w, o->log, o->log_sync))
			return EXIT_USAGE;
		if (c.h.torn && !o->history && truncate(o->log, c.h.valid_bytes) && errno != EINVAL)
			return die("%s: %s", o->log, strerror(errno));
		runs = malloc(CHUNK_SECTORS * sizeof(*runs));
		if (!runs)
			return die("out of memory");
	}
	w.seq = c.h.seq + SEQ_JUMP;
	check_seq = w.seq + 1;
	if (o->record) {
		r = (struct rec){ .type = REC_CHECK, .result = o->allow };
		log_add(&w, &r, NULL, 0);
	}
	model_crash(&c.h.m, check_seq, o->allow);

	for (s = 0; s < c.h.sectors; s += n) {
		n = c.h.sectors - s < CHUNK_SECTORS ? c.h.sectors - s : CHUNK_SECTORS;
		read_found(&d, buf, c.h.first + s, n, c.h.set, found);
		for (i = 0; i < n; i++) {
			if (found[i] == FOUND_ERROR && may_fail(&c, c.h.first + s + i)) {
				c.errors_allowed++;
			} else if (found[i] == FOUND_ERROR || !model_legal(&c.h.m, s + i, found[i], check_seq)) {
				violation(&c, c.h.first + s + i, found[i]);
				if (found[i] >= FOUND_SPECIAL)
					found[i] = FOUND_ERROR;
			}
		}
		if (o->record) {
			r = (struct rec){ .type = REC_SEEN, .sector = c.h.first + s, .nr = n };
			log_add(&w, &r, runs, log_runs(found, n, runs) * sizeof(*runs));
			if (!log_commit(&w))
				return EXIT_USAGE;
		}
	}
	if (o->record) {
		fsync(w.fd);
		log_close(&w);
	}
	if (c.nv)
		explain(&c, o->history ? o->history : o->log);
	print_result(&c, o, inflight);
	free(buf);
	free(found);
	free(runs);
	free(c.v);
	free(c.ranges);
	hist_free(&c.h);
	for (i = 0; i < K_KINDS; i++)
		if (c.count[i])
			return EXIT_VIOLATION;
	return c.h.reads_bad ? EXIT_VIOLATION : 0;
}

int cmd_init(struct opts *o)
{
	struct rec r = { .type = REC_HEADER };
	struct rec_header hdr;
	struct logw w;
	struct dev d;
	uint64_t s;
	uint32_t n, i;
	char *buf;

	if (!dev_open(&d, o, true, true))
		return EXIT_USAGE;
	buf = buf_alloc(CHUNK);
	for (s = 0; !o->zero && s < d.sectors; s += n) {
		n = d.sectors - s < CHUNK_SECTORS ? d.sectors - s : CHUNK_SECTORS;
		for (i = 0; i < n; i++)
			sector_fill((uint64_t *)(buf + (size_t)i * SECTOR), o->seed, d.first + s + i, 1, 0);
		if (pwrite(d.fd, buf, (size_t)n * SECTOR, (d.first + s) * SECTOR) != (ssize_t)n * SECTOR)
			return die("%s: writing sector %" PRIu64 ": %s", o->dev, d.first + s, strerror(errno));
	}
	free(buf);
	if (fsync(d.fd))
		return die("%s: %s", o->dev, strerror(errno));
	if (o->log) {
		hdr = (struct rec_header){ o->seed, d.first, d.sectors, o->zero, o->discard };
		if (!log_open(&w, o->log, o->log_sync))
			return EXIT_USAGE;
		log_add(&w, &r, &hdr, sizeof(hdr));
		if (!log_commit(&w))
			return EXIT_USAGE;
		log_close(&w);
	}
	return 0;
}

int cmd_dump(struct opts *o)
{
	static const char *const names[] = { "?", "header", "intent", "done", "resume", "check", "seen", "end" };
	static enum op_type ops[MODEL_WORKERS];
	static struct rec last[MODEL_WORKERS];
	const struct rec_header *hdr;
	const struct rec_run *run;
	const struct rec *r;
	uint64_t s, k;
	struct logr lr;
	char name[32];
	int rc;

	if (!o->log || !log_read_open(&lr, o->log))
		return die("--log is missing or unreadable");
	while ((rc = log_next(&lr, &r)) > 0) {
		const struct rec *range = r;

		if (r->type == REC_INTENT && r->worker < MODEL_WORKERS) {
			ops[r->worker] = r->result < OP_TYPES ? r->result : 0;
			last[r->worker] = *r;
		}
		if (r->type == REC_DONE && r->worker < MODEL_WORKERS)
			range = &last[r->worker];
		if (o->have_sector && range->nr && o->sector - range->sector >= range->nr)
			continue;
		printf("%" PRIu64 " %s", r->seq, names[r->type < 8 ? r->type : 0]);
		if (r->type == REC_HEADER && r->len >= sizeof(*r) + sizeof(*hdr)) {
			hdr = (const struct rec_header *)(r + 1);
			printf(" set %" PRIu64 " sectors %" PRIu64 "+%" PRIu64 " initial version %d discard mode %u", hdr->set,
			       hdr->first, hdr->sectors, !hdr->zero, hdr->discard);
		} else if (r->type == REC_INTENT || r->type == REC_DONE) {
			printf(" worker %u %s", r->worker, r->worker < MODEL_WORKERS ? op_names[ops[r->worker]] : "?");
			if (range->nr)
				printf(" %" PRIu64 "+%u", range->sector, range->nr);
			if (r->type == REC_DONE)
				printf(" of %" PRIu64 " result %d", r->ref, r->result);
		} else if (r->type == REC_RESUME || r->type == REC_CHECK) {
			printf(" %s", (unsigned int)r->result < 3 ? allow_names[r->result] : "?");
		}
		s = range->sector;
		if ((r->type == REC_DONE && r->worker < MODEL_WORKERS && ops[r->worker] == OP_READ) || r->type == REC_SEEN) {
			run = (const struct rec_run *)(r + 1);
			for (k = 0; k < (r->len - sizeof(*r)) / sizeof(*run); s += run[k++].count)
				if (!o->have_sector || o->sector - s < run[k].count)
					printf(" [%" PRIu64 "+%" PRIu64 ": %s]", s, run[k].count,
					       found_name(run[k].found, name, sizeof(name)));
		}
		printf("\n");
	}
	if (rc < 0 || lr.torn || lr.skipped)
		printf("# %s; bytes of torn records skipped: %" PRIu64 "\n",
		       rc < 0 ? "damaged" : lr.torn ? "last record torn" : "whole", lr.skipped);
	log_read_close(&lr);
	return rc < 0 ? EXIT_USAGE : 0;
}
