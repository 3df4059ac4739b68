// SPDX-License-Identifier: GPL-2.0-only
/*
 * run: random operations, each announced in the log before it is issued, reads judged at once.
 *
 * One lock covers log and model, so that the order of the records is the order of the model's positions.
 * A worker writes the completion of its last operation and the intent of its next with one write().
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "history.h"

struct run;

struct worker {
	struct run *r;
	pthread_t thread;
	unsigned int id;
	uint64_t rnd;
	char *buf;
	uint64_t *found;
	struct rec_run *runs;
	size_t nr_runs;
	_Atomic uint64_t started;	/* ns; 0: nothing in flight */
	_Atomic int op_type;
};

struct run {
	const struct opts *o;
	struct dev d;
	struct hist h;
	struct logw log;
	pthread_mutex_t lock;
	struct worker *workers;
	unsigned int nr_workers, weight[OP_TYPES], weights;
	uint64_t hot_start, hot_n;
	uint64_t ops, count[OP_TYPES], errors[OP_TYPES], max_ns[OP_TYPES], violations;
	uint32_t max_n;
	_Atomic bool no_discard, stop;
	_Atomic unsigned int running;
	bool log_failed, io_failed;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	interrupted = sig;
}

static uint64_t rnd(struct worker *w)
{
	uint64_t z = w->rnd += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void pick(struct worker *w, struct op *op)
{
	struct run *r = w->r;
	uint64_t base = 0, room = r->d.sectors;
	unsigned int k = rnd(w) % r->weights, t;

	for (t = OP_WRITE; k >= r->weight[t]; t++)
		k -= r->weight[t];
	if (t == OP_DISCARD && r->no_discard)
		t = OP_READ;
	*op = (struct op){ .type = t };
	if (t == OP_FLUSH)
		return;
	op->n = r->o->sizes[rnd(w) % r->o->nr_sizes];
	if (r->o->hot && rnd(w) % 100 < r->o->hot && op->n <= r->hot_n) {
		base = r->hot_start;
		room = r->hot_n;
	}
	op->start = base + rnd(w) % (room - op->n + 1);
	if (rnd(w) & 1 && op->start >= base + op->start % op->n)
		op->start -= op->start % op->n;
	op->start -= op->start % r->d.align;
}

static bool changes(enum op_type t)
{
	return t == OP_WRITE || t == OP_FUA || t == OP_DISCARD;
}

/* What --marks is for cannot tell the order of a FUA and a write that is not flushed. */
static bool may_overlap(const struct opts *o, enum op_type a, enum op_type b)
{
	return o->overlap && !(o->marks && (a == OP_FUA || b == OP_FUA));
}

static bool conflicts(struct run *r, const struct op *op)
{
	const struct op *x;
	unsigned int i;

	if (!changes(op->type))
		return false;
	for (i = 0; i < r->nr_workers; i++) {
		x = &r->h.m.ops[i];
		if (changes(x->type) && op->start < x->start + x->n && x->start < op->start + op->n &&
		    !may_overlap(r->o, op->type, x->type))
			return true;
	}
	return false;
}

static void run_bad(struct model *m, uint64_t s, uint64_t found, uint32_t inv, uint32_t pos)
{
	struct run *r = m->priv;
	char name[32];
	struct ent *e;

	r->stop = true;
	if (r->violations++ >= 20)
		return;
	printf("violation: sector %" PRIu64 ": a read (record %u, issued at %u) was shown %s, expected",
	       r->h.first + s, pos, inv, found_name(found, name, sizeof(name)));
	for (e = model_first(m, s); e; e = model_next(m, e)) {
		/* found is among them now, so that one lie is told once */
		if (e->ver != found && e->drop > inv)
			printf(" %s", found_name(e->ver, name, sizeof(name)));
	}
	printf("\n");
	fflush(stdout);
}

static int perform(struct worker *w, const struct op *op, uint64_t version)
{
	struct run *r = w->r;
	uint64_t first = r->h.first + op->start, range[2];
	size_t bytes = (size_t)op->n * SECTOR;
	struct iovec iov = { w->buf, bytes };
	ssize_t n = 0;
	uint32_t i;

	switch (op->type) {
	case OP_WRITE:
	case OP_FUA:
		for (i = 0; i < op->n; i++)
			sector_fill((uint64_t *)(w->buf + (size_t)i * SECTOR), r->h.set, first + i, version, w->id);
		n = pwritev2(r->d.fd, &iov, 1, first * SECTOR, op->type == OP_FUA ? RWF_DSYNC : 0);
		break;
	case OP_READ:
		buf_poison(w->buf, op->n);
		n = preadv(r->d.fd, &iov, 1, first * SECTOR);
		break;
	case OP_FLUSH:
		return fdatasync(r->d.fd) ? -errno : 0;
	case OP_DISCARD:
		range[0] = first * SECTOR;
		range[1] = bytes;
		if (r->d.block)
			n = ioctl(r->d.fd, BLKDISCARD, range);
		else
			n = fallocate(r->d.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, range[0], range[1]);
		return n ? -errno : 0;
	default:
		return -EINVAL;
	}
	if (n != (ssize_t)bytes)
		return n < 0 ? -errno : -EIO;
	if (op->type == OP_READ) {
		for (i = 0; i < op->n; i++)
			w->found[i] = sector_read((uint64_t *)(w->buf + (size_t)i * SECTOR), r->h.set, first + i);
		w->nr_runs = log_runs(w->found, op->n, w->runs);
	}
	return 0;
}

/* What is in the log by now was issued before the mark; of what is flushed, what is in it was completed. */
static bool mark(struct run *r)
{
	struct stat st;

	return log_commit(&r->log) && !fstat(r->log.fd, &st) && mark_writes(r->o->marks, st.st_size);
}

/* Under the lock. */
static void completed(struct worker *w, const struct op *op, uint64_t version, int rc, uint64_t ns)
{
	struct rec rec = { .type = REC_DONE, .worker = w->id, .ref = version, .result = rc };
	bool runs = op->type == OP_READ && !rc;
	struct run *r = w->r;
	uint64_t seq;

	if (r->o->marks && !rc && (op->type == OP_FLUSH || op->type == OP_FUA) && !mark(r))
		r->log_failed = true;
	seq = log_add(&r->log, &rec, w->runs, runs ? w->nr_runs * sizeof(*w->runs) : 0);
	model_end(&r->h.m, w->id, seq, !rc, w->found);
	r->count[op->type]++;
	if (ns > r->max_ns[op->type])
		r->max_ns[op->type] = ns;
	if (rc == -EOPNOTSUPP && op->type == OP_DISCARD) {
		if (!r->no_discard)
			printf("note: no discard here\n");
		r->no_discard = true;
	} else if (rc) {
		if (!r->errors[op->type]++ || !r->o->record_errors)
			printf("%s: %s of %" PRIu64 "+%u: %s\n", r->o->record_errors ? "note" : "error",
			       op_names[op->type], r->h.first + op->start, op->n, strerror(-rc));
		if (!r->o->record_errors) {
			r->io_failed = true;
			r->stop = true;
		}
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct run *r = w->r;
	struct op op = { 0 }, next;
	uint64_t version = 0, t = 0;
	struct rec rec;
	bool go, stop;
	int rc = 0, tries;

	for (;;) {
		pick(w, &next);
		pthread_mutex_lock(&r->lock);
		if (op.type)
			completed(w, &op, version, rc, t);
		stop = r->stop || r->log_failed || (r->o->ops && r->ops >= r->o->ops);
		go = !stop;
		for (tries = 0; go && conflicts(r, &next); tries++) {
			go = tries < 8;
			pick(w, &next);
		}
		if (r->log.seq >= POS_NEVER - 2 * SEQ_JUMP) {
			printf("note: the log is full\n");
			r->stop = stop = true;
			go = false;
		}
		if (go) {
			rec = (struct rec){ .type = REC_INTENT, .worker = w->id, .result = next.type,
					    .sector = r->h.first + next.start, .nr = next.n };
			version = log_add(&r->log, &rec, NULL, 0);
			model_begin(&r->h.m, w->id, next.type, version, next.start, next.n);
			r->ops++;
		}
		if (!log_commit(&r->log)) {
			r->log_failed = stop = true;
			go = false;
		}
		pthread_mutex_unlock(&r->lock);

		op.type = OP_NONE;
		if (stop)
			break;
		if (!go) {
			usleep(100);
			continue;
		}
		op = next;
		w->op_type = op.type;
		w->started = t = now_ns();
		rc = perform(w, &op, version);
		t = now_ns() - t;
		w->started = 0;
		if (rc)
			usleep(1000);
		else if (r->o->pause)
			usleep(r->o->pause);
	}
	r->running--;
	return NULL;
}

static bool stalled(struct run *r, uint64_t now)
{
	unsigned int i;
	uint64_t t;

	for (i = 0; i < r->nr_workers; i++) {
		t = r->workers[i].started;
		if (t && now > t && now - t > r->o->stall * 1000000000ull) {
			printf("stalled: a %s of worker %u takes longer than %u s\n", op_names[r->workers[i].op_type], i,
			       r->o->stall);
			return true;
		}
	}
	return false;
}

static bool begin(struct run *r)
{
	const struct opts *o = r->o;
	const char *past = o->history ? o->history : o->log;
	struct opts range = *o;
	struct rec rec = { .type = REC_HEADER };
	struct rec_header hdr;
	struct stat st;
	bool exists;

	exists = !stat(past, &st) && st.st_size > 0;
	if (exists) {
		if (!hist_replay(&r->h, past) || !r->h.have)
			return die("%s: no history to continue", past), false;
		/* init --log leaves the header alone */
		if (!o->resume && r->h.records > 1)
			return die("%s: there is a history already; --resume continues it", past), false;
		if (r->h.reads_bad)
			return die("%s: the history has violations already", past), false;
		range.offset = r->h.first * SECTOR;
		range.size = r->h.sectors * SECTOR;
	} else if (o->resume && o->history) {
		return die("%s: no history to continue", past), false;
	}
	if (!dev_open(&r->d, &range, true, false) || !log_open(&r->log, o->log, o->log_sync))
		return false;
	if (exists) {
		if (r->h.torn && !o->history && ftruncate(r->log.fd, r->h.valid_bytes) && errno != EINVAL)
			return die("%s: %s", o->log, strerror(errno)), false;
		r->log.seq = r->h.seq + SEQ_JUMP;
		rec = (struct rec){ .type = REC_RESUME, .result = o->allow };
		log_add(&r->log, &rec, NULL, 0);
		model_crash(&r->h.m, r->log.seq, o->allow);
	} else {
		hdr = (struct rec_header){ o->seed, r->d.first, r->d.sectors, o->zero, o->discard };
		log_add(&r->log, &rec, &hdr, sizeof(hdr));
		/* as if it had been read */
		hist_start(&r->h, (struct rec *)r->log.buf);
	}
	model_go_live(&r->h.m);
	r->h.m.bad = run_bad;
	r->h.m.priv = r;
	return log_commit(&r->log);
}

int cmd_run(struct opts *o)
{
	static struct run r = { .lock = PTHREAD_MUTEX_INITIALIZER };
	uint64_t start, now, last, gap = 0;
	struct sigaction sa = { .sa_handler = on_signal };
	struct rec rec = { .type = REC_END };
	unsigned int i, t, n = 0;
	bool stuck = false;
	uint64_t seed;

	r.o = o;
	if (!o->log)
		return die("--log is missing");
	if (!begin(&r))
		return EXIT_USAGE;
	for (i = 0; i < o->nr_sizes; i++)
		if (o->sizes[i] % r.d.align == 0 && o->sizes[i] <= r.d.sectors)
			o->sizes[n++] = o->sizes[i];
	if (!n)
		return die("none of the sizes fits the device");
	o->nr_sizes = n;
	for (i = 0; i < n; i++)
		if (o->sizes[i] > r.max_n)
			r.max_n = o->sizes[i];
	for (t = OP_WRITE; t < OP_TYPES; t++)
		r.weights += r.weight[t] = o->mix[t];

	/* Another round must not repeat the last one's operations. */
	seed = sector_mix(o->seed, r.log.seq, 7);
	r.hot_n = r.d.sectors / 16 > 512 ? r.d.sectors / 16 : r.d.sectors < 512 ? r.d.sectors : 512;
	r.hot_start = sector_mix(r.h.set, 1, 1) % (r.d.sectors - r.hot_n + 1) / r.d.align * r.d.align;
	r.nr_workers = o->threads * o->qd;
	r.running = r.nr_workers;
	r.workers = calloc(r.nr_workers, sizeof(*r.workers));
	if (!r.workers)
		return die("out of memory");
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	start = now_ns();
	for (i = 0; i < r.nr_workers; i++) {
		struct worker *w = &r.workers[i];

		w->r = &r;
		w->id = i;
		w->rnd = sector_mix(seed, i, 1);
		w->buf = buf_alloc((size_t)r.max_n * SECTOR);
		w->found = malloc(r.max_n * sizeof(*w->found));
		w->runs = malloc(r.max_n * sizeof(*w->runs));
		if (!w->found || !w->runs)
			return die("out of memory");
		if (pthread_create(&w->thread, NULL, work, w))
			return die("no thread");
	}
	for (last = now_ns(); r.running; last = now) {
		usleep(20000);
		now = now_ns();
		if (now - last > gap)
			gap = now - last;	/* much more than it slept: the machine stood still */
		if (interrupted || (o->seconds > 0 && now - start > o->seconds * 1e9))
			r.stop = true;
		if (o->stall && stalled(&r, now)) {
			stuck = true;
			break;
		}
	}
	if (!stuck) {
		for (i = 0; i < r.nr_workers; i++)
			pthread_join(r.workers[i].thread, NULL);
		log_add(&r.log, &rec, NULL, 0);
		if (!r.log_failed && !log_commit(&r.log))
			r.log_failed = true;
	}
	now = now_ns();
	for (t = OP_WRITE; t < OP_TYPES; t++)
		printf("%s: %" PRIu64 " failed %" PRIu64 " slowest %" PRIu64 " us\n", op_names[t], r.count[t], r.errors[t],
		       r.max_ns[t] / 1000);
	printf("longest gap: %" PRIu64 " us\n", gap / 1000);
	printf("operations: %" PRIu64 " in %.1f s\n", r.ops, (now - start) / 1e9);
	printf("violations: %" PRIu64 "\n", r.violations);
	fflush(stdout);
	/* Not exit(): a worker may be stuck in the device. */
	_exit(r.violations ? EXIT_VIOLATION : stuck ? EXIT_STALL : r.log_failed ? EXIT_USAGE : r.io_failed ? EXIT_IO : 0);
}
