// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests the model: history_fuzz COUNT SEED
 *
 * 1. Random histories of simulated sectors, several rounds with crashes: the model must never object to what the
 *    simulated device, which keeps its promises, shows.
 * 2. Short histories of one sector, against every order of its operations that is possible: the model must allow all
 *    that some order explains, and nothing else.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history_model.h"

#define SECTORS		6
#define WORKERS		4
#define HISTORY		4096

static uint64_t seed;

static unsigned int rnd(unsigned int n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % n;
}

/* One sector of a device that keeps its promises: all it ever was, and up to where that is durable. */
struct cell {
	uint32_t was[HISTORY];
	unsigned int n, durable;
};

struct action {
	enum op_type type;
	uint32_t inv, resp;		/* resp: POS_NEVER: in flight */
	bool ok, done[SECTORS];
	uint64_t start, saw[SECTORS];
	uint32_t n;
};

static struct cell cell[SECTORS];
static uint64_t objections, lenient, judged, finals;
static const char *const types[] = { "none", "write", "fua", "read", "flush", "discard" };

static void object(struct model *m, uint64_t s, uint64_t found, uint32_t inv, uint32_t pos)
{
	(void)m;
	printf("objected: sector %llu version %llu read %u..%u\n", (unsigned long long)s, (unsigned long long)found, inv, pos);
	objections++;
}

static void effect(struct action *a, unsigned int i, enum discard_mode dm, bool seen_stays)
{
	struct cell *c = &cell[a->start + i];
	uint32_t v = c->was[c->n - 1];

	a->done[i] = true;
	switch (a->type) {
	case OP_WRITE:
	case OP_FUA:
		c->was[c->n++] = a->inv;
		if (a->type == OP_FUA)
			c->durable = c->n - 1;
		break;
	case OP_DISCARD:
		if (dm == DISCARD_ZEROES || rnd(2)) {
			c->was[c->n++] = 0;
		} else if (dm == DISCARD_ANY && rnd(2)) {
			v = c->was[rnd(c->n)];
			c->was[c->n++] = v;
		}
		break;
	case OP_READ:
		a->saw[i] = v;
		if (seen_stays)
			c->durable = c->n - 1;
		break;
	case OP_FLUSH:
		c->durable = c->n - 1;
		break;
	default:
		break;
	}
}

/* Random operations. They are kept in list, if given; returns how many. */
static unsigned int simulate(struct model *m, uint32_t *pos, unsigned int steps, unsigned int sectors,
			     enum discard_mode dm, bool discards, bool seen_stays, struct action *list, unsigned int max)
{
	static const enum op_type pick[] = { OP_WRITE, OP_WRITE, OP_WRITE, OP_READ, OP_READ, OP_FLUSH, OP_FUA, OP_DISCARD };
	static struct action act[WORKERS];
	unsigned int w, i, step, k = 0, slot[WORKERS];

	memset(act, 0, sizeof(act));
	for (step = 0; step < steps; step++) {
		struct action *a;

		w = rnd(WORKERS);
		a = &act[w];
		if (!a->type) {
			if (list && k == max)
				continue;
			memset(a, 0, sizeof(*a));
			a->type = pick[rnd(discards ? 8 : 7)];
			a->inv = ++*pos;
			a->resp = POS_NEVER;
			if (a->type != OP_FLUSH) {
				a->n = 1 + rnd(sectors);
				a->start = rnd(sectors - a->n + 1);
			}
			if (!model_begin(m, w, a->type, a->inv, a->start, a->n))
				abort();
			if (a->type == OP_FLUSH)
				a->n = sectors;
			slot[w] = k;
			if (list)
				list[k] = *a;
			k++;
			continue;
		}
		/* Something of it happens. */
		i = rnd(a->n + 1);
		if (i < a->n) {
			if (!a->done[i])
				effect(a, i, dm, seen_stays);
			continue;
		}
		/* It ends; what did not happen yet happens now or, if it fails, maybe never. */
		a->ok = rnd(8);
		for (i = 0; i < a->n; i++)
			if (!a->done[i] && (a->ok || (rnd(2) && a->type != OP_READ)))
				effect(a, i, dm, seen_stays);
		a->resp = ++*pos;
		model_end(m, w, a->resp, a->ok, a->saw);
		if (list)
			list[slot[w]] = *a;
		a->type = OP_NONE;
	}
	return k;
}

static void rounds(void)
{
	enum allow_mode mode = rnd(3);
	enum discard_mode dm = rnd(3);
	struct model m;
	uint32_t pos = 1;
	unsigned int s, n, zero = rnd(2);
	bool live = false;

	model_init(&m, SECTORS, zero, dm);
	m.bad = object;
	for (s = 0; s < SECTORS; s++) {
		cell[s].n = 1;
		cell[s].durable = 0;
		cell[s].was[0] = !zero;
	}
	for (n = 1 + rnd(4); n && !live; n--) {
		simulate(&m, &pos, rnd(300), SECTORS, dm, true, mode == ALLOW_FLUSHED_OBSERVED, NULL, 0);
		pos += rnd(100) + 1;
		model_crash(&m, pos, mode);
		for (s = 0; s < SECTORS; s++) {
			struct cell *c = &cell[s];

			if (mode != ALLOW_ALL)
				c->n = c->durable + 1 + rnd(c->n - c->durable);
			c->durable = c->n - 1;
			finals++;
			if (!model_legal(&m, s, c->was[c->n - 1], pos))
				object(&m, s, c->was[c->n - 1], pos, pos);
		}
		live = !rnd(4);
		if (live) {
			model_go_live(&m);
			simulate(&m, &pos, rnd(300), SECTORS, dm, true, false, NULL, 0);
		}
	}
	if (objections)
		printf("mode %d, discard mode %d, initial %d, rounds left %u, live %d\n", mode, dm, !zero, n, live);
	model_free(&m);
}

