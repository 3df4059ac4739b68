// SPDX-License-Identifier: GPL-2.0-only
/*
 * mkimage: images of metadata devices and labels, made by core/'s encoders as commands on stdin
 * say:
 *
 *	meta PATH MBS			a new file of so many metadata blocks
 *	super KEY=VALUE...		fields of the superblock (a name of its C structure)
 *	owner N KEY=VALUE...		foreign set N, from 1
 *	slot N KEY=VALUE...		state of a slot from now on; nothing: free
 *	format LSN			layout; copy A of all table pages, as the slots are now
 *	page A|B INDEX LSN		one table page
 *	jblock LSN COMMIT BLOCKS N...	one journal block with the states of these slots
 *	put COPY			the superblock; its seq as set before
 *	label PATH SECTOR COPY KEY=VALUE... [peer=ID,IN_VIEW,INSTANCE]...
 *
 * Numbers in C's notation. uuids are named by one number, which is their first byte.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <fcntl.h>
#include <unistd.h>

#include "disk.h"
#include "label.h"
#include "tool.h"

#define SLOTS_MAX	4096
#define PAGES_MAX	64

static struct circle_super sb;
static struct circle_slot_state slots[SLOTS_MAX];
static u64 then[PAGES_MAX];
static u64 dev_mbs;
static u8 mb[CIRCLE_MB_SIZE];
static int fd = -1;

static void die(const char *what)
{
	fprintf(stderr, "mkimage: %s\n", what);
	exit(1);
}

static void put(u64 at)
{
	if (pwrite(fd, mb, sizeof(mb), at * CIRCLE_MB_SIZE) != sizeof(mb))
		die("cannot write");
}

/* The value of word if its key is this one. */
static bool is(const char *word, const char *key, u64 *v)
{
	size_t n = strlen(key);

	if (strncmp(word, key, n) || word[n] != '=')
		return false;
	*v = strtoull(word + n + 1, NULL, 0);
	return true;
}

struct field {
	const char *name;
	unsigned int at, size;
};

/* Is it one of these? Then it was set. For little-endian hosts. */
static bool set_field(void *s, const struct field *f, unsigned int n, const char *word)
{
	u64 v;

	for (; n; n--, f++) {
		if (!is(word, f->name, &v))
			continue;
		memcpy((u8 *)s + f->at, &v, f->size);
		return true;
	}
	return false;
}

static const struct field super_fields[] = {
	{ "flags", offsetof(struct circle_super, flags), 4 },
	{ "seq", offsetof(struct circle_super, seq), 8 },
	{ "generation", offsetof(struct circle_super, generation), 8 },
	{ "activation", offsetof(struct circle_super, activation), 8 },
	{ "next_generation", offsetof(struct circle_super, next_generation), 8 },
	{ "next_activation", offsetof(struct circle_super, next_activation), 8 },
	{ "node_id", offsetof(struct circle_super, node_id), 4 },
	{ "label_kind", offsetof(struct circle_super, label_kind), 4 },
	{ "label_sector", offsetof(struct circle_super, label_sector), 8 },
	{ "nr_slots", offsetof(struct circle_super, nr_slots), 8 },
	{ "origin_sectors", offsetof(struct circle_super, origin_sectors), 8 },
	{ "tail_lsn", offsetof(struct circle_super, tail_lsn), 8 },
};

static const struct field owner_fields[] = {
	{ "generation", offsetof(struct circle_owner, generation), 8 },
	{ "activation", offsetof(struct circle_owner, activation), 8 },
	{ "node_id", offsetof(struct circle_owner, node_id), 4 },
};

static const struct field slot_fields[] = {
	{ "block", offsetof(struct circle_slot_state, block), 8 },
	{ "valid", offsetof(struct circle_slot_state, valid), 8 },
	{ "dirty", offsetof(struct circle_slot_state, dirty), 8 },
	{ "seq", offsetof(struct circle_slot_state, seq), 8 },
	{ "gen", offsetof(struct circle_slot_state, gen), 8 },
	{ "owner", offsetof(struct circle_slot_state, owner), 2 },
	{ "flags", offsetof(struct circle_slot_state, flags), 2 },
};

