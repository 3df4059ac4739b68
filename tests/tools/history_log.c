// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "history_log.h"

/* Over words; records are padded to eight bytes. The checksum's own field counts as zero. */
static uint32_t rec_csum(const struct rec *r)
{
	uint64_t h = 0xcbf29ce484222325ull, w;
	size_t i;

	for (i = 0; i + 8 <= r->len; i += 8) {
		memcpy(&w, (const char *)r + i, 8);
		if (i == offsetof(struct rec, len))
			w = r->len;
		h = (h ^ w) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	return h ^ h >> 32;
}

bool log_open(struct logw *w, const char *path, bool sync)
{
	memset(w, 0, sizeof(*w));
	w->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | (sync ? O_DSYNC : 0), 0644);
	if (w->fd < 0) {
		fprintf(stderr, "circle-history: %s: %s\n", path, strerror(errno));
		return false;
	}
	return true;
}

uint64_t log_add(struct logw *w, struct rec *r, const void *payload, size_t bytes)
{
	size_t len = (sizeof(*r) + bytes + 7) & ~7ul;
	struct rec *to;

	if (w->used + len > w->size) {
		w->size = (w->used + len) * 2 + 65536;
		w->buf = realloc(w->buf, w->size);
		if (!w->buf) {
			fprintf(stderr, "circle-history: out of memory\n");
			exit(1);
		}
	}
	r->magic = REC_MAGIC;
	r->len = len;
	r->seq = ++w->seq;
	to = (struct rec *)(w->buf + w->used);
	memset((char *)to + len - 8, 0, 8);
	memcpy(to, r, sizeof(*r));
	if (bytes)
		memcpy(to + 1, payload, bytes);
	to->csum = rec_csum(to);
	w->used += len;
	return r->seq;
}

bool log_commit(struct logw *w)
{
	size_t at = 0;
	ssize_t n;

	while (at < w->used) {
		n = write(w->fd, w->buf + at, w->used - at);
		if (n > 0) {
			at += n;
		} else if (n < 0 && errno == EAGAIN) {
			struct pollfd p = { .fd = w->fd, .events = POLLOUT };

			poll(&p, 1, -1);
		} else if (n == 0 || errno != EINTR) {
			fprintf(stderr, "circle-history: writing the log: %s\n", strerror(n ? errno : EIO));
			return false;
		}
	}
	w->used = 0;
	return true;
}

void log_close(struct logw *w)
{
	if (w->fd >= 0)
		close(w->fd);
	free(w->buf);
}

bool log_read_open(struct logr *r, const char *path)
{
	memset(r, 0, sizeof(*r));
	r->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (r->fd < 0) {
		fprintf(stderr, "circle-history: %s: %s\n", path, strerror(errno));
		return false;
	}
	r->size = 1 << 20;
	r->buf = malloc(r->size);
	return r->buf;
}

/* Have at least want bytes from start on, unless the file ends. */
static bool more(struct logr *r, size_t want)
{
	ssize_t n;

	while (r->end - r->start < want && !r->eof) {
		if (r->start + want > r->size || r->start > r->size / 2) {
			memmove(r->buf, r->buf + r->start, r->end - r->start);
			r->end -= r->start;
			r->start = 0;
		}
		if (want > r->size) {
			r->size = want * 2;
			r->buf = realloc(r->buf, r->size);
			if (!r->buf) {
				fprintf(stderr, "circle-history: out of memory\n");
				exit(1);
			}
		}
		n = read(r->fd, r->buf + r->end, r->size - r->end);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			r->eof = true;
		else
			r->end += n;
	}
	return r->end - r->start >= want;
}

static const struct rec *valid(struct logr *r)
{
	uint32_t magic, len;

	if (!more(r, sizeof(struct rec)))
		return NULL;
	memcpy(&magic, r->buf + r->start, 4);
	memcpy(&len, r->buf + r->start + offsetof(struct rec, len), 4);
	if (magic != REC_MAGIC || len < sizeof(struct rec) || len > REC_MAX || len & 7 || !more(r, len))
		return NULL;
	/* A torn record may have shifted all that follow: records are used in place only when aligned. */
	if ((uintptr_t)(r->buf + r->start) & 7) {
		memmove(r->buf, r->buf + r->start, r->end - r->start);
		r->end -= r->start;
		r->start = 0;
	}
	if (rec_csum((struct rec *)(r->buf + r->start)) != ((struct rec *)(r->buf + r->start))->csum)
		return NULL;
	return (struct rec *)(r->buf + r->start);
}

int log_next(struct logr *r, const struct rec **rec)
{
	uint64_t skipped = 0;
	const struct rec *v;

	for (;;) {
		v = valid(r);
		if (v && skipped && v->type != REC_RESUME && v->type != REC_CHECK)
			return -1;
		if (v) {
			r->skipped += skipped;
			r->offset += skipped + v->len;
			r->start += v->len;
			*rec = v;
			return 1;
		}
		if (!more(r, 1)) {
			r->torn = skipped;
			return 0;
		}
		r->start++;
		skipped++;
	}
}

void log_read_close(struct logr *r)
{
	close(r->fd);
	free(r->buf);
}

size_t log_runs(const uint64_t *found, size_t n, struct rec_run *runs)
{
	size_t i, k = 0;

	for (i = 0; i < n; i++) {
		if (k && runs[k - 1].found == found[i])
			runs[k - 1].count++;
		else
			runs[k++] = (struct rec_run){ found[i], 1 };
	}
	return k;
}

bool log_unrun(const struct rec *r, uint64_t *found, size_t n)
{
	const struct rec_run *run = (const struct rec_run *)(r + 1), *end = run + (r->len - sizeof(*r)) / sizeof(*run);
	size_t at = 0;
	uint64_t i;

	for (; run < end; run++) {
		if (run->count > n - at)
			return false;
		for (i = 0; i < run->count; i++)
			found[at++] = run->found;
	}
	return at == n;
}
