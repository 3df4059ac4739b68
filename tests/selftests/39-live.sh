#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=900 modules=dm-circle,null_blk kernels=newest
#
# A takeover serves its host before what was dirty is at the origin, which is slow here: reads and
# writes of it, another death in the middle, suspend and removal, a peer that dies meanwhile.
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

SIZE=33554432		# of the history: 512 blocks
RECOVER="3 writeback recover fenced"
hist() { "$HISTORY" "$1" --dev /dev/mapper/c1 --log /tmp/h --size $SIZE "${@:2}" >/tmp/out || { tail -25 /tmp/out; return 1; }; }
run() { hist run --resume --threads 4 "$@"; }
check() { hist check --allow all --record; }
left() { circle_status c1 recovering; }
is_live() { local n; n=$(left); echo "# $n left"; [ "$n" -gt 0 ]; }
is_over() { [ "$(left)" = 0 ]; }
counts() { circle_view_is 1 2 && [ "$(circle_status c1 floor)" = "$DEGREE" ]; }
owner() { circle_node_create 1 "$DEGREE" "2 3" "${FEATURES-1 writeback}"; }

# Hundreds of dirty blocks, then the host and its SSD are gone; a write to the origin takes 2 s.
lost()
{
	circle_patient 1 && circle_drain c1 && dev_hold org1 1 60000 &&
		run --ops 400 --mix write=90,read=10 --sizes 4096,16384,65536 || return 1
	echo "# $(circle_dirty c1) dirty"
	circle_node_die 1 && circle_node_wipe 1 && dev_hold org1 1 2000
}
dies_again() { circle_node_die 1 && circle_node_wipe 1 && dev_hold org1 1 2000; }
takes_over() { local FEATURES=$RECOVER; within 25 owner && is_live; }
reads() { is_live && hist check --allow all; }
writes() { run --ops 15 --mix write=60,read=30,discard=10 && is_live; }
fast() { dev_heal org1 && wait_for 120 "the end" is_over && check; }
stops()
{
	within 15 dmsetup suspend c1 && within 15 dmsetup resume c1 && is_live && run --ops 5 &&
		within 15 dmsetup suspend --noflush --nolockfs c1 && within 15 dmsetup resume c1 && is_live
}
removed() { is_live && within 15 dmsetup remove c1 && dev_heal org1 && owner && check; }
peer_gone() { circle_node_die 3 && run --ops 10 && hist check --allow all; }

at_exit "dmsetup remove --retry c1 c2 c3 2>/dev/null"
for n in 1 2 3; do
	node_add $n && circle_node_devices $n 64 || exit 1
done
DEGREE=1
circle_node_create 2 0 "" && circle_node_create 3 0 "" || exit 1
ktap_test "an owner" owner
ktap_test "two peers count" wait_for 60 "floor 1" counts
hist init --seed $((RANDOM + 1)) || exit 1

ktap_test "the owner is lost" lost
ktap_test "taken over, and live" takes_over
ktap_test "writes in the middle of it" writes
ktap_test "another death in the middle of it" dies_again
ktap_test "taken over again" takes_over
ktap_test "everything can be read meanwhile" reads
ktap_test "the end" fast
ktap_test "the peers count again" wait_for 60 "floor 1" counts

ktap_test "the owner is lost again" lost
ktap_test "live again" takes_over
ktap_test "suspend and resume meanwhile" stops
ktap_test "removal meanwhile, and a restart" removed
ktap_test "the peers count once more" wait_for 60 "floor 1" counts

DEGREE=2
two() { echo 2 >"/sys/block/dm-$(dmsetup info -c --noheadings -o minor c1)/circle/degree"; }
ktap_test "degree 2" two
ktap_test "two holders" wait_for 60 "floor 2" counts
ktap_test "it is lost" lost
ktap_test "and live" takes_over
ktap_test "a holder dies meanwhile" peer_gone
ktap_test "the last end" fast
ktap_test "remove" dmsetup remove c1 c2
check_dmesg
ktap_done
