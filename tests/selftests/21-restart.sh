#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=900 modules=dm-circle,null_blk
#
# An owner that comes back with its SSD; all hosts at once; an owner that was replaced meanwhile;
# peers that are full.
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

SIZE=33554432
hist() { "$HISTORY" "$1" --dev "$2" --log /tmp/h --size "$SIZE" "${@:3}" >/tmp/hist.out || {
	cat /tmp/hist.out; return 1; }; }
history_goes_on() { hist run /dev/mapper/c1 --resume --ops 500 --threads 2 "$@"; }
# What is written last is dirty when the owner dies: the origin is slow, but not with the label.
last_writes()
{
	circle_drain c1 && dev_hold org1 1 &&
		hist run /dev/mapper/c1 --resume --ops 300 --threads 2 --qd 8 --mix write=100 &&
		hist run /dev/mapper/c1 --resume --ops 1 --mix flush=1 && circle_wait_counts 1 2
}
all_dead() { local n; for n in 1 2 3; do circle_node_die "$n" || return 1; done; }

# At the same time: each waits for the others, which it needs.
all_back()
{
	local n
	local -a pids=()
	for n in 2 3 1; do
		circle_node_create "$n" 1 "$(echo 1 2 3 | sed "s/$n//")" &
		pids+=($!)
	done
	for n in "${pids[@]}"; do
		wait "$n" || return 1
	done
}

circle_timeout 30000	# no peer is lost here
for n in 1 2 3; do
	node_add $n && circle_node_devices $n 64 || exit 1
	circle_node_create $n 1 "$(echo 1 2 3 | sed "s/$n//")" || exit 1
done
ktap_test "node 1 counts both" wait_for 60 "the view of node 1" circle_view_is 1 2
hist init /dev/mapper/c1 --seed 6 || exit 1

ktap_test "writes" history_goes_on
ktap_test "and some that stay dirty" last_writes
# faults: owner-host power-loss idle
ktap_test "the owner dies" circle_node_die 1
# faults: owner-host return idle
ktap_test "and comes back with its SSD" circle_node_create 1 1 "2 3"
ktap_test "in the end" circle_recovered 1
ktap_test "complete" grep -q "recovery complete: [1-9]" <(dmesg)
ktap_test "every completed write is there" hist check /dev/mapper/c1 --allow all --record

ktap_test "more writes" history_goes_on
ktap_test "and some that stay dirty then" last_writes
# faults: owner-host power-loss idle
# faults: peer-host power-loss idle
ktap_test "all die" all_dead
# faults: owner-host return idle
# faults: peer-host return idle
ktap_test "all are back" all_back
ktap_test "in the end, too" circle_recovered 1
ktap_test "complete up to the last FLUSH" grep -q "complete up to the last FLUSH: [1-9]" <(dmesg)
ktap_test "what was flushed or seen is there" hist check /dev/mapper/c1 --allow flushed+observed \
	--record

ktap_test "node 1 counts both again" wait_for 60 "the view of node 1" circle_view_is 1 2
ktap_test "more writes still" history_goes_on
ktap_test "and some of them stay dirty" last_writes
ktap_test "the owner dies again" circle_node_die 1
dev_null ssd9 64 && dev_null meta9 8
another() { node_exec 1 dmsetup create c9 --table "$(circle_table /dev/mapper/org1 128 \
	/dev/mapper/meta9 /dev/mapper/ssd9 "3 writeback recover fenced" "default 0" \
	"$(circle_args 1 1 "2 3" | sed 's/:7000 degree/:7009 degree/')")"; }
ktap_test "another host takes over" circle_recovers 9 another
at_exit "dmsetup remove --retry c9 2>/dev/null"
ktap_test "nothing is lost" hist check /dev/mapper/c9 --allow all --record
refused() { ! circle_node_create 1 1 "2 3" 2>/dev/null && dmsetup remove c1 2>/dev/null
	dmesg | grep -q 'has taken over at generation .* Wipe the metadata'; }
ktap_test "the old owner is refused" refused
ktap_test "more writes at the new one" hist run /dev/mapper/c9 --resume --ops 300 --threads 2
ktap_test "remove" dmsetup remove c9
ktap_test "remove the others" dmsetup remove c2 c3

dev_null ssd4 8 && dev_null meta4 8 && dev_null org4 9
node_add 4
ktap_test "a small peer" circle_node_create 4 0 ""
rm -f /tmp/h
dev_null ssd5 64 && dev_null meta5 8 && dev_null org5 65
node_add 5
ktap_test "its owner" circle_node_create 5 1 "4"
ktap_test "counts it" wait_for 60 "the view of node 5" circle_view_is 5 1
SIZE=50331648
hist init /dev/mapper/c5 --seed 7
full() { hist run /dev/mapper/c5 --resume --ops 1500 --threads 2 --sizes 4096,65536; }
ktap_test "more than it lends" full
ktap_test "it lends half" test "$(circle_status c4 lent)" -le 64
ktap_test "at risk is 0" wait_for 60 "no risk" circle_risk_is 5 0
ktap_test "floor 1" circle_wait_counts 5 1
ORIGIN=org5 ktap_test "the owner dies" circle_node_die 5
circle_node_wipe 5
ktap_test "recover" circle_recovers 5 circle_node_create 5 1 "4" "3 writeback recover fenced"
ktap_test "nothing is lost" hist check /dev/mapper/c5 --allow all
ktap_test "drain" circle_drain c5
ktap_test "the peer has nothing left" wait_for 60 "release" test_lent 4 0

# To an origin that takes a second for a write 60 blocks one by one would take a minute.
# faults: origin error writing
sixty_dirty()
{
	dev_fail_writes org5 && dd if=/dev/urandom of=/tmp/sixty bs=64k count=60 status=none &&
		dd if=/tmp/sixty of=/dev/mapper/c5 bs=64k oflag=direct conv=notrunc status=none &&
		[ "$(circle_dirty c5)" = 60 ]
}
taken_and_drained()
{
	circle_node_create 5 1 "4" "3 writeback recover fenced" && wait_for 200 "the end" drained_all
}
drained_all() { [ "$(circle_status c5 recovering)" = 0 ]; }
# In time or not is judged afterwards: only what does not recover is tried again.
slow_origin()
{
	dev_delay org5 0 1000 || return 1
	within_awake 50 taken_and_drained
	in_time=$?
	[ "$(circle_status c5 role)" = owner ]
}
drained_at_once() { circle_recovers 5 slow_origin && [ "$in_time" = 0 ]; }
all_sixty()
{
	dmesg | grep -q "recovery complete: 60 blocks (60 from peers)" &&
		cmp -n $((60 << 16)) /tmp/sixty <(dd if=/dev/mapper/org5 bs=64k count=60 iflag=direct status=none)
}
ktap_test "it counts again" circle_wait_counts 5 1
ktap_test "60 blocks are dirty" sixty_dirty
ORIGIN=org5 ktap_test "the owner dies again" circle_node_die 5
circle_node_wipe 5
ktap_test "several are drained at a time" drained_at_once
ktap_test "all of them" all_sixty
check_dmesg
ktap_done
