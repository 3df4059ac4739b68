// SPDX-License-Identifier: GPL-2.0-only
/*
 * pace: see pace.h. A host that is busy goes first, as long as nothing is lost by that: its
 * requests and write-back want the same devices and CPUs. While the cache is crowded there is
 * haste, until that turns out to be futile: a host that writes more than write-back can make room
 * for is only slowed down by it, since what finds no room goes to the origin itself.
 *
 * It must never keep from its origin what somebody waits for: a drain, a suspend, missing holders.
 */
#include "pace.h"
#include "circle.h"
#include "heal.h"
#include "live.h"

#define BATCH_US	150000u		/* what a batch may take: writes to its blocks wait */
#define SLOW_US		300000u		/* unless the smallest takes longer, */
#define SLOW_US_MAX	2000000u	/* and then of no more than this */
#define AGE_MAX		(3 * CIRCLE_AGE) /* a busy host gets no room at the cost of what is older */
#define BUSY_MS		25		/* since the host's last request */
#define ROOM		2		/* times what a batch took a busy host is left alone, */
#define ROOM_FUTILE	9		/* or so often, while haste is futile */
#define ROOM_MAX	(HZ)
#define GOOD		(3 * HZ + ROOM_MAX) /* since the last good batch: the origin may be away */
#define TRIAL		(HZ / 10)	/* haste is judged by what it did in so long, */
#define TRIAL_BLOCKS	64		/* and by so many blocks at least */
#define FUTILE		(2 * HZ)	/* before the next trial; each time twice as long, */
#define FUTILE_MAX	(16 * HZ)	/* but no longer */

/* More than so many eighths of what the cache can hold for itself are dirty. */
static bool dirtier(const struct circle_node *node, unsigned int eighths)
{
	u32 own = node->slots->nr - atomic_read(&node->slots->nr_lent);

	return (u64)atomic_read(&node->slots->nr_dirty) * 8 > (u64)own * eighths;
}

static bool crowded(const struct circle_node *node)
{
	return dirtier(node, 6);
}

bool circle_pace_pressed(struct circle_node *node)
{
	return READ_ONCE(node->wb.pressure) || crowded(node);
}

bool circle_pace_busy(const struct circle_node *node)
{
	return time_before(jiffies, READ_ONCE(node->last_io) + msecs_to_jiffies(BUSY_MS));
}

static bool in_haste(struct circle_node *node)
{
	return circle_node_through(node) || READ_ONCE(node->bg_stop);
}

static bool few_holders(const struct circle_node *node)
{
	const struct circle_circle *c = node->circle;

	return c && READ_ONCE(c->floor) < READ_ONCE(c->degree_now) && circle_heal_unable(node);
}

bool circle_pace_futile(const struct circle_node *node)
{
	return time_before(jiffies, READ_ONCE(node->wb.futile));
}

bool circle_pace_can_wait(struct circle_node *node)
{
	struct circle_writeback *wb = &node->wb;

	if (in_haste(node) || READ_ONCE(wb->drain) || few_holders(node) || !circle_pace_busy(node))
		return false;
	if (circle_pace_futile(node) && strcmp(node->conf.policy, "cleaner"))
		return true;
	return wb->oldest <= AGE_MAX && !wb->pressed && !circle_pace_pressed(node);
}

int circle_pace_width(struct circle_node *node)
{
	u64 most = READ_ONCE(node->conf.migration_threshold);

	if (in_haste(node) || few_holders(node) ||
	    (READ_ONCE(node->wb.drain) && !circle_pace_busy(node)))
		return CIRCLE_BATCH;
	return clamp(div_u64(most, node->geom.block_sectors), 1ull, CIRCLE_BATCH + 0ull);
}

bool circle_writeback_behind(const struct circle_node *node)
{
	return crowded(node) && !READ_ONCE(node->origin_bad) && circle_lease_ok(node) &&
	       time_before(jiffies, READ_ONCE(node->wb.good) + GOOD);
}

/*
 * The origin may be slow, or busy with what the host writes through. But one that takes long for
 * the smallest batch, too, is kept busy with larger ones; so is one that the host leaves alone.
 */
