// SPDX-License-Identifier: GPL-2.0-only
/*
 * addr: "10.0.0.1:7000" and "[fe80::1]:7000", read and printed. Numbers only: it must never look a
 * name up, and takes no form that another reader might take for another address.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "config.h"

#define V4_BYTES	4
#define V6_GROUPS	8

/* A number of 1..max_digits digits without leading zeros; moves *p behind it. */
static int take_number(const char **p, unsigned int max_digits, u32 max, u32 *out)
{
	const char *s = *p;
	unsigned int n;
	u32 v = 0;

	for (n = 0; s[n] >= '0' && s[n] <= '9'; n++) {
		if (n >= max_digits)
			return -EINVAL;
		v = v * 10 + (s[n] - '0');
	}
	if (!n || v > max || (s[0] == '0' && n > 1))
		return -EINVAL;
	*p = s + n;
	*out = v;
	return 0;
}

static int take_port(const char *s, u16 *port)
{
	u32 v;

	if (*s++ != ':' || take_number(&s, 5, 65535, &v) || *s || !v)
		return -EINVAL;
	*port = v;
	return 0;
}

static int parse_v4(const char *s, struct circle_addr *out)
{
	unsigned int i;
	u32 v;

	for (i = 0; i < V4_BYTES; i++) {
		if (i && *s++ != '.')
			return -EINVAL;
		if (take_number(&s, 3, 255, &v))
			return -EINVAL;
		out->addr[i] = v;
	}
	out->family = 4;
	return take_port(s, &out->port);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int take_group(const char **p, u16 *out)
{
	const char *s = *p;
	unsigned int n;
	u16 v = 0;

	for (n = 0; hex_digit(s[n]) >= 0; n++) {
		if (n == 4)
			return -EINVAL;
		v = v << 4 | hex_digit(s[n]);
	}
	*p = s + n;
	*out = v;
	return n ? 0 : -EINVAL;
}

/* Reads up to the bracket; *gap is the number of groups before "::", or -1. */
static int take_groups(const char **p, u16 *group, int *gap)
{
	const char *s = *p;
	int n = 0;

	*gap = -1;
	if (s[0] == ':' && s[1] == ':') {
		*gap = 0;
		s += 2;
	}
	while (*s != ']' || (n && s[-1] == ':' && *gap != n)) {
		if (n == V6_GROUPS || take_group(&s, &group[n]))
			return -EINVAL;
		n++;
		if (*s == ']')
			break;
		if (*s++ != ':')
			return -EINVAL;
		if (*s != ':')
			continue;
		if (*gap >= 0)
			return -EINVAL;
		*gap = n;
		s++;
	}
	*p = s;
	return n;
}

static int parse_v6(const char *s, struct circle_addr *out)
{
	u16 group[V6_GROUPS];
	int n, gap, i, at;

	s++;
	n = take_groups(&s, group, &gap);
	if (n < 0 || (gap < 0 ? n != V6_GROUPS : n >= V6_GROUPS))
		return -EINVAL;
	for (i = 0; i < n; i++) {
		at = gap < 0 || i < gap ? i : V6_GROUPS - n + i;
		out->addr[2 * at] = group[i] >> 8;
		out->addr[2 * at + 1] = group[i] & 0xff;
	}
	out->family = 6;
	return take_port(s + 1, &out->port);
}

int circle_addr_parse(const char *s, struct circle_addr *out)
{
	int ret;

	memset(out, 0, sizeof(*out));
	ret = *s == '[' ? parse_v6(s, out) : parse_v4(s, out);
	if (ret)
		memset(out, 0, sizeof(*out));
	return ret;
}

static u16 group_of(const struct circle_addr *a, int i)
{
	return a->addr[2 * i] << 8 | a->addr[2 * i + 1];
}

/* The first longest run of two or more zero groups, as RFC 5952 asks; its length is 0 if none. */
static int longest_zeros(const struct circle_addr *a, int *start)
{
	int i, n, best = 0;

	for (i = 0; i < V6_GROUPS; i += n + 1) {
		for (n = 0; i + n < V6_GROUPS && !group_of(a, i + n); n++)
			;
		if (n < 2 || n <= best)
			continue;
		best = n;
		*start = i;
	}
	return best;
}

static int print_v6(const struct circle_addr *a, char *buf, unsigned int len)
{
	char text[V6_GROUPS * 5 + 2];
	int start = -1, zeros, used = 0, i;

	zeros = longest_zeros(a, &start);
	for (i = 0; i < V6_GROUPS; i++) {
		if (zeros && i == start) {
			used += snprintf(text + used, sizeof(text) - used, "::");
			i += zeros - 1;
			continue;
		}
		used += snprintf(text + used, sizeof(text) - used, "%s%x",
				 i && (!zeros || i != start + zeros) ? ":" : "", group_of(a, i));
	}
	return snprintf(buf, len, "[%s]:%u", text, a->port);
}

int circle_addr_print(const struct circle_addr *a, char *buf, unsigned int len)
{
	const u8 *b = a->addr;

	if (a->family == 4)
		return snprintf(buf, len, "%u.%u.%u.%u:%u", b[0], b[1], b[2], b[3], a->port);
	if (a->family == 6)
		return print_v6(a, buf, len);
	return snprintf(buf, len, "-");
}
