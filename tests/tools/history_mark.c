// SPDX-License-Identifier: GPL-2.0-only
/*
 * A mark in a dm-log-writes log, named after the length of our own: the log of writes then tells what had been
 * completed when.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "history.h"

bool mark_writes(const char *name, uint64_t bytes)
{
	struct {
		struct dm_ioctl io;
		struct dm_target_msg msg;
		char text[40];
	} m = {
		.io = { .version = { DM_VERSION_MAJOR }, .data_size = sizeof(m), .data_start = sizeof(m.io) },
	};
	int fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC), r;

	if (fd < 0)
		return die("/dev/mapper/control: %s", strerror(errno)), false;
	snprintf(m.io.name, sizeof(m.io.name), "%s", name);
	snprintf(m.text, sizeof(m.text), "mark %" PRIu64, bytes);
	r = ioctl(fd, DM_TARGET_MSG, &m);
	if (r)
		die("marking %s: %s", name, strerror(errno));
	close(fd);
	return !r;
}
