// SPDX-License-Identifier: GPL-2.0-only
/*
 * disk: what stands on the metadata device, encoded, decoded and judged: superblock, slot table
 * pages, journal blocks, and the geometry. It must never do I/O, allocate, lock or read a clock,
 * and must never hand out a field of a block before magic, checksum, version and ranges are right.
 */
#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include <asm/byteorder.h>

#include "disk.h"
#include "sum.h"

#define JOURNAL_MIN_MBS	64
#define JOURNAL_MAX_MBS	32768
#define LSN_MAX		BIT_ULL(62)	/* so that tail + ring never wraps */
#define MB_MAX		BIT_ULL(52)	/* a device has no more metadata blocks */
#define MAP_VERSION	2		/* of the superblock: map_lsn is there */

static bool blank(const void *mb)
{
	return !memchr_inv(mb, 0, CIRCLE_MB_SIZE);
}

static bool block_sectors_ok(u32 n)
{
	return n >= CIRCLE_MIN_BLOCK_SECTORS && n <= CIRCLE_MAX_BLOCK_SECTORS &&
	       !(n % CIRCLE_MIN_BLOCK_SECTORS);
}

static u64 pages_of_table(u64 nr_slots)
{
	u32 n = nr_slots;	/* at most CIRCLE_MAX_SLOTS; rounding up would overflow */

	return n / CIRCLE_SLOTS_PER_MB + (n % CIRCLE_SLOTS_PER_MB != 0);
}

u32 circle_page_sectors(u32 block_sectors)
{
	u32 least = block_sectors / CIRCLE_MAX_PAGES + (block_sectors % CIRCLE_MAX_PAGES != 0);
	u32 n = CIRCLE_MIN_BLOCK_SECTORS;

	while (n < least)
		n <<= 1;
	return n;
}

int circle_disk_layout(struct circle_super *sb, u64 dev_mbs, u64 *need)
{
	u64 start, least;

	if (!sb->nr_slots || sb->nr_slots > CIRCLE_MAX_SLOTS)
		return -EINVAL;
	start = CIRCLE_TABLE_START_MB + 2 * pages_of_table(sb->nr_slots);
	least = start + JOURNAL_MIN_MBS;
	if (need)
		*need = least;
	if (dev_mbs < least)
		return -ENOSPC;

	sb->table_start = CIRCLE_TABLE_START_MB;
	sb->table_pages = pages_of_table(sb->nr_slots);
	sb->journal_start = start;
	sb->journal_blocks = min_t(u64, dev_mbs - start, JOURNAL_MAX_MBS);
	return 0;
}

int circle_disk_resize(struct circle_super *sb, u64 nr_slots, u64 dev_mbs, u64 *need)
{
	u64 end;

	if (!nr_slots || nr_slots > CIRCLE_MAX_SLOTS)
		return -EINVAL;
	end = sb->table_start + 2 * pages_of_table(nr_slots);
	*need = max(end, sb->journal_start) + JOURNAL_MIN_MBS;
	if (end > sb->journal_start) {
		if (dev_mbs < *need)
			return -ENOSPC;
		sb->journal_start = end;
		sb->journal_blocks = min_t(u64, dev_mbs - end, JOURNAL_MAX_MBS);
	}
	sb->nr_slots = nr_slots;
	sb->table_pages = pages_of_table(nr_slots);
	return 0;
}

/* Superblock */

static u32 super_sum(const void *mb, circle_crc_fn crc)
{
	return circle_sum(mb, CIRCLE_MB_SIZE, offsetof(struct circle_disk_super, crc), crc);
}

static void owner_encode(const struct circle_owner *o, struct circle_disk_owner *d)
{
	memcpy(d->uuid, o->uuid, CIRCLE_UUID_SIZE);
	d->generation = cpu_to_le64(o->generation);
	d->activation = cpu_to_le64(o->activation);
	d->node_id = cpu_to_le32(o->node_id);
}

static void owner_decode(const struct circle_disk_owner *d, struct circle_owner *o)
{
	memcpy(o->uuid, d->uuid, CIRCLE_UUID_SIZE);
	o->generation = le64_to_cpu(d->generation);
	o->activation = le64_to_cpu(d->activation);
	o->node_id = le32_to_cpu(d->node_id);
}

