// SPDX-License-Identifier: GPL-2.0-only
/*
 * t: runs the registered cases and prints KTAP. Arguments select cases by a part of their name.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t.h"

#define SKIP_CODE	77
#define TIME_LIMIT	300	/* seconds for one case */

static struct t_case *first, **last = &first;
static unsigned int failures;

void t_register(struct t_case *c)
{
	*last = c;
	last = &c->next;
}

void t_fail(const char *file, int line, const char *text)
{
	if (++failures <= 20)
		printf("# %s:%d: not true: %s\n", file, line, text);
}

void t_fail_eq(const char *file, int line, const char *text, long long is, long long want)
{
	if (++failures <= 20)
		printf("# %s:%d: not true: %s (is %lld/0x%llx, want %lld/0x%llx)\n", file, line,
		       text, is, is, want, want);
}

bool t_failed(void)
{
	return failures;
}

void t_skip(const char *why)
{
	printf("# skipped: %s\n", why);
	fflush(stdout);
	_exit(SKIP_CODE);
}

void t_check_hex(const char *file, int line, const void *p, size_t n, const char *text)
{
	const u8 *b = p;
	unsigned int v, i;
	int used;

	for (i = 0; i < n; i++) {
		if (sscanf(text, " %2x%n", &v, &used) != 1) {
			t_fail(file, line, "fewer bytes were given than are compared");
			return;
		}
		text += used;
		if (b[i] == v)
			continue;
		t_fail_eq(file, line, "golden byte", b[i], v);
		printf("#   at offset %u\n", i);
	}
	if (strspn(text, " ") != strlen(text))
		t_fail(file, line, "more bytes were given than are compared");
}

u32 t_crc32c(u32 crc, const void *data, unsigned int len)
{
	static u32 table[256];
	const u8 *p = data;
	u32 i, k, v;

	for (i = 1; !table[255] && i < 256; i++) {
		for (v = i, k = 0; k < 8; k++)
			v = v & 1 ? v >> 1 ^ 0x82f63b78 : v >> 1;
		table[i] = v;
	}
	while (len--)
		crc = crc >> 8 ^ table[(crc ^ *p++) & 0xff];
	return crc;
}

u64 t_random(u64 *state)
{
	u64 z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static bool selected(const struct t_case *c, int argc, char **argv)
{
	char name[256];
	int i;

	snprintf(name, sizeof(name), "%s.%s", c->suite, c->name);
	for (i = 1; i < argc; i++)
		if (strstr(name, argv[i]))
			return true;
	return argc < 2;
}

/* Returns the exit code of the case, or 256 + signal. */
static int run_case(const struct t_case *c)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		alarm(TIME_LIMIT);
		c->run();
		fflush(stdout);
		exit(failures ? 1 : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	unsigned int n = 0, pass = 0, fail = 0, skip = 0;
	struct t_case *c;
	int code;

	for (c = first; c; c = c->next)
		n += selected(c, argc, argv);
	printf("KTAP version 1\n1..%u\n", n);
	n = 0;
	for (c = first; c; c = c->next) {
		if (!selected(c, argc, argv))
			continue;
		code = run_case(c);
		pass += code == 0;
		skip += code == SKIP_CODE;
		fail += code && code != SKIP_CODE;
		if (code > 256)
			printf("# ended by signal %d\n", code - 256);
		printf("%sok %u - %s.%s%s\n", code && code != SKIP_CODE ? "not " : "", ++n,
		       c->suite, c->name, code == SKIP_CODE ? " # SKIP" : "");
	}
	printf("# totals: pass:%u fail:%u skip:%u\n", pass, fail, skip);
	return fail ? 1 : 0;
}
