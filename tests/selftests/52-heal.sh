#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=900 modules=dm-circle,null_blk kernels=newest cpu=60
#
# Dirty blocks that have lost a holder are copied to another peer, while the origin takes nothing. Then
# the owner dies with its SSD, and what the copies say is what was written: with one holder and with two,
# under load, with peers that are lost, full or back meanwhile, and when the degree is raised.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/rig.sh
. "$REPO/tests/lib/rig.sh"
ktap_header

# shellcheck source=tests/lib/heal.sh
. "$REPO/tests/lib/heal.sh"
leaves() { dmsetup remove "c$1"; }
under_load()
{
	run --ops 100 --overlap --mix write=70,read=20,fua=5,flush=5 --sizes 512,4096,16384 &
	RUNS=$!
	leaves 2 && heal 1 1 && wait "$RUNS"
}

# Copies take long, and writes of the same blocks, and discards, come in their midst: what those leave at the
# origin must not be older at the peer that gets the copy.
slow_under_load()
{
	link_delay 3 40 && leaves 2 && wait_for 60 "a copy" heals_on "$HEALED" && ! circle_risk_is 1 0 &&
		run --ops 300 --overlap --hot 80 --mix write=90,discard=10 --sizes 512,4096,8192 && link_delay 3 0 && heal 1 1
}

# The answers of one that takes copies do not come, and no label can be written without it: it may have
# them, and counts. So a write of such a block is not complete before the label is. The origin is there.
# faults: link hang healing
# faults: label error healing
lost_answers()
{
	circle_drain c1 && dev_hold org1 1 2500 && run --ops 80 --qd 32 --hot 80 --mix write=100 --sizes 4096 &&
		circle_risk_is 1 0 && tc -n n3 qdisc replace dev eth0 root netem limit 10000 loss 100% && leaves 2 &&
		wait_for 8 "a label without 2" circle_view_is 1 2 && dev_fail_writes lab1 &&
		wait_for 60 "peer 3 to be lost" is_down 3 && dev_heal org1
}
is_down() { [ "$(circle_get 1 "peers/$1/state")" = down ]; }
# More than the copies that can be under way. What is complete then is noted, the rest ends with the owner.
# faults: label error writing
writes_go_on()
{
	local seen
	seen=$(stat_of org1 5)
	run --ops 400 --qd 32 --hot 90 --mix write=100 --sizes 4096 --errors record &
	RUNS=$!
	wait_for 30 "writes at the origin" wrote $((seen + 60))
}
wrote() { [ "$(stat_of org1 5)" -ge "$1" ]; }
# What waits ends with an error, in a suspend; what comes after that too.
# faults: owner-host power-loss writing,healing
owner_is_killed()
{
	local d sectors
	sectors=$(blockdev --getsz /dev/mapper/c1)
	for d in org1 ssd1 meta1 lab1; do
		dev_fail "$d" || return 1
	done
	link_down 1 && dmsetup suspend --nolockfs c1 && dmsetup load c1 --table "0 $sectors error" && dmsetup resume c1 || return 1
	wait "$RUNS"
	dmsetup remove c1 || return 1
	for d in org1 ssd1 meta1 lab1; do
		dev_heal "$d" || return 1
	done
	link_up 1 && tc -n n3 qdisc replace dev eth0 root netem limit 10000 && circle_node_wipe 1 &&
		circle_recovers 1 circle_node_create 1 2 "3 4" "3 writeback recover fenced" && check && circle_recovered 1 && check &&
		dmsetup remove c1
}

# The copies are slow; who takes them is lost in their midst, and another has to.
# faults: link hang healing
taker_lost()
{
	link_delay 3 60 && link_delay 4 60 && HEALED=$(healed) && leaves 2 &&
		wait_for 60 "a copy" heals_on "$HEALED" && ! circle_risk_is 1 0 && link_down 3 &&
		link_delay 4 0 && wait_for 60 "one peer left" circle_view_is 1 1 && heal 1 1
}
# faults: link return idle
taker_back() { link_delay 3 0 && link_up 3; }

slow_heal() { link_delay 3 60 && HEALED=$(healed) && leaves 2 && wait_for 60 "a copy" heals_on "$HEALED"; }
stops()
{
	within_awake 15 dmsetup suspend --noflush --nolockfs c1 && within_awake 15 dmsetup resume c1 && link_delay 3 0 && heal 1 1
}
ends()
{
	slow_heal && dev_heal org1 && within_awake 15 dmsetup remove c1 && link_delay 3 0
}

