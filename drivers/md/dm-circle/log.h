/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * log: how messages look. What a peer, a disk or the network can cause often is rate-limited.
 */
#ifndef CIRCLE_LOG_H
#define CIRCLE_LOG_H

#define DM_MSG_PREFIX "circle"
#include <linux/device-mapper.h>

#define CIRCLE_ERR(fmt, ...)	DMERR(fmt, ##__VA_ARGS__)
#define CIRCLE_WARN(fmt, ...)	DMWARN(fmt, ##__VA_ARGS__)
#define CIRCLE_INFO(fmt, ...)	DMINFO(fmt, ##__VA_ARGS__)
#define CIRCLE_WARN_LIMIT(fmt, ...)	DMWARN_LIMIT(fmt, ##__VA_ARGS__)

#endif