static const struct field label_fields[] = {
	{ "state", offsetof(struct circle_label, state), 2 },
	{ "flags", offsetof(struct circle_label, flags), 4 },
	{ "seq", offsetof(struct circle_label, seq), 8 },
	{ "generation", offsetof(struct circle_label, generation), 8 },
	{ "activation", offsetof(struct circle_label, activation), 8 },
	{ "node_id", offsetof(struct circle_label, node_id), 4 },
	{ "degree", offsetof(struct circle_label, degree), 4 },
	{ "floor", offsetof(struct circle_label, floor), 4 },
	{ "block_sectors", offsetof(struct circle_label, block_sectors), 4 },
	{ "origin_sectors", offsetof(struct circle_label, origin_sectors), 8 },
};

static void set_super(const char *word)
{
	u64 v;

	if (set_field(&sb, super_fields, ARRAY_SIZE(super_fields), word))
		return;
	if (is(word, "block_sectors", &v)) {
		sb.block_sectors = v;
		sb.page_sectors = circle_page_sectors(v);
	} else if (is(word, "meta_uuid", &v)) {
		sb.meta_uuid[0] = v;
	} else if (is(word, "set_uuid", &v)) {
		sb.set_uuid[0] = v;
	} else {
		die(word);
	}
}

static void set_owner(struct circle_owner *o, const char *word)
{
	u64 v;

	if (set_field(o, owner_fields, ARRAY_SIZE(owner_fields), word))
		return;
	if (!is(word, "uuid", &v))
		die(word);
	o->uuid[0] = v;
}

static void set_slot(struct circle_slot_state *s, const char *word)
{
	if (!set_field(s, slot_fields, ARRAY_SIZE(slot_fields), word))
		die(word);
}

static void set_peer(struct circle_label *l, const char *text)
{
	struct circle_peer_rec *p;
	unsigned int id, view;
	u64 instance;

	if (sscanf(text, "%u,%u,%llu", &id, &view, &instance) != 3)
		die(text);
	for (p = l->peer; p->id; p++)
		;
	*p = (struct circle_peer_rec){ .id = id, .family = 4, .port = 7000, .in_view = view,
				       .addr = { 10, 0, 0, id }, .instance = instance };
	snprintf((char *)p->domain, CIRCLE_DOMAIN_SIZE, "node%u", id);
}

static void set_label(struct circle_label *l, const char *word)
{
	u64 v;

	if (set_field(l, label_fields, ARRAY_SIZE(label_fields), word))
		return;
	if (is(word, "set_uuid", &v))
		l->set_uuid[0] = v;
	else if (!strncmp(word, "peer=", 5))
		set_peer(l, word + 5);
	else
		die(word);
}

static void page(u64 at, u64 index, u64 lsn)
{
	u32 first = index * CIRCLE_SLOTS_PER_MB, i;

	circle_page_start(mb, sb.meta_uuid, index, lsn);
	for (i = 0; i < CIRCLE_SLOTS_PER_MB && first + i < sb.nr_slots; i++)
		circle_page_put(mb, i, &slots[first + i]);
	circle_page_seal(mb, tool_crc);
	put(at + index);
	if (lsn < sb.tail_lsn)
		then[index] = lsn;
}

static void format(u64 lsn)
{
	u64 i;

	if (circle_disk_layout(&sb, dev_mbs, NULL) || sb.table_pages > PAGES_MAX)
		die("no such layout");
	for (i = 0; i < sb.table_pages; i++)
		page(sb.table_start, i, lsn);
}

