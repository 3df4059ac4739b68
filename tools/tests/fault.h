/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fault: the system calls that fault.c stands in front of, under the names that ld's --wrap gives.
 */
#ifndef CIRCLE_TOOLS_FAULT_H
#define CIRCLE_TOOLS_FAULT_H

#include <sys/types.h>
#include <time.h>

ssize_t __real_pread64(int fd, void *buf, size_t len, off_t at);
ssize_t __real_pwrite64(int fd, const void *buf, size_t len, off_t at);
int __real_fdatasync(int fd);
int __real_clock_gettime(clockid_t id, struct timespec *t);
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t at);
int __wrap_fdatasync(int fd);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);

#endif
