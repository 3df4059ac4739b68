// SPDX-License-Identifier: GPL-2.0-only
/*
 * json: see json.h. What comes from a device is never printed but as a number or escaped.
 */
#include <linux/kernel.h>
#include <linux/string.h>

#include "json.h"
#include "tool.h"

static void quoted(struct json *j, const char *s, size_t len)
{
	size_t i;

	fputc('"', j->out);
	for (i = 0; i < len; i++) {
		u8 c = s[i];

		if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
			fprintf(j->out, "\\u%04x", c);
		else
			fputc(c, j->out);
	}
	fputc('"', j->out);
}

static void new_line(struct json *j)
{
	if (j->flat)
		fputc(' ', j->out);
	else
		fprintf(j->out, "\n%*s", (int)(2 * j->depth), "");
}

static void begin(struct json *j, const char *key)
{
	if (j->more)
		fputc(',', j->out);
	if (j->depth)
		new_line(j);
	j->more = true;
	if (!key)
		return;
	quoted(j, key, strlen(key));
	fputs(": ", j->out);
}

void json_open(struct json *j, const char *key, char bracket)
{
	begin(j, key);
	fputc(bracket, j->out);
	j->depth++;
	j->more = false;
}

void json_open_flat(struct json *j, const char *key)
{
	json_open(j, key, '{');
	j->flat = true;
}

void json_close(struct json *j, char bracket)
{
	j->depth--;
	if (j->more)
		new_line(j);
	fputc(bracket, j->out);
	j->flat = false;
	j->more = true;
	if (!j->depth)
		fputc('\n', j->out);
}

void json_u64(struct json *j, const char *key, u64 v)
{
	begin(j, key);
	fprintf(j->out, "%llu", v);
}

void json_hex(struct json *j, const char *key, u64 v)
{
	begin(j, key);
	fprintf(j->out, "\"%#llx\"", v);
}

void json_bool(struct json *j, const char *key, bool v)
{
	begin(j, key);
	fputs(v ? "true" : "false", j->out);
}

void json_str(struct json *j, const char *key, const char *v)
{
	begin(j, key);
	quoted(j, v, strlen(v));
}

void json_bytes(struct json *j, const char *key, const u8 *p, size_t max)
{
	begin(j, key);
	quoted(j, (const char *)p, strnlen((const char *)p, max));
}

void json_uuid(struct json *j, const char *key, const u8 *uuid)
{
	char text[TOOL_UUID_TEXT];

	tool_uuid(uuid, text);
	json_str(j, key, text);
}
