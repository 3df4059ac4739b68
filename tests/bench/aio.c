// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asynchronous I/O by system calls, without a library, so that the program can be static.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "load.h"

aio_context_t aio_setup(unsigned int depth)
{
	aio_context_t ctx = 0;

	if (syscall(SYS_io_setup, depth, &ctx))
		die("io_setup: %s", strerror(errno));
	return ctx;
}

void aio_submit(aio_context_t ctx, struct iocb **cbs, long n)
{
	while (n > 0) {
		long got = syscall(SYS_io_submit, ctx, n, cbs);

		if (got <= 0)
			die("io_submit: %s", strerror(errno));
		cbs += got;
		n -= got;
	}
}

long aio_reap(aio_context_t ctx, long least, struct io_event *ev, long most)
{
	long got = syscall(SYS_io_getevents, ctx, least, most, ev, NULL);

	if (got < 0)
		die("io_getevents: %s", strerror(errno));
	return got;
}

void aio_prepare(struct iocb *cb, int fd, bool write, void *buf, uint32_t len, uint64_t pos,
		 uint32_t slot, int eventfd)
{
	memset(cb, 0, sizeof(*cb));
	cb->aio_data = slot;
	cb->aio_lio_opcode = write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
	cb->aio_fildes = fd;
	cb->aio_buf = (uintptr_t)buf;
	cb->aio_nbytes = len;
	cb->aio_offset = pos;
	if (eventfd >= 0) {
		cb->aio_flags = IOCB_FLAG_RESFD;
		cb->aio_resfd = eventfd;
	}
}

/* Memory that is there, so that no fault falls into a measurement. */
void *aligned(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		die("no memory");
	return p;
}

int open_device(const char *path)
{
	int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);

	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	return fd;
}
