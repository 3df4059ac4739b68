/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench-load: see load.c. What its files share.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <linux/aio_abi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE		4096u
#define MAX_DEPTH	256u
#define MAX_LEN		(1u << 20)

enum op { OP_WRITE, OP_READ, OP_MIX, OP_PING };

struct opts {
	const char *dev, *name, *state, *gate;
	const char *mirror;		/* address:port of a `bench-load serve` */
	enum op op;
	uint32_t len, depth, read_percent;
	uint64_t count, offset, span, seed;	/* bytes but for count and seed */
	bool sequential, sync, warm_up, flush;
};

/* One request in flight. */
struct slot {
	struct iocb cb;
	char *buf;
	uint64_t pos;			/* byte on the device */
	uint64_t begin;			/* ns */
	bool write;
	uint8_t waits;			/* answers that are still to come */
};

/* What the server is sent, and answers. Host byte order: both ends are this program. */
enum { MSG_HELLO = 1, MSG_WRITE, MSG_PING };

struct msg {
	uint32_t type, len;
	uint64_t pos;
	uint32_t slot, error;
};

#define die(...) do {								\
	fprintf(stderr, "bench-load: " __VA_ARGS__);				\
	fputc('\n', stderr);							\
	exit(1);								\
} while (0)

/* aio.c */
aio_context_t aio_setup(unsigned int depth);
void aio_submit(aio_context_t ctx, struct iocb **cbs, long n);
long aio_reap(aio_context_t ctx, long least, struct io_event *ev, long most);
void aio_prepare(struct iocb *cb, int fd, bool write, void *buf, uint32_t len, uint64_t pos,
		 uint32_t slot, int eventfd);
void *aligned(size_t len);
int open_device(const char *path);

/* state.c: which version of each page was written last */
void state_open(const char *path, uint64_t bytes);
void state_stamp(char *buf, uint64_t pos, uint32_t len);
void state_check(const char *buf, uint64_t pos, uint32_t len);
bool state_busy(uint64_t pos);
void state_busy_set(uint64_t pos, uint32_t len, bool busy);

/* mirror.c: the yardstick */
int mirror_connect(const char *addr, uint32_t depth, uint32_t len);
void mirror_send(int sock, const struct msg *m, const void *data);
size_t mirror_replies(int sock, struct msg *m, size_t most, bool wait);
int serve(const char *addr, const char *dev);

/* measure.c */
uint64_t now_ns(void);
uint64_t idle_ns(void);
void watch_add(const char *spec);
void watch_begin(void);
void watch_print(void);
void gate(const char *path, const char *what);

#endif
