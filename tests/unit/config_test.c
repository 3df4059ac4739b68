// SPDX-License-Identifier: GPL-2.0-only
/*
 * config: good lines are understood and printed back, bad ones are refused with a reason.
 */
#include <stdlib.h>

#include "t.h"
#include "config.h"

#define MAX_WORDS 256

static struct circle_config c;
static const char *error;

/* Splits as device-mapper does, but for quotes. */
static int parse_into(struct circle_config *to, const char *line)
{
	static char text[8192];
	char *argv[MAX_WORDS], *save, *word;
	unsigned int argc = 0;

	snprintf(text, sizeof(text), "%s", line);
	for (word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	error = NULL;
	memset(to, 0xff, sizeof(*to));
	return circle_config_parse(to, argc, argv, &error);
}

static int parse(const char *line)
{
	return parse_into(&c, line);
}

#define DEV "/dev/meta /dev/ssd /dev/origin "
#define LOCAL DEV "512 0 default 0"
#define CIRCLE3 "id 1 listen 10.0.0.1:7000 degree 0"

static void check_good(int line_no, const char *line)
{
	static struct circle_config back;
	char text[4096], again[4096 + 800], printed[4096];
	int n;

	if (parse(line)) {
		printf("# line %d refused: %s: %s\n", line_no, line, error);
		t_fail(__FILE__, line_no, "good line");
		return;
	}
	n = circle_config_print(&c, text, sizeof(text));
	CHECK_EQ(n, strlen(text));
	snprintf(again, sizeof(again), "%s %s %s %s", c.metadata_dev, c.cache_dev, c.origin_dev,
		 text);
	if (parse_into(&back, again)) {
		printf("# printed line refused: %s: %s\n", again, error);
		t_fail(__FILE__, line_no, "printed line");
		return;
	}
	c.recover = c.fenced = c.force = false;
	CHECK(!memcmp(&c, &back, sizeof(c)));
	circle_config_print(&back, printed, sizeof(printed));
	CHECK(!strcmp(text, printed));
}

#define GOOD(line) check_good(__LINE__, line)

static void check_bad(int line_no, const char *line, int want, const char *text)
{
	int ret = parse(line);

	if (ret == want && error && strstr(error, text))
		return;
	printf("# '%s': %d, %s\n", line, ret, error ? error : "no error");
	t_fail_eq(__FILE__, line_no, text, ret, want);
}

#define BAD(line, text) check_bad(__LINE__, line, -EINVAL, text)
#define BIG(line, text) check_bad(__LINE__, line, -E2BIG, text)

TEST(config, dm_cache_examples)
{
	GOOD("/dev/mapper/metadata /dev/mapper/ssd /dev/mapper/origin 512 1 writeback default 0");
	GOOD("/dev/mapper/metadata /dev/mapper/ssd /dev/mapper/origin 1024 1 writeback "
	     "mq 4 sequential_threshold 1024 random_threshold 8");
	CHECK_EQ(c.nr_policy_args, 4);
	CHECK(!strcmp(c.policy_arg[3], "8"));
	GOOD("/dev/sdb /dev/sdc /dev/sdd 512 0 mq 4 sequential_threshold 1024 random_threshold 8");
	GOOD("253:0 253:1 253:2 128 2 metadata2 writethrough smq 2 migration_threshold 2048");
	CHECK_EQ(c.mode, CIRCLE_WRITETHROUGH);
	CHECK(c.metadata2);
}

TEST(config, local)
{
	GOOD(LOCAL);
	CHECK(!strcmp(c.metadata_dev, "/dev/meta"));
	CHECK(!strcmp(c.cache_dev, "/dev/ssd"));
	CHECK(!strcmp(c.origin_dev, "/dev/origin"));
	CHECK_EQ(c.block_sectors, 512);
	CHECK_EQ(c.mode, CIRCLE_WRITEBACK);
	CHECK(!c.mode_given && !c.circle);
	CHECK_EQ(c.migration_threshold, 2048);
	CHECK(!strcmp(c.policy, "default"));
	GOOD(DEV "8 0 cleaner 0");
	GOOD(DEV "2097152 0 smq 0");
	GOOD(DEV "512 1 passthrough smq 0");
	CHECK_EQ(c.mode, CIRCLE_PASSTHROUGH);
	GOOD(DEV "512 3 writeback metadata2 no_discard_passdown smq 0");
	CHECK(c.no_discard_passdown);
	GOOD(DEV "512 2 metadata2 metadata2 smq 0");
	GOOD(DEV "512 1 WriteThrough smq 0");
	GOOD(DEV "512 0 smq 0 0");
	CHECK(!c.circle);
}

TEST(config, acts_are_read_and_not_printed)
{
	char text[256];

	CHECK_EQ(parse(DEV "512 4 recover fenced force writeback smq 0"), 0);
	CHECK(c.recover && c.fenced && c.force && c.mode_given);
	circle_config_print(&c, text, sizeof(text));
	CHECK(!strcmp(text, "512 1 writeback smq 0"));
	GOOD(DEV "512 3 force fenced metadata2 smq 0");
}

TEST(config, policy)
{
	GOOD(DEV "512 0 smq 2 migration_threshold 0");
	CHECK_EQ(c.migration_threshold, 0);
	GOOD(DEV "512 0 smq 2 migration_threshold 18446744073709551615");
	CHECK_EQ(c.migration_threshold, U64_MAX);
	GOOD(DEV "512 0 cleaner 2 Migration_Threshold 77");
	CHECK_EQ(c.migration_threshold, 77);
	GOOD(DEV "512 0 smq 4 migration_threshold 1 migration_threshold 2");
	CHECK_EQ(c.migration_threshold, 2);
	GOOD(DEV "512 0 mq 12 sequential_threshold 1 random_threshold 2 "
	     "read_promote_adjustment 3 write_promote_adjustment 4 "
	     "discard_promote_adjustment 5 migration_threshold 6");
	CHECK_EQ(c.nr_policy_args, 12);
	GOOD(DEV "512 0 smq 16 migration_threshold 1 migration_threshold 2 migration_threshold 3 "
	     "migration_threshold 4 migration_threshold 5 migration_threshold 6 "
	     "migration_threshold 7 migration_threshold 6");
	CHECK_EQ(c.nr_policy_args, 16);
	CHECK_EQ(c.migration_threshold, 6);
}

TEST(config, circle)
{
	GOOD(LOCAL " 6 id 1 listen 10.0.0.1:7000 degree 0");
	CHECK(c.circle);
	CHECK_EQ(c.id, 1);
	CHECK_EQ(c.listen.family, 4);
	CHECK_EQ(c.listen.port, 7000);
	CHECK(!memcmp(c.listen.addr, "\x0a\0\0\x01", 4));
	GOOD(DEV "8192 1 writeback smq 0 18 peer 127@[fe80::1]:65535 id 126 "
	     "key circle:lab label /dev/disk/by-id/x-1 listen 0.0.0.0:1 degree 2 domain rack_7.b "
	     "peer 3@192.168.255.1:80 peer 4@[::1]:7");
	CHECK_EQ(c.nr_peers, 3);
	CHECK_EQ(c.peer[0].id, 127);
	CHECK_EQ(c.peer[0].addr.family, 6);
	CHECK_EQ(c.peer[1].id, 3);
	CHECK(!strcmp(c.domain, "rack_7.b"));
	CHECK(!strcmp(c.key, "circle:lab"));
	CHECK(!strcmp(c.label_dev, "/dev/disk/by-id/x-1"));
	GOOD(LOCAL " 8 ID 1 LISTEN [::]:7000 degree 0 domain sixteen-letters!");
	GOOD(DEV "512 1 passthrough smq 0 6 " CIRCLE3);
	GOOD(LOCAL " 8 " CIRCLE3 " peer 2@10.0.0.2:7000");
}

TEST(config, circle_with_most_peers)
{
	char line[4096], *p = line;
	int i;

	p += sprintf(p, LOCAL " 70 id 1 listen 10.0.0.1:7000 degree 8");
	for (i = 2; i < 34; i++)
		p += sprintf(p, " peer %d@10.0.0.%d:7000", i, i);
	GOOD(line);
	CHECK_EQ(c.nr_peers, 32);
}

TEST(config, printed_line)
{
	char text[512];

	CHECK_EQ(parse(DEV "512 2 no_discard_passdown writeback mq 2 random_threshold 8 10 "
		       "degree 1 peer 2@[FE80:0:0:0::1]:7000 domain r1 listen 10.0.0.1:7000 id 9"),
		 0);
	circle_config_print(&c, text, sizeof(text));
	CHECK(!strcmp(text, "512 2 no_discard_passdown writeback mq 2 random_threshold 8 10 id 9 "
		      "listen 10.0.0.1:7000 degree 1 domain r1 peer 2@[fe80::1]:7000"));
}

/* dm-cache gives back the words of its line. */
TEST(config, printed_as_given)
{
	char text[512];

	CHECK_EQ(parse(DEV "0128 5 metadata2 recover WriteThrough metadata2 fenced mq 4 "
		       "Random_Threshold 08 migration_threshold 7"), 0);
	CHECK_EQ(c.nr_features, 3);
	circle_config_print(&c, text, sizeof(text));
	CHECK(!strcmp(text, "128 3 metadata2 WriteThrough metadata2 mq 4 Random_Threshold 08 "
		      "migration_threshold 7"));
}

static bool policy_is(const char *line, const char *want)
{
	char text[256];
	int n;

	CHECK_EQ(parse(line), 0);
	n = circle_config_print_policy(&c, text, sizeof(text));
	CHECK_EQ(n, strlen(want));
	return !strcmp(text, want);
}

TEST(config, policy_as_in_status)
{
	CHECK(policy_is(DEV "512 0 default 0", "smq 0 "));
	CHECK(policy_is(DEV "512 0 smq 2 migration_threshold 5", "smq 0 "));
	CHECK(policy_is(DEV "512 0 cleaner 0", "cleaner 0 "));
	CHECK(policy_is(DEV "512 0 mq 2 random_threshold 8",
			"mq 10 random_threshold 0 sequential_threshold 0 "
			"discard_promote_adjustment 0 read_promote_adjustment 0 "
			"write_promote_adjustment 0 "));
}

static int set(const char *key, const char *value)
{
	error = NULL;
	return circle_config_set(&c, key, value, &error);
}

TEST(config, set_by_message)
{
	CHECK_EQ(parse(DEV "512 0 mq 0"), 0);
	CHECK_EQ(set("migration_threshold", "99"), 0);
	CHECK_EQ(c.migration_threshold, 99);
	CHECK_EQ(set("Sequential_Threshold", "1024"), 0);
	CHECK_EQ(set("random_threshold", "x"), -EINVAL);
	CHECK(error && strstr(error, "must be a number"));
	CHECK_EQ(set("nonsense", "1"), -EINVAL);
	CHECK(error && strstr(error, "unknown key"));
	CHECK_EQ(c.nr_policy_args, 0);
	CHECK_EQ(parse(DEV "512 0 smq 0"), 0);
	CHECK_EQ(set("sequential_threshold", "1024"), -EINVAL);
	CHECK_EQ(set("MIGRATION_THRESHOLD", "0"), 0);
	CHECK_EQ(c.migration_threshold, 0);
}

TEST(config, print_says_what_it_needs)
{
	char text[512], *small;
	unsigned int n, len;

	CHECK_EQ(parse(LOCAL " 8 " CIRCLE3 " peer 2@10.0.0.2:7000"), 0);
	n = circle_config_print(&c, text, sizeof(text));
	for (len = 0; len <= n + 1; len++) {
		small = malloc(len ? len : 1);
		CHECK_EQ(circle_config_print(&c, len ? small : NULL, len), n);
		if (len)
			CHECK(!strncmp(small, text, len - 1) && !small[min(len - 1, n)]);
		free(small);
	}
}

TEST(config, bad_devices_and_block_size)
{
	BAD("", "device are required");
	BAD("/dev/a", "device are required");
	BAD("/dev/a /dev/b", "device are required");
	BAD("/dev/a /dev/b /dev/c", "block size is required");
	BAD(DEV "x 0 smq 0", "block size must");
	BAD(DEV "0 0 smq 0", "block size must");
	BAD(DEV "4 0 smq 0", "block size must");
	BAD(DEV "513 0 smq 0", "block size must");
	BAD(DEV "516 0 smq 0", "block size must");
	BAD(DEV "2097160 0 smq 0", "block size must");
	BAD(DEV "-512 0 smq 0", "block size must");
	BAD(DEV "+512 0 smq 0", "block size must");
	BAD(DEV "0x200 0 smq 0", "block size must");
	BAD(DEV "512k 0 smq 0", "block size must");
	BAD(DEV "99999999999999999999999 0 smq 0", "block size must");
	BAD(DEV "18446744073709552128 0 smq 0", "block size must");
}

TEST(config, long_paths)
{
	char line[1024];

	memset(line, 'a', 255);
	strcpy(line + 255, " /dev/b /dev/c 512 0 smq 0");
	GOOD(line);
	memset(line, 'a', 256);
	strcpy(line + 256, " /dev/b /dev/c 512 0 smq 0");
	BIG(line, "longer than 255");
}

TEST(config, bad_features)
{
	BAD(DEV "512", "features: a count");
	BAD(DEV "512 writeback smq 0", "features: a count");
	BAD(DEV "512 -1 smq 0", "features: a count");
	BAD(DEV "512 3 writeback", "features: a count");
	BAD(DEV "512 99 writeback smq 0", "features: a count");
	BAD(DEV "512 2 writeback smq 0", "features: unknown word, or the count");
	BAD(DEV "512 1 writebak smq 0", "features: unknown word");
	BAD(DEV "512 2 writeback writethrough smq 0", "features: only one of");
	BAD(DEV "512 2 writeback writeback smq 0", "features: only one of");
	BAD(DEV "512 3 passthrough metadata2 writethrough smq 0", "features: only one of");
	BAD(DEV "512 0 writeback smq 0", "policy: must be");
	BAD(DEV "512 17 metadata2 metadata2 metadata2 metadata2 metadata2 metadata2 metadata2 "
	    "metadata2 metadata2 metadata2 metadata2 metadata2 metadata2 metadata2 metadata2 "
	    "metadata2 metadata2 smq 0", "features: a count");
}

TEST(config, bad_policy)
{
	BAD(DEV "512 0", "a policy is required");
	BAD(DEV "512 0 lru 0", "policy: must be");
	BAD(DEV "512 0 SMQ 0", "policy: must be");
	BAD(DEV "512 0 smq", "policy: a count");
	BAD(DEV "512 0 smq x", "policy: a count");
	BAD(DEV "512 0 smq 2", "policy: a count");
	BAD(DEV "512 0 smq 2 migration_threshold", "policy: a count");
	BAD(DEV "512 0 smq 1 migration_threshold", "policy: arguments are pairs");
	BAD(DEV "512 0 smq 3 migration_threshold 5 x", "policy: arguments are pairs");
	BAD(DEV "512 0 smq 2 migration_threshold x", "policy: a value");
	BAD(DEV "512 0 smq 2 migration_threshold -5", "policy: a value");
	BAD(DEV "512 0 smq 2 migration_threshold 18446744073709551616", "policy: a value");
	BAD(DEV "512 0 smq 2 random_threshold 5", "policy: unknown key");
	BAD(DEV "512 0 default 2 sequential_threshold 5", "policy: unknown key");
	BAD(DEV "512 0 cleaner 2 read_promote_adjustment 5", "policy: unknown key");
	BAD(DEV "512 0 mq 2 hotspots 5", "policy: unknown key");
	BAD(DEV "512 0 mq 2 random_threshold many", "policy: a value");
	BIG(DEV "512 0 mq 2 random_threshold 00000000000000000000000000000001", "policy: a word");
	BIG(DEV "512 0 smq 18 migration_threshold 1 migration_threshold 1 migration_threshold 1 "
	    "migration_threshold 1 migration_threshold 1 migration_threshold 1 "
	    "migration_threshold 1 migration_threshold 1 migration_threshold 1", "more than 16");
}

TEST(config, bad_circle_counts)
{
	BAD(LOCAL " x", "circle: a count");
	BAD(LOCAL " id 1", "circle: a count");
	BAD(LOCAL " 6", "circle: a count");
	BAD(LOCAL " 6 id 1 listen 10.0.0.1:7000 degree", "circle: a count");
	BAD(LOCAL " 8 " CIRCLE3, "circle: a count");
	BAD(LOCAL " 5 " CIRCLE3, "circle: every argument");
	BAD(LOCAL " 6 " CIRCLE3 " peer 2@10.0.0.2:7000", "words are left over");
	BAD(LOCAL " 6 " CIRCLE3 " x", "words are left over");
	BAD(LOCAL " 0 x", "words are left over");
	BAD(LOCAL " 4000000000 " CIRCLE3, "circle: a count");
}

TEST(config, bad_circle_values)
{
	BAD(LOCAL " 2 id 1", "listen is required");
	BAD(LOCAL " 4 listen 10.0.0.1:7000 degree 0", "id is required");
	BAD(LOCAL " 4 id 1 listen 10.0.0.1:7000", "degree is required");
	BAD(LOCAL " 6 id 0 listen 10.0.0.1:7000 degree 0", "id must be");
	BAD(LOCAL " 6 id 128 listen 10.0.0.1:7000 degree 0", "id must be");
	BAD(LOCAL " 6 id one listen 10.0.0.1:7000 degree 0", "id must be");
	BAD(LOCAL " 6 id 1 listen 10.0.0.1 degree 0", "listen must be");
	BAD(LOCAL " 6 id 1 listen host:7000 degree 0", "listen must be");
	BAD(LOCAL " 6 id 1 listen 10.0.0.1:7000 degree 9", "degree must be");
	BAD(LOCAL " 6 id 1 listen 10.0.0.1:7000 degree -1", "degree must be");
	BAD(LOCAL " 6 id 1 listen 10.0.0.1:7000 degree 1", "degree is above");
	BAD(LOCAL " 8 id 1 listen 10.0.0.1:7000 degree 2 peer 2@10.0.0.2:1", "degree is above");
	BAD(LOCAL " 8 " CIRCLE3 " id 2", "given twice");
	BAD(LOCAL " 8 " CIRCLE3 " degree 0", "given twice");
	BAD(LOCAL " 8 " CIRCLE3 " colour blue", "unknown argument");
	BAD(LOCAL " 8 " CIRCLE3 " label a\\b", "label must be");
	GOOD(LOCAL " 8 " CIRCLE3 " label ~!$'\"");
	BAD(LOCAL " 8 " CIRCLE3 " domain a\x01", "domain must be");
	BAD(LOCAL " 8 " CIRCLE3 " domain r\xc3\xa9", "domain must be");
	BIG(LOCAL " 8 " CIRCLE3 " domain seventeen-letters", "domain is longer");
	BIG(LOCAL " 8 " CIRCLE3 " key "
	    "0123456789012345678901234567890123456789012345678901234567890123", "key is longer");
	BAD(DEV "512 1 writethrough smq 0 6 " CIRCLE3, "not with writethrough");
	BAD(DEV "8200 0 smq 0 6 " CIRCLE3, "at most 8192");
}

TEST(config, bad_peers)
{
	BAD(LOCAL " 8 " CIRCLE3 " peer 2", "peer must be");
	BAD(LOCAL " 8 " CIRCLE3 " peer @10.0.0.2:7000", "peer must be");
	BAD(LOCAL " 8 " CIRCLE3 " peer 0@10.0.0.2:7000", "peer must be");
	BAD(LOCAL " 8 " CIRCLE3 " peer 128@10.0.0.2:7000", "peer must be");
	BAD(LOCAL " 8 " CIRCLE3 " peer 1000@10.0.0.2:7000", "peer must be");
	BAD(LOCAL " 8 " CIRCLE3 " peer x@10.0.0.2:7000", "peer must be");
	BAD(LOCAL " 8 " CIRCLE3 " peer 0002@10.0.0.2:7000", "peer must be");
	BAD(LOCAL " 8 " CIRCLE3 " peer 2@10.0.0.2", "peer must be");
	BAD(LOCAL " 8 " CIRCLE3 " peer 2@10.0.0.2:0", "peer must be");
	BAD(LOCAL " 8 " CIRCLE3 " peer 2@0.0.0.0:7000", "peer must be");
	BAD(LOCAL " 8 " CIRCLE3 " peer 2@[::]:7000", "peer must be");
	BAD(LOCAL " 8 " CIRCLE3 " peer 2@", "peer must be");
	BAD(LOCAL " 8 " CIRCLE3 " peer 1@10.0.0.2:7000", "own id");
	BAD(LOCAL " 8 peer 1@10.0.0.2:7000 " CIRCLE3, "own id");
	BAD(LOCAL " 10 " CIRCLE3 " peer 2@10.0.0.2:7000 peer 2@10.0.0.3:7000", "same id");
}

TEST(config, too_many_peers)
{
	char line[4096], *p = line;
	int i;

	p += sprintf(p, LOCAL " 72 " CIRCLE3);
	for (i = 2; i < 35; i++)
		p += sprintf(p, " peer %d@10.0.0.%d:7000", i, i);
	BIG(line, "more than 32 peers");
}

TEST(config, every_prefix_is_refused_or_whole)
{
	static const char *const line[] = {
		"a", "b", "c", "512", "1", "writeback", "smq", "2", "migration_threshold", "5",
		"8", "id", "1", "listen", "1.2.3.4:5", "degree", "1", "peer", "2@1.2.3.4:6",
	};
	unsigned int n;

	for (n = 0; n <= ARRAY_SIZE(line); n++) {
		error = NULL;
		if (n == 10 || n == ARRAY_SIZE(line)) {
			CHECK_EQ(circle_config_parse(&c, n, (char **)line, &error), 0);
			continue;
		}
		CHECK_EQ(circle_config_parse(&c, n, (char **)line, &error), -EINVAL);
		CHECK(error);
	}
}

TEST(config, words_that_would_need_quotes)
{
	char *line[] = { "a", "b", "c", "512", "0", "smq", "0", "8", "id", "1", "listen",
			 "1.2.3.4:5", "degree", "0", "label", "a b" };

	CHECK_EQ(circle_config_parse(&c, ARRAY_SIZE(line), line, &error), -EINVAL);
	line[15] = "";
	CHECK_EQ(circle_config_parse(&c, ARRAY_SIZE(line), line, &error), -EINVAL);
	line[15] = "a";
	CHECK_EQ(circle_config_parse(&c, ARRAY_SIZE(line), line, &error), 0);
	line[0] = "a b";
	CHECK_EQ(circle_config_parse(&c, ARRAY_SIZE(line), line, &error), 0);
}

TEST(config, empty_words)
{
	static const char *const line[] = { "a", "", "c", "512", "0", "smq", "0" };

	CHECK_EQ(circle_config_parse(&c, ARRAY_SIZE(line), (char **)line, &error), -EINVAL);
}

TEST(addr, good)
{
	static const struct {
		const char *in, *out;
	} is[] = {
		{ "10.0.0.1:7000", NULL }, { "255.255.255.255:65535", NULL }, { "0.0.0.0:1", NULL },
		{ "[::]:1", NULL }, { "[::1]:7000", NULL }, { "[fe80::1]:7000", NULL },
		{ "[fe80::]:7000", NULL }, { "[1:2:3:4:5:6:7:8]:9", NULL },
		{ "[1:0:3:4:5:6:7:8]:9", NULL }, { "[2001:db8::a:b]:443", NULL },
		{ "[1:0:0:2:0:0:0:3]:9", "[1:0:0:2::3]:9" },
		{ "[1:0:0:2:3:0:0:4]:9", "[1::2:3:0:0:4]:9" },
		{ "[FE80::00AB]:7000", "[fe80::ab]:7000" }, { "[0:0::0]:5", "[::]:5" },
		{ "[1:2:3:4:5:6:7::]:9", "[1:2:3:4:5:6:7:0]:9" },
		{ "[::2:3:4:5:6:7:8]:9", "[0:2:3:4:5:6:7:8]:9" },
		{ "[0:0:0:0:0:0:0:0]:9", "[::]:9" }, { "[1::]:9", NULL },
		{ "[9::99]:9999", NULL }, { "9.99.199.249:59999", NULL },
	};
	struct circle_addr a, b;
	char text[64];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(is); i++) {
		CHECK_EQ(circle_addr_parse(is[i].in, &a), 0);
		CHECK_EQ(circle_addr_print(&a, text, sizeof(text)), strlen(text));
		if (strcmp(text, is[i].out ? is[i].out : is[i].in)) {
			printf("# %s printed as %s\n", is[i].in, text);
			t_fail(__FILE__, __LINE__, "address printed back");
		}
		CHECK_EQ(circle_addr_parse(text, &b), 0);
		CHECK(!memcmp(&a, &b, sizeof(a)));
	}
}

