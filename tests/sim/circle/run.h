/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * run: one schedule from outside: does it hold, why not, and what happened.
 */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include <linux/types.h>

bool run_seed(u64 seed);	/* false: a violation */
const char *run_why(void);
void run_tell(u64 seed);
extern bool tracing;		/* collect lines; only the last ones are kept */
extern bool trace_all;		/* ... and print them as it goes */

#endif
