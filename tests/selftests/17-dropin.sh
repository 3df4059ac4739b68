#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=1200 modules=dm-circle,dm-cache,dm-cache-smq,null_blk kernels=newest
#
# `circle` in place of `cache`: the same dmsetup scripts are run with both, and what they see must be
# the same: lines accepted and refused, table, status, messages, reloads, hints, discards, failures.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/ktap.sh
. "$REPO/tests/lib/ktap.sh"
# shellcheck source=tests/lib/nodes.sh
. "$REPO/tests/lib/nodes.sh"
# shellcheck source=tests/lib/circle.sh
. "$REPO/tests/lib/circle.sh"
# shellcheck source=tests/lib/local.sh
. "$REPO/tests/lib/local.sh"
# shellcheck source=tests/lib/sidebyside.sh
. "$REPO/tests/lib/sidebyside.sh"
ktap_header

WB='128 1 writeback default 0'

one_line()	# <rest of the line>: is it taken, what is printed
{
	fresh && create "$1" && table && status && dmsetup remove "d_$T"
}

good=(
	'128 0 default 0'
	'128 1 writeback default 0'
	'64 1 writethrough smq 0'
	'128 1 passthrough mq 0'
	'192 1 writeback default 0'
	'128 1 WriteThrough smq 0'
	'128 2 metadata2 writeback cleaner 0'
	'128 2 no_discard_passdown writethrough smq 0'
	'128 3 no_discard_passdown metadata2 passthrough default 0'
	'128 2 metadata2 metadata2 default 0'
	'128 0 default 2 migration_threshold 100'
	'128 1 writeback mq 4 sequential_threshold 1024 random_threshold 8'
	'128 0 mq 10 random_threshold 1 sequential_threshold 2 discard_promote_adjustment 3 read_promote_adjustment 4 write_promote_adjustment 5'
	'128 0 cleaner 2 Migration_Threshold 9'
)
bad=(
	'0 0 default 0' 'x 0 default 0' '100 0 default 0' '-128 0 default 0' '4194304 0 default 0'
	'' '128' '128 0' '128 x default 0' '128 1 writeback' '128 1 writeback default'
	'128 1 nonsense default 0' '128 2 writeback writethrough default 0'
	'128 2 writeback writeback default 0' '128 3 passthrough metadata2 writethrough default 0'
	'128 1 default 0' '128 0 nosuchpolicy 0' '128 0 writeback default 0'
	'128 0 default x' '128 0 default 1 x' '128 0 default 2 x 1' '128 0 default 2 migration_threshold'
	'128 0 default 2 migration_threshold x' '128 0 smq 2 sequential_threshold 1'
	'128 0 mq 2 sequential_threshold x' '128 0 mq 2 nonsense 1' '128 0 cleaner 2 random_threshold 1'
)

refusals()	# <lines...>
{
	local l
	fresh
	for l in "$@"; do
		echo "$l"
		! create "$l" || return
	done
}

too_long() { fresh; ! create "$WB" $((LEN + 8)); }
no_device() { fresh; ! try create "d_$T" --table "0 $LEN $T /dev/none /dev/mapper/s_$T /dev/mapper/o_$T $WB"; }
other_block() { fresh && create "$WB" && dmsetup remove "d_$T" && ! create "192 1 writeback default 0"; }

inactive()	# a table that waits
{
	fresh
	dmsetup create "d_$T" --notable && load "128 2 metadata2 writethrough mq 2 migration_threshold 3" &&
		status --inactive && try resume "d_$T" && status
}

message() { try message "d_$T" 0 "$@"; }

messages()	# <rest of the line>
{
	fresh && create "$1" || return
	message migration_threshold 77 && status
	message Migration_Threshold 78 && status
	message migration_threshold x
	message migration_threshold
	message migration_threshold 1 2
	message sequential_threshold 1024
	message random_threshold x
	message write_promote_adjustment 5
	message nonsense
	message nonsense 1
	message invalidate_cblocks 0
	message invalidate_cblocks
	status; table
}