/* Every possible order. */
#define MAXOPS	9
static struct action op[MAXOPS];
static unsigned int nops;
static enum discard_mode odm;
static signed char memo[1 << MAXOPS][MAXOPS + 2];	/* 0: not looked at; 1: cannot be completed; 2: can */

static bool must_happen(const struct action *a)
{
	return a->ok && a->resp != POS_NEVER && a->type != OP_FLUSH && (a->type != OP_DISCARD || odm == DISCARD_ZEROES);
}

/* cur: the operation that wrote what the sector holds; nops: what was there before; nops + 1: zeros */
static uint32_t value(unsigned int cur)
{
	return cur == nops ? 1 : cur == nops + 1 ? 0 : op[cur].inv;
}

static bool may_be_next(unsigned int mask, unsigned int i)
{
	unsigned int j;

	if (mask & 1u << i || op[i].type == OP_FLUSH || (op[i].type == OP_READ && !must_happen(&op[i])))
		return false;
	for (j = 0; j < nops; j++) {
		if (j == i)
			continue;
		if (!(mask & 1u << j) && must_happen(&op[j]) && op[j].resp < op[i].inv)
			return false;
		if (mask & 1u << j && op[j].inv > op[i].resp)
			return false;
	}
	return true;
}

/* Can what is in the mask have happened, leaving cur, and the rest follow? */
static bool search(unsigned int mask, unsigned int cur)
{
	bool can = true;
	unsigned int i, next;

	if (memo[mask][cur])
		return memo[mask][cur] == 2;
	for (i = 0; i < nops; i++)
		can = can && (mask & 1u << i || !must_happen(&op[i]));
	for (i = 0; i < nops; i++) {
		if (!may_be_next(mask, i))
			continue;
		next = op[i].type == OP_READ ? cur : op[i].type == OP_DISCARD ? nops + 1 : i;
		if (op[i].type == OP_READ && op[i].saw[0] != value(cur))
			continue;
		if (search(mask | 1u << i, next))
			can = true;
	}
	memo[mask][cur] = can ? 2 : 1;
	return can;
}

/* Some beginning of some order, which has in it all that must be durable, ends with v. */
static bool possible(uint32_t v, enum allow_mode mode)
{
	unsigned int mask, cur, need = 0, i, j;

	for (i = 0; i < nops; i++) {
		if (!must_happen(&op[i]))
			continue;
		if (mode == ALLOW_ALL || op[i].type == OP_FUA || (op[i].type == OP_READ && mode == ALLOW_FLUSHED_OBSERVED))
			need |= 1u << i;
		for (j = 0; j < nops; j++)
			if (op[j].type == OP_FLUSH && op[j].ok && op[j].resp != POS_NEVER && op[i].resp < op[j].inv &&
			    op[i].type != OP_READ)
				need |= 1u << i;
	}
	for (mask = 0; mask < 1u << nops; mask++)
		for (cur = 0; cur < nops + 2; cur++)
			if (memo[mask][cur] == 2 && (mask & need) == need && value(cur) == v)
				return true;
	return false;
}

static void orders(bool discards)
{
	static const enum allow_mode modes[] = { ALLOW_ALL, ALLOW_FLUSHED, ALLOW_FLUSHED_OBSERVED };
	uint64_t start;
	unsigned int i, k, j;

	odm = discards ? rnd(2) : DISCARD_OLD;
	start = seed;
	for (i = 0; i < 3; i++) {
		struct model m;
		uint32_t pos = 1;

		seed = start;	/* the same history each time */
		model_init(&m, 1, false, odm);
		m.bad = object;
		cell[0].n = 1;
		cell[0].durable = 0;
		cell[0].was[0] = 1;
		nops = simulate(&m, &pos, 10 + rnd(60), 1, odm, discards, false, op, MAXOPS);
		memset(memo, 0, sizeof(memo));
		if (!search(0, nops)) {
			printf("no order explains the simulation\n");
			objections++;
		}
		model_crash(&m, pos + 10, modes[i]);
		for (k = 0; k < nops + 2; k++) {
			uint32_t v = value(k);
			bool yes, allowed;

			if (k < nops && op[k].type != OP_WRITE && op[k].type != OP_FUA)
				continue;
			yes = possible(v, modes[i]);
			allowed = model_legal(&m, 0, v, pos + 10);
			judged++;
			if (yes == allowed)
				continue;
			if (yes)
				objections++;
			else
				lenient++;
			if (yes || getenv("VERBOSE")) {
				printf("%s: version %u, mode %d, discards %d\n", yes ? "objected" : "lenient", v, modes[i], odm);
				for (j = 0; j < nops; j++)
					printf("  %s %u..%u ok %d saw %u\n", types[op[j].type], op[j].inv, op[j].resp, op[j].ok,
					       (unsigned int)op[j].saw[0]);
			}
		}
		model_free(&m);
	}
}

int main(int argc, char **argv)
{
	unsigned int count = argc > 1 ? atoi(argv[1]) : 1000, i;
	uint64_t plain;

	seed = argc > 2 ? atoll(argv[2]) : 1;
	for (i = 0; i < count && !objections; i++)
		rounds();
	for (i = 0; i < count && !objections; i++)
		orders(false);
	plain = lenient;
	for (i = 0; i < count / 4 && !objections; i++)
		orders(true);
	printf("%llu after crashes, %llu by all orders; wrong: %llu; too lenient: %llu, with discards %llu\n",
	       (unsigned long long)finals, (unsigned long long)judged, (unsigned long long)objections,
	       (unsigned long long)plain, (unsigned long long)(lenient - plain));
	return objections || plain > judged / 400;
}
