#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=900 modules=dm-circle,null_blk kernels=newest cpu=60
#
# Degree 3, and networks and peers that are bad in every way: slow, lossy, out of order, flapping,
# gone, half open, full. In each the host's I/O goes on without an error, suspend and removal end,
# and nothing is lost.
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

SIZE=16777216
PEERS="2 3 4"
hist() { "$HISTORY" "$1" --dev /dev/mapper/c1 --log /tmp/h --size $SIZE "${@:2}" >/tmp/out || { tail -15 /tmp/out; return 1; }; }
run() { hist run --resume --threads 2 --qd 2 "$@"; }
owner() { circle_node_create 1 3 "$PEERS"; }
peer() { circle_node_create "$1" 0 ""; }
all_count() { circle_counts 1 3 3; }
put() { dm_dir "c$1" && echo "$3" >"$REPLY/circle/$2"; }

each() { local p; for p in $PEERS; do "$1" "$p" "${@:2}" || return 1; done; }
netem()	# <N> <words for netem>: in both directions
{
	tc qdisc replace dev "v$1" root netem limit 10000 "${@:2}" &&
		tc -n "n$1" qdisc replace dev eth0 root netem limit 10000 "${@:2}"
}

# States: <name> on, and off again.
slow() { if [ "$1" = on ]; then each netem delay 100ms; else each netem; fi; }
# faults: link error writing,flushing
lossy() { if [ "$1" = on ]; then each netem loss 1%; else each netem; fi; }
disordered() { if [ "$1" = on ]; then each netem delay 10ms reorder 25% 50%; else each netem; fi; }
# faults: link hang writing,flushing
gone() { if [ "$1" = on ]; then each link_down; else each link_up; fi; }
refusing() { if [ "$1" = on ]; then dmsetup remove c2 c3 c4; else each peer; fi; }
full() { if [ "$1" = on ]; then each put lend 0; else each put lend 50; fi; }
# faults: link hang writing
# faults: link return writing
flap()
{
	local p
	while [ -e /tmp/flapping ]; do
		for p in $PEERS; do
			link_down "$p"
			sleep 1
			link_up "$p"
		done
	done
}
flapping()
{
	if [ "$1" = on ]; then
		touch /tmp/flapping
		flap &
		FLAP=$!
	else
		rm /tmp/flapping
		wait "$FLAP"
	fi
}
# The peers have forgotten the connection, and could not say so.
# faults: link error writing
half_open()
{
	[ "$1" = on ] || return 0
	each netem loss 100% && dmsetup remove c2 c3 c4 && each peer && each netem
}

goes_on() { run --ops 60; }
stops()
{
	within_awake 15 dmsetup suspend c1 && within_awake 15 dmsetup resume c1 && run --ops 20 &&
		within_awake 15 dmsetup suspend --noflush --nolockfs c1 && within_awake 15 dmsetup resume c1 && run --ops 5
}
ends() { within_awake 15 dmsetup remove c1; }
is_back() { owner && wait_for 120 "all peers to count" all_count && hist check --allow all --record; }

bad()	# <state> <what it is>
{
	ktap_test "$2" "$1" on
	ktap_test "$2: the host's I/O goes on" goes_on
	ktap_test "$2: suspend and resume" stops
	ktap_test "$2: removal" ends
	ktap_test "$2: no more" "$1" off
	ktap_test "$2: nothing is lost" is_back
}

at_exit "dmsetup remove --retry c1 c2 c3 c4 2>/dev/null"
circle_nodes 32 1 2 3 4 || exit 1
each peer || exit 1
ktap_test "degree 3" owner
ktap_test "all count" wait_for 60 "floor 3" all_count
hist init --seed $((RANDOM + 1)) || exit 1
held() { run --ops 50 --mix write=100 && [ "$(circle_dirty c1)" -gt 0 ] && circle_risk_is 1 0 && lend_all; }
lend_all() { local p; for p in $PEERS; do [ "$(circle_status "c$p" lent)" -gt 0 ] || return 1; done; }
ktap_test "what is dirty is with each of them" wait_for 60 "replicas" held
bad slow "200 ms round trip"
bad lossy "1 % loss"
bad disordered "out of order"
bad full "no peer lends"
bad half_open "half-open connections"
bad flapping "a peer flaps each second"
bad refusing "no peer listens"
bad gone "no peer answers"
ktap_test "remove" dmsetup remove c1 c2 c3 c4
ktap_test "unload" rmmod dm-circle
check_dmesg
ktap_done
