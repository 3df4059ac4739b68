#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=900 modules=dm-circle,null_blk,dm-flakey kernels=newest cpu=60
#
# What fails while dirty blocks that have lost a holder are copied to another peer: it has been sent
# a copy, and its SSD does not store that yet. Nothing is lost, and all have their holders in the
# end.
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
DEGREE=2 PEERS="2 3 4" OTHER=4 STATE=leaves AFTER=comes_back
leaves()
{
	much_dirty && copies_held && dmsetup remove c3 &&
		wait_for 60 "a view without 3" circle_view_is 1 2 && wait_for 60 "a copy" copy_held
}
comes_back() { peer 3 && all_count; }

circle_timeout 30000
matrix_devices 3 4 || exit 1
at_exit "dmsetup remove --retry c1 c2 c3 c4 2>/dev/null"
at_exit "devices_well; link_up 2"
peer 2 && peer 3 && peer 4 || exit 1
hist init --zero --dev /dev/mapper/org1 --seed $((RANDOM + 1)) || exit 1
ktap_test "an owner" eval "lab_owner && all_count" || exit 1

# faults: link hang healing
# faults: link return healing
a_case "the link of who gets copies hangs" link_hangs
# faults: link error healing
a_case "the connection to it is reset" link_resets
# faults: peer-host power-loss healing
# faults: peer-host return healing
# faults: peer-ssd power-loss healing
a_case "it loses power" peer_power_cut
# faults: peer-ssd error healing
# faults: peer-ssd return healing
a_case "its SSD fails" peer_ssd_fails
# faults: peer-ssd hang healing
# faults: peer-ssd return healing
a_case "its SSD hangs" peer_ssd_hangs
a_case "what it got is all that is left: nothing is lost" copies_alone
# faults: owner-ssd hang healing
# faults: owner-ssd return healing
a_case "the owner's SSD hangs" owner_ssd_hangs
# faults: owner-meta hang healing
a_case "the owner's metadata hang: all is copied" owner_meta_hangs
# faults: origin error healing
a_case "the origin fails: all is copied" origin_fails
# faults: origin hang healing
a_case "the origin hangs: all is copied" origin_hangs
# faults: label error healing
# faults: label return healing
a_case "the label cannot be written: all is copied, the floor rises later" label_fails
# faults: label hang healing
# faults: label return healing
a_case "the label hangs: all is copied, the floor rises later" label_hangs
# faults: owner-host power-loss healing
a_case "the owner is lost meanwhile" owner_lost
# faults: owner-host power-loss healing
# faults: owner-ssd power-loss healing
# faults: owner-meta power-loss healing
# faults: origin power-loss healing
a_case "all of the owner loses power, the origin too" all_of_owner_cut
# faults: owner-ssd error healing
a_case "the owner's SSD fails" owner_ssd_fails
# faults: owner-meta error healing
a_case "the owner's metadata fail" owner_meta_fails
a_case "the owner dies in the end: nothing is lost" dies_dirty
ktap_test "remove" dmsetup remove c1 c2 c3 c4
check_dmesg
ktap_done
