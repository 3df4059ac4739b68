/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * config: the table line, parsed by a table of arguments and printed back. Pure: strings are
 * copied into fixed arrays, nothing is allocated, no device is opened.
 *
 *	<metadata dev> <cache dev> <origin dev> <block size>
 *	<#feature args> [<feature>]*
 *	<policy> <#policy args> [<key> <value>]*
 *	[<#circle args> id <node> listen <addr:port> degree <R> [label <dev>] [domain <word>]
 *	 [key <keyring key>] [peer <node>@<addr:port>]* ...]
 * The grammar up to the policy is dm-cache's (kernel document admin-guide/device-mapper/cache).
 */
#ifndef CIRCLE_CORE_CONFIG_H
#define CIRCLE_CORE_CONFIG_H

#include <circle/types.h>

#define CIRCLE_PATH_MAX	256
#define CIRCLE_WORD_MAX	32
#define CIRCLE_MAX_FEATURES	16	/* words */

enum circle_mode { CIRCLE_WRITEBACK = 0, CIRCLE_WRITETHROUGH, CIRCLE_PASSTHROUGH };

struct circle_addr {
	u16 family;		/* 4 or 6, 0: unset */
	u16 port;
	u8 addr[16];		/* network order */
};

struct circle_peer_conf {
	u32 id;
	struct circle_addr addr;
};

struct circle_config {
	char metadata_dev[CIRCLE_PATH_MAX], cache_dev[CIRCLE_PATH_MAX], origin_dev[CIRCLE_PATH_MAX];
	u32 block_sectors;
	/* features */
	enum circle_mode mode;
	bool mode_given, metadata2, no_discard_passdown;
	bool recover, fenced, force;		/* act once: never printed back */
	unsigned int nr_features;		/* words as given, without those that act once */
	char feature[CIRCLE_MAX_FEATURES][CIRCLE_WORD_MAX];
	/* policy */
	char policy[CIRCLE_WORD_MAX];		/* "default", "smq", "mq", "cleaner" */
	unsigned int nr_policy_args;		/* words, even */
	char policy_arg[16][CIRCLE_WORD_MAX];
	u64 migration_threshold;		/* sectors; 2048 unless given */
	/* circle */
	bool circle;
	u32 id, degree;
	struct circle_addr listen;
	char label_dev[CIRCLE_PATH_MAX];	/* empty: tail of the origin */
	char domain[CIRCLE_DOMAIN_SIZE + 1];	/* empty: the node */
	char key[64];
	unsigned int nr_peers;
	struct circle_peer_conf peer[CIRCLE_MAX_PEERS];
};

/* argv: the words of the line behind the target's name. On failure returns -EINVAL (or -E2BIG:
 * too many or too long words) and *error is a constant string that says what is wrong with which
 * argument and what is expected, e.g. "circle: degree must be 0..8". Later arguments of the same
 * feature win as in dm-cache; a feature count that does not match, unknown words, an id outside
 * 1..127, a peer with this node's own id, a duplicate peer id, a degree above the number of peers
 * (except 0), block size not a multiple of 8 sectors or out of range, are refused. Circle args are
 * refused with writethrough, and with a page above 128 sectors (block above 4 MiB); `key` parses.
 * Each circle argument but peer is given at most once; a count of 0 circle args is a local cache.
 */
int circle_config_parse(struct circle_config *c, unsigned int argc, char **argv,
			const char **error);

/* A tunable of core or policy, as a pair of policy arguments or a message says it:
 * migration_threshold is set, the old mq's are accepted for mq without effect, else -EINVAL and
 * *error as above.
 */
int circle_config_set(struct circle_config *c, const char *key, const char *value,
		      const char **error);

/* "5" or "5-9" (without 9), of nr slots, as the message invalidate_cblocks has it. */
int circle_range_parse(const char *word, u32 nr, u32 *begin, u32 *end, const char **error);

/* Prints the policy's part of the status line: its name, `default` as what it is, and its
 * arguments. Returns the length that would be needed, as snprintf.
 */
int circle_config_print_policy(const struct circle_config *c, char *buf, unsigned int len);

/* Prints the line from <block size> on ("128 1 writeback smq 0 ..."), i.e. behind the devices,
 * which the face prints by number; features and policy arguments as they were given. TABLE must
 * parse back into the same configuration without the acts (recover, fenced, force). Returns the
 * length that would be needed, as snprintf.
 */
int circle_config_print(const struct circle_config *c, char *buf, unsigned int len);

/* What acts once has acted. */
static inline void circle_config_acted(struct circle_config *c)
{
	c->recover = false;
	c->fenced = false;
	c->force = false;
}

/* "10.0.0.1:7000", "[fe80::1]:7000" */
int circle_addr_parse(const char *s, struct circle_addr *out);
int circle_addr_print(const struct circle_addr *a, char *buf, unsigned int len);

#endif
