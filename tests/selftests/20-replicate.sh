#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=450 modules=dm-circle,null_blk
#
# Two, then three nodes as network namespaces: dirty blocks are replicated, released after
# write-back, and recovered by another node.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/ktap.sh
. "$REPO/tests/lib/ktap.sh"
# shellcheck source=tests/lib/nodes.sh
. "$REPO/tests/lib/nodes.sh"
# shellcheck source=tests/lib/circle.sh
. "$REPO/tests/lib/circle.sh"
ktap_header

SIZE=33554432
hist() { "$HISTORY" "$1" --dev "$2" --log /tmp/h --size "$SIZE" "${@:3}"; }

circle_timeout 30000	# no peer is lost here
for n in 1 2 3; do
	node_add $n || exit 1
	circle_node_devices $n 64 || exit 1
done

ktap_test "node 1" circle_node_create 1 1 "2 3"
ktap_test "node 2" circle_node_create 2 1 "1 3"
ktap_test "node 3" circle_node_create 3 1 "1 2"
ktap_test "node 1 counts both" wait_for 60 "the view of node 1" circle_view_is 1 2
dmsetup status; dmsetup table c1
ktap_test "history" hist init /dev/mapper/c1 --seed 5
ktap_test "random writes" hist run /dev/mapper/c1 --resume --ops 800 --threads 2
ktap_test "drained" circle_drain c1
ktap_test "the origin is slow, but not with the label" dev_hold org1 1
ktap_test "writes" hist run /dev/mapper/c1 --resume --ops 300 --threads 2 --qd 8 --mix write=100
ktap_test "dirty" test "$(circle_dirty c1)" -gt 0
dmsetup status
ktap_test "at risk is 0" wait_for 30 "no risk" circle_risk_is 1 0
ktap_test "floor 1" circle_wait_counts 1 2
# faults: owner-host power-loss idle
ktap_test "node 1 is gone with its SSD" circle_node_die 1
ktap_test "its SSD is blank" circle_node_wipe 1
dmesg | tail -5
ktap_test "without recover it is refused" circle_refused 1 1 "2 3"
# faults: owner-host return idle
ktap_test "recover" circle_recovers 1 circle_node_create 1 1 "2 3" "2 writeback recover"
dmesg | tail -5
ktap_test "nothing is lost" hist check /dev/mapper/c1 --allow all
ktap_test "remove all" circle_remove_all
check_dmesg
ktap_done
