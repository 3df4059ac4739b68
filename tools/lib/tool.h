/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tool: what the programs say, and how: messages on stderr under the program's name, results on
 * stdout. Values are printed the same way by all of them.
 */
#ifndef CIRCLE_TOOL_H
#define CIRCLE_TOOL_H

#include <getopt.h>
#include <linux/types.h>
#include <circle/types.h>

#define TOOL_VERSION	"0.1"
#define TOOL_UUID_TEXT	37

enum tool_verbosity { TOOL_SAY_ALL, TOOL_SAY_ERRORS, TOOL_SAY_NOTHING };

void tool_begin(const char *name, enum tool_verbosity how);

/* What goes wrong; what is worth knowing. */
void tool_err(const char *fmt, ...) __printf(1, 2);
void tool_note(const char *fmt, ...) __printf(1, 2);

/* Said whatever the verbosity, and to the system's log. */
void tool_log(const char *fmt, ...) __printf(1, 2);

/* A whole decimal number within [least, most]; false after a message that names what. */
bool tool_number(const char *what, const char *text, u64 least, u64 most, u64 *out);

void tool_version(void);		/* on stdout */

void tool_uuid(const u8 *uuid, char *text);	/* TOOL_UUID_TEXT bytes */
const char *tool_label_state(u16 state);
u32 tool_crc(u32 crc, const void *data, unsigned int len);

#endif
