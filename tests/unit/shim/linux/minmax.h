/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_LINUX_MINMAX_H
#define SHIM_LINUX_MINMAX_H

#define min(a, b)		({ typeof(a) _x = (a); typeof(b) _y = (b); _x < _y ? _x : _y; })
#define max(a, b)		({ typeof(a) _x = (a); typeof(b) _y = (b); _x > _y ? _x : _y; })
#define min_t(t, a, b)		({ t _x = (a); t _y = (b); _x < _y ? _x : _y; })
#define max_t(t, a, b)		({ t _x = (a); t _y = (b); _x > _y ? _x : _y; })
#define min3(a, b, c)		min((typeof(a))min(a, b), c)
#define max3(a, b, c)		max((typeof(a))max(a, b), c)
#define clamp(v, lo, hi)	min((typeof(v))max(v, lo), hi)
#define clamp_t(t, v, lo, hi)	min_t(t, max_t(t, v, lo), hi)
#define swap(a, b)		do { typeof(a) _t = (a); (a) = (b); (b) = _t; } while (0)

#endif
