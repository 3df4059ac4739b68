#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=600 modules=dm-circle,null_blk
#
# The origin of a circle grows: the label stays where it was, and is found there, by the owner and by
# who takes over with blank metadata. The cache of a circle grows and shrinks from start to start.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/ktap.sh
. "$REPO/tests/lib/ktap.sh"
# shellcheck source=tests/lib/nodes.sh
. "$REPO/tests/lib/nodes.sh"
# shellcheck source=tests/lib/circle.sh
. "$REPO/tests/lib/circle.sh"
ktap_header

LEN=$((32 * 2048))	# sectors; the label is behind them
SIZE=16777216
hist() { "$HISTORY" "$1" --dev "/dev/mapper/$2" --log /tmp/h --size "$SIZE" "${@:3}" >/tmp/out || {
	tail -n 5 /tmp/out; return 1; }; }

size_of() { DEV_SECTORS[$1]=$(($2 * 2048)) && dev_heal "$1"; }	# <device> <MiB>

# node <N> <peers> [<features> [<origin>]]
node()
{
	node_exec "$1" dmsetup create "c$1" --table "0 $LEN circle /dev/mapper/meta$1 /dev/mapper/ssd$1 \
		/dev/mapper/${4-org$1} 128 ${3-1 writeback} default 0 $(circle_args "$1" 1 "$2")"
}

slots_are()	# all of them: status tells apart what is the node's own and what is lent
{
	local -a f
	local i lent=0
	read -ra f <<<"$(dmsetup status --noflush "$1")"
	for ((i = 0; i < ${#f[@]}; i++)); do
		[ "${f[i]}" != lent ] || lent=${f[i + 1]}
	done
	[ $((${f[6]#*/} + lent)) = "$2" ] || { echo "${f[6]} and $lent lent"; return 1; }
}

refused() { ! node "$@" 2>/dev/null && dmsetup remove "c$1" 2>/dev/null; dmesg | grep -q "$R"; }

lent() { [ "$(circle_status c2 lent)" -gt 16 ]; }	# more than a MiB has

# All but the last 8 MiB of the origin, where the label is, are slow. 96 blocks behind those of the history,
# each written once: a write to a block that is being written back would wait for that.
stay_dirty()
{
	circle_drain c1 && dev_hold org1 8 &&
		dd if=/tmp/fill of=/dev/mapper/c1 bs=64k seek=256 oflag=direct conv=notrunc status=none &&
		[ "$(circle_dirty c1)" -gt 32 ]
}
filled() { cmp /tmp/fill <(dd if=/dev/mapper/c3 bs=64k skip=256 count=96 iflag=direct status=none); }

# What the peer lends stands at the end, and stays.
smaller()
{
	stay_dirty && wait_for 60 "blocks that are lent" lent && dmsetup remove c2 && dev_heal org1 &&
		size_of ssd2 1 || return 1
	R="unable to shrink cache; cache block .* is a peer's" refused 2 1 || return 1
	size_of ssd2 24 && node 2 1 && slots_are c2 383
}

head -c 6M /dev/urandom >/tmp/fill
circle_timeout 30000	# no peer is lost here, but those that say so
for n in 1 2 3; do
	node_add $n && dev_null ssd$n 32 && dev_null meta$n 8 && dev_null org$n 40 &&
		size_of org$n 33 && size_of ssd$n 16 || exit 1
done
remove_those_there()
{
	local n
	for n in 1 2 3; do
		[ ! -e "/dev/mapper/c$n" ] || dmsetup remove --retry "c$n"
	done
}
at_exit remove_those_there
ktap_test "node 1" node 1 2
ktap_test "node 2" node 2 1
ktap_test "1 counts 2" circle_wait_counts 1 1
hist init c1 --seed 3 || exit 1
ktap_test "writes" hist run c1 --resume --ops 300 --threads 2
ktap_test "the origin grows" size_of org1 40
ktap_test "writes go on" hist run c1 --resume --ops 100 --threads 2
dmsetup suspend c1
ktap_test "and after a resume" dmsetup resume c1
ktap_test "and at the next start, with a larger cache" eval \
	'dmsetup remove c1 && size_of ssd1 20 && node 1 2 && slots_are c1 319'
ktap_test "nothing is lost" hist check c1 --allow all --record
ktap_test "1 counts 2 again" circle_wait_counts 1 1
ktap_test "more writes" hist run c1 --resume --ops 300 --threads 2
ktap_test "a peer's blocks at the end: no shrinking" smaller
ktap_test "1 counts 2 once more" circle_wait_counts 1 1
head -c 6M /dev/urandom >/tmp/fill
ktap_test "other blocks, which stay dirty" stay_dirty
ktap_test "writes again" hist run c1 --resume --ops 40 --threads 2 --qd 8 --mix write=100
ktap_test "and which 2 has" circle_wait_counts 1 1
# faults: owner-host power-loss idle
ktap_test "the owner dies" circle_node_die 1
R="say recover to take it over" ktap_test "without recover: refused" refused 3 2 '1 writeback' org1
ktap_test "another takes over: it finds the label" circle_recovers 3 node 3 2 '3 writeback recover fenced' org1
ktap_test "nothing is lost" hist check c3 --allow all
ktap_test "nor of the other blocks" filled
ktap_test "it says so" grep -q "the origin has grown: its label is at sector $LEN" <(dmesg)
check_dmesg
ktap_done