static void super_encode_geometry(const struct circle_super *sb, struct circle_disk_super *d)
{
	d->block_sectors = cpu_to_le32(sb->block_sectors);
	d->page_sectors = cpu_to_le32(sb->page_sectors);
	d->nr_slots = cpu_to_le64(sb->nr_slots);
	d->origin_sectors = cpu_to_le64(sb->origin_sectors);
	d->table_start = cpu_to_le64(sb->table_start);
	d->table_pages = cpu_to_le64(sb->table_pages);
	d->journal_start = cpu_to_le64(sb->journal_start);
	d->journal_blocks = cpu_to_le64(sb->journal_blocks);
}

void circle_super_encode(const struct circle_super *sb, void *mb, circle_crc_fn crc)
{
	struct circle_disk_super *d = mb;
	unsigned int i;

	memset(d, 0, sizeof(*d));
	memcpy(d->magic, CIRCLE_DISK_MAGIC, sizeof(d->magic));
	d->version = cpu_to_le16(CIRCLE_DISK_VERSION);
	d->flags = cpu_to_le32(sb->flags);
	d->seq = cpu_to_le64(sb->seq);
	memcpy(d->meta_uuid, sb->meta_uuid, CIRCLE_UUID_SIZE);
	memcpy(d->set_uuid, sb->set_uuid, CIRCLE_UUID_SIZE);
	d->generation = cpu_to_le64(sb->generation);
	d->activation = cpu_to_le64(sb->activation);
	d->node_id = cpu_to_le32(sb->node_id);
	d->label_kind = cpu_to_le32(sb->label_kind);
	d->label_sector = cpu_to_le64(sb->label_sector);
	super_encode_geometry(sb, d);
	d->tail_lsn = cpu_to_le64(sb->tail_lsn);
	d->nr_owners = cpu_to_le16(CIRCLE_MAX_OWNERS);
	d->renounced = cpu_to_le32(sb->renounced);
	if (sb->renounced)
		d->ro_compat = cpu_to_le32(CIRCLE_SBR_RENOUNCED);
	d->max_seq = cpu_to_le64(sb->max_seq);
	d->next_generation = cpu_to_le64(sb->next_generation);
	d->next_activation = cpu_to_le64(sb->next_activation);
	d->table_digest = cpu_to_le64(sb->table_digest);
	d->map_lsn = cpu_to_le64(sb->map_lsn);
	for (i = 0; i < ARRAY_SIZE(sb->counter); i++) {
		d->counter[i] = cpu_to_le64(sb->counter[i]);
		if (sb->counter[i])
			d->compat = cpu_to_le32(CIRCLE_SBC_COUNTERS);
	}
	if (sb->tidy)
		d->compat |= cpu_to_le32(CIRCLE_SBC_TIDY);
	for (i = 0; i < CIRCLE_MAX_OWNERS; i++)
		owner_encode(&sb->owner[i], &d->owner[i]);
	d->crc = cpu_to_le32(super_sum(d, crc));
}

/* Is it ours, undamaged, and of a version that we know? */
static int super_judge(const struct circle_disk_super *d, circle_crc_fn crc)
{
	if (blank(d))
		return -ENODATA;
	if (memcmp(d->magic, CIRCLE_DISK_MAGIC, sizeof(d->magic)))
		return -EINVAL;
	if (le32_to_cpu(d->crc) != super_sum(d, crc) || !d->version)
		return -EBADMSG;
	if (le16_to_cpu(d->version) > CIRCLE_DISK_VERSION || d->incompat ||
	    (le32_to_cpu(d->ro_compat) & ~CIRCLE_SBR_RENOUNCED))
		return -EPROTONOSUPPORT;
	if (le32_to_cpu(d->flags) & ~CIRCLE_SBF_ALL)
		return -EPROTONOSUPPORT;
	return 0;
}

static bool super_geometry_ok(const struct circle_disk_super *d)
{
	u32 block_sectors = le32_to_cpu(d->block_sectors);
	u64 slots = le64_to_cpu(d->nr_slots);
	u64 table = le64_to_cpu(d->table_start);
	u64 journal = le64_to_cpu(d->journal_start);
	u64 ring = le64_to_cpu(d->journal_blocks);

	if (!block_sectors_ok(block_sectors))
		return false;
	if (le32_to_cpu(d->page_sectors) != circle_page_sectors(block_sectors))
		return false;
	if (!slots || slots > CIRCLE_MAX_SLOTS || !d->origin_sectors)
		return false;
	if (table < CIRCLE_TABLE_START_MB || table > MB_MAX || journal > MB_MAX)
		return false;
	if (le64_to_cpu(d->table_pages) != pages_of_table(slots))
		return false;
	if (journal < table + 2 * pages_of_table(slots))
		return false;
	return ring >= JOURNAL_MIN_MBS && ring <= JOURNAL_MAX_MBS;
}

