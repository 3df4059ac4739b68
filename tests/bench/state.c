// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which version each page of a device should have: a file of 32-bit numbers, kept over runs of the
 * program. A page that is written carries its place and version at both ends; each read is checked.
 * Version 0 is a page never written, of which nothing is known.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "load.h"

#define MAGIC	0x62656e6368706167ull

struct stamp {
	uint64_t magic, pos, version, sum;
};

static uint32_t *version;
static uint8_t *busy;
static uint64_t pages;

void state_open(const char *path, uint64_t bytes)
{
	int fd;

	pages = bytes / PAGE;
	busy = aligned(pages);
	if (!path)
		return;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, pages * sizeof(*version)))
		die("%s: %s", path, strerror(errno));
	version = mmap(NULL, pages * sizeof(*version), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, fd, 0);
	if (version == MAP_FAILED)
		die("%s: %s", path, strerror(errno));
	close(fd);
}

static void make(struct stamp *s, uint64_t pos, uint32_t v)
{
	s->magic = MAGIC;
	s->pos = pos;
	s->version = v;
	s->sum = MAGIC + pos * 0x9e3779b97f4a7c15ull + v;
}

/* The next version of these pages. */
void state_stamp(char *buf, uint64_t pos, uint32_t len)
{
	struct stamp s;
	uint32_t at;

	if (!version)
		return;
	for (at = 0; at < len; at += PAGE) {
		make(&s, pos + at, ++version[(pos + at) / PAGE]);
		memcpy(buf + at, &s, sizeof(s));
		memcpy(buf + at + PAGE - sizeof(s), &s, sizeof(s));
	}
}

void state_check(const char *buf, uint64_t pos, uint32_t len)
{
	struct stamp s, found;
	uint32_t at, v;

	if (!version)
		return;
	for (at = 0; at < len; at += PAGE) {
		v = version[(pos + at) / PAGE];
		if (!v)
			continue;
		make(&s, pos + at, v);
		if (!memcmp(buf + at, &s, sizeof(s)) &&
		    !memcmp(buf + at + PAGE - sizeof(s), &s, sizeof(s)))
			continue;
		memcpy(&found, buf + at, sizeof(found));
		die("byte %" PRIu64 ": version %" PRIu64 " of byte %" PRIu64 ", should be %u",
		    pos + at, found.version, found.pos, v);
	}
}

bool state_busy(uint64_t pos)
{
	return busy[pos / PAGE];
}

void state_busy_set(uint64_t pos, uint32_t len, bool on)
{
	memset(busy + pos / PAGE, on, len / PAGE);
}
