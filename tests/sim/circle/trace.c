// SPDX-License-Identifier: GPL-2.0-only
/*
 * trace: random numbers of the seed, what is told of a schedule, and how it ends at a violation. It
 * must never ask a clock or the system for anything: a seed gives the same schedule everywhere.
 */
#include <setjmp.h>
#include <stdarg.h>

#include "run.h"
#include "sim.h"

#define LINES	100
#define LINE	160

bool tracing, trace_all;
static jmp_buf caught;
static char ring[LINES][LINE], why[LINE];
static u32 told;

static u64 next(void)
{
	u64 z = (w.rng += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

u32 below(u32 n)
{
	return (u32)(next() >> 32) % n;
}

bool chance(u32 percent)
{
	return below(100) < percent;
}

void trace(const char *fmt, ...)
{
	char *line = ring[told++ % LINES];
	int n = snprintf(line, LINE, "%5u t%-5llu ", w.steps, (unsigned long long)w.now);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + n, LINE - n, fmt, ap);
	va_end(ap);
	if (trace_all)
		puts(line);
}

void violation(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	longjmp(caught, 1);
}

bool run_seed(u64 seed)
{
	told = 0;
	why[0] = '\0';
	if (setjmp(caught))
		return false;
	schedule(seed);
	return true;
}

const char *run_why(void)
{
	return why;
}

/* What led to it: once more, told. */
void run_tell(u64 seed)
{
	u32 i;

	tracing = true;
	run_seed(seed);
	for (i = told > LINES ? told - LINES : 0; i < told; i++)
		printf("# %s\n", ring[i % LINES]);
	printf("# %5u violation: %s\n", w.steps, why);
	tracing = false;
}
