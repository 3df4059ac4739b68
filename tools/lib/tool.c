// SPDX-License-Identifier: GPL-2.0-only
/*
 * tool: see tool.h. It holds the program's name and verbosity, the only state that is shared.
 */
#include <linux/kernel.h>
#include <linux/string.h>
#include <syslog.h>

#include <circle/format/disk.h>
#include <circle/format/label.h>
#include "tool.h"

static const char *program = "circle";
static enum tool_verbosity verbosity;

void tool_begin(const char *name, enum tool_verbosity how)
{
	program = name;
	verbosity = how;
}

static void print(const char *fmt, va_list args)
{
	fflush(stdout);
	fprintf(stderr, "%s: ", program);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
}

void tool_err(const char *fmt, ...)
{
	va_list args;

	if (verbosity >= TOOL_SAY_NOTHING)
		return;
	va_start(args, fmt);
	print(fmt, args);
	va_end(args);
}

void tool_note(const char *fmt, ...)
{
	va_list args;

	if (verbosity >= TOOL_SAY_ERRORS)
		return;
	va_start(args, fmt);
	print(fmt, args);
	va_end(args);
}

void tool_log(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print(fmt, args);
	va_end(args);
	openlog(program, LOG_PID, LOG_USER);
	va_start(args, fmt);
	vsyslog(LOG_WARNING, fmt, args);
	va_end(args);
}

bool tool_number(const char *what, const char *text, u64 least, u64 most, u64 *out)
{
	if (*text >= '0' && *text <= '9' && !kstrtou64(text, 10, out) && *out >= least &&
	    *out <= most)
		return true;
	tool_err("%s: a number of %llu..%llu is expected, not '%s'", what, least, most, text);
	return false;
}

void tool_version(void)
{
	printf("%s %s (dm-circle; metadata format %u, label format %u)\n", program, TOOL_VERSION,
	       CIRCLE_DISK_VERSION, CIRCLE_LABEL_VERSION);
}

void tool_uuid(const u8 *uuid, char *text)
{
	unsigned int i;

	for (i = 0; i < CIRCLE_UUID_SIZE; i++)
		text += sprintf(text, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x",
				uuid[i]);
}

const char *tool_label_state(u16 state)
{
	switch (state) {
	case CIRCLE_LS_TAKING:
		return "taking";
	case CIRCLE_LS_ACTIVE:
		return "active";
	case CIRCLE_LS_RECOVERING:
		return "recovering";
	case CIRCLE_LS_CLEAN:
		return "clean";
	}
	return "unknown";
}

/* Eight bits at a time; the table is made at the first use. */
u32 tool_crc(u32 crc, const void *data, unsigned int len)
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
