/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_LINUX_LIMITS_H
#define SHIM_LINUX_LIMITS_H

#include_next <linux/limits.h>
#include <limits.h>

#define U8_MAX	0xffU
#define U16_MAX	0xffffU
#define U32_MAX	0xffffffffU
#define S32_MAX	0x7fffffff
#define U64_MAX	0xffffffffffffffffULL
#define S64_MAX	0x7fffffffffffffffLL

#endif
