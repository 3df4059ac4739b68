/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kernel: what the pure core takes of linux/kernel.h.
 */
#ifndef SHIM_LINUX_KERNEL_H
#define SHIM_LINUX_KERNEL_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <linux/types.h>
#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/minmax.h>

#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#ifndef __KERNEL_DIV_ROUND_UP
#define __KERNEL_DIV_ROUND_UP(n, d)	(((n) + (d) - 1) / (d))
#endif
#define DIV_ROUND_UP		__KERNEL_DIV_ROUND_UP
#define round_up(x, y)		((((x) - 1) | ((typeof(x))(y) - 1)) + 1)
#define round_down(x, y)	((x) & ~((typeof(x))(y) - 1))
#define roundup(x, y)		(((x) + (y) - 1) / (y) * (y))
#define container_of(ptr, type, member)	((type *)((char *)(ptr) - offsetof(type, member)))

static inline int kstrtou64(const char *s, unsigned int base, u64 *out)
{
	char *end;

	if ((*s < '0' || *s > '9') && *s != '+')
		return -EINVAL;
	errno = 0;
	*out = strtoull(s, &end, base);
	if (errno)
		return -ERANGE;
	if (*end == '\n')
		end++;
	return *end ? -EINVAL : 0;
}

static inline int __printf(3, 4) scnprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(buf, size, fmt, args);
	va_end(args);
	return n < (int)size ? n : size ? (int)size - 1 : 0;
}

#endif