TEST(addr, bad)
{
	static const char *const is[] = {
		"", ":", "10.0.0.1", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:70000",
		"10.0.0.1:100000", "10.0.0.1:07", "10.0.0.1:7x", "10.0.0.1:-7", "10.0.0.1 :7",
		"10.0.0:7", "10.0.0.1.2:7", "256.0.0.1:7", "010.0.0.1:7", "1000.0.0.1:7",
		"10..0.1:7", ".10.0.0.1:7", "host:7", "0x0a.0.0.1:7", "[]:7", "[:]:7", "[:::]:7",
		"[::", "[::]", "[::]7", "[::]:", "::1:7", "[1:2:3:4:5:6:7]:8", "[1:2:3:4:5:6:7:8:9]:1",
		"[1:2:3:4:5:6:7:8::]:1", "[::1:2:3:4:5:6:7:8]:1", "[1::2::3]:4", "[1:2:]:3",
		"[:1:2]:3", "[12345::]:3", "[g::]:3", "[::1::]:3", "[::1.2.3.4]:3", "[fe80::1%eth0]:3",
		"[::1]:7 ", "[1:2:3:4:5:6:7:8:]:1", "[1::2:]:3",
	};
	struct circle_addr a;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(is); i++) {
		if (circle_addr_parse(is[i], &a) != -EINVAL) {
			printf("# accepted: %s\n", is[i]);
			t_fail(__FILE__, __LINE__, "bad address");
		}
		CHECK(!a.family && !a.port);
	}
}

