#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=900 modules=dm-circle,null_blk,dm-flakey kernels=newest cpu=60
#
# What fails while a peer that has lost power is brought level: it has been sent a copy, and its SSD
# does not store that yet. Nothing is lost, and it counts in the end.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/rig.sh
. "$REPO/tests/lib/rig.sh"
ktap_header

# shellcheck source=tests/lib/heal.sh
. "$REPO/tests/lib/heal.sh"
# shellcheck source=tests/lib/matrix.sh
. "$REPO/tests/lib/matrix.sh"
# shellcheck source=tests/lib/resync.sh
. "$REPO/tests/lib/resync.sh"

# shellcheck disable=SC2034	# for resync.sh
DEGREE=2 PEERS="2 3" OTHER=3 STATE=returns AFTER=all_count
returns()
{
	much_dirty && power_cut 2 && patience_ends && copies_held && peer 2 &&
		wait_for 60 "a copy" copy_held
}

circle_timeout 30000
matrix_devices 3 || exit 1
at_exit "dmsetup remove --retry c1 c2 c3 2>/dev/null"
at_exit "devices_well; link_up 2"
peer 2 && peer 3 || exit 1
hist init --zero --dev /dev/mapper/org1 --seed $((RANDOM + 1)) || exit 1
ktap_test "an owner" eval "lab_owner && all_count" || exit 1

# faults: link hang resynchronising
# faults: link return resynchronising
a_case "its link hangs" link_hangs
# faults: link error resynchronising
a_case "its connection is reset" link_resets
# faults: peer-host power-loss resynchronising
# faults: peer-host return resynchronising
# faults: peer-ssd power-loss resynchronising
a_case "it loses power again" peer_power_cut
# faults: peer-ssd error resynchronising
# faults: peer-ssd return resynchronising
a_case "its SSD fails" peer_ssd_fails
# faults: peer-ssd hang resynchronising
# faults: peer-ssd return resynchronising
a_case "its SSD hangs" peer_ssd_hangs
a_case "what it got is all that is left: nothing is lost" copies_alone
# faults: owner-ssd hang resynchronising
# faults: owner-ssd return resynchronising
a_case "the owner's SSD hangs" owner_ssd_hangs
# faults: owner-meta hang resynchronising
a_case "the owner's metadata hang: it is brought level" owner_meta_hangs
# faults: origin error resynchronising
a_case "the origin fails: it is brought level" origin_fails
# faults: origin hang resynchronising
a_case "the origin hangs: it is brought level" origin_hangs
# faults: label error resynchronising
# faults: label return resynchronising
a_case "the label cannot be written: it counts later" label_fails
# faults: label hang resynchronising
# faults: label return resynchronising
a_case "the label hangs: it counts later" label_hangs
# faults: owner-host power-loss resynchronising
a_case "the owner is lost meanwhile" owner_lost
# faults: owner-host power-loss resynchronising
# faults: owner-ssd power-loss resynchronising
# faults: owner-meta power-loss resynchronising
# faults: origin power-loss resynchronising
a_case "all of the owner loses power, the origin too" all_of_owner_cut
# faults: owner-ssd error resynchronising
a_case "the owner's SSD fails" owner_ssd_fails
# faults: owner-meta error resynchronising
a_case "the owner's metadata fail" owner_meta_fails
a_case "the owner dies in the end: nothing is lost" dies_dirty
ktap_test "remove" dmsetup remove c1 c2 c3
check_dmesg
ktap_done
