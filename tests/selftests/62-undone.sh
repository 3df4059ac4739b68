#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=300 modules=dm-circle,null_blk,dm-flakey kernels=newest
#
# A holder has an older version durably, and the newest not; it loses power when that has been written back, and
# before it is released. The owner stops in order, and starts again when the holder is back: what that has must not come
# back over what is at the origin. If the owner had not written it back, the newest is on its SSD.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/rig.sh
. "$REPO/tests/lib/rig.sh"
ktap_header

peer() { LABEL='' circle_node_create "$1" 0 ""; }
# Its disk is one that forgets what it was not told to flush.
forgets() { dev_drop_writes "ssd$1" && dev_drop_writes "meta$1"; }
put()	# <character> [<how> [<block>]]: a block of it
{
	head -c 65536 /dev/zero | tr '\0' "$1" |
		dd of=/dev/mapper/c1 bs=64k count=1 seek="${3:-3}" iflag=fullblock oflag=direct conv=notrunc${2:+,$2} status=none
}
reads() { [ "$(dd if=/dev/mapper/c1 bs=64k count=1 skip=3 iflag=direct status=none | tr -d "$1" | wc -c)" = 0 ]; }
is_dirty() { [ "$(circle_dirty c1)" = 1 ]; }

owner() { circle_timeout 20000 && circle_node_create 1 1 "$PEERS" && circle_wait_counts 1 "$(wc -w <<<"$PEERS")" && circle_drain c1 && dev_hold org1 1 3000; }
older_is_durable() { put a fsync && is_dirty && circle_risk_is 1 0; }
newer_is_not() { forgets 2 && put b && is_dirty && circle_risk_is 1 0; }
written_back() { link_down 2 && dmsetup message c1 0 drain && dev_heal org1 && wait_for 60 "all to be clean" circle_is_clean c1; }
held_by_2() { [ "$(circle_get 2 replicas_held)" = 1 ] || { circle_drain c1 && put a fsync && held_by_2; }; }
# Another one is dirty, with the other peer, whose turn it is.
another_is_dirty() { dev_hold org1 1 3000 && dmsetup message c1 0 undrain && put x '' 7 && is_dirty; }

# faults: peer-host power-loss releasing
stops()
{
	local mark
	circle_timeout 20000
	mark=$(log_mark)
	within_awake 15 dmsetup remove c1 && circle_node_die 2 && peer 2 || return 1
	! log_since "$mark" | grep -q 'circle: view ' || { LATE=1 && return 1; }
}
starts()
{
	local mark
	mark=$(log_mark)
	dev_heal org1 && circle_node_create 1 1 "$PEERS" && log_since "$mark" | grep -q 'peer 2 has restarted' && reads b &&
		circle_wait_counts 1 "$(wc -w <<<"$PEERS")" && put c fsync && reads c && circle_drain c1 && dmsetup remove c1
}
# faults: peer-host power-loss releasing
# faults: owner-host power-loss recovering
serves_and_crashes()
{
	local mark
	mark=$(log_mark)
	circle_node_create 1 1 "$PEERS" && log_since "$mark" | grep -q 'recovery: live, up to the last FLUSH' &&
		reads b && put d fsync && reads d && circle_node_die 1 && circle_node_create 1 1 "$PEERS" && reads d &&
		dev_heal org1 && circle_recovered 1 && reads d && circle_drain c1 && dmsetup remove c1
}

