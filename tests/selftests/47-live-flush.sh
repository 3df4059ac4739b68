#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=600 modules=dm-circle,null_blk kernels=newest
#
# A FLUSH of the origin fails during a recovery that is live, and what had been written before is gone,
# while writers wait for just those blocks.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/live.sh
. "$REPO/tests/lib/live.sh"
ktap_header

# The origin in three: the first 16 MiB on a device that can be slow or forget writes, 1 MiB in which
# nobody writes, where each FLUSH takes 3 s and may fail, and the rest.
DATA=32768
REST=$((DATA + 2048))
part()	# <name> <sectors> <first>
{
	! dmsetup info "$1" >/dev/null 2>&1 || return 0
	dmsetup create "$1" --table "0 $2 linear $LOWER $3" && at_exit "dmsetup remove --retry $1 2>/dev/null" || return 1
	DEV_SECTORS[$1]=$2
	DEV_LOWER[$1]=$LOWER	# for dev_heal: of the first part
}
lower_of() { echo "${DEV_LOWER[$1]}"; }
in_parts()
{
	LOWER=$(lower_of org1) ALL=$(blockdev --getsz /dev/mapper/org1)
	modprobe -a dm-delay dm-flakey && part org_data "$DATA" 0 && part org_flush 2048 "$DATA" && is_slow || return 1
	dmsetup suspend --noflush --nolockfs org1 && dmsetup load org1 <<-END && dmsetup resume org1
		0 $DATA linear /dev/mapper/org_data 0
		$DATA 2048 delay /dev/mapper/org_flush 0 0 /dev/mapper/org_flush 0 0 /dev/mapper/org_flush 0 3000
		$REST $((ALL - REST)) linear $LOWER $REST
	END
}
forgets() { dev_drop_writes org_data; }
works() { dev_heal org_data; }
is_slow() { dev_delay org_data 0 120000; }
# FLUSHes hang, until it is said how they end
flush_hangs() { dmsetup suspend --noflush --nolockfs org_flush; }
flush_ends()	# <target and its arguments>
{
	dmsetup load org_flush --table "0 2048 $*" && dmsetup resume org_flush
}
flush_fails() { flush_ends flakey "$LOWER" "$DATA" 0 3600 1 error_writes; }
flush_works() { flush_hangs && flush_ends linear "$LOWER" "$DATA"; }

fdatasync_c1() { python3 -c 'import os; os.fdatasync(os.open("/dev/mapper/c1", os.O_RDWR))'; }
origin_failed() { [ "$(circle_status c1 origin_errors)" -gt 0 ]; }
flush_under_way() { [ "$(stat_of org1 9)" -gt 0 ]; }
all_drained() { [ "$(left)" -le 1 ]; }	# at least 1 until it is over

circle_timeout
at_exit "dmsetup remove --retry c1 c2 c3 2>/dev/null"
circle_nodes 64 2 3 || exit 1
node_add 1 && dev_null ssd1 64 && dev_null meta1 8 && dev_null org1 65 volatile || exit 1
DEGREE=1
circle_node_create 2 0 "" && circle_node_create 3 0 "" || exit 1
ktap_test "an owner" owner
# faults: owner-host power-loss idle
ktap_test "is lost" live_lost random_blocks /tmp/before

# Nothing of it is at the origin, nothing is to be flushed; then the host's FLUSH is the first, and fails when
# drainers wait for theirs, of which that of the first is under way.
# faults: origin hang recovering
takes_over_slowly()
{
	local FEATURES=$RECOVER
	MARK=$(log_mark)
	dev_hold org1 1 120000 && owner && is_live && in_parts
}
# faults: origin hang flushing
host_flush()
{
	dd if=/dev/urandom of=/dev/mapper/c1 bs=64k seek=600 count=1 oflag=direct conv=notrunc status=none &&
		flush_hangs || return 1
	fdatasync_c1 2>/dev/null &
	flusher=$!
	wait_for 30 "the FLUSH" flush_under_way
}
writers=()
# faults: origin power-loss recovering
write_and_forget()
{
	local n
	head -c 4096 /dev/urandom >/tmp/page
	forgets || return 1
	for ((n = 160; n < 168; n++)); do
		dd if=/tmp/page of=/dev/mapper/c1 bs=4k seek=$((n * 16)) oflag=direct conv=notrunc \
			status=none &
		writers+=($!)
		dd if=/tmp/page of=/tmp/before bs=4k seek=$((n * 16)) conv=notrunc status=none
	done
	wait_for 60 "all to be written" all_drained && works
}
# faults: origin error flushing,recovering
# faults: origin return recovering
fails_once() { flush_fails && wait_for 30 "the failure" origin_failed && flush_works; }
they_end()
{
	local pid
	for pid in "${writers[@]}"; do
		wait "$pid" || return 1
	done
	! wait "$flusher"
}
ktap_test "live" takes_over_slowly
ktap_test "a FLUSH of the host" host_flush
ktap_test "writes wait, and what is drained for them is forgotten" write_and_forget
ktap_test "the FLUSH fails" fails_once
ktap_test "the writes end well, the FLUSH does not" they_end
ktap_test "the end" wait_for 120 "the end" is_over
ktap_test "all is there" reads_as /tmp/before 0 192
ktap_test "nothing is lost" nothing_lost
ktap_test "the peers count" counts

# All FLUSHes fail: who waits for one is told so.
# faults: origin error recovering
fails_in_vain()
{
	works && flush_fails || return 1
	timeout 120 dd if=/tmp/page of=/dev/mapper/c1 bs=4k seek=$((170 * 16)) oflag=direct conv=notrunc \
		status=none 2>/dev/null
	[ $? = 1 ]
}
ktap_test "lost again" live_lost random_blocks /tmp/before
ktap_test "live" takes_over_slowly
ktap_test "each FLUSH fails, and a write in the end" fails_in_vain
ktap_test "the origin works" flush_works
ktap_test "the end" wait_for 120 "the end" is_over
ktap_test "all is there again" reads_as /tmp/before 0 192

# What the owner before wrote through may be in the origin's cache alone: a label there has a FLUSH before it, one
# on a device of its own has not, so the recovery has to.
anew()
{
	dmsetup remove c1 && dev_heal org1 && dev_null lab 2 && circle_node_wipe 1 || return 1
	LABEL=/dev/mapper/lab
	owner
}
lost_with_label()	# which the dying node cannot write, either
{
	live_dirty random_blocks /tmp/before && dev_fail lab && circle_node_die 1 && circle_node_wipe 1 &&
		dev_heal lab
}
flushes() { local -a f; read -ra f <"/sys/block/$(basename "$(lower_of org1)")/stat" && echo "${f[15]}"; }
takes_over_flushed()
{
	local FEATURES=$RECOVER before
	dev_hold org1 1 120000 && before=$(flushes) && owner && is_live && echo "# FLUSHes: $before, $(flushes)" &&
		[ "$(flushes)" -gt "$before" ]
}
ktap_test "all anew, with a label on a device of its own" anew
ktap_test "lost once more" lost_with_label
ktap_test "the origin is flushed before it is live" takes_over_flushed
ktap_test "the end" ends
ktap_test "all is there once more" reads_as /tmp/before 0 192
ktap_test "remove" dmsetup remove c1 c2 c3
check_dmesg
ktap_done
