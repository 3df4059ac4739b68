#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=900 modules=dm-circle,null_blk kernels=newest cpu=60
#
# What hangs while all that is dirty is written to the origin, by its owner or by one that recovers.
# What does not need it goes on meanwhile, and all of it when it answers; the host gets no error,
# and nothing is lost.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/rig.sh
. "$REPO/tests/lib/rig.sh"
ktap_header

# shellcheck source=tests/lib/heal.sh
. "$REPO/tests/lib/heal.sh"
# shellcheck source=tests/lib/matrix.sh
. "$REPO/tests/lib/matrix.sh"

# shellcheck disable=SC2034	# for matrix.sh
DEGREE=2 PEERS="2 3"

# Its writes are under way, and the origin keeps them.
writes_back()
{
	much_dirty && dmsetup message c1 0 drain && wait_for 60 "write-back" origin_holds &&
		writing_back
}
origin_holds() { dev_held_writes org1 1; }
writing_back() { origin_holds && ! circle_is_clean c1; }
is_clean() { wait_for 60 "all to be at the origin" circle_is_clean c1; }
written_back() { is_clean && dmsetup message c1 0 undrain && check && all_count; }
drain_stands()
{
	local n
	n=$(circle_dirty c1) && [ "$n" -gt 0 ] || return 1
	get_now
	[ "$n" = "${DIRTY-}" ] || DIRTY=$n DIRTY_SINCE=$NOW_MS
	[ $((NOW_MS - DIRTY_SINCE)) -ge 2000 ]
}
drain_waits() { DIRTY=; wait_for 60 "write-back to wait for $1" drain_stands; }

# What has its holders needs no label, and nothing that hangs.
host_goes_on() { in_background 60 --mix write=80,read=20 && ended_well 60; }
# Else requests wait for what the case had left undone.
all_goes_on() { [ "$1" = 0 ] || origin_fast; }
host_waits() { in_background 60 --mix write=50,read=20,fua=30 && waits "$1"; }

# faults: owner-ssd hang writing-back
# faults: owner-ssd return writing-back
ssd_hangs()
{
	local rc=0
	writes_back && dev_freeze ssd1 || return 1
	origin_fast && host_waits "the SSD" && drain_waits "the SSD" || rc=1
	dev_thaw ssd1
	all_goes_on "$rc" && ended_well 90 && [ "$rc" = 0 ] && written_back
}
# faults: owner-meta hang writing-back
meta_hangs()
{
	local rc=0
	writes_back && dev_freeze meta1 || return 1
	origin_fast && host_waits "the metadata" || rc=1
	dev_thaw meta1
	all_goes_on "$rc" && ended_well 90 && [ "$rc" = 0 ] && written_back
}
# It is not asked for what is at the origin already; who writes loses it.
# faults: peer-ssd hang writing-back
peer_hangs()
{
	local rc=0
	writes_back && dev_freeze ssd2 || return 1
	in_background 60 && patience_ends && writing_back && origin_fast && ended_well 90 &&
		is_clean && check || rc=1
	dev_thaw ssd2
	[ "$rc" = 0 ] && written_back
}
# faults: link hang writing-back
link_hangs()
{
	writes_back && link_down 2 && in_background 60 && patience_ends && writing_back &&
		origin_fast && ended_well 90 && is_clean && check && link_up 2 && written_back
}
# Without a lease nothing is written to the origin, so a discard waits that is passed down; the
# host's writes go on.
# faults: label hang writing-back
# faults: label return writing-back
label_hangs()
{
	local rc=0 discards
	writes_back && dev_freeze lab || return 1
	: >/tmp/discards
	discard_again &
	discards=$!
	waits "the label" && writing_back && origin_fast && drain_waits "the label" &&
		host_goes_on && ! circle_is_clean c1 || rc=1
	rm /tmp/discards
	dev_thaw lab
	all_goes_on "$rc" && wait "$discards" && [ "$rc" = 0 ] && written_back
}
discard_again()
{
	while [ -e /tmp/discards ]; do
		blkdiscard -o $((2 * SIZE)) -l 65536 /dev/mapper/c1 || return 1
	done
}
# faults: origin hang writing-back
# faults: origin return writing-back
origin_hangs()
{
	local rc=0
	writes_back && dev_freeze org1 || return 1
	host_waits "the origin" && ! circle_is_clean c1 || rc=1
	dev_thaw org1
	origin_fast && ended_well 90 && [ "$rc" = 0 ] && written_back
}

# The next owner is live, and nothing of what it recovers is at the origin.
recovers()
{
	local FEATURES="3 writeback recover fenced"
	much_dirty && owner_is_gone && dev_hold org1 1 600000 && circle_recovers 1 lab_owner &&
		recovering && origin_holds
}
recovering() { ! circle_is c1 recovering 0; }
recovered_well() { circle_recovered 1 && check && all_count; }

# faults: owner-ssd hang recovering
new_ssd_hangs()
{
	local rc=0
	recovers && dev_freeze ssd1 || return 1
	in_background 40
	recovering && origin_fast &&
		wait_for 60 "nothing to be recovered" circle_is c1 recovering 0 || rc=1
	dev_thaw ssd1
	all_goes_on "$rc" && ended_well 90 && [ "$rc" = 0 ] && recovered_well
}
# faults: owner-meta hang recovering
new_meta_hangs()
{
	local rc=0
	recovers && dev_freeze meta1 || return 1
	in_background 40
	recovering && origin_fast &&
		wait_for 60 "nothing to be recovered" circle_is c1 recovering 0 || rc=1
	dev_thaw meta1
	all_goes_on "$rc" && ended_well 90 && [ "$rc" = 0 ] && recovered_well
}
# The other holder has all, too.
# faults: peer-ssd hang recovering
holder_hangs()
{
	local rc=0
	recovers && circle_patient 1 2000 && dev_freeze ssd2 || return 1
	in_background 40
	recovering && origin_fast && circle_recovered 1 && ended_well 90 && check || rc=1
	dev_thaw ssd2
	[ "$rc" = 0 ] && circle_patient 1 && recovered_well
}

circle_timeout 30000
matrix_devices 3 || exit 1
at_exit "dmsetup remove --retry c1 c2 c3 2>/dev/null"
at_exit "devices_well; link_up 2"
peer 2 && peer 3 || exit 1
hist init --zero --dev /dev/mapper/org1 --seed $((RANDOM + 1)) || exit 1
ktap_test "an owner" eval "lab_owner && all_count" || exit 1

a_case "written back: the SSD hangs" ssd_hangs
a_case "the metadata hang" meta_hangs
a_case "a holder's SSD hangs: all is written back" peer_hangs
a_case "the link to it hangs: all is written back" link_hangs
a_case "the label hangs: nothing more is written back, the host writes" label_hangs
a_case "the origin hangs" origin_hangs
a_case "the owner dies: nothing is lost" dies_dirty
a_case "recovered: the new owner's SSD hangs" new_ssd_hangs
a_case "its metadata hang" new_meta_hangs
a_case "a holder's SSD hangs: the other has all" holder_hangs
a_case "the owner dies in the end: nothing is lost" dies_dirty
ktap_test "remove" dmsetup remove c1 c2 c3
check_dmesg
ktap_done
