// SPDX-License-Identifier: GPL-2.0-only
/*
 * chart: the same numbers as a table, as bars of characters, and as files: results.tsv, and a
 * picture where gnuplot is installed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

#define WIDTH	50

double hit_ratio(const struct tally *t)
{
	u64 all = t->reads + t->writes;

	return all ? 100.0 * (t->read_hits + t->write_hits) / all : 0;
}

void table_print(const struct result *r, size_t traces, size_t models)
{
	size_t i, k;

	printf("%-14s", "hits in %");
	for (k = 0; k < models; k++)
		printf(" %8s", r[k].model);
	printf("   blocks promoted per 100 accesses\n");
	for (i = 0; i < traces; i++, r += models) {
		printf("%-14s", r->trace);
		for (k = 0; k < models; k++)
			printf(" %8.2f", hit_ratio(&r[k].t));
		printf("  ");
		for (k = 0; k < models; k++)
			printf(" %6.1f", 100.0 * r[k].t.promotions /
					 (r[k].t.reads + r[k].t.writes));
		printf("\n");
	}
}

static void bar(const struct result *r)
{
	int n = hit_ratio(&r->t) * WIDTH / 100 + 0.5, i;

	printf("  %-8s|", r->model);
	for (i = 0; i < n; i++)
		putchar('#');
	printf(" %.1f\n", hit_ratio(&r->t));
}

void chart_print(const struct result *r, size_t traces, size_t models)
{
	size_t i, k;

	for (i = 0; i < traces; i++, r += models) {
		printf("\n%s\n", r->trace);
		for (k = 0; k < models; k++)
			bar(&r[k]);
	}
}

static FILE *open_in(const char *dir, const char *name)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	if (!f)
		perror(path);
	return f;
}

static int write_tsv(const char *dir, const struct result *r, size_t traces, size_t models)
{
	FILE *f = open_in(dir, "results.tsv");
	size_t i, k;

	if (!f)
		return -errno;
	fprintf(f, "trace");
	for (k = 0; k < models; k++)
		fprintf(f, "\t%s", r[k].model);
	for (k = 0; k < models; k++)
		fprintf(f, "\t%s promotions\t%s writebacks", r[k].model, r[k].model);
	fprintf(f, "\n");
	for (i = 0; i < traces; i++, r += models) {
		fprintf(f, "%s", r->trace);
		for (k = 0; k < models; k++)
			fprintf(f, "\t%.4f", hit_ratio(&r[k].t));
		for (k = 0; k < models; k++)
			fprintf(f, "\t%llu\t%llu", (unsigned long long)r[k].t.promotions,
				(unsigned long long)r[k].t.writebacks);
		fprintf(f, "\n");
	}
	return fclose(f) ? -EIO : 0;
}

static int write_gnuplot(const char *dir, size_t models)
{
	FILE *f = open_in(dir, "chart.gp");

	if (!f)
		return -errno;
	fprintf(f, "set terminal svg size 1200,500 background 'white'\n"
		   "set output 'chart.svg'\n"
		   "set datafile separator '\\t'\n"
		   "set style data histograms\n"
		   "set style fill solid 0.8 border -1\n"
		   "set ylabel 'hits in %%'\n"
		   "set yrange [0:100]\n"
		   "set xtics rotate by -30\n"
		   "set key outside top horizontal\n"
		   "plot for [i=2:%zu] 'results.tsv' using i:xtic(1) title columnheader(i)\n",
		models + 1);
	return fclose(f) ? -EIO : 0;
}

int results_write(const char *dir, const struct result *r, size_t traces, size_t models)
{
	char command[4200];
	int err = write_tsv(dir, r, traces, models);

	if (!err)
		err = write_gnuplot(dir, models);
	if (err)
		return err;
	snprintf(command, sizeof(command),
		 "cd '%s' && command -v gnuplot >/dev/null && gnuplot chart.gp", dir);
	printf("\n# %s/results.tsv%s\n", dir, system(command) ? "" : ", chart.svg");
	return 0;
}