invalidations()
{
	local n
	fresh && create '128 1 passthrough default 0' || return
	message invalidate_cblocks
	message invalidate_cblocks 0
	message INVALIDATE_CBLOCKS 0-1 5 7-20
	message invalidate_cblocks "0-$((SSD_MB * 16))" && echo "all"
	for n in "$((SSD_MB * 16))" "0-$((SSD_MB * 16 + 1))" 5-5 7-5 x 5x 5-x -5 ''; do
		message invalidate_cblocks "$n"
	done
	return 0
}

resident() { local u; u=$(field 4); echo "${u%/*}"; }

# What is in the cache goes, from the cache alone.
invalidated()
{
	fresh && create "$WB" && hot 4 && cleaned && reload '128 1 passthrough default 0' || return
	[ "$(resident)" -ge 4 ] && message invalidate_cblocks "0-$((SSD_MB * 16))" &&
		dmsetup suspend "d_$T" && dmsetup resume "d_$T" && [ "$(resident)" = 0 ]
}

# Suspended with something dirty: either may write back before it stops.
suspended_dirty()
{
	local i
	for ((i = 0; i < 20; i++)); do
		hot 2 && dmsetup suspend "d_$T" || return
		is_dirty && return
		dmsetup resume "d_$T"
	done
	echo "was never dirty"
	return 1
}

# Dirty when the table comes.
to_passthrough()
{
	fresh && create "$WB" && suspended_dirty || return
	load '128 1 passthrough default 0' && try resume "d_$T" && return 1
	load "$WB" && try resume "d_$T" && cleaned && reload '128 1 passthrough default 0' && status
}

modes()
{
	fresh && create "$WB" || return
	for m in '1 writethrough default 0' '2 writethrough metadata2 mq 0' '0 cleaner 0' \
		'1 passthrough smq 0' '2 writeback no_discard_passdown smq 2 migration_threshold 1' \
		'1 writethrough cleaner 0'; do
		reload "128 $m" && table && status || return
	done
	! load '192 1 writeback default 0' && ! load '128 1 writeback nosuch 0' && status
}

# The mode's use: the origin was changed by somebody else.
reads_origin()
{
	fresh && create "$WB" && hot 4 && cleaned && reload '128 1 passthrough default 0' || return
	dd if=/dev/zero of="/dev/mapper/o_$T" bs=64k count=4 oflag=direct conv=notrunc status=none
	dd if="$(dev)" bs=64k count=4 iflag=direct status=none | cmp -n 262144 - /dev/zero &&
		[ "$(resident)" -ge 4 ] && echo "the blocks are still there"
}

queued()	# writes that come while the device is suspended, and another table meanwhile
{
	local i rc
	fresh && create "$WB" && dmsetup suspend "d_$T" || return
	head -c 1048576 /dev/zero | tr '\0' "$1" >/tmp/piece
	for i in 0 1 2 3; do
		dd if=/tmp/piece of="$(dev)" bs=1M seek="$i" oflag=direct conv=notrunc,fsync status=none &
	done
	load "128 1 writethrough mq 0" && sleep 0.5
	rc=$?
	try resume "d_$T" && wait && [ "$rc" = 0 ] || return
	dd if="$(dev)" bs=1M count=4 iflag=direct status=none | md5sum
	status
}

hints()	# the largest: ours wants 8 blocks
{
	local q bs n words
	for bs in 64 128 192 1024 4096; do
		fresh && create "$bs 1 writeback default 0" || return
		dm_dir "d_$T" && q=$REPLY/queue
		words=$bs:
		for n in minimum_io_size optimal_io_size logical_block_size physical_block_size \
			discard_max_hw_bytes discard_max_bytes rotational; do
			read -r n <"$q/$n" && words+=" $n" || return
		done
		echo "$words"
	done
}

discards()	# <features>
{
	local n
	fresh && create "128 $1 default 0" && n=$(stat_of "o_$T" 12) && blkdiscard -o 1M -l 2M "$(dev)" &&
		echo "reached the origin: $(($(stat_of "o_$T" 12) > n))" && status
}

