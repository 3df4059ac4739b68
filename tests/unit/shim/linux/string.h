/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_LINUX_STRING_H
#define SHIM_LINUX_STRING_H

#include <linux/types.h>
#include <string.h>
#include <strings.h>

/* First byte that is not c, or NULL. */
static inline void *memchr_inv(const void *start, int c, size_t n)
{
	const u8 *p = start;

	if (n && *p == (u8)c && !memcmp(p, p + 1, n - 1))
		return NULL;
	for (; n; n--, p++)
		if (*p != (u8)c)
			return (void *)p;
	return NULL;
}

static inline ssize_t shim_strscpy(char *dst, const char *src, size_t size)
{
	size_t len = strnlen(src, size);

	if (!size)
		return -7;
	if (len == size) {
		memcpy(dst, src, size - 1);
		dst[size - 1] = '\0';
		return -7;
	}
	memcpy(dst, src, len + 1);
	return len;
}

#define strscpy	shim_strscpy

#endif
