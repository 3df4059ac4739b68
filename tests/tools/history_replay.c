// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "history.h"

const char *const op_names[OP_TYPES] = { "none", "write", "fua", "read", "flush", "discard" };
const char *const allow_names[] = { "all", "flushed", "flushed+observed" };

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

void *buf_alloc(size_t bytes)
{
	void *p;

	if (posix_memalign(&p, 4096, bytes ? bytes : 4096)) {
		fprintf(stderr, "circle-history: out of memory\n");
		exit(EXIT_USAGE);
	}
	memset(p, 0, bytes);
	return p;
}

/* A read that does not fill its buffer must not find an older read's sectors in it. */
void buf_poison(void *buf, size_t sectors)
{
	uint64_t *w = buf;
	size_t i;

	for (i = 0; i < sectors; i++, w += SECTOR_WORDS)
		w[0] = w[63] = 0x5a5a5a5a5a5a5a5aull;
}

const char *found_name(uint64_t found, char *buf, size_t size)
{
	switch (found) {
	case FOUND_ZERO: return "zeros";
	case FOUND_ERROR: return "a read error";
	case FOUND_GARBAGE: return "garbage";
	case FOUND_TORN: return "a torn sector";
	case FOUND_MISPLACED: return "another sector's data";
	case FOUND_FOREIGN: return "another set's data";
	}
	snprintf(buf, size, "version %" PRIu64, found);
	return buf;
}

bool dev_open(struct dev *d, const struct opts *o, bool write, bool create)
{
	int flags = (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | (o->buffered ? 0 : O_DIRECT);
	uint64_t size = 0;
	struct stat st;
	int lbs = 512;
	void *buf;

	memset(d, 0, sizeof(*d));
	if (!o->dev)
		return die("--dev is missing"), false;
	if (create && stat(o->dev, &st) && errno == ENOENT)
		flags |= O_CREAT | O_EXCL;
	d->fd = open(o->dev, flags, 0644);
	if (d->fd < 0 || fstat(d->fd, &st))
		return die("%s: %s%s", o->dev, strerror(errno),
			   errno == EINVAL ? " (no O_DIRECT here? try --buffered)" : ""), false;
	d->block = S_ISBLK(st.st_mode);
	if (d->block) {
		if (ioctl(d->fd, BLKGETSIZE64, &size) || ioctl(d->fd, BLKSSZGET, &lbs))
			return die("%s: %s", o->dev, strerror(errno)), false;
	} else {
		if (create && o->size && (uint64_t)st.st_size < o->offset + o->size) {
			if (ftruncate(d->fd, o->offset + o->size))
				return die("%s: %s", o->dev, strerror(errno)), false;
			st.st_size = o->offset + o->size;
		}
		size = st.st_size;
		buf = buf_alloc(4096);
		if (size > 1024 && pread(d->fd, buf, SECTOR, SECTOR) < 0 && errno == EINVAL)
			lbs = 4096;
		free(buf);
	}
	if (o->align)
		lbs = o->align;
	d->align = lbs / SECTOR;
	if (!d->align || o->offset % lbs || o->offset > size || (o->size && o->size > size - o->offset))
		return die("%s: the range does not fit or is not aligned (%" PRIu64 " bytes, blocks of %d)",
			   o->dev, size, lbs), false;
	d->first = o->offset / SECTOR;
	d->sectors = (o->size ? o->size : size - o->offset) / lbs * d->align;
	if (!d->sectors)
		return die("%s: an empty range", o->dev), false;
	return true;
}

bool hist_start(struct hist *h, const struct rec *r)
{
	const struct rec_header *hdr = (const struct rec_header *)(r + 1);

	if (h->have || r->type != REC_HEADER || r->len < sizeof(*r) + sizeof(*hdr) || r->seq != 1 ||
	    !hdr->sectors || hdr->sectors > 1ull << 36)
		return false;
	h->have = true;
	h->set = hdr->set;
	h->first = hdr->first;
	h->sectors = hdr->sectors;
	h->zero = hdr->zero;
	model_init(&h->m, hdr->sectors, hdr->zero, hdr->discard);
	h->m.priv = h;
	return true;
}

static void replay_bad(struct model *m, uint64_t s, uint64_t found, uint32_t inv, uint32_t pos)
{
	struct hist *h = m->priv;

	h->reads_bad++;
	if (h->bad)
		h->bad(h, h->first + s, found, inv, pos);
}

static bool replay_one(struct hist *h, const struct rec *r, uint64_t *found)
{
	bool jump = r->type == REC_RESUME || r->type == REC_CHECK;
	uint64_t s = r->sector - h->first, i;

	if (!h->have) {
		if (!hist_start(h, r))
			return false;
		h->m.bad = replay_bad;
		h->seq = r->seq;
		return true;
	}
	if (r->seq >= POS_NEVER - SEQ_JUMP || (jump ? r->seq <= h->seq : r->seq != h->seq + 1))
		return false;
	h->seq = r->seq;
	h->ended = false;

	switch (r->type) {
	case REC_INTENT:
		if (r->result <= OP_NONE || r->result >= OP_TYPES)
			return false;
		if (r->result == OP_FLUSH)
			s = 0;
		return model_begin(&h->m, r->worker, r->result, r->seq, s, r->nr);
	case REC_DONE:
		if (r->worker >= MODEL_WORKERS || !h->m.ops[r->worker].type || h->m.ops[r->worker].inv != r->ref)
			return false;
		if (h->m.ops[r->worker].type == OP_READ && !r->result) {
			if (h->m.ops[r->worker].n > REC_MAX || !log_unrun(r, found, h->m.ops[r->worker].n))
				return false;
		}
		model_end(&h->m, r->worker, r->seq, !r->result, found);
		return true;
	case REC_RESUME:
	case REC_CHECK:
		if ((uint32_t)r->result > ALLOW_FLUSHED_OBSERVED)
			return false;
		h->rounds++;
		h->check_seq = r->type == REC_CHECK ? r->seq : 0;
		model_crash(&h->m, r->seq, r->result);
		return true;
	case REC_SEEN:
		if (!h->check_seq || r->nr > REC_MAX || s > h->sectors || r->nr > h->sectors - s ||
		    !log_unrun(r, found, r->nr))
			return false;
		/* The check that saw it has judged it. */
		for (i = 0; i < r->nr; i++)
			model_observe(&h->m, s + i, found[i], h->check_seq, r->seq);
		h->m.pos = r->seq;
		return true;
	case REC_END:
		h->ended = true;
		h->m.pos = r->seq;
		return true;
	}
	return false;
}

bool hist_replay(struct hist *h, const char *path)
{
	const struct rec *r;
	struct logr lr;
	uint64_t *found;
	int rc;

	if (!log_read_open(&lr, path))
		return false;
	found = malloc(REC_MAX * sizeof(*found));
	if (!found)
		return die("out of memory"), false;
	while ((rc = log_next(&lr, &r)) > 0) {
		if (!replay_one(h, r, found)) {
			die("%s: record %" PRIu64 " of type %u at byte %" PRIu64 " does not fit what comes before it",
			    path, r->seq, r->type, lr.offset - r->len);
			rc = -1;
			break;
		}
		h->records++;
	}
	if (rc < 0)
		die("%s: the log is damaged at byte %" PRIu64, path, lr.offset);
	h->valid_bytes = lr.offset;
	h->skipped = lr.skipped;
	h->torn = lr.torn;
	free(found);
	log_read_close(&lr);
	return rc == 0;
}

void hist_free(struct hist *h)
{
	if (h->have)
		model_free(&h->m);
}
