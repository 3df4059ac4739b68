/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * t: a small test framework. TEST(suite, name) { ... } registers a case; each case runs in a
 * process of its own, so that one that crashes or hangs takes no other along.
 */
#ifndef UNIT_T_H
#define UNIT_T_H

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <circle/types.h>

struct t_case {
	const char *suite, *name;
	void (*run)(void);
	struct t_case *next;
};

void t_register(struct t_case *c);
void t_fail(const char *file, int line, const char *text);
void t_fail_eq(const char *file, int line, const char *text, long long is, long long want);
bool t_failed(void);
void t_skip(const char *why) __attribute__((__noreturn__));

#define TEST(suite_, name_)							\
static void suite_##_##name_(void);						\
static struct t_case suite_##_##name_##_case = {				\
	.suite = #suite_, .name = #name_, .run = suite_##_##name_,		\
};										\
static void __attribute__((__constructor__)) suite_##_##name_##_reg(void)	\
{										\
	t_register(&suite_##_##name_##_case);					\
}										\
static void suite_##_##name_(void)

/* A check that fails is reported and the case goes on; one that must hold ends it. */
#define CHECK(cond)	do { if (!(cond)) t_fail(__FILE__, __LINE__, #cond); } while (0)
#define CHECK_EQ(is, want) do {							\
	long long _is = (long long)(is), _want = (long long)(want);		\
	if (_is != _want)							\
		t_fail_eq(__FILE__, __LINE__, #is " == " #want, _is, _want);	\
} while (0)
#define MUST(cond)	do { if (!(cond)) { t_fail(__FILE__, __LINE__, #cond); return; } } while (0)

/* Bytes [0, n) of p are the hex digits of text (blanks are ignored). */
#define CHECK_HEX(p, n, text)	t_check_hex(__FILE__, __LINE__, p, n, text)
void t_check_hex(const char *file, int line, const void *p, size_t n, const char *text);

/* The checksum of the formats, kernel convention (crc32c without inversions). */
u32 t_crc32c(u32 crc, const void *data, unsigned int len);

/* Repeatable random numbers. */
u64 t_random(u64 *state);

#endif