# The origin supports none.
no_discards()
{
	local lower=/sys/kernel/config/nullb/none_$T
	mkdir "$lower" && echo 32 >"$lower/size" && echo 1 >"$lower/memory_backed" &&
		echo 1 >"$lower/power" || return
	fresh
	try create "d_$T" --table "0 65536 $T /dev/mapper/m_$T /dev/mapper/s_$T $(__null_node "$lower") $WB"
	status; table
	dmsetup remove "d_$T" && rmdir "$lower"
}

events() { dmsetup info -c --noheadings -o events "d_$T"; }

# The event that scripts wait for: the last dirty block is clean. The origin does not answer before.
clean_event()
{
	local n rc
	fresh && create "$WB" && suspended_dirty && load "128 0 cleaner 0" && dev_freeze "o_$T" || return
	try resume "d_$T" && n=$(events) && is_dirty
	rc=$?
	dev_thaw "o_$T"
	[ "$rc" = 0 ] || return
	while timeout 60 dmsetup wait "d_$T" "$n" >/dev/null; do
		n=$(events)
		is_clean && echo clean && return
	done
	return 1
}

is_failed() { [[ "$("$IO" status "d_$T")" =~ (Fail|needs_check) ]]; }

# The metadata cannot be written, or not even be read. dm-cache may be Fail then, ours only if the
# origin fails too.
fails()	# <how the device is made to fail>
{
	local n rc
	fresh && create "$WB" && hot 2 && n=$(events) &&
		"$1" "m_$T" || return
	dd if=/dev/zero of="$(dev)" bs=64k count=40 oflag=direct conv=notrunc,fsync status=none 2>/dev/null
	wait_for 60 "failure" is_failed && timeout 60 dmsetup wait "d_$T" "$n" >/dev/null
	rc=$?
	message migration_threshold 5
	message invalidate_cblocks 0
	table
	dmsetup remove --retry "d_$T"
	dev_heal "m_$T" && return "$rc"
}

each()	# <what> <function> <lines...>
{
	local what=$1 script=$2 words
	shift 2
	for words in "$@"; do
		ktap_test "$what: $words" same_both "$script" "$words"
	done
}

was_cache()	# metadata of dm-cache, 4 KiB wiped, as scripts do before they make a new one
{
	T=cache
	fresh && create "$WB" && hot 4 && dmsetup remove d_cache && T=circle || return 1
	dmsetup create d_circle --table "$(line "$WB" | sed 's/m_circle/m_cache/')" 2>/dev/null && return 1
	T=cache wipe
	dmsetup create d_circle --table "$(line "$WB" | sed 's/m_circle/m_cache/')" &&
		dmsetup remove d_circle
}

SSD_MB=16
side_devices 4 $SSD_MB 64 || exit 1
at_exit 'dmsetup remove --retry d_cache 2>/dev/null; dmsetup remove --retry d_circle 2>/dev/null'
each "taken" one_line "${good[@]}"
ktap_test "refused lines" same_both refusals "${bad[@]}"
ktap_test "refused: longer than the origin" same_both too_long
ktap_test "refused: a device that is not there" same_both no_device
ktap_test "refused: another block size than the metadata's" same_both other_block
ktap_test "a table that waits" same_both inactive
each "messages" messages "$WB" '128 1 writethrough mq 0' '128 0 cleaner 0'
ktap_test "invalidate_cblocks: ranges" same_both invalidations
ktap_test "invalidate_cblocks: it is gone" same_both invalidated
ktap_test "passthrough wants a clean cache" same_both to_passthrough
ktap_test "reloads" same_both modes
ktap_test "passthrough reads the origin" same_both reads_origin
ktap_test "a table that comes with writes queued" same_both queued Q
ktap_test "hints" same_both hints
each "discards" discards '0' '1 no_discard_passdown' '2 no_discard_passdown writethrough'
ktap_test "an origin without discards" same_both no_discards
ktap_test "an event when all is clean" same_both clean_event
ktap_test "metadata that cannot be written" same_both fails dev_fail_writes
ktap_test "metadata that cannot be read either" same_both fails dev_fail
ktap_test "metadata that were dm-cache's" was_cache
side_devices_remove
check_dmesg
ktap_done