/* A circle has a node id and a label, a local cache has neither. */
static bool super_identity_ok(const struct circle_disk_super *d)
{
	bool circle = le32_to_cpu(d->flags) & CIRCLE_SBF_CIRCLE;
	u32 kind = le32_to_cpu(d->label_kind);
	u32 id = le32_to_cpu(d->node_id);
	unsigned int i;

	if (kind > CIRCLE_LABEL_DEV || id > CIRCLE_MAX_NODE_ID)
		return false;
	if (circle ? !kind || !id : kind || id)
		return false;
	if (le16_to_cpu(d->nr_owners) != CIRCLE_MAX_OWNERS)
		return false;
	for (i = 0; i < CIRCLE_MAX_OWNERS; i++)
		if (le32_to_cpu(d->owner[i].node_id) > CIRCLE_MAX_NODE_ID)
			return false;
	return true;
}

static void super_decode_geometry(const struct circle_disk_super *d, struct circle_super *sb)
{
	sb->block_sectors = le32_to_cpu(d->block_sectors);
	sb->page_sectors = le32_to_cpu(d->page_sectors);
	sb->nr_slots = le64_to_cpu(d->nr_slots);
	sb->origin_sectors = le64_to_cpu(d->origin_sectors);
	sb->table_start = le64_to_cpu(d->table_start);
	sb->table_pages = le64_to_cpu(d->table_pages);
	sb->journal_start = le64_to_cpu(d->journal_start);
	sb->journal_blocks = le64_to_cpu(d->journal_blocks);
}

int circle_super_decode(const void *mb, struct circle_super *out, circle_crc_fn crc)
{
	const struct circle_disk_super *d = mb;
	unsigned int i;
	int ret;

	ret = super_judge(d, crc);
	if (ret)
		return ret;
	if (!super_geometry_ok(d) || !super_identity_ok(d) || le64_to_cpu(d->tail_lsn) > LSN_MAX)
		return -EBADMSG;

	memset(out, 0, sizeof(*out));
	out->flags = le32_to_cpu(d->flags);
	out->seq = le64_to_cpu(d->seq);
	memcpy(out->meta_uuid, d->meta_uuid, CIRCLE_UUID_SIZE);
	memcpy(out->set_uuid, d->set_uuid, CIRCLE_UUID_SIZE);
	out->generation = le64_to_cpu(d->generation);
	out->activation = le64_to_cpu(d->activation);
	out->node_id = le32_to_cpu(d->node_id);
	out->label_kind = le32_to_cpu(d->label_kind);
	out->label_sector = le64_to_cpu(d->label_sector);
	super_decode_geometry(d, out);
	out->tail_lsn = le64_to_cpu(d->tail_lsn);
	if (le32_to_cpu(d->ro_compat) & CIRCLE_SBR_RENOUNCED)
		out->renounced = le32_to_cpu(d->renounced);
	out->tidy = le32_to_cpu(d->compat) & CIRCLE_SBC_TIDY;
	out->max_seq = le64_to_cpu(d->max_seq);
	out->next_generation = le64_to_cpu(d->next_generation);
	out->next_activation = le64_to_cpu(d->next_activation);
	out->table_digest = le64_to_cpu(d->table_digest);
	if (le16_to_cpu(d->version) >= MAP_VERSION)
		out->map_lsn = le64_to_cpu(d->map_lsn);
	for (i = 0; i < ARRAY_SIZE(out->counter); i++)
		if (le32_to_cpu(d->compat) & CIRCLE_SBC_COUNTERS)
			out->counter[i] = le64_to_cpu(d->counter[i]);
	for (i = 0; i < CIRCLE_MAX_OWNERS; i++)
		owner_decode(&d->owner[i], &out->owner[i]);
	return 0;
}

bool circle_super_is(const void *mb)
{
	return !memcmp(mb, CIRCLE_DISK_MAGIC, sizeof(((struct circle_disk_super *)0)->magic));
}

/* Blocks of a B-tree, of an array, of a space map's bitmap and of its index differ in what their
 * checksum, the first four bytes, is mixed with, and in where their own number stands.
 */
static const struct {
	u32 mix;
	unsigned int index_at;
} dm_kind[] = { { 121107, 8 }, { 595846735, 16 }, { 240779, 8 }, { 160478, 8 } };

