/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_LINUX_BUILD_BUG_H
#define SHIM_LINUX_BUILD_BUG_H

#undef static_assert	/* assert.h's wants a text */
#define static_assert(expr, ...)	shim_static_assert(expr, ##__VA_ARGS__, #expr)
#define shim_static_assert(expr, text, ...)	_Static_assert(expr, text)
#define BUILD_BUG_ON(cond)		_Static_assert(!(cond), #cond)

#endif
