// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench-profile: where the guest spends its instructions, all of them, not a sample.
 *
 *	bench-profile <QEMU's log, a fifo> <kallsyms of the guest> <requests>
 *
 * The log has one line an instruction (QEMU's "singlestep" and "log exec"). It is counted from the
 * load's getppid on until its next open.
 *
 * What a function did with those that it called is guessed from jumps: to a function's first
 * instruction is a call, into the middle of a function that is on the stack is a return to it, into
 * the middle of another is another thread. A function that sleeps is left out for what it does after.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KERNEL		0xffff800000000000ull
#define STACK		256

struct sym {
	uint64_t addr;
	char *name, *module;
	uint64_t self, all, calls;
	uint32_t on_stack;
};

static struct sym *syms;
static size_t nr_syms;
static struct { struct sym *sym; uint64_t since; } stack[STACK];
static int depth;
static uint64_t total;
static bool counting;
static struct sym *sym_switch, *sym_schedule, *sym_begin, *sym_end;

static struct sym *add(uint64_t addr, const char *name, const char *module)
{
	if (nr_syms % 4096 == 0)
		syms = realloc(syms, (nr_syms + 4096) * sizeof(*syms));
	if (!syms)
		exit(1);
	syms[nr_syms] = (struct sym){
		.addr = addr, .name = strdup(name), .module = strdup(module),
	};
	return &syms[nr_syms++];
}

static int by_addr(const void *a, const void *b)
{
	const struct sym *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static void load_syms(const char *path)
{
	char line[512], name[400], module[64], type;
	FILE *in = fopen(path, "r");
	uint64_t addr;
	size_t i, n;

	if (!in) {
		perror(path);
		exit(1);
	}
	add(0, "(user space)", "user");
	while (fgets(line, sizeof(line), in)) {
		strcpy(module, "kernel");
		if (sscanf(line, "%" SCNx64 " %c %399s [%63[^]]", &addr, &type, name, module) >= 3 &&
		    addr >= KERNEL)
			add(addr, name, module);
	}
	fclose(in);
	qsort(syms, nr_syms, sizeof(*syms), by_addr);
	for (i = n = 1; i < nr_syms; i++)	/* one of those with the same address */
		if (syms[i].addr != syms[n - 1].addr)
			syms[n++] = syms[i];
		else if (!strncmp(syms[i].name, "__x64_sys_", 10))
			syms[n - 1] = syms[i];
	nr_syms = n;
	for (i = 0; i < nr_syms; i++) {
		if (!strcmp(syms[i].name, "__switch_to_asm"))
			sym_switch = &syms[i];
		else if (!strcmp(syms[i].name, "__schedule"))
			sym_schedule = &syms[i];
		else if (!strcmp(syms[i].name, "__x64_sys_getppid"))
			sym_begin = &syms[i];
		else if (!strcmp(syms[i].name, "__x64_sys_openat"))
			sym_end = &syms[i];
	}
}

static struct sym *find(uint64_t pc, struct sym *last)
{
	size_t lo = 0, hi = nr_syms;

	if (pc < KERNEL)
		return &syms[0];
	if (last && pc >= last->addr && (last + 1 == syms + nr_syms || pc < last[1].addr))
		return last;
	while (hi - lo > 1) {
		size_t mid = (lo + hi) / 2;

		if (syms[mid].addr <= pc)
			lo = mid;
		else
			hi = mid;
	}
	return &syms[lo];
}

static void pop(void)
{
	struct sym *s = stack[--depth].sym;

	if (!--s->on_stack)
		s->all += total - stack[depth].since;
}

static void push(struct sym *s)
{
	if (depth == STACK)
		return;
	s->on_stack++;
	stack[depth].sym = s;
	stack[depth++].since = total;
}

static void enter(struct sym *s, bool call)
{
	int i;

	if (call) {
		s->calls++;
		push(s);
		return;
	}
	for (i = depth - 1; i >= 0 && stack[i].sym != s; i--)
		;
	while (depth > i + 1)
		pop();
	if (i < 0)
		push(s);
}

static bool count(uint64_t pc)
{
	static struct sym *last;
	struct sym *s = find(pc, last);

	if (!counting && s == sym_begin)
		counting = true;
	else if (counting && s == sym_end)
		return false;
	if (!counting)
		return true;
	if (s != last || (pc == s->addr && s != &syms[0])) {
		enter(s, pc == s->addr);
		if (s == sym_switch) {
			while (depth)
				pop();
			if (sym_schedule)
				push(sym_schedule);
		}
	}
	last = s;
	s->self++;
	total++;
	return true;
}

static int by_self(const void *a, const void *b)
{
	const struct sym *const *x = a, *const *y = b;

	return (*x)->self < (*y)->self ? 1 : -((*x)->self > (*y)->self);
}

static int by_all(const void *a, const void *b)
{
	const struct sym *const *x = a, *const *y = b;

	return (*x)->all < (*y)->all ? 1 : -((*x)->all > (*y)->all);
}

static void print(struct sym **list, size_t n, double requests)
{
	size_t i;

	printf("%10s %10s %8s %6s  %-16s %s\n", "self", "all", "calls", "self%", "module", "function");
	for (i = 0; i < n; i++)
		printf("%10.1f %10.1f %8.2f %6.2f  %-16s %s\n", list[i]->self / requests,
		       list[i]->all / requests, list[i]->calls / requests,
		       100.0 * list[i]->self / total, list[i]->module, list[i]->name);
}

static void modules(double requests)
{
	struct { const char *name; uint64_t self; } m[256];
	size_t i, k, n = 0;

	for (i = 0; i < nr_syms; i++) {
		if (!syms[i].self)
			continue;
		for (k = 0; k < n && strcmp(m[k].name, syms[i].module); k++)
			;
		if (k == n && n < 255) {
			m[n].name = syms[i].module;
			m[n++].self = 0;
		}
		m[k].self += syms[i].self;
	}
	printf("\nby module\n");
	for (k = 0; k < n; k++)
		printf("%10.1f %6.2f %%  %s\n", m[k].self / requests, 100.0 * m[k].self / total,
		       m[k].name);
}

int main(int argc, char **argv)
{
	double requests = argc == 4 ? atof(argv[3]) : 0;
	struct sym **list;
	char line[512];
	size_t i, n = 0;
	FILE *in;

	if (requests < 1) {
		fprintf(stderr, "usage: bench-profile <log> <kallsyms> <requests>\n");
		return 1;
	}
	load_syms(argv[2]);
	in = fopen(argv[1], "r");
	if (!in) {
		perror(argv[1]);
		return 1;
	}
	while (fgets(line, sizeof(line), in)) {
		char *p = strchr(line, '[');

		if (p && (p = strchr(p, '/')) && !count(strtoull(p + 1, NULL, 16)))
			break;
	}
	while (fread(line, 1, sizeof(line), in) > 0)
		;		/* or QEMU would wait for us */
	while (depth)
		pop();
	if (!total) {
		fprintf(stderr, "bench-profile: nothing was logged\n");
		return 1;
	}
	list = calloc(nr_syms, sizeof(*list));
	for (i = 0; i < nr_syms; i++)
		if (syms[i].self)
			list[n++] = &syms[i];
	printf("%.0f instructions a request, %.0f requests\n", total / requests, requests);
	modules(requests);
	printf("\nby what they do themselves, instructions a request\n");
	qsort(list, n, sizeof(*list), by_self);
	print(list, n < 120 ? n : 120, requests);
	printf("\nwith what they call\n");
	qsort(list, n, sizeof(*list), by_all);
	print(list, n < 160 ? n : 160, requests);
	return 0;
}
