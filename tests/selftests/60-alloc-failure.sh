#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1024 smp=2 timeout=400 modules=dm-circle,null_blk kernels=debug splat=allowed
#
# Allocations that fail: each one of a table's load, resume and removal in turn, of a local cache and of a
# circle's nodes, also of one that takes over; and at random in I/O, in the network, in a recovery. Memory
# that is short is no error of a device: no I/O fails, and no data is lost. STEP=1 tries each, in hours.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/rig.sh
. "$REPO/tests/lib/rig.sh"
# shellcheck source=tests/lib/failing.sh
. "$REPO/tests/lib/failing.sh"
ktap_header
for word in "$@"; do
	declare "$word"		# STEP=, VERBOSE=, ONLY=
done
can_fail || skip_all "this kernel cannot make allocations fail"

STEP=${STEP:-97}
SIZE=8388608		# of the history
SECTORS=$((16 * 2048))
BLOCK=64
LOCAL=$(table_of $SECTORS meta ssd org $BLOCK)
hist() { "$HISTORY" "$1" --dev "${DEV:-/dev/mapper/c}" --log /tmp/h --size $SIZE "${@:2}" >/tmp/out || { tail -25 /tmp/out; return 1; }; }
run() { hist run --resume --threads 2 --qd 4 --stall 100 --sizes 512,4096,4096,16384,65536 "$@"; }
check() { hist check --allow all --record; }
only() { [ -z "${ONLY-}" ] || [[ " $ONLY " == *" $1 "* ]]; }

# each <what> <table> [<device to wipe>...]: with each STEPth allocation failing, from a random one on
each()
{
	local rc
	get_now
	T0=$NOW_MS
	${IN:+node_exec $IN} "$IO" nth "${NAME:-c}" "$1" "${FIRST:-$((RANDOM % STEP + 1))}" "$STEP" "${@:3}" <<<"$2"
	rc=$?
	get_now
	echo "# $((NOW_MS - T0)) ms"
	dmsetup mknodes
	return "$rc"
}

at_exit "dmsetup remove --retry c c1 c2 2>/dev/null"

# A local cache: blank, then with what is dirty in it, which must not suffer.
local_all()
{
	dev_null meta 2 && dev_null ssd 6 && dev_null org 16 || return 1
	ktap_test "local: create, blank" each create "$LOCAL" /dev/mapper/meta
	hist init --seed $((RANDOM + 1)) && run --ops 100 --mix write=100 || return 1
	ktap_test "local: reload" each reload "$LOCAL"
	ktap_test "local: I/O" run --ops 50
	dmsetup remove c
	ktap_test "local: create" each create "$LOCAL"
	ktap_test "local: nothing is lost" check
	dmsetup remove c
	ktap_test "local: remove" each remove "$LOCAL"
	ktap_test "local: create again" dmsetup create c --table "$LOCAL"
	ktap_test "local: nothing is lost again" check
}

local_io()
{
	ktap_test "local: I/O, some allocations fail" with_failures 5 run --ops 400
	ktap_test "local: half of them" with_failures 50 run --ops 200
	ktap_test "local: all of them, for a while" all_fail
	ktap_test "local: drain" drains c
	ktap_test "local: the origin is right" env_dev /dev/mapper/org check
	ktap_test "local: nothing is lost by that" check
	ktap_test "local: remove" dmsetup remove c
}
env_dev() { local DEV=$1; "${@:2}"; }
drains()
{
	fail_on 20
	circle_drain "$1" || return 1
	fail_off
}
all_fail()
{
	fail_on 100
	run --ops 100 &
	RUNS=$!
	pause 8
	fail_off
	wait "$RUNS" && [ "$FAILED" -gt 0 ]
}

# Circles: node 1 owns, nodes 2 and 3 are peers. What is made to fail is node 1's, in its own namespace.
c1_table() { circle_table /dev/mapper/org1 $BLOCK /dev/mapper/meta1 /dev/mapper/ssd1 "$1" "default 0" "$(circle_args 1 1 "2 3")"; }
each1() { local NAME=c1; IN=1 each "$@"; }
wiped() { each1 "$1" "$2" /dev/mapper/meta1 /dev/mapper/ssd1; }
whole() { circle_counts 1 2 1; }

circles()
{
	local n
	circle_timeout 30000
	circle_nodes 16 1 2 3 || return 1
	for n in 2 3; do
		circle_node_create $n 0 "" || return 1
	done
}
circle_all()
{
	ktap_test "circle: create, blank" each1 create "$(c1_table "1 writeback")"
	DEV=/dev/mapper/c1
	rm -f /tmp/h
	hist init --seed $((RANDOM + 1)) && wait_for 60 "all peers" whole && run --ops 100 --mix write=100 || return 1
	ktap_test "circle: reload" each1 reload "$(c1_table "1 writeback")"
	ktap_test "circle: I/O" run --ops 50
	dmsetup remove c1
	ktap_test "circle: create" each1 create "$(c1_table "1 writeback")"
	ktap_test "circle: nothing is lost" check
	dmsetup remove c1
	ktap_test "circle: remove" each1 remove "$(c1_table "1 writeback")"
	ktap_test "circle: create again" circle_node_create 1 1 "2 3"
	ktap_test "circle: nothing is lost again" check
}

# Also the peers': all are in this machine.
circle_io()
{
	ktap_test "circle: some fail, of all nodes" with_failures 5 run --ops 300
	ktap_test "circle: the peers count" wait_for 60 "all peers" whole
	ktap_test "circle: half of them" with_failures 50 run --ops 100
	ktap_test "circle: all of them, for a while" all_fail
	ktap_test "circle: drain" drains c1
	ktap_test "circle: the peers count again" wait_for 60 "all peers" whole
	ktap_test "circle: nothing is lost by that" check
}

# What is dirty is with a peer alone: the taker fails at each allocation in turn, begins anew, and has all of it.
circle_takeover()
{
	ktap_test "circle: the owner dies" lost
	ktap_test "circle: another takes over" wiped create "$(c1_table "3 writeback recover fenced")"
	ktap_test "circle: nothing is lost by the owner's death" check
	ktap_test "circle: recovered" circle_recovered 1
	ktap_test "circle: the owner dies again" lost || return 1
	ktap_test "circle: another takes over, live" takes_over && fail_on 10 &&
		ktap_test "circle: reads and writes in a recovery" run --ops 60 &&
		ktap_test "circle: recovered while some fail" circle_recovered 1
	fail_off
	ktap_test "circle: nothing is lost by that death" check
}
lost()
{
	circle_drain c1 && circle_wait_counts 1 2 && dev_hold org1 1 2500 && run --ops 120 --qd 16 --mix write=100 &&
		circle_wait_counts 1 2 && [ "$(circle_dirty c1)" -gt 20 ] && circle_node_die 1 && circle_node_wipe 1
}
takes_over() { circle_node_create 1 1 "2 3" "3 writeback recover fenced" && ! circle_is c1 recovering 0; }

dev_null meta 2; dev_remove meta	# null_blk is there
fail_begin || exit 1
only local && local_all && local_io
if only circle || only io || only takeover; then
	circles || exit 1
	if only circle; then circle_all; else circle_node_create 1 1 "2 3" && DEV=/dev/mapper/c1 && hist init --seed 5; fi
	! only io || circle_io
	! only takeover || circle_takeover
	ktap_test "circle: remove all" circle_remove_all
fi
check_dmesg
ktap_done
