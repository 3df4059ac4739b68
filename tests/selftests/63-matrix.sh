#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=900 modules=dm-circle,null_blk,dm-flakey kernels=newest cpu=60
#
# What fails while holders are told that they may forget: all is at the origin, a holder has dropped it in memory, and
# cannot make that durable since its metadata device does not answer. What it may still have is older by the
# time that somebody recovers: nothing of it may come back, and nothing may be missing.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/rig.sh
. "$REPO/tests/lib/rig.sh"
ktap_header

# shellcheck source=tests/lib/heal.sh
. "$REPO/tests/lib/heal.sh"
# shellcheck source=tests/lib/matrix.sh
. "$REPO/tests/lib/matrix.sh"

DEGREE=1
PEERS="2 3"

# The holder had all of it durably.
release_begins()
{
	all_count && circle_drain c1 && dev_hold org1 1 10000 && run --ops 120 --qd 32 --mix write=100 \
		--sizes 512,4096,8192,65536 && "$IO" fdatasync /dev/mapper/c1 && circle_risk_is 1 0 && HELD=$(held 2) &&
		[ "$HELD" -gt 10 ] && dev_freeze meta2 && dev_heal org1 && dmsetup message c1 0 drain &&
		wait_for 60 "all to be clean" circle_is_clean c1 && wait_for 30 "releases" dropped &&
		dmsetup message c1 0 undrain && echo "# $HELD blocks of node 2, $(held 2) left"
}
dropped() { [ "$(held 2)" -lt "$HELD" ]; }
# Still: node 2 has answered none, and counts.
releasing() { frozen meta2 && dropped && circle_view_is 1 2; }
frozen() { [ "$(dmsetup info -c --noheadings -o suspended "$1")" = Suspended ]; }
release_ends() { circle_drain c1 && wait_for 60 "nothing to be held" none_held; }
none_held() { [ "$(held 2)" = 0 ] && [ "$(held 3)" = 0 ]; }

# Without 2, which is lost soon; its old replicas stay, and are older than what is written now.
without_2() { circle_patient 1 2000 && wait_for 60 "a view without 2" circle_view_is 1 1 && circle_patient 1; }
written_without_2() { run --ops 100 --mix write=80,read=10,discard=5,flush=5 && check; }

# faults: link hang releasing
# faults: link return releasing
link_hangs()
{
	release_begins && link_down 2 && releasing && without_2 && written_without_2 && link_up 2 && frozen meta2 && dev_thaw meta2 && all_count &&
		check
}

# faults: link error releasing
link_resets()
{
	release_begins && in_background 60 --mix write=80,read=20 && releasing && node_exec 1 ss -K dst "$(node_addr 2)" >/dev/null &&
		wait_for 30 "a view without 2" circle_view_is 1 1 && ended_well 60 && dev_thaw meta2 && all_count && check
}

# It is back with what it was told to forget.
# faults: peer-host power-loss releasing
# faults: peer-ssd power-loss releasing
# faults: peer-host return releasing
peer_power_cut()
{
	release_begins && releasing && power_cut 2 && without_2 && written_without_2 && link_down 2 && peer 2 &&
		[ "$(held 2)" -gt 0 ] && link_up 2 && all_count && check
}
# No label without it is written: the owner dies first.
# faults: owner-host power-loss releasing
# faults: peer-host power-loss releasing
both_power_cut()
{
	release_begins && releasing && owner_is_gone && power_cut 2 && peer 2 && [ "$(held 2)" -gt 0 ] && taken_over
}

# What it had dropped is with the origin, also when that loses what it had not flushed.
# faults: owner-host power-loss releasing
# faults: owner-ssd power-loss releasing
# faults: owner-meta power-loss releasing
# faults: origin power-loss releasing
all_of_owner_cut()
{
	release_begins && releasing && owner_power_cut && frozen meta2 && dev_thaw meta2 &&
		lab_owner && check && circle_recovered 1 && check && all_count
}
# faults: peer-ssd error releasing
peer_ssd_fails()
{
	release_begins && releasing && dev_fail_writes meta2 && wait_for 60 "a view without 2" circle_view_is 1 1 &&
		written_without_2 && dmsetup remove c2 && dev_heal meta2 && circle_node_wipe 2 && peer 2 && all_count && check
}

# faults: peer-ssd hang releasing
# faults: peer-ssd return releasing
peer_ssd_hangs()
{
	release_begins && releasing && without_2 && written_without_2 && frozen meta2 && dev_thaw meta2 && all_count && check
}

