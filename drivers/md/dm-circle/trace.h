/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trace: the steps of a write, and what changes around it, as tracepoints of the group dm_circle.
 * Any layer but core may include this. What a node is, face/trace.c alone needs to know.
 *
 * Blocks, starts and lengths are the origin's, in blocks and sectors of the block. A mask of holders
 * has peers by their bit, as peers/<id>/bit in sysfs. `dev` is the circle device.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM dm_circle

#if !defined(CIRCLE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define CIRCLE_TRACE_H

#include <linux/tracepoint.h>

struct circle_node;

/* req_op, as far as it comes here; a request without data is a FLUSH */
#define CIRCLE_TRACE_OPS	\
	{ 0, "read" }, { 1, "write" }, { 2, "flush" }, { 3, "discard" }

/* enum plan of engine/write.c */
#define CIRCLE_TRACE_PLANS	\
	{ 0, "go" }, { 1, "fill" }, { 2, "intent" }, { 3, "through" }, { 4, "share" }, \
	{ 5, "room" }, { 6, "behind" }

/* A host request, as cut: enters. */
TRACE_EVENT(circle_map,
	TP_PROTO(const struct circle_node *node, u32 op, u64 block, u32 start, u32 len),
	TP_ARGS(node, op, block, start, len),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u32, op)
		__field(u64, block)
		__field(u32, start)
		__field(u32, len)
	),
	TP_fast_assign(
		__entry->dev = circle_trace_dev(node);
		__entry->op = len ? op : 2;
		__entry->block = block;
		__entry->start = start;
		__entry->len = len;
	),
	TP_printk("%d,%d %s block %llu start %u len %u", MAJOR(__entry->dev), MINOR(__entry->dev),
		  __print_symbolic(__entry->op, CIRCLE_TRACE_OPS), __entry->block, __entry->start,
		  __entry->len)
);

/* ... and is completed. status: a blk_status_t. */
TRACE_EVENT(circle_done,
	TP_PROTO(const struct circle_node *node, u32 op, u64 block, u32 start, u32 len, u8 status),
	TP_ARGS(node, op, block, start, len, status),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u32, op)
		__field(u64, block)
		__field(u32, start)
		__field(u32, len)
		__field(u8, status)
	),
	TP_fast_assign(
		__entry->dev = circle_trace_dev(node);
		__entry->op = len ? op : 2;
		__entry->block = block;
		__entry->start = start;
		__entry->len = len;
		__entry->status = status;
	),
	TP_printk("%d,%d %s block %llu start %u len %u status %u", MAJOR(__entry->dev),
		  MINOR(__entry->dev), __print_symbolic(__entry->op, CIRCLE_TRACE_OPS),
		  __entry->block, __entry->start, __entry->len, __entry->status)
);

/* What a write is going to do; more than once if it had to wait. slot -1: none. */
TRACE_EVENT(circle_plan,
	TP_PROTO(const struct circle_node *node, u64 block, u32 slot, bool hit, u32 plan),
	TP_ARGS(node, block, slot, hit, plan),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, block)
		__field(s32, slot)
		__field(bool, hit)
		__field(u32, plan)
	),
	TP_fast_assign(
		__entry->dev = circle_trace_dev(node);
		__entry->block = block;
		__entry->slot = slot;
		__entry->hit = hit;
		__entry->plan = plan;
	),
	TP_printk("%d,%d block %llu slot %d hit %d plan %s", MAJOR(__entry->dev),
		  MINOR(__entry->dev), __entry->block, __entry->slot, __entry->hit,
		  __print_symbolic(__entry->plan, CIRCLE_TRACE_PLANS))
);

/* Something named by block and sequence, and a mask of holders. */
DECLARE_EVENT_CLASS(circle_holders,
	TP_PROTO(const struct circle_node *node, u64 block, u64 seq, u32 holders),
	TP_ARGS(node, block, seq, holders),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, block)
		__field(u64, seq)
		__field(u32, holders)
	),
	TP_fast_assign(
		__entry->dev = circle_trace_dev(node);
		__entry->block = block;
		__entry->seq = seq;
		__entry->holders = holders;
	),
	TP_printk("%d,%d block %llu seq %llu holders %#x", MAJOR(__entry->dev),
		  MINOR(__entry->dev), __entry->block, __entry->seq, __entry->holders)
);

/* A write is queued to these holders. */
DEFINE_EVENT(circle_holders, circle_send,
	TP_PROTO(const struct circle_node *node, u64 block, u64 seq, u32 holders),
	TP_ARGS(node, block, seq, holders)
);

/* The SSD and all holders have answered or are out of the view; these have stored it. */
DEFINE_EVENT(circle_holders, circle_stored,
	TP_PROTO(const struct circle_node *node, u64 block, u64 seq, u32 holders),
	TP_ARGS(node, block, seq, holders)
);

/* These holders are told to forget the block, up to this sequence. */
DEFINE_EVENT(circle_holders, circle_release,
	TP_PROTO(const struct circle_node *node, u64 block, u64 seq, u32 holders),
	TP_ARGS(node, block, seq, holders)
);

/* A write goes through to the origin. */
TRACE_EVENT(circle_through,
	TP_PROTO(const struct circle_node *node, u64 block, u32 start, u32 len),
	TP_ARGS(node, block, start, len),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, block)
		__field(u32, start)
		__field(u32, len)
	),
	TP_fast_assign(
		__entry->dev = circle_trace_dev(node);
		__entry->block = block;
		__entry->start = start;
		__entry->len = len;
	),
	TP_printk("%d,%d block %llu start %u len %u", MAJOR(__entry->dev), MINOR(__entry->dev),
		  __entry->block, __entry->start, __entry->len)
);

/* A label that says this is durable. */
TRACE_EVENT(circle_view,
	TP_PROTO(const struct circle_node *node, u32 view, u32 floor, u32 degree),
	TP_ARGS(node, view, floor, degree),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u32, view)
		__field(u32, floor)
		__field(u32, degree)
	),
	TP_fast_assign(
		__entry->dev = circle_trace_dev(node);
		__entry->view = view;
		__entry->floor = floor;
		__entry->degree = degree;
	),
	TP_printk("%d,%d view %#x floor %u degree %u", MAJOR(__entry->dev), MINOR(__entry->dev),
		  __entry->view, __entry->floor, __entry->degree)
);

/* A batch of write-back is over: so many blocks; not ok: some stay dirty. */
TRACE_EVENT(circle_writeback,
	TP_PROTO(const struct circle_node *node, u32 blocks, bool ok),
	TP_ARGS(node, blocks, ok),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u32, blocks)
		__field(bool, ok)
	),
	TP_fast_assign(
		__entry->dev = circle_trace_dev(node);
		__entry->blocks = blocks;
		__entry->ok = ok;
	),
	TP_printk("%d,%d blocks %u ok %d", MAJOR(__entry->dev), MINOR(__entry->dev),
		  __entry->blocks, __entry->ok)
);

/* The metadata are durable: so many slots had changed when it began. flush: the data too. */
TRACE_EVENT(circle_commit,
	TP_PROTO(const struct circle_node *node, u32 records, bool flush, int err),
	TP_ARGS(node, records, flush, err),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u32, records)
		__field(bool, flush)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->dev = circle_trace_dev(node);
		__entry->records = records;
		__entry->flush = flush;
		__entry->err = err;
	),
	TP_printk("%d,%d records %u flush %d err %d", MAJOR(__entry->dev), MINOR(__entry->dev),
		  __entry->records, __entry->flush, __entry->err)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
