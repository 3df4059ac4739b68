// SPDX-License-Identifier: GPL-2.0-only
/*
 * csv: reads a trace of anybody's. One request a line, fields separated by comma, semicolon, tab or
 * blanks. A first line of names says what they are; without one they are time, offset, size, op.
 */
#include <ctype.h>
#include <linux/kernel.h>
#include <string.h>
#include <strings.h>

#include "sim.h"

enum field { TIME, OFFSET, SIZE, OP, NR_FIELDS, UNUSED = NR_FIELDS };

#define MAX_COLUMNS	32
#define WINDOWS_EPOCH	100000000000000000ull	/* above: ticks of 100 ns, as MSR Cambridge has */

struct layout {
	enum field column[MAX_COLUMNS];
	double us;		/* microseconds in a unit of time; 0: guess */
	u64 offset_unit, size_unit;	/* bytes */
};

static const struct {
	const char *name;
	enum field field;
	double us;
	u64 unit;
} known[] = {
	{ "time", TIME, 0, 1 }, { "timestamp", TIME, 0, 1 }, { "ts", TIME, 0, 1 },
	{ "time_s", TIME, 1e6, 1 }, { "seconds", TIME, 1e6, 1 }, { "time_ms", TIME, 1e3, 1 },
	{ "time_us", TIME, 1, 1 }, { "time_ns", TIME, 1e-3, 1 },
	{ "offset", OFFSET, 0, 1 }, { "offset_bytes", OFFSET, 0, 1 }, { "address", OFFSET, 0, 1 },
	{ "lba", OFFSET, 0, 512 }, { "sector", OFFSET, 0, 512 }, { "obj_id", OFFSET, 0, 1 },
	{ "size", SIZE, 0, 1 }, { "length", SIZE, 0, 1 }, { "bytes", SIZE, 0, 1 },
	{ "obj_size", SIZE, 0, 1 }, { "sectors", SIZE, 0, 512 }, { "nr_sectors", SIZE, 0, 512 },
	{ "op", OP, 0, 1 }, { "type", OP, 0, 1 }, { "rw", OP, 0, 1 }, { "opcode", OP, 0, 1 },
	{ "operation", OP, 0, 1 }, { "rwbs", OP, 0, 1 },
};

static unsigned int split(char *line, char **field)
{
	static const char blank[] = ",;\t\r\n ";
	unsigned int n = 0;

	line += strspn(line, blank);
	while (*line && n < MAX_COLUMNS) {
		field[n++] = line;
		line += strcspn(line, blank);
		if (*line)
			*line++ = '\0';
		line += strspn(line, "\t\r\n ");
	}
	return n;
}

static void default_layout(struct layout *l)
{
	unsigned int i;

	for (i = 0; i < MAX_COLUMNS; i++)
		l->column[i] = i < NR_FIELDS ? (enum field)i : UNUSED;
	l->us = 0;
	l->offset_unit = 1;
	l->size_unit = 1;
}

static void name_column(struct layout *l, unsigned int column, const char *name)
{
	unsigned int k;

	l->column[column] = UNUSED;
	for (k = 0; k < ARRAY_SIZE(known); k++) {
		if (strcasecmp(name, known[k].name))
			continue;
		l->column[column] = known[k].field;
		if (known[k].field == TIME)
			l->us = known[k].us;
		else if (known[k].field == OFFSET)
			l->offset_unit = known[k].unit;
		else if (known[k].field == SIZE)
			l->size_unit = known[k].unit;
	}
}

/* A line of names begins with a letter, and names what we need. */
static bool header(struct layout *l, char **field, unsigned int n)
{
	bool has[NR_FIELDS + 1] = { false };
	unsigned int i;

	if (!isalpha((unsigned char)*field[0]))
		return false;
	for (i = 0; i < n; i++) {
		name_column(l, i, field[i]);
		has[l->column[i]] = true;
	}
	return has[OFFSET] && has[SIZE];
}

static bool number(const char *text, u64 *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 0);
	return !errno && end != text && (!*end || *end == '.');
}

/* W, write, 1 (blktrace: anything with a W); discards and flushes are no use of a block. */
static int op_of(const char *op)
{
	if (strchr("dDfF", *op))
		return -1;
	return strchr(op, 'w') || strchr(op, 'W') || !strcmp(op, "1");
}

struct parser {
	struct layout layout;
	double first;		/* time of the first request, in us */
	bool begun;
};

static double unit_of(double time)
{
	if (time > WINDOWS_EPOCH)
		return 0.1;
	return 1e6;
}

/* 1: taken; 0: nothing in it; -1: cannot be read. */
static int take(struct parser *p, struct trace *t, char **field, unsigned int n)
{
	struct request r = { 0 };
	u64 offset = 0, size = 0;
	double us = 0;
	unsigned int i;
	int op = 0;

	for (i = 0; i < n; i++) {
		switch (p->layout.column[i]) {
		case TIME:
			us = strtod(field[i], NULL);
			break;
		case OFFSET:
			if (!number(field[i], &offset))
				return -1;
			break;
		case SIZE:
			if (!number(field[i], &size))
				return -1;
			break;
		case OP:
			op = op_of(field[i]);
			break;
		default:
			break;
		}
	}
	if (op < 0 || !size)
		return 0;
	us *= p->layout.us ? p->layout.us : unit_of(us);
	if (!p->begun)
		p->first = us;
	p->begun = true;
	offset *= p->layout.offset_unit;
	r.us = us > p->first ? us - p->first : 0;
	r.sector = offset / 512;
	r.sectors = (offset % 512 + size * p->layout.size_unit + 511) / 512;
	r.write = op;
	trace_add(t, &r);
	return 1;
}

static int parse(struct trace *t, FILE *f, const char *path)
{
	struct parser p = { .begun = false };
	char line[4096], *field[MAX_COLUMNS];
	unsigned long nr = 0, bad = 0;

	default_layout(&p.layout);
	while (fgets(line, sizeof(line), f)) {
		unsigned int n = split(line, field);

		nr++;
		if (!n || *field[0] == '#')
			continue;
		if (nr == 1 && header(&p.layout, field, n))
			continue;
		if (take(&p, t, field, n) < 0 && !bad++)
			fprintf(stderr, "%s:%lu: not understood\n", path, nr);
	}
	if (bad)
		fprintf(stderr, "%s: %lu of %lu lines were not understood\n", path, bad, nr);
	return t->nr && bad * 10 < nr ? 0 : -EINVAL;
}

int csv_read(struct trace *t, const char *path)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "r") : stdin;
	const char *name = strrchr(path, '/');
	int r;

	memset(t, 0, sizeof(*t));
	t->name = name ? name + 1 : path;
	t->what = "from a file";
	if (!f) {
		perror(path);
		return -errno;
	}
	r = parse(t, f, path);
	if (f != stdin)
		fclose(f);
	return r;
}
