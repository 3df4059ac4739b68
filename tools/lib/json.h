/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * json: writes one JSON value, indented. Numbers that may not fit a double are strings of hex
 * digits.
 */
#ifndef CIRCLE_TOOL_JSON_H
#define CIRCLE_TOOL_JSON_H

#include <stdio.h>
#include <linux/types.h>

struct json {
	FILE *out;
	unsigned int depth;
	bool more;		/* the next one needs a comma */
	bool flat;		/* within an object that stands on one line */
};

/* key NULL: an element of an array, or the outermost value. */
void json_open(struct json *j, const char *key, char bracket);	/* '{' or '[' */
void json_open_flat(struct json *j, const char *key);		/* an object on one line */
void json_close(struct json *j, char bracket);			/* '}' or ']' */
void json_u64(struct json *j, const char *key, u64 v);
void json_hex(struct json *j, const char *key, u64 v);
void json_bool(struct json *j, const char *key, bool v);
void json_str(struct json *j, const char *key, const char *v);
void json_bytes(struct json *j, const char *key, const u8 *p, size_t max);	/* up to a zero */
void json_uuid(struct json *j, const char *key, const u8 *uuid);

#endif