# faults: owner-ssd error releasing
owner_ssd_fails()
{
	release_begins && releasing && dev_fail ssd1 && in_background 100 --mix write=60,read=40 && releasing &&
		dev_thaw meta2 && ended_well 90 && check && wait_for 60 "it to be clean" circle_is_clean c1 && renewed && all_count
}

# The owner's devices have no part in it: it ends while one of them hangs.
hangs()	# <device>
{
	local rc=0 commits
	release_begins && commits=$(stat_of meta2 5) && dev_freeze "$1" || return 1
	releasing && dev_thaw meta2 && wait_for 60 "the release" none_held && [ "$(stat_of meta2 5)" -gt "$commits" ] &&
		frozen "$1" || rc=1
	in_background 60
	wait_for 30 "the host's I/O" under_way || rc=1
	dev_thaw "$1"
	ended_well 90 && [ "$rc" = 0 ] && check && release_ends
}

# faults: owner-meta error releasing
owner_meta_fails()
{
	release_begins && releasing && dev_fail_writes meta1 && in_background 100 && releasing && dev_thaw meta2 &&
		ended_well 90 && check && run --ops 1 --mix fua=100 && wait_for 60 "nothing to be dirty" circle_is c1 health bare &&
		check && renewed && all_count
}

# faults: origin error releasing
# faults: origin return releasing
origin_fails()
{
	release_begins && releasing && dev_fail_writes org1 && in_background 60 --mix write=100 --sizes 4096 || return 1
	ORIGIN_ERRORS=$(circle_status c1 origin_errors)
	dmsetup message c1 0 drain && wait_for 60 "write-back to fail" origin_refuses && releasing && dev_heal org1 &&
		releasing && dev_thaw meta2 && ended_well 90 && check && release_ends
}
origin_refuses() { [ "$(circle_status c1 origin_errors)" -gt "$ORIGIN_ERRORS" ]; }

# Holders are lost, and no label can say so: what waits for that ends when one can.
label_breaks()	# <command that breaks it> <that mends it>
{
	local rc=0
	release_begins && releasing && "$1" lab || return 1
	in_background 100 --mix write=80,read=15,flush=5
	releasing && link_down 2 && circle_patient 1 2000 && wait_for 30 "2 to be lost" is_down 2 && circle_view_is 1 2 || rc=1
	"$2" lab
	without_2 && ended_well 90 && [ "$rc" = 0 ] && check && link_up 2 && dev_thaw meta2 && all_count
}
is_down() { [ "$(circle_get 1 "peers/$1/state")" = down ]; }

circle_timeout 30000
matrix_devices 3 || exit 1
at_exit "dmsetup remove --retry c1 c2 c3 2>/dev/null"
at_exit "devices_well; link_up 2"
peer 2 && peer 3 || exit 1
hist init --zero --dev /dev/mapper/org1 --seed $((RANDOM + 1)) || exit 1
ktap_test "an owner" eval "lab_owner && all_count"

ktap_test "the link hangs, the host writes, the holder is back: nothing older" link_hangs
ktap_test "the owner dies: nothing older comes from who was away" gone_and_taken_over
ktap_test "the connection is reset: the host goes on" link_resets
ktap_test "the holder loses power, and has all again: nothing older" peer_power_cut
ktap_test "the owner dies: nothing older comes from who lost power" gone_and_taken_over
ktap_test "holder and owner lose power: the holder has all again" both_power_cut
ktap_test "all of the owner loses power, the origin too: nothing is lost" all_of_owner_cut
ktap_test "the holder's metadata fail: it is lost, the host goes on" peer_ssd_fails
ktap_test "the holder's metadata hang: it is lost, the host goes on" peer_ssd_hangs
ktap_test "the owner's SSD fails: no error" owner_ssd_fails
# faults: owner-ssd hang releasing
ktap_test "the owner's SSD hangs: the release ends" hangs ssd1
# faults: owner-meta hang releasing
ktap_test "the owner's metadata hang: the release ends" hangs meta1
# faults: origin hang releasing
ktap_test "the origin hangs: the release ends" hangs org1
ktap_test "the owner's metadata fail: no error" owner_meta_fails
ktap_test "the origin fails: writes go on" origin_fails
# faults: label error releasing
# faults: label return releasing
ktap_test "the label cannot be written: what waits for it goes on later" label_breaks dev_fail_writes dev_heal
# faults: label hang releasing
# faults: label return releasing
ktap_test "the label hangs: what waits for it goes on later" label_breaks dev_freeze dev_thaw
ktap_test "the owner dies in the end: nothing is lost" gone_and_taken_over
ktap_test "remove" dmsetup remove c1 c2 c3
check_dmesg
ktap_done