static void jblock(char **word, unsigned int n)
{
	struct circle_jhead h = {
		.lsn = strtoull(word[1], NULL, 0), .commit = strtoull(word[2], NULL, 0),
		.commit_blocks = strtoul(word[3], NULL, 0), .nr_records = n - 4,
	};
	struct circle_record r;
	unsigned int i;

	circle_jblock_start(mb, sb.meta_uuid, &h);
	for (i = 4; i < n; i++) {
		r.slot = strtoul(word[i], NULL, 0);
		r.state = slots[r.slot % SLOTS_MAX];
		circle_jblock_put(mb, i - 4, &r);
	}
	circle_jblock_seal(mb, tool_crc);
	put(sb.journal_start + h.lsn % sb.journal_blocks);
}

static void put_super(unsigned int copy)
{
	u64 i;

	sb.table_digest = 0;
	for (i = 0; i < sb.table_pages; i++)
		sb.table_digest += circle_page_digest(i, then[i]);
	circle_super_encode(&sb, mb, tool_crc);
	put(copy ? CIRCLE_SB_COPY1_MB : 0);
}

static void label(char **word, unsigned int n)
{
	u64 at = strtoull(word[2], NULL, 0) << CIRCLE_SECTOR_SHIFT;
	struct circle_label l = { .state = CIRCLE_LS_ACTIVE };
	int out = open(word[1], O_RDWR);
	unsigned int i;

	for (i = 4; i < n; i++)
		set_label(&l, word[i]);
	snprintf((char *)l.domain, CIRCLE_DOMAIN_SIZE, "node%u", l.node_id);
	circle_label_encode(&l, mb, tool_crc);
	at += circle_label_offset(l.node_id, word[3][0] - '0');
	if (out < 0 || pwrite(out, mb, sizeof(mb), at) != sizeof(mb))
		die(word[1]);
	close(out);
}

static void meta(const char *path, const char *mbs)
{
	dev_mbs = strtoull(mbs, NULL, 0);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || ftruncate(fd, dev_mbs * CIRCLE_MB_SIZE))
		die(path);
}

static void command(char **word, unsigned int n)
{
	u32 nr = n > 1 ? strtoul(word[1], NULL, 0) : 0;
	unsigned int i;

	if (!strcmp(word[0], "meta") && n == 3) {
		meta(word[1], word[2]);
	} else if (!strcmp(word[0], "super")) {
		for (i = 1; i < n; i++)
			set_super(word[i]);
	} else if (!strcmp(word[0], "owner") && nr - 1 < CIRCLE_MAX_OWNERS) {
		for (i = 2; i < n; i++)
			set_owner(&sb.owner[nr - 1], word[i]);
	} else if (!strcmp(word[0], "slot") && nr < SLOTS_MAX) {
		memset(&slots[nr], 0, sizeof(slots[nr]));
		for (i = 2; i < n; i++)
			set_slot(&slots[nr], word[i]);
	} else if (!strcmp(word[0], "format") && n == 2) {
		format(nr);
	} else if (!strcmp(word[0], "page") && n == 4) {
		page(sb.table_start + (word[1][0] == 'B' ? sb.table_pages : 0),
		     strtoull(word[2], NULL, 0), strtoull(word[3], NULL, 0));
	} else if (!strcmp(word[0], "jblock") && n >= 4) {
		jblock(word, n);
	} else if (!strcmp(word[0], "put") && n == 2) {
		put_super(nr);
	} else if (!strcmp(word[0], "label") && n >= 4) {
		label(word, n);
	} else {
		die(word[0]);
	}
}

int main(void)
{
	char line[4096], *word[256], *s;
	unsigned int n;

	while (fgets(line, sizeof(line), stdin)) {
		n = 0;
		s = strtok(line, " \t\n");
		for (; s && n < ARRAY_SIZE(word); s = strtok(NULL, " \t\n"))
			word[n++] = s;
		if (n && word[0][0] != '#')
			command(word, n);
	}
	return 0;
}
