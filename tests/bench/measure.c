// SPDX-License-Identifier: GPL-2.0-only
/*
 * The clock, the time that the CPU was idle, and what block devices say that they did.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

#define MAX_WATCH	8
#define FIELDS		17

static struct {
	char name[32], path[256];
	uint64_t was[FIELDS];
} watch[MAX_WATCH];
static unsigned int watches;

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/*
 * In ns, which /proc/stat does not have. What is not idle is instructions, one a nanosecond, on a
 * machine whose clock counts them.
 */
uint64_t idle_ns(void)
{
	static char buf[1 << 17];
	uint64_t sum = 0;
	size_t len = 0;
	ssize_t got;
	char *p;
	int fd = open("/proc/timer_list", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die("/proc/timer_list: %s", strerror(errno));
	while (len < sizeof(buf) - 1 && (got = read(fd, buf + len, sizeof(buf) - 1 - len)) > 0)
		len += got;
	close(fd);
	buf[len] = 0;
	for (p = buf; (p = strstr(p, "_sleeptime")); ) {
		p = strchr(p, ':');
		sum += strtoull(p + 1, NULL, 10);
	}
	return sum;
}

static void stat_read(const char *path, uint64_t *f)
{
	FILE *in = fopen(path, "re");
	int i;

	if (!in)
		die("%s: %s", path, strerror(errno));
	for (i = 0; i < FIELDS && fscanf(in, "%" SCNu64, f + i) == 1; i++)
		;
	fclose(in);
}

/* <name>=<directory of /sys/block> */
void watch_add(const char *spec)
{
	const char *dev = strchr(spec, '=');

	if (!dev || watches == MAX_WATCH)
		die("bad or too many --watch");
	snprintf(watch[watches].name, sizeof(watch[0].name), "%.*s", (int)(dev - spec), spec);
	snprintf(watch[watches].path, sizeof(watch[0].path), "/sys/block/%s/stat", dev + 1);
	watches++;
}

void watch_begin(void)
{
	unsigned int i;

	for (i = 0; i < watches; i++)
		stat_read(watch[i].path, watch[i].was);
}

/* Reads, KiB read, writes, KiB written, flushes. */
void watch_print(void)
{
	static const struct { const char *name; int field, div; } show[] = {
		{ "r", 0, 1 }, { "rk", 2, 2 }, { "w", 4, 1 }, { "wk", 6, 2 }, { "f", 15, 1 },
	};
	uint64_t is[FIELDS] = { 0 };
	unsigned int i, k;

	for (i = 0; i < watches; i++) {
		stat_read(watch[i].path, is);
		for (k = 0; k < sizeof(show) / sizeof(*show); k++)
			printf("\t%s.%s=%" PRIu64, watch[i].name, show[k].name,
			       (is[show[k].field] - watch[i].was[show[k].field]) / show[k].div);
	}
}

/* Say to the host that a measurement begins or ends, and wait until it has taken notice. */
void gate(const char *path, const char *what)
{
	char file[256];
	int fd;

	if (!path)
		return;
	snprintf(file, sizeof(file), "%s.%s", path, what);
	fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	if (fd < 0)
		die("%s: %s", file, strerror(errno));
	close(fd);
	snprintf(file, sizeof(file), "%s.%s.ack", path, what);
	while (access(file, F_OK))
		usleep(1000);
}