# One that has room for a few only: the rest is written back when the origin takes it.
full()
{
	put 3 lend $(($(circle_status c3 lent) / 10 + 1)) && leaves 2 && wait_for 60 "a copy" heals_on "$HEALED" && ! circle_risk_is 1 0 &&
		dev_heal org1 && heal 1 1
}

# raise: what was written with degree 0 gets its holder
raised()
{
	circle_drain c1 && put 1 degree 0 && wait_for 30 "degree 0" circle_is c1 degree 0 &&
		dev_hold org1 1 2500 && run --ops 100 --qd 32 --mix write=100 && [ "$(circle_dirty c1)" -gt 20 ] &&
		HEALED=$(healed) && put 1 degree 1 && wait_for 30 "degree 1" circle_is c1 degree 1 && heal 2 1
}

circle_timeout
at_exit "dmsetup remove --retry c1 c2 c3 c4 2>/dev/null"
circle_nodes 64 1 2 3 4 || exit 1
for n in 2 3 4; do
	peer $n || exit 1
done
hist init --zero --dev /dev/mapper/org1 --seed $((RANDOM + 1)) || exit 1

ktap_test "one holder" owner 1 "2 3"
# faults: origin hang healing
ktap_test "a peer leaves: its blocks are copied" eval "leaves 2 && heal 1 1"
# faults: owner-host power-loss idle
ktap_test "the owner dies: nothing is lost" owner_dies 1 "2 3"
ktap_test "the peer is back" peer 2

ktap_test "under load" owner 1 "2 3"
ktap_test "a peer leaves meanwhile" under_load
ktap_test "it is back, empty, as the only one that is left" eval "peer 2 && wait_for 60 'two' whole 2 1 && leaves 3 && heal 1 1"
ktap_test "the owner dies: nothing is lost of what was written meanwhile" owner_dies 1 "2 3"
ktap_test "both are back" peer 3

ktap_test "copies that take long" owner 1 "2 3"
ktap_test "writes of what is copied just then" slow_under_load
ktap_test "the owner dies: nothing older comes from the copy" owner_dies 1 "2 3"
ktap_test "back again" peer 2

ktap_test "two holders" owner 2 "2 3 4"
ktap_test "one leaves: the third gets its blocks" eval "leaves 2 && heal 2 2"
ktap_test "and then another" eval "leaves 3 && wait_for 60 'floor 1' circle_view_is 1 1"
ktap_test "the owner dies: the last one has all" owner_dies 1 "4"
ktap_test "all are back" eval "peer 2 && peer 3"

ktap_test "three peers, one holder" owner 1 "2 3 4"
ktap_test "who takes the copies is lost" taker_lost
ktap_test "the owner dies: nothing is lost when takers change" owner_dies 1 "2 4"
ktap_test "they are back, and the third is gone" eval "taker_back && peer 2 && leaves 4"

ktap_test "copies are slow" owner 1 "2 3"
ktap_test "a holder leaves" slow_heal
ktap_test "suspend and resume" stops
ktap_test "the owner dies: nothing is lost in a suspend" owner_dies 1 "2 3"
ktap_test "again" eval "peer 2 && owner 1 '2 3'"
ktap_test "removal in the midst of it" ends
ktap_test "the peer is back again" peer 2

ktap_test "a peer with little room" owner 1 "2 3"
ktap_test "the rest is written back" full
ktap_test "the owner dies: nothing is lost of either part" owner_dies 1 "2 3"
ktap_test "room again" eval "peer 2 && put 3 lend 50"

ktap_test "the degree is lowered and raised" eval "owner 1 '2 3' && dev_heal org1 && raised"
ktap_test "the owner dies: nothing is lost of what had no holder" owner_dies 1 "2 3"

# Another label: the origin has what the old one left; and no label any more, which would be another owner's.
dev_null lab1 4 && dev_heal org1 && circle_node_wipe 1 && peer 4 && "$IO" zero /dev/mapper/org1 <<<"$((DEV_SECTORS[org1] - 2048))+2048" &&
	rm -f /tmp/h && hist init --dev /dev/mapper/org1 --seed $((RANDOM + 1)) || exit 1
LABEL=/dev/mapper/lab1
ktap_test "a label of its own" eval "circle_node_create 1 2 '2 3 4' && wait_for 60 'all peers' circle_counts 1 3 2"
ktap_test "answers to copies are lost, and no label can be written" lost_answers
ktap_test "the host goes on" writes_go_on
ktap_test "the owner dies: no copy is older than what was complete" owner_is_killed
ktap_test "remove" dmsetup remove c3 c4
check_dmesg
ktap_done
