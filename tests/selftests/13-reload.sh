#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=600 modules=dm-circle,null_blk
#
# Tables that come and go under I/O: suspend, reload, other modes, removal; what the device says of
# itself; messages; discards; a file system.
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

C=/dev/mapper/c
SIZE=$((63 * 2048))
WB='1 writeback default 0'

line() { table_of "$SIZE" meta ssd org 64 "${1-$WB}"; }
reload() { dmsetup suspend c && dmsetup load c --table "$(line "$1")" && dmsetup resume c; }
quick() { local t; t=$(now_ms); "$@" && [ $(($(now_ms) - t)) -lt 15000 ]; }

writes_beyond() { [ "$(stat_of c 5)" -gt "$1" ]; }

# under_load <command>: while verified I/O goes on
under_load()
{
	local fio rc before
	before=$(stat_of c 5)
	fio --name=v --filename="$C" --direct=1 --ioengine=libaio --iodepth=8 --rw=randrw \
		--bsrange=512-16k --blockalign=512 --size=32M --io_size=512M --verify=crc32c \
		--verify_backlog=64 --fsync=32 --randseed=7 --time_based --runtime=7 \
		--minimal >/tmp/fio 2>&1 &
	fio=$!
	wait_for 60 "I/O" writes_beyond "$before" && "$@"
	rc=$?
	wait "$fio" || { tail -n 5 /tmp/fio; return 1; }
	return "$rc"
}

suspend_resume()
{
	local i
	for i in 1 2 3; do
		dmsetup suspend c && sleep 0.3 && dmsetup resume c &&
			dmsetup suspend --noflush c && dmsetup resume c || return 1
	done
}

reloads() { local i; for i in 1 2 3; do reload "$WB" || return 1; done; }

modes()
{
	local m
	for m in '1 writethrough default 0' '1 passthrough smq 0' '0 cleaner 0' "$WB" \
		'2 writeback metadata2 mq 2 migration_threshold 100'; do
		[[ "$m" != *pass* ]] || wait_for 60 "clean" circle_is_clean c || return 1
		reload "$m" && sleep 0.4 || return 1
	done
}

cleans() { reload "$1" && wait_for 60 "clean" circle_is_clean c; }

fill()	# <device> <MiB>: dirty data, and their copy in /tmp/want
{
	head -c $(($2 << 20)) /dev/urandom >/tmp/want
	dd if=/tmp/want of="$1" bs=64k oflag=direct conv=notrunc status=none
}

same()	# <device>: read past the page cache, which knows nothing of what others write below
{
	dd if="$1" bs=64k count="$(stat -c %s /tmp/want)" iflag=direct,count_bytes status=none |
		cmp - /tmp/want
}

# In the midst of write-back to a slow origin: six batches, each of which takes 2.5 s.
# faults: origin hang writing-back
remove_busy()
{
	local left
	dev_delay org 1 2500 && fill "$C" 11 && dmsetup message c 0 drain || return 1
	left=$(circle_dirty c)
	[ "$left" -gt 0 ] && quick dmsetup remove c && dev_heal org &&
		dmsetup create c --table "$(line)" && same "$C" && return
	echo "# $left blocks were dirty"
	return 1
}

# The name goes first; the last that goes is what it holds.
is_gone() { ! dmsetup info c >/dev/null 2>&1 && is_closed meta && is_closed ssd && is_closed org; }
is_closed() { [ "$(dmsetup info -c --noheadings -o open "$1" | tr -d ' ')" = 0 ]; }

deferred()
{
	exec 4<"$C"
	dmsetup remove --deferred c && dmsetup info c | grep -q DEFERRED
	local rc=$?
	exec 4<&-
	[ "$rc" = 0 ] && wait_for 60 "removal" is_gone && dmsetup create c --table "$(line)" && same "$C"
}

printed()	# <rest of the line> [<as printed>]: what is printed is the line, and is understood
{
	local table
	reload "$1" && table=$(dmsetup table c | sed -E 's,[0-9]+:[0-9]+ [0-9]+:[0-9]+ [0-9]+:[0-9]+ ,,')
	[ "$table" = "0 $SIZE circle 64 ${2-$1}" ] || { echo "# $table"; return 1; }
	table=$(dmsetup table c)
	dmsetup load c --table "$table" && dmsetup suspend c && dmsetup resume c &&
		[ "$(dmsetup table c)" = "$table" ]
}

fields()
{
	local s hits
	reload "$WB"
	hits=$(circle_status c 5)
	dd if="$C" of=/dev/null bs=64k count=8 iflag=direct status=none
	s=$(dmsetup status c)
	grep -qE '^0 [0-9]+ circle 8 [0-9]+/[0-9]+ 64 [0-9]+/511 ([0-9]+ ){7}1 writeback 2 migration_threshold 2048 smq 0 rw - circle [0-9]+ ' \
		<<<"$s" && [ "$(circle_status c 5)" -gt "$hits" ] && return
	echo "# $s"
	return 1
}

