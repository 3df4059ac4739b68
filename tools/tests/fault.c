// SPDX-License-Identifier: GPL-2.0-only
/*
 * fault: what may happen to a tool between its system calls. Linked into the tools under test by
 * ld's --wrap; the environment says what goes wrong:
 *
 *	FAULT_DIE=n		power is lost before the n-th write or flush (from 1): what was
 *				written and not flushed is lost in part, exit code 86
 *	FAULT_SEED=s		which part; 0: nothing is lost
 *	FAULT_EIO=w:name:b:n:t	requests (r or w) to the file with this name that touch bytes
 *				b..b+n-1 fail, the first t times (0: always); f: flushes
 *	FAULT_CLOCK=ms		the clock jumps so far whenever it is read
 *	FAULT_AT=n:src:dst:b	before the n-th write, the file src is copied over dst at byte b
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fault.h"

#define DEAD		86
#define UNDO_MAX	4096
#define SECTOR		512

static struct undo {
	int fd;
	off_t at;
	size_t len;
	void *old;
} undo[UNDO_MAX];
static unsigned int nr_undo, ops, writes, errors;

static unsigned long long setting(const char *name)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 0) : 0;
}

static unsigned long long next_random(unsigned long long *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state >> 33;
}

/* Newest first: each that was not flushed is kept, lost, or torn between two sectors. */
static void lose(void)
{
	unsigned long long seed = setting("FAULT_SEED");
	size_t kept;

	while (nr_undo--) {
		struct undo *u = &undo[nr_undo];

		if (!seed || !u->old)
			continue;
		kept = next_random(&seed) % 3 * SECTOR;
		if (kept)
			kept = next_random(&seed) % (u->len / SECTOR + 1) * SECTOR;
		__real_pwrite64(u->fd, (char *)u->old + kept, u->len - kept, u->at + kept);
	}
	_exit(DEAD);
}

static void op(void)
{
	unsigned int die = setting("FAULT_DIE");

	if (die && ++ops == die)
		lose();
}

static void remember(int fd, size_t len, off_t at)
{
	struct undo *u = &undo[nr_undo];

	if (nr_undo == UNDO_MAX || !getenv("FAULT_DIE"))
		return;
	*u = (struct undo){ .fd = fd, .at = at, .len = len, .old = malloc(len) };
	if (u->old && __real_pread64(fd, u->old, len, at) == (ssize_t)len)
		nr_undo++;
}

static int is_file(int fd, const char *name)
{
	char link[64], path[512];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return 0;
	path[n] = '\0';
	return !strcmp(strrchr(path, '/') ? strrchr(path, '/') + 1 : path, name);
}

static int fails(char what, int fd, size_t len, off_t at)
{
	const char *s = getenv("FAULT_EIO");
	unsigned long long from, n;
	unsigned int times;
	char kind, name[64];

	if (!s || sscanf(s, "%c:%63[^:]:%llu:%llu:%u", &kind, name, &from, &n, &times) != 5)
		return 0;
	if (kind != what || !is_file(fd, name) || (times && errors >= times))
		return 0;
	if (what != 'f' && ((unsigned long long)at >= from + n || at + len <= from))
		return 0;
	errors++;
	errno = EIO;
	return 1;
}

static void others_write(void)
{
	const char *s = getenv("FAULT_AT");
	char src[256], dst[256], buf[4096];
	unsigned long long at;
	unsigned int n;
	int in, out;

	if (!s || sscanf(s, "%u:%255[^:]:%255[^:]:%llu", &n, src, dst, &at) != 4 || n != writes)
		return;
	in = open(src, O_RDONLY);
	out = open(dst, O_WRONLY);
	if (in < 0 || out < 0 || __real_pread64(in, buf, sizeof(buf), 0) != sizeof(buf) ||
	    __real_pwrite64(out, buf, sizeof(buf), at) != sizeof(buf))
		_exit(DEAD + 1);
	close(in);
	close(out);
}

ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t at)
{
	return fails('r', fd, len, at) ? -1 : __real_pread64(fd, buf, len, at);
}

ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t at)
{
	op();
	writes++;
	others_write();
	if (fails('w', fd, len, at))
		return -1;
	remember(fd, len, at);
	return __real_pwrite64(fd, buf, len, at);
}

int __wrap_fdatasync(int fd)
{
	unsigned int i;

	op();
	if (fails('f', fd, 0, 0))
		return -1;
	for (i = 0; i < nr_undo; i++) {
		if (undo[i].fd != fd)
			continue;
		free(undo[i].old);
		undo[i].old = NULL;
	}
	return __real_fdatasync(fd);
}

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
	static unsigned long long jumps;
	int ret = __real_clock_gettime(id, t);

	jumps += setting("FAULT_CLOCK");
	t->tv_sec += jumps / 1000;
	return ret;
}