int circle_dm_block_check(const void *mb, u64 index, circle_crc_fn crc)
{
	const __le32 *first = mb;
	u32 sum = crc(~0u, first + 1, CIRCLE_MB_SIZE - sizeof(*first)) ^ le32_to_cpu(*first);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(dm_kind); i++)
		if (sum == dm_kind[i].mix &&
		    le64_to_cpu(*(const __le64 *)(mb + dm_kind[i].index_at)) == index)
			return 0;
	return -EINVAL;
}

/* Slot states */

static void slot_encode(const struct circle_slot_state *s, struct circle_disk_slot *d)
{
	d->block = cpu_to_le64(s->block);
	d->valid = cpu_to_le64(s->valid);
	d->dirty = cpu_to_le64(s->dirty);
	d->seq = cpu_to_le64(s->seq);
	d->gen = cpu_to_le64(s->gen);
	d->owner = cpu_to_le16(s->owner);
	d->flags = cpu_to_le16(s->flags);
	d->reserved = 0;
}

bool circle_slot_state_plain(const struct circle_slot_state *s)
{
	return s->flags == CIRCLE_SLOT_MAPPED && !s->owner && !s->dirty;
}

bool circle_slot_state_beats(const struct circle_slot_state *a, const struct circle_slot_state *b)
{
	struct circle_tag s = { a->gen, a->seq }, t = { b->gen, b->seq };
	bool plain = circle_slot_state_plain(a);

	if (plain != circle_slot_state_plain(b))
		return !plain;
	return circle_tag_cmp(s, t) > 0;
}

/* Slot table pages */

/*
 * As circle_sum(), in one call: of the magic and its own four bytes, which come first, the checksum
 * is always this. There are hundreds of thousands of pages, and a call costs as much as 1 KiB.
 */
#define PAGE_SEED	0x2c0e19aau

static u32 page_sum(const void *mb, circle_crc_fn crc)
{
	static_assert(offsetof(struct circle_disk_page, index) == 8);
	return crc(PAGE_SEED, (const u8 *)mb + 8, CIRCLE_MB_SIZE - 8);
}

void circle_page_start(void *mb, const u8 *meta_uuid, u64 index, u64 lsn)
{
	struct circle_disk_page *d = mb;

	memset(d, 0, sizeof(*d));
	d->magic = cpu_to_le32(CIRCLE_PAGE_MAGIC);
	d->index = cpu_to_le64(index);
	d->lsn = cpu_to_le64(lsn);
	memcpy(d->meta_uuid, meta_uuid, CIRCLE_UUID_SIZE);
}

void circle_page_put(void *mb, unsigned int i, const struct circle_slot_state *s)
{
	struct circle_disk_page *d = mb;

	if (i < CIRCLE_SLOTS_PER_MB)
		slot_encode(s, &d->slot[i]);
}

void circle_page_seal(void *mb, circle_crc_fn crc)
{
	struct circle_disk_page *d = mb;

	d->crc = cpu_to_le32(page_sum(d, crc));
}

int circle_page_check(const void *mb, const u8 *meta_uuid, u64 index, u64 *lsn, circle_crc_fn crc)
{
	const struct circle_disk_page *d = mb;

	if (le32_to_cpu(d->magic) != CIRCLE_PAGE_MAGIC)
		return blank(d) ? -ENODATA : -EINVAL;
	if (le32_to_cpu(d->crc) != page_sum(d, crc))
		return -EBADMSG;
	if (memcmp(d->meta_uuid, meta_uuid, CIRCLE_UUID_SIZE))
		return -EINVAL;
	if (le64_to_cpu(d->index) != index || le64_to_cpu(d->lsn) > LSN_MAX)
		return -EBADMSG;
	*lsn = le64_to_cpu(d->lsn);
	return 0;
}

/* A plain one is noted, of another the number goes to *odd. Returns where the next one's goes. */
static __always_inline u8 *look_at(const struct circle_disk_page *d,
				   const struct circle_disk_slot *e, u8 *odd,
				   struct circle_plain *p)
{
	u64 block = le64_to_cpu(e->block);

	if (unlikely(!circle_entry_plain(e))) {
		*odd = e - d->slot;
		return odd + 1;
	}
	p->valid |= le64_to_cpu(e->valid);
	p->seq |= le64_to_cpu(e->seq);
	p->gen |= le64_to_cpu(e->gen);
	p->block = block > p->block ? block : p->block;
	return odd;
}

