// SPDX-License-Identifier: GPL-2.0-only
/*
 * wb_label: the label while we write to the origin. It is taken as the kernel takes it at a restart
 * (engine/activate.c): the coming generation into the superblock, a label with it twice, and after
 * each write a look at all the others. Whoever comes next sees a higher generation of ours, or we
 * see his and stop.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <sys/random.h>
#include <time.h>

#include "tool.h"
#include "wb.h"

static u64 now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

static int look(struct wb *w)
{
	const struct circle_label *cur = &w->area.cur;
	u64 begin = now_ms();
	int err = area_read(&w->area, w->meta.sb.node_id);

	if (!err && w->area.view.status)
		err = -EBADMSG;
	if (err) {
		tool_err("the label cannot be read any more: %s", strerror(-err));
		return err;
	}
	if (cur->generation != w->label.generation || cur->activation != w->label.activation ||
	    w->area.view.tie) {
		tool_err("another node is taking over, at generation %llu: withdrawn",
			 cur->generation);
		return -ESTALE;
	}
	w->label_copy = w->area.view.my_copy;
	w->looked_at = begin;
	return 0;
}

int wb_label_look(struct wb *w)
{
	return now_ms() - w->looked_at < WB_LOOK_MS ? 0 : look(w);
}

static int store(struct wb *w)
{
	u8 *mb = dev_alloc(CIRCLE_MB_SIZE);
	int err;

	if (!mb)
		return -ENOMEM;
	w->label.seq++;
	err = area_write(&w->area, &w->label, w->label_copy, mb);
	free(mb);
	if (err) {
		tool_err("the label cannot be written: %s", strerror(-err));
		return err;
	}
	return look(w);
}

static int intend(struct wb *w)
{
	struct circle_super *sb = &w->meta.sb;

	sb->next_generation = w->area.cur.generation + 1;
	if (getrandom(&sb->next_activation, sizeof(sb->next_activation), 0) !=
	    sizeof(sb->next_activation)) {
		tool_err("no random number: %s", strerror(errno));
		return -EIO;
	}
	return meta_write_super(&w->meta);
}

int wb_label_take(struct wb *w)
{
	struct circle_super *sb = &w->meta.sb;
	int err;

	w->label = w->area.cur;
	w->label.seq = w->area.view.max_seq;
	w->label_copy = w->area.view.my_copy;
	err = intend(w);
	if (err)
		return err;
	w->label.generation = sb->next_generation;
	w->label.activation = sb->next_activation;
	w->label.state = CIRCLE_LS_TAKING;
	err = store(w);
	if (!err)
		err = store(w);		/* both copies: a torn one is never the only one */
	if (err)
		return err;
	sb->generation = sb->next_generation;
	sb->activation = sb->next_activation;
	err = meta_write_super(&w->meta);
	if (err)
		return err;
	w->label.state = CIRCLE_LS_RECOVERING;
	if (w->weak)
		w->label.flags |= CIRCLE_LBF_WEAK;
	return store(w);
}

int wb_label_clean(struct wb *w)
{
	unsigned int i;
	int err = look(w);

	if (err)
		return err;
	for (i = 0; i < CIRCLE_MAX_PEERS; i++)
		w->label.peer[i].in_view = CIRCLE_IN_VIEW_NOT;
	w->label.state = CIRCLE_LS_CLEAN;
	w->label.flags = CIRCLE_LBF_EMPTY;
	w->label.floor = 0;
	return store(w);
}
