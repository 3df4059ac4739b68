#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1024 smp=1 timeout=400 modules=dm-circle,null_blk kernels=newest
#
# What is kept and what goes: scans take nothing away, a new hot set is taken in, a loop larger
# than the cache keeps a part of it. make policy-sim says how well; here it is the engine's turn.
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

BS=128			# 64 KiB; the cache has 256 blocks, the origin 4096

# read_blocks <first> <number> [<passes>]: 4 KiB of each, in order
read_blocks()
{
	local i
	local -a jobs=()
	for ((i = 0; i < ${3:-1}; i++)); do
		jobs+=("--name=r$i" --stonewall)
	done
	fio --filename=/dev/mapper/c --direct=1 --ioengine=psync --rw=read --bs=4k --minimal \
		--zonemode=strided --zonerange=64k --zonesize=4k --offset=$(($1 * 64))k \
		--size=$(($2 * 64))k --io_size=$(($2 * 4))k "${jobs[@]}" >/tmp/fio 2>&1 ||
		{ tail -n 5 /tmp/fio; return 1; }
}

# hits <first> <number>: how many of them are hits
hits()
{
	local before
	before=$(circle_status c 5)
	read_blocks "$1" "$2" && echo $(($(circle_status c 5) - before))
}

# kept <first> <number> <at least>
kept()
{
	local n
	n=$(hits "$1" "$2")
	echo "# $n of $2 are hits"
	[ "$n" -ge "$3" ]
}

# taken_in <first> <number> <at least> <passes>: promotions take their time
taken_in()
{
	local i
	for ((i = 0; i < $4; i += 5)); do
		read_blocks "$1" "$2" 5 || return 1
		kept "$1" "$2" "$3" && return
	done
	return 1
}

is_full() { [ "$(circle_status c free)" -le 8 ]; }

fill()
{
	local i
	for ((i = 0; i < 20; i++)); do
		is_full && return
		read_blocks 100 300 2 || return 1
	done
	return 1
}

scan() { dd if=/dev/mapper/c of=/dev/null bs=1M iflag=direct skip=64 count=128 status=none; }

at_exit 'dmsetup remove --retry c 2>/dev/null'
dev_null ssd 16 && dev_null meta 2 && dev_null org 256 || exit 1
ktap_test "create" dmsetup create c --table "$(table_of $((256 * 2048)) meta ssd org $BS)"
ktap_test "while there is room, what is read is cached" taken_in 0 100 100 40
ktap_test "the cache is full" fill
ktap_test "the hot set is still there" taken_in 0 100 95 40
ktap_test "a scan of eight times the cache" scan
ktap_test "takes nothing away" kept 0 100 95
ktap_test "a thousand blocks, once each" read_blocks 2000 1000
ktap_test "take nothing away" kept 0 100 95
ktap_test "a new hot set is taken in" taken_in 3100 100 95 60
ktap_test "a loop over 1.5 times the cache keeps a part" taken_in 3300 384 96 60
check_dmesg
ktap_done
