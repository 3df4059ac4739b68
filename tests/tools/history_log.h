/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The log: a stream of small records, each with its own checksum, so that it can be cut off anywhere.
 */
#ifndef HISTORY_LOG_H
#define HISTORY_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "history_model.h"

#define REC_MAGIC	0x31484344u	/* "DCH1" */
#define REC_MAX		(1u << 20)

/* At a resume the numbers jump, so that a version whose record was lost is never given again. */
#define SEQ_JUMP	0x10000u

enum rec_type {
	REC_HEADER = 1,		/* payload: struct rec_header */
	REC_INTENT = 2,		/* result: enum op_type */
	REC_DONE = 3,		/* ref: its intent; result: 0 or -errno; a read's payload: runs */
	REC_RESUME = 4,		/* what was in flight is over; result: enum allow_mode */
	REC_CHECK = 5,		/* the same, by check --record */
	REC_SEEN = 6,		/* check saw this; payload: runs */
	REC_END = 7,		/* the writer ended in order */
};

struct rec {
	uint32_t magic;
	uint16_t type, worker;
	uint32_t len;		/* with the payload */
	uint32_t csum;
	uint64_t seq;
	uint64_t ref;
	uint64_t sector;	/* of the device */
	uint32_t nr;
	int32_t result;
};

struct rec_header {
	uint64_t set, first, sectors;
	uint32_t zero, discard;
};

struct rec_run {
	uint64_t found;
	uint64_t count;
};

struct logw {
	int fd;
	char *buf;
	size_t used, size;
	uint64_t seq;		/* of the last record */
};

struct logr {
	int fd;
	char *buf;
	size_t start, end, size;
	uint64_t offset;	/* of buf[start] in the file */
	uint64_t skipped;	/* bytes of torn records, healed by a resume */
	bool eof, torn;		/* torn: the last record is incomplete */
};

bool log_open(struct logw *w, const char *path, bool sync);
/* The record's number is given here; nothing is written before log_commit. */
uint64_t log_add(struct logw *w, struct rec *r, const void *payload, size_t bytes);
bool log_commit(struct logw *w);
void log_close(struct logw *w);

bool log_read_open(struct logr *r, const char *path);
/* 1: a record; 0: the end (or a torn tail); -1: damaged in the middle */
int log_next(struct logr *r, const struct rec **rec);
void log_read_close(struct logr *r);

size_t log_runs(const uint64_t *found, size_t n, struct rec_run *runs);
bool log_unrun(const struct rec *r, uint64_t *found, size_t n);

#endif
