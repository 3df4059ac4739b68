#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1024 smp=1 timeout=240 modules=dm-circle,null_blk
#
# What RAM a block of the cache takes: what the status line says, and what the kernel has given away.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/ktap.sh
. "$REPO/tests/lib/ktap.sh"
# shellcheck source=tests/lib/nodes.sh
. "$REPO/tests/lib/nodes.sh"
# shellcheck source=tests/lib/circle.sh
. "$REPO/tests/lib/circle.sh"
# shellcheck source=tests/lib/local.sh
. "$REPO/tests/lib/local.sh"
ktap_header

SLOTS=262144
FIXED=2048		# KiB that do not grow with the cache: buffers, stacks

vmalloc_used() { awk '/^VmallocUsed:/ { print $2 }' /proc/meminfo; }

create() { dmsetup create c --table "$(table_of $((SLOTS * BS * 2)) meta ssd org "$BS")"; }

# says_at_most <bytes>: the status line
says_at_most()
{
	local n
	n=$(circle_status c ram_per_block)
	echo "# ram_per_block $n"
	[ -n "$n" ] && [ "$n" -le "$1" ]
}

# takes_at_most <bytes>: as seen from outside
takes_at_most()
{
	local grown=$(($(vmalloc_used) - BEFORE))
	echo "# $grown KiB more, $((grown * 1024 / SLOTS)) bytes per block"
	[ "$grown" -le $(($1 * SLOTS / 1024 + FIXED)) ] && [ "$grown" -ge $((SLOTS * 36 / 1024)) ]
}

one_size()	# <block sectors> <bytes>
{
	local mib
	BS=$1
	mib=$((SLOTS * BS / 2048))
	dev_null ssd $mib && dev_null meta 64 && dev_null org $((mib * 2)) || return 1
	BEFORE=$(vmalloc_used)
	ktap_test "$BS: create" create || return 1
	ktap_test "$BS: the status line says at most $2" says_at_most "$2"
	ktap_test "$BS: it is at most $2" takes_at_most "$2"
	ktap_test "$BS: remove" dmsetup remove --retry c
	dev_remove ssd; dev_remove meta; dev_remove org
}

at_exit 'dmsetup remove --retry c 2>/dev/null'
one_size 128 48
one_size 8 48
one_size 512 66
check_dmesg
ktap_done
