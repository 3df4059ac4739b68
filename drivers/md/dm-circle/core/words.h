/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * words: what config's files share: taking words off a line, reading numbers, printing behind what
 * was printed. Pure, private to core/config*.
 */
#ifndef CIRCLE_CORE_WORDS_H
#define CIRCLE_CORE_WORDS_H

#include <linux/errno.h>
#include <linux/kernel.h>

#include "config.h"

struct circle_words {
	unsigned int n;
	char **v;
};

struct circle_out {
	char *buf;
	unsigned int len, used;
};

static inline int circle_refuse(const char **error, const char *text)
{
	*error = text;
	return -EINVAL;
}

static inline int circle_too_big(const char **error, const char *text)
{
	*error = text;
	return -E2BIG;
}

/* There must be one. */
static inline const char *circle_take(struct circle_words *w)
{
	w->n--;
	return *w->v++;
}

/* Digits and nothing else. */
int circle_number(const char *s, u64 max, u64 *out);

/* -EINVAL: empty; -E2BIG: too long. */
int circle_copy_word(char *dst, unsigned int size, const char *src);

/* The same for a word that is printed back: it must not need quotes. */
int circle_copy_plain(char *dst, unsigned int size, const char *src);

/* A count of words and the words, which all must be there. */
int circle_take_count(struct circle_words *w, struct circle_words *group);

/* As snprintf behind what is there; used goes on when the buffer is full. */
void __printf(2, 3) circle_put(struct circle_out *o, const char *fmt, ...);

/* The circle arguments, behind the policy's; in core/config_circle.c. */
int circle_args_parse(struct circle_config *c, struct circle_words *w, const char **error);
void circle_args_print(const struct circle_config *c, struct circle_out *o);

#endif