# The newest is on the SSD, since the origin does not take that block, and what is older at the holder, of which the
# label says that it counts, since none can be written. The owner drains, and is held in the midst of that.
PID=
begins()	# [<features>]: with these it does not get through before it is at an end
{
	dev_fail_writes lab && stops && dev_heal lab && good_sectors org1 384 128 && dev_hold org1 1 60000 && circle_timeout 4000 || return 1
	if [ "${1-}" ]; then
		circle_node_create 1 1 "$PEERS" "$1" 2>/dev/null &
		PID=$!
	else
		circle_node_create 1 1 "$PEERS"
	fi && wait_for 60 "it to drain" dev_held_writes org1 1
}
breaks() { dev_fail_writes lab && link_down 2 && dev_heal org1; }
# Something waits for I/O of it, which ends with it.
dies_busy()
{
	dev_fail org1 && dev_fail ssd1 && dev_fail meta1 && link_down 1 && dmsetup suspend --noflush --nolockfs c1 &&
		dmsetup load c1 --table "0 $(blockdev --getsz /dev/mapper/c1) error" && dmsetup resume c1 && wait "$1"
	dmsetup remove --retry c1 && dev_heal ssd1 && dev_heal meta1 && dev_heal org1 && link_up 1
}
mended() { dev_heal lab && link_up 2; }
writes_of() { local n && dm_dir "$1" && read -ra n <"$REPLY/stat" && echo "${n[4]}"; }
wrote_more() { [ "$(writes_of "$1")" -gt "$2" ]; }

# No label can be written at its end, and the holder cannot be reached.
# faults: label error recovering
# faults: label return recovering
dies_at_end()
{
	begins "2 writeback force" && breaks || return 1
	! wait "$PID" && mended && starts
}
# The host waits for a block that its holder is to release, and does not: it is not asked if it is gone by then. The block
# is at the origin, durably: it has no holder, and is not at risk.
unreleased() { log_since "$1" | grep -qE 'a holder has not released it|peer 2: no answer' && circle_risk_is 1 0; }
# faults: link hang recovering
dies_releasing()
{
	local mark
	mark=$(log_mark)
	begins && breaks || return 1
	put d 2>/dev/null &
	PID=$!
	wait_for 60 "a holder not to answer" unreleased "$mark" && dies_busy "$PID" && mended && starts
}
# It has drained all, and cannot say so.
# faults: owner-host power-loss recovering
dies_live()
{
	local n
	begins && n=$(writes_of lab) && dev_fail_writes lab && dev_heal org1 &&
		wait_for 60 "a label that is refused" wrote_more lab "$n" && circle_node_die 1 && mended && starts
}

# With its label elsewhere.
another_set() { circle_node_wipe 1 && blkdiscard -z /dev/mapper/org1; }

# in_time <command...>: again, if the owner was rid of the holder before it had stopped, which is another case
in_time()
{
	local i
	for i in {1..5}; do
		LATE=
		"$@" && return
		[ "$LATE" ] || return 1
		echo "# try $i: a label without the holder came first"
		dev_heal org1 && circle_node_create 1 1 "$PEERS" && circle_drain c1 && dmsetup remove c1 || return 1
	done
	return 1
}
released_late() { owner && older_is_durable && newer_is_not && written_back && stops && starts; }
not_written_back() { owner && older_is_durable && newer_is_not && link_down 2 && stops && starts; }
not_drained() { owner && bad_sectors org1 384 128 && older_is_durable && newer_is_not && link_down 2 && "$1"; }
served_late() { owner && older_is_durable && held_by_2 && newer_is_not && written_back && another_is_dirty && stops && serves_and_crashes; }

circle_timeout 20000
circle_nodes 64 1 2 3 && peer 2 || exit 1
at_exit "dmsetup remove --retry c1 c2 c3 2>/dev/null"
PEERS=2
ktap_test "the newest was written back, and not released: it is there after a restart" in_time released_late
ktap_test "it was not: it is on the SSD" in_time not_written_back
dev_null lab 4 && another_set || exit 1
LABEL=/dev/mapper/lab
ktap_test "... and the owner breaks down at the end of its recovery" not_drained dies_at_end
ktap_test "... while a holder is to release it" not_drained dies_releasing
ktap_test "... when all is drained, and it cannot say so" not_drained dies_live
LABEL=
another_set && peer 3 || exit 1
PEERS="2 3"
ktap_test "the owner serves before all is drained, is written to, and crashes" in_time served_late
ktap_test "remove" dmsetup remove c2 c3
check_dmesg
ktap_done
