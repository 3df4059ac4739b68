/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sysfs: the directory /sys/block/dm-N/circle of a node. See Documentation/ABI/sysfs-dm-circle.
 */
#ifndef CIRCLE_FACE_SYSFS_H
#define CIRCLE_FACE_SYSFS_H

struct circle_node;

/*
 * Process context, node started, its device registered: makes what is not there yet; to be called
 * at each resume, by whom a table holds the node for. Without memory the node goes on without. It
 * goes with the node, by node->on_destroy.
 */
void circle_sysfs_add(struct circle_node *node);

#endif
