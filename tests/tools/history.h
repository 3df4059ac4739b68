/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef HISTORY_H
#define HISTORY_H

#include "history_log.h"
#include "history_model.h"

#define EXIT_USAGE	1	/* also: the log or the device could not be used */
#define EXIT_VIOLATION	2
#define EXIT_IO		3	/* run --errors=fail met an I/O error */
#define EXIT_STALL	4	/* run --stall: an operation took too long */

#define CHUNK		(1u << 20)
#define CHUNK_SECTORS	(CHUNK / SECTOR)

struct opts {
	const char *dev, *log, *history, *errors_allowed, *result, *marks;
	uint64_t size, offset, seed, ops, sector;
	double seconds;
	unsigned int threads, qd, hot, align, stall, pause;
	unsigned int mix[OP_TYPES];
	uint32_t sizes[32];		/* sectors */
	unsigned int nr_sizes;
	enum allow_mode allow;
	enum discard_mode discard;
	bool zero, overlap, resume, record, record_errors, buffered, log_sync, observed, allow_given, have_sector;
};

struct dev {
	int fd;
	bool block;
	uint64_t first, sectors;	/* the range, in sectors of the device */
	unsigned int align;		/* in sectors */
};

/* A history as far as its log goes. */
struct hist {
	struct model m;
	bool have;			/* a header was found */
	uint64_t set, first, sectors, seq, records, valid_bytes, skipped, reads_bad, rounds;
	bool zero, torn, ended;
	uint64_t check_seq;
	/* a read in the log that showed what it must not */
	void (*bad)(struct hist *h, uint64_t sector, uint64_t found, uint32_t inv, uint32_t pos);
};

extern const char *const op_names[OP_TYPES];
extern const char *const allow_names[];

bool dev_open(struct dev *d, const struct opts *o, bool write, bool create);
void *buf_alloc(size_t bytes);
void buf_poison(void *buf, size_t sectors);
const char *found_name(uint64_t found, char *buf, size_t size);
bool hist_start(struct hist *h, const struct rec *r);
bool hist_replay(struct hist *h, const char *path);
void hist_free(struct hist *h);
uint64_t now_ns(void);
bool mark_writes(const char *name, uint64_t bytes);

int cmd_init(struct opts *o);
int cmd_run(struct opts *o);
int cmd_check(struct opts *o);
int cmd_dump(struct opts *o);

#define die(fmt, ...) ({ fprintf(stderr, "circle-history: " fmt "\n", ##__VA_ARGS__); EXIT_USAGE; })

#endif