bad_message()	# <words>
{
	local n
	n=$(dmesg | grep -c "circle:.*message")
	dmsetup message c 0 "$@" 2>/dev/null && return 1
	[ "$(dmesg | grep -c "circle:.*message")" -gt "$n" ]
}

threshold() { dmsetup message c 0 migration_threshold 77 && dmsetup status c | grep -q 'threshold 77 '; }

two()
{
	dev_null ssdB 8 && dev_null metaB 2 && dev_null orgB 32 || return 1
	dmsetup create d --table "$(table_of $((31 * 2048)) metaB ssdB orgB 128)" || return 1
	fio --direct=1 --ioengine=libaio --iodepth=8 --rw=randwrite --bs=4k --size=24M --io_size=6M \
		--verify=crc32c --minimal --name=c --filename="$C" --name=d --filename=/dev/mapper/d \
		>/tmp/fio 2>&1 || { tail -n 5 /tmp/fio; return 1; }
	dmsetup remove d && dev_remove ssdB && dev_remove metaB && dev_remove orgB
}

discards()	# <rest of the line> <passed down?>
{
	local n
	reload "$1" && fill "$C" 1 && sync "$C" && circle_drain c && n=$(stat_of org 12) &&
		blkdiscard -l 512k "$C" || return 1
	[ $(($(stat_of org 12) > n)) = "$2" ] || { echo "# discards at the origin: $n, $(stat_of org 12)"; return 1; }
	[ "$2" = 0 ] || dd if=/dev/zero of=/tmp/want bs=512k count=1 conv=notrunc status=none
	same "$C" && circle_drain c && same /dev/mapper/org
}

# What is dirty is kept: an origin may ignore a discard, and would show what is older. 32 blocks; again
# if the machine stood still so long that they were written back before.
discards_dirty()
{
	local i dirty
	reload "$WB" || return 1
	for i in 1 2 3; do
		circle_drain c && dev_hold org && fill "$C" 1 && blkdiscard -l 512k "$C" || return 1
		dirty=$(circle_dirty c)
		[ "$dirty" -lt 32 ] || break
		echo "# try $i: $dirty blocks were dirty then"
		dev_heal org
	done
	[ "$dirty" = 32 ] && same "$C" && dev_heal org && circle_drain c && same /dev/mapper/org
}

file_system()
{
	mkdir -p /tmp/mnt && mkfs.ext4 -qF "$C" && mount -o discard "$C" /tmp/mnt &&
		cp -r "$REPO/drivers" "$REPO/tests/tools" /tmp/mnt/ && rm -r /tmp/mnt/tools && sync &&
		dmsetup suspend c && dmsetup resume c && umount /tmp/mnt && e2fsck -fn "$C" >/tmp/out &&
		circle_drain c && dmsetup remove c && e2fsck -fn /dev/mapper/org >/tmp/out &&
		mount -o ro /dev/mapper/org /tmp/mnt && diff -r "$REPO/drivers" /tmp/mnt/drivers
	local rc=$?
	[ "$rc" = 0 ] || tail -n 5 /tmp/out
	umount /tmp/mnt 2>/dev/null
	return "$rc"
}

at_exit 'umount /tmp/mnt 2>/dev/null; dmsetup remove --retry c 2>/dev/null; dmsetup remove --retry d 2>/dev/null'
dev_null meta 4 && dev_null ssd 16 && dev_null org 64 && dmsetup create c --table "$(line)" || exit 1
ktap_test "suspend and resume under I/O" under_load suspend_resume
ktap_test "the same table again under I/O" under_load reloads
ktap_test "other modes under I/O" under_load modes
fill "$C" 4
ktap_test "writethrough becomes clean" cleans '1 writethrough default 0'
ktap_test "the data are right" same "$C"
ktap_test "the origin has them" same /dev/mapper/org
reload "$WB"; fill "$C" 4
ktap_test "the cleaner becomes clean" cleans '0 cleaner 0'
ktap_test "the origin has them" same /dev/mapper/org
reload "$WB"
ktap_test "remove while write-back runs" remove_busy
ktap_test "remove --deferred" deferred
ktap_test "table: plain" printed "$WB"
ktap_test "table: arguments" printed '2 writethrough no_discard_passdown smq 2 migration_threshold 9'
ktap_test "table: no features" printed '0 default 0'
ktap_test "status" fields
ktap_test "message migration_threshold" threshold
ktap_test "unknown message" bad_message nonsense
ktap_test "message with a bad number" bad_message migration_threshold x
ktap_test "message with too many words" bad_message drain now
ktap_test "two devices at a time" two
ktap_test "discards reach the origin" discards "$WB" 1
ktap_test "a discard does not uncover what is older" discards_dirty
ktap_test "no_discard_passdown: they do not" discards '2 writeback no_discard_passdown default 0' 0
ktap_test "a file system" file_system
check_dmesg
ktap_done