/* No call in it, and a function of its own: all that it needs fits into registers. */
unsigned int circle_page_odd(const void *mb, unsigned int nr, u8 *odd, struct circle_plain *plain)
{
	const struct circle_disk_page *d = mb;
	const struct circle_disk_slot *e = d->slot, *fours = e + nr / 4 * 4, *end = e + nr;
	struct circle_plain p = *plain;
	u8 *at = odd;

	for (; e < fours; e += 4) {		/* a quarter of the loop's own work */
		at = look_at(d, e, at, &p);
		at = look_at(d, e + 1, at, &p);
		at = look_at(d, e + 2, at, &p);
		at = look_at(d, e + 3, at, &p);
	}
	for (; e < end; e++)
		at = look_at(d, e, at, &p);
	*plain = p;
	return at - odd;
}

u64 circle_page_digest(u64 index, u64 lsn)
{
	u64 h = (index + 1) * 0x9e3779b97f4a7c15ull ^ lsn * 0xff51afd7ed558ccdull;

	h ^= h >> 32;
	h *= 0xc4ceb9fe1a85ec53ull;
	return h ^ (h >> 29);
}

/* Journal blocks */

static u32 jblock_sum(const void *mb, circle_crc_fn crc)
{
	return circle_sum(mb, CIRCLE_MB_SIZE, offsetof(struct circle_disk_jblock, crc), crc);
}

void circle_jblock_start(void *mb, const u8 *meta_uuid, const struct circle_jhead *h)
{
	struct circle_disk_jblock *d = mb;

	memset(d, 0, sizeof(*d));
	d->magic = cpu_to_le32(CIRCLE_JBLOCK_MAGIC);
	d->lsn = cpu_to_le64(h->lsn);
	d->commit = cpu_to_le64(h->commit);
	d->commit_blocks = cpu_to_le32(h->commit_blocks);
	d->nr_records = cpu_to_le16(h->nr_records);
	memcpy(d->meta_uuid, meta_uuid, CIRCLE_UUID_SIZE);
}

void circle_jblock_put(void *mb, unsigned int i, const struct circle_record *r)
{
	struct circle_disk_jblock *d = mb;

	if (i >= CIRCLE_RECORDS_PER_MB)
		return;
	d->record[i].slot = cpu_to_le32(r->slot);
	d->record[i].reserved = 0;
	slot_encode(&r->state, &d->record[i].state);
}

void circle_jblock_seal(void *mb, circle_crc_fn crc)
{
	struct circle_disk_jblock *d = mb;

	d->crc = cpu_to_le32(jblock_sum(d, crc));
}

static bool jhead_ok(const struct circle_jhead *h)
{
	return h->lsn <= LSN_MAX + JOURNAL_MAX_MBS && h->commit <= h->lsn &&
	       h->commit_blocks <= JOURNAL_MAX_MBS && h->lsn - h->commit < h->commit_blocks &&
	       h->nr_records <= CIRCLE_RECORDS_PER_MB;
}

bool circle_jblock_is_older(const void *mb, u64 lsn)
{
	const struct circle_disk_jblock *d = mb;

	return le32_to_cpu(d->magic) != CIRCLE_JBLOCK_MAGIC || le64_to_cpu(d->lsn) < lsn;
}

int circle_jblock_check(const void *mb, const u8 *meta_uuid, struct circle_jhead *h,
			circle_crc_fn crc)
{
	const struct circle_disk_jblock *d = mb;

	if (le32_to_cpu(d->magic) != CIRCLE_JBLOCK_MAGIC)
		return blank(d) ? -ENODATA : -EINVAL;
	if (le32_to_cpu(d->crc) != jblock_sum(d, crc))
		return -EBADMSG;
	if (memcmp(d->meta_uuid, meta_uuid, CIRCLE_UUID_SIZE))
		return -EINVAL;
	h->lsn = le64_to_cpu(d->lsn);
	h->commit = le64_to_cpu(d->commit);
	h->commit_blocks = le32_to_cpu(d->commit_blocks);
	h->nr_records = le16_to_cpu(d->nr_records);
	return jhead_ok(h) ? 0 : -EBADMSG;
}

void circle_jblock_get(const void *mb, unsigned int i, struct circle_record *r)
{
	const struct circle_disk_jblock *d = mb;

	if (i >= CIRCLE_RECORDS_PER_MB) {
		memset(r, 0, sizeof(*r));
		return;
	}
	r->slot = le32_to_cpu(d->record[i].slot);
	circle_slot_decode(&d->record[i].state, &r->state);
}
