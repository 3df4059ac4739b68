#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=900 modules=dm-circle,null_blk kernels=newest cpu=60
#
# A label that cannot be written, or does not answer, while its owner takes over and recovers: nothing is done
# before it says so, nothing is served twice or forgotten after it, and the host gets no error. So do metadata
# that fail meanwhile. Each dirty page has two holders, so that one may die as well.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/live.sh
. "$REPO/tests/lib/live.sh"
ktap_header

DEGREE=2
owner() { LABEL=/dev/mapper/lab circle_node_create 1 "$DEGREE" "$PEERS" "${FEATURES-1 writeback}"; }
wrote() { run --ops 250 --mix write=90,read=10 --sizes 4096,16384,65536; }
some() { run --ops 15 --mix write=60,read=30,discard=10; }
# What a dying owner says in its label would help its successor.
dies_silent() { dev_fail lab && circle_node_die 1 && dev_heal lab && circle_node_wipe 1 && dev_hold org1 1 "$SLOW"; }
lost() { live_dirty wrote && dies_silent; }
label_failed() { said "the label cannot be written"; }
fast() { ends && check && nothing_lost; }
peer_back() { peer 3 && dev_heal org1 && counts; }
under_way()
{
	local r w
	dm_dir c1 && read -r r w <"$REPLY/inflight" && [ $((r + w)) -gt 0 ]
}

# faults: label error recovering
take_refused()
{
	local FEATURES=$RECOVER rc=0
	MARK=$(log_mark)
	dev_fail_writes lab || return 1
	! owner 2>/dev/null && label_failed || rc=1
	dmsetup remove c1 2>/dev/null
	dev_heal lab && return "$rc"
}

# faults: label hang recovering
take_waits()
{
	local FEATURES=$RECOVER pid rc=0
	MARK=$(log_mark)
	dev_freeze lab || return 1
	owner &
	pid=$!
	wait_for 60 "the log to name it" said "resume: the label device (.*) does not answer" && kill -0 "$pid" || rc=1
	dev_thaw lab
	wait "$pid" && [ "$rc" = 0 ] && is_live
}

# A holder dies, and no label can say so: what waits for that ends when it can.
# faults: label error recovering
# faults: label return recovering
# faults: peer-host power-loss recovering
cannot_say()	# <command that breaks it> <that mends it> <condition...>
{
	local pid rc=0
	MARK=$(log_mark)
	is_live && circle_patient 1 3000 && "$1" lab && circle_node_die 3 || return 1
	some &
	pid=$!
	wait_for 60 "$3" "${@:3}" || rc=1
	"$2" lab
	wait "$pid" && [ "$rc" = 0 ] && circle_patient 1
}

# It dies when it could not say what it has done.
# faults: label error recovering
# faults: owner-host power-loss recovering
dies_unsaid() { is_live && dev_fail_writes lab && some && dev_hold org1 1 300 && wait_for 60 "fewer blocks" fewer && dies_silent; }
fewer() { [ "$(left)" -lt "$LEFT" ]; }
live_left() { LEFT=$(left) && [ "$LEFT" -gt 0 ]; }

# faults: owner-meta error recovering
meta_fails() { is_live && dev_fail_writes meta1 && some && run --ops 10 --mix fua=50,flush=50 && fast; }
is_at_origin() { dmsetup remove c1 && dev_heal meta1 && "$HISTORY" check --dev /dev/mapper/org1 --log /tmp/h --size "$SIZE" --allow all; }

circle_timeout 30000
at_exit "dmsetup remove --retry c1 c2 c3 2>/dev/null"
circle_nodes 64 1 2 3 && dev_null lab 4 || exit 1
peer 2 && peer 3 || exit 1
ktap_test "an owner" owner
hist init --seed $((RANDOM + 1)) || exit 1

ktap_test "it is lost" lost
ktap_test "nobody takes over without a label" take_refused
ktap_test "taken over, with one" takes_over
ktap_test "a holder dies, and no label can be written" cannot_say dev_fail_writes dev_heal label_failed
ktap_test "the end" fast
ktap_test "the holder is back" peer_back

ktap_test "lost again" lost
ktap_test "the label hangs: a takeover waits, and says so" take_waits
ktap_test "it hangs again, and a holder dies" cannot_say dev_freeze dev_thaw under_way
ktap_test "the end of that" fast
ktap_test "the holder is back again" peer_back

ktap_test "lost, the third time" lost
ktap_test "live" eval "takes_over && live_left"
ktap_test "it dies, and could write no label" dies_unsaid
ktap_test "taken over from that" takes_over
ktap_test "metadata fail in the midst of it" meta_fails
ktap_test "all is at the origin" is_at_origin
ktap_test "remove" dmsetup remove c2 c3
check_dmesg
ktap_done
