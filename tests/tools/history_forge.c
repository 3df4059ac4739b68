// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes a log and a device's contents from a scenario, for history_selftest.sh: history_forge LOG DEV <scenario
 *
 *	new SECTORS init|zero [old|zeroes|any]
 *	write|fua|discard|read NAME START COUNT		is issued
 *	flush NAME
 *	ok NAME [SEEN...]				completes; a read: what each sector showed
 *	fail NAME
 *	resume MODE | end | tear
 *	put NAME START COUNT | zero START COUNT | garbage START COUNT
 *	torn SECTOR NAME NAME | move SECTOR NAME FROM | foreign SECTOR NAME | number SECTOR VERSION
 * A NAME also stands for its version; init and 0 are versions too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "history.h"

#define SET	1
#define NAMES	256

static struct name {
	char name[32];
	enum op_type type;
	uint64_t version;
	bool used;
} names[NAMES];

static struct logw w;
static int dev, line_no;

static void fail(const char *why)
{
	fprintf(stderr, "history_forge: line %d: %s\n", line_no, why);
	exit(1);
}

static struct name *get(const char *s, bool create)
{
	int i;

	for (i = 0; i < NAMES && names[i].used; i++)
		if (s && !strcmp(names[i].name, s))
			return &names[i];
	if (!s || !create || i == NAMES)
		fail("no such name");
	names[i].used = true;
	snprintf(names[i].name, sizeof(names[i].name), "%s", s);
	return &names[i];
}

static uint64_t version(const char *s)
{
	if (s && !strcmp(s, "init"))
		return 1;
	if (s && !strcmp(s, "0"))
		return 0;
	if (s && !strcmp(s, "garbage"))
		return FOUND_GARBAGE;
	return get(s, false)->version;
}

static uint64_t num(const char *s)
{
	if (!s)
		fail("a number is missing");
	return strtoull(s, NULL, 0);
}

static void poke(uint64_t sector, const uint64_t *data)
{
	if (pwrite(dev, data, SECTOR, sector * SECTOR) != SECTOR)
		fail("cannot write the device");
}

static void record(struct rec r, const void *payload, size_t bytes)
{
	log_add(&w, &r, payload, bytes);
	if (!log_commit(&w))
		exit(1);
}

int main(int argc, char **argv)
{
	uint64_t a[SECTOR_WORDS], b[SECTOR_WORDS], i, n, s, found[4096];
	struct rec_run runs[4096];
	char line[4096], *t[300];
	struct rec_header hdr;
	struct name *x;
	struct rec r;
	int k;

	if (argc != 3)
		fail("usage: history_forge LOG DEV");
	unlink(argv[1]);
	dev = open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (dev < 0 || !log_open(&w, argv[1], false))
		fail("cannot open");
	while (fgets(line, sizeof(line), stdin)) {
		line_no++;
		line[strcspn(line, "#\n")] = 0;
		memset(t, 0, sizeof(t));
		for (k = 0; k < 298 && (t[k] = strtok(k ? NULL : line, " \t")); k++)
			;
		if (!k)
			continue;
		memset(&r, 0, sizeof(r));
		if (!strcmp(t[0], "new")) {
			n = num(t[1]);
			hdr = (struct rec_header){ SET, 0, n, t[2] && !strcmp(t[2], "zero"),
				t[3] && !strcmp(t[3], "zeroes") ? DISCARD_ZEROES :
				t[3] && !strcmp(t[3], "any") ? DISCARD_ANY : DISCARD_OLD };
			r.type = REC_HEADER;
			record(r, &hdr, sizeof(hdr));
			if (ftruncate(dev, n * SECTOR))
				fail("cannot write the device");
			for (s = 0; s < n && !hdr.zero; s++) {
				sector_fill(a, SET, s, 1, 0);
				poke(s, a);
			}
		} else if (!strcmp(t[0], "ok") || !strcmp(t[0], "fail")) {
			x = get(t[1], false);
			r.type = REC_DONE;
			r.worker = x - names;
			r.ref = x->version;
			r.result = t[0][0] == 'o' ? 0 : -EIO;
			for (n = 0; t[n + 2]; n++)
				found[n] = version(t[n + 2]);
			record(r, runs, log_runs(found, n, runs) * sizeof(*runs));
		} else if (!strcmp(t[0], "resume")) {
			r.type = REC_RESUME;
			for (r.result = 0; r.result < 3 && (!t[1] || strcmp(t[1], allow_names[r.result])); r.result++)
				;
			w.seq += 1000;
			record(r, NULL, 0);
		} else if (!strcmp(t[0], "end")) {
			r.type = REC_END;
			record(r, NULL, 0);
		} else if (!strcmp(t[0], "tear")) {
			r.type = REC_INTENT;
			log_add(&w, &r, NULL, 0);
			w.used = 29;
			w.seq--;
			if (!log_commit(&w))
				exit(1);
		} else if (!strcmp(t[0], "put") || !strcmp(t[0], "number")) {
			bool put = t[0][0] == 'p';
			uint64_t v = put ? version(t[1]) : num(t[2]);

			s = num(put ? t[2] : t[1]);
			for (i = 0; i < (put ? num(t[3]) : 1); i++) {
				sector_fill(a, SET, s + i, v, 9);
				poke(s + i, a);
			}
		} else if (!strcmp(t[0], "zero") || !strcmp(t[0], "garbage")) {
			memset(a, t[0][0] == 'z' ? 0 : 0xa7, sizeof(a));
			for (i = 0; i < num(t[2]); i++)
				poke(num(t[1]) + i, a);
		} else if (!strcmp(t[0], "torn")) {
			sector_fill(a, SET, num(t[1]), version(t[2]), 9);
			sector_fill(b, SET, num(t[1]), version(t[3]), 9);
			memcpy(a + 32, b + 32, 256);
			poke(num(t[1]), a);
		} else if (!strcmp(t[0], "move")) {
			sector_fill(a, SET, num(t[3]), version(t[2]), 9);
			poke(num(t[1]), a);
		} else if (!strcmp(t[0], "foreign")) {
			sector_fill(a, SET + 1, num(t[1]), version(t[2]), 9);
			poke(num(t[1]), a);
		} else {
			x = get(t[1], true);
			for (x->type = OP_WRITE; x->type < OP_TYPES && strcmp(t[0], op_names[x->type]); x->type++)
				;
			if (x->type == OP_TYPES)
				fail("what?");
			r.type = REC_INTENT;
			r.worker = x - names;
			r.result = x->type;
			if (x->type != OP_FLUSH) {
				r.sector = num(t[2]);
				r.nr = num(t[3]);
			}
			x->version = w.seq + 1;
			record(r, NULL, 0);
		}
	}
	return 0;
}
