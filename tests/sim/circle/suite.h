/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * suite: the test of the circle and of the simulator itself.
 */
#ifndef SIM_SUITE_H
#define SIM_SUITE_H

int suite_run(void);	/* prints KTAP; 1 if anything failed */

#endif