void circle_pace_fit(struct circle_node *node, u32 nr)
{
	struct circle_writeback *wb = &node->wb;
	u64 us = ktime_us_delta(ktime_get(), wb->begun) + 1, may = BATCH_US;
	u32 fits = CIRCLE_BATCH;

	if (nr > CIRCLE_BATCH_MIN)	/* it was slow for a while? A small batch will tell */
		wb->least_us = us < wb->least_us / 2 ? 0 : wb->least_us - wb->least_us / 64;
	else if (!wb->least_us || us < wb->least_us)
		wb->least_us = us;
	else
		wb->least_us = (wb->least_us * 3 + us) / 4;
	if (wb->least_us > SLOW_US)
		may = min_t(u64, wb->least_us + wb->least_us / 4, SLOW_US_MAX);
	if (time_after_eq(READ_ONCE(node->last_io), jiffies - nsecs_to_jiffies(us * NSEC_PER_USEC)))
		fits = clamp_t(u64, div64_u64(nr * may, us), CIRCLE_BATCH_MIN, CIRCLE_BATCH);
	if (fits < nr) {
		wb->limit = fits;
	} else if (nr == wb->limit && wb->limit < CIRCLE_BATCH) {
		wb->limit = min3(wb->limit * 2, max(fits, wb->limit + 1), CIRCLE_BATCH + 0u);
		wb->paced = false;	/* larger ones are faster */
	}
}

void circle_pace_init(struct circle_writeback *wb)
{
	wb->limit = CIRCLE_BATCH_FIRST;
	wb->width = 1;
	wb->good = jiffies - GOOD;
	wb->futile = jiffies;
}

void circle_pace_none(struct circle_writeback *wb)
{
	wb->spent_us = 0;
	wb->spent_pages = 0;
	wb->paced = false;
	WRITE_ONCE(wb->pace, 0);
}

unsigned long circle_pace_room(struct circle_node *node, u64 us)
{
	u32 times = circle_pace_futile(node) ? ROOM_FUTILE : ROOM;
	u64 room = nsecs_to_jiffies64(us * NSEC_PER_USEC * times);

	return circle_pace_can_wait(node) ? min_t(u64, room, ROOM_MAX) : 0;
}

void circle_pace_keep(struct circle_writeback *wb, bool large, u64 pages, u64 us)
{
	if (!pages || (wb->paced && !large))
		return;
	if (large && !wb->paced)
		circle_pace_none(wb);
	wb->paced = large;
	wb->spent_us += us - wb->spent_us / 8;
	wb->spent_pages += pages - wb->spent_pages / 8;
	WRITE_ONCE(wb->pace, max(div64_u64(wb->spent_us << 10, wb->spent_pages), 1ull));
}

/*
 * Writes that went through, which are those that found no room, against blocks that were made
 * clean, which is the room that was made: haste is futile if it makes less than half of what it
 * would take. A host that pauses, or a cache that is far from full, ends the trial.
 */
void circle_pace_judge(struct circle_node *node, u32 blocks)
{
	struct circle_writeback *wb = &node->wb;
	u64 through;

	if (!circle_pace_busy(node) || !dirtier(node, 5)) {
		wb->trial = false;
		wb->futile_for = 0;
		WRITE_ONCE(wb->futile, jiffies);
		return;
	}
	if (circle_pace_futile(node))
		return;
	through = circle_stat_sum(node->stats, CIRCLE_STAT_THROUGH);
	if (!wb->trial) {
		wb->trial = true;
		wb->trial_began = jiffies;
		wb->trial_through = through;
		wb->trial_blocks = 0;
		return;
	}
	wb->trial_blocks += blocks;
	if (time_before(jiffies, wb->trial_began + TRIAL) || wb->trial_blocks < TRIAL_BLOCKS)
		return;
	wb->trial = false;
	if (through - wb->trial_through <= 2 * wb->trial_blocks) {
		wb->futile_for = 0;
		return;
	}
	wb->futile_for = clamp_t(unsigned long, wb->futile_for * 2, FUTILE, FUTILE_MAX);
	WRITE_ONCE(wb->futile, jiffies + wb->futile_for);
}

s64 circle_writeback_eta(struct circle_node *node)
{
	const struct circle_slots *s = node->slots;
	s64 pages = atomic64_read(&s->dirty_pages) - atomic64_read(&s->lost_pages);
	u64 pace = READ_ONCE(node->wb.pace);

	if (READ_ONCE(node->recovering))	/* then nothing else is dirty */
		return circle_live_eta(node);
	if (pages <= 0)
		return 0;
	if (!pace)
		return -1;
	return mul_u64_u64_div_u64(pages, pace, 1024ull * USEC_PER_SEC) + 1;
}
