// SPDX-License-Identifier: GPL-2.0-only
/*
 * words: the reading and printing that config's files share. It must never read behind the last
 * word or write behind the end of a buffer.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "words.h"

#define MAX_COUNT	1024

/* Digits and nothing else. */
int circle_number(const char *s, u64 max, u64 *out)
{
	const char *p;

	for (p = s; *p; p++)
		if (*p < '0' || *p > '9')
			return -EINVAL;
	if (kstrtou64(s, 10, out) || *out > max)
		return -EINVAL;
	return 0;
}

int circle_copy_word(char *dst, unsigned int size, const char *src)
{
	size_t len = strlen(src);

	if (!len)
		return -EINVAL;
	if (len >= size)
		return -E2BIG;
	memcpy(dst, src, len + 1);
	return 0;
}

/* A word that is printed back must not need quotes: no blanks, no backslash, printable. */
int circle_copy_plain(char *dst, unsigned int size, const char *src)
{
	const char *p;

	for (p = src; *p; p++)
		if (*p <= ' ' || *p > '~' || *p == '\\')
			return -EINVAL;
	return circle_copy_word(dst, size, src);
}

/* A count of words, which all must be there. */
int circle_take_count(struct circle_words *w, struct circle_words *group)
{
	u64 n;

	if (!w->n || circle_number(circle_take(w), MAX_COUNT, &n) || n > w->n)
		return -EINVAL;
	group->n = n;
	group->v = w->v;
	w->n -= n;
	w->v += n;
	return 0;
}

void circle_put(struct circle_out *o, const char *fmt, ...)
{
	unsigned int room = o->used < o->len ? o->len - o->used : 0;
	va_list args;

	va_start(args, fmt);
	o->used += vsnprintf(room ? o->buf + o->used : NULL, room, fmt, args);
	va_end(args);
}
