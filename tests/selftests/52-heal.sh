#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=900 modules=dm-circle,null_blk kernels=newest
#
# Dirty blocks that have lost a holder are copied to another peer, while the origin takes nothing. Then
# the owner dies with its SSD, and what the copies say is what was written: with one holder and with two,
# under load, with peers that are lost, full or back meanwhile, and when the degree is raised.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/ktap.sh
. "$REPO/tests/lib/ktap.sh"
# shellcheck source=tests/lib/nodes.sh
. "$REPO/tests/lib/nodes.sh"
# shellcheck source=tests/lib/circle.sh
. "$REPO/tests/lib/circle.sh"
ktap_header

SIZE=16777216
hist() { "$HISTORY" "$1" --dev /dev/mapper/c1 --log /tmp/h --size $SIZE "${@:2}" >/tmp/out || { tail -15 /tmp/out; return 1; }; }
run() { hist run --resume --threads 2 --qd 4 "$@"; }
check() { hist check --allow all --record; }
peer() { circle_node_create "$1" 0 ""; }
put() { dm_dir "c$1" && echo "$3" >"$REPLY/circle/$2"; }
healed() { circle_get 1 healed; }
heals_on() { [ "$(healed)" -gt "$1" ]; }
whole() { circle_counts 1 "$1" "$2" && circle_risk_is 1 0; }

# owner <degree> "<peers>": all count, and much is dirty with as many holders as asked for
owner()
{
	circle_node_create 1 "$1" "$2" && wait_for 60 "all peers" circle_counts 1 "$(wc -w <<<"$2")" "$1" && dirty
}
dirty()
{
	circle_drain c1 && dev_hold org1 1 2500 && run --ops 120 --qd 32 --mix write=90,discard=10 \
		--sizes 512,4096,4096,8192,65536,262144 && [ "$(circle_dirty c1)" -gt 20 ] &&
		circle_risk_is 1 0 && HEALED=$(healed)
}

# It has all of it from the peers alone.
owner_dies()	# <degree> "<peers>"
{
	circle_node_die 1 && circle_node_wipe 1 &&
		circle_recovers 1 circle_node_create 1 "$1" "$2" "3 writeback recover fenced" && check &&
		circle_recovered 1 && check && dmsetup remove c1
}

leaves() { dmsetup remove "c$1"; }
# heal <peers left> <floor>: by copying: what is dirty is dirty still, and the origin takes nothing.
heal()
{
	wait_for 60 "floor $2 of $1" whole "$1" "$2" && echo "# copied: $(($(healed) - HEALED)) blocks" && heals_on "$HEALED"
}

under_load()
{
	run --ops 100 --overlap --mix write=70,read=20,fua=5,flush=5 --sizes 512,4096,16384 &
	leaves 2 && heal 1 1 && wait $!
}

# The copies are slow; who takes them is lost in their midst, and another has to.
taker_lost()
{
	link_delay 3 60 && link_delay 4 60 && HEALED=$(healed) && leaves 2 &&
		wait_for 60 "a copy" heals_on "$HEALED" && ! circle_risk_is 1 0 && link_down 3 &&
		link_delay 4 0 && wait_for 60 "one peer left" circle_view_is 1 1 && heal 1 1
}
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
for n in 1 2 3 4; do
	node_add $n && circle_node_devices $n 64 || exit 1
done
for n in 2 3 4; do
	peer $n || exit 1
done
hist init --zero --dev /dev/mapper/org1 --seed $((RANDOM + 1)) || exit 1

ktap_test "one holder" owner 1 "2 3"
ktap_test "a peer leaves: its blocks are copied" eval "leaves 2 && heal 1 1"
ktap_test "the owner dies: nothing is lost" owner_dies 1 "2 3"
ktap_test "the peer is back" peer 2

ktap_test "under load" owner 1 "2 3"
ktap_test "a peer leaves meanwhile" under_load
ktap_test "it is back, empty, as the only one that is left" eval "peer 2 && wait_for 60 'two' whole 2 1 && leaves 3 && heal 1 1"
ktap_test "the owner dies: nothing is lost of what was written meanwhile" owner_dies 1 "2 3"
ktap_test "both are back" peer 3

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
ktap_test "remove" dmsetup remove c2 c3
check_dmesg
ktap_done