TEST(addr, every_prefix_is_read_within_its_end)
{
	static const char whole[] = "[1:2:3:4:5:6:7:8]:65535";
	struct circle_addr a;
	unsigned int n;
	char *p;

	for (n = 0; n < sizeof(whole); n++) {
		p = malloc(n + 1);
		memcpy(p, whole, n);
		p[n] = '\0';
		CHECK_EQ(circle_addr_parse(p, &a), n < 19 ? -EINVAL : 0);
		free(p);
	}
}

TEST(addr, unset)
{
	struct circle_addr a = { 0 };
	char text[8];

	CHECK_EQ(circle_addr_print(&a, text, sizeof(text)), 1);
	CHECK(!strcmp(text, "-"));
}

static int range(const char *word, u32 nr)
{
	static u32 begin, end;
	int r;

	error = NULL;
	r = circle_range_parse(word, nr, &begin, &end, &error);
	return r ? r : (int)(begin * 1000 + end);
}

TEST(config, ranges_of_blocks)
{
	CHECK_EQ(range("0", 1), 1);
	CHECK_EQ(range("5", 10), 5006);
	CHECK_EQ(range("5-9", 10), 5009);
	CHECK_EQ(range("0-10", 10), 10);
	CHECK_EQ(range("9-10", 10), 9010);
	CHECK_EQ(range("10", 10), -EINVAL);
	CHECK(strstr(error, "beyond the last"));
	CHECK_EQ(range("5-11", 10), -EINVAL);
	CHECK(strstr(error, "beyond the last"));
	CHECK_EQ(range("5-5", 10), -EINVAL);
	CHECK(strstr(error, "is empty"));
	CHECK_EQ(range("7-5", 10), -EINVAL);
	CHECK(strstr(error, "is empty"));
}

TEST(config, ranges_that_are_none)
{
	static const char *const bad[] = {
		"", "-", "-5", "5-", "5-9-12", "x", "5x", "5-9x", " 5", "+5", "0x5", "5--9", "4294967296",
		"18446744073709551617", "99999999999999999999999999", "5-99999999999999999999999",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK_EQ(range(bad[i], U32_MAX), -EINVAL);
		CHECK(error && strstr(error, "is neither"));
	}
}
