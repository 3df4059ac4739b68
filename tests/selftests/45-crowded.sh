#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1024 smp=2 timeout=400 modules=dm-circle,null_blk,dm-flakey kernels=newest
#
# A cache that is more than 3/4 dirty: writes to blocks that nobody asked for lately go through, as long
# as the origin takes them; one that it fails is cached, and the host sees no error. What is read is
# always what was written, also where such writes meet others that are cached.
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

TRACE=/sys/kernel/tracing
SIZE=16777216			# of the history: twice the cache
BLOCK=64

hist() { "$HISTORY" "$1" --log "/tmp/$N" --size "$SIZE" "${@:2}" >/tmp/out || { tail -15 /tmp/out; return 1; }; }
run() { hist run --dev "/dev/mapper/$N" --resume --threads 4 --qd 4 --hot 0 "$@"; }
check() { hist check --dev "/dev/mapper/$1" --allow all; }
throughs() { grep -c ' circle_through: ' "$TRACE/trace"; }

# crowd <at least>: so many writes of whole blocks and less until so many of them have gone through. The
# origin takes a second for any, so nothing is clean again soon; how soon it is crowded depends on the
# machine.
crowd()
{
	local i
	dev_delay "$ORG" 0 1000 && : >"$TRACE/trace" || return 1
	for ((i = 0; i < 30; i++)); do
		run --ops 100 --mix write=100 --sizes 4096,32768,65536 || return 1
		[ "$(throughs)" -lt "$1" ] || break
	done
	echo "# dirty: $(circle_dirty "$N"), writes that went through: $(throughs)"
	[ "$i" -lt 30 ]
}

mixed() { crowd 1 && run --ops 150 --overlap --sizes 512,4096,16384,32768 --mix write=60,fua=5,flush=2,read=33 && check "$N"; }

# Such writes are under way when the origin begins to fail. As many more as there is room for.
# faults: origin error writing
# faults: origin return idle
origin_fails()
{
	local pid seen
	crowd 1 && seen=$(throughs) || return 1
	run --ops 40 --overlap --sizes 512,4096,32768 --mix write=100 &
	pid=$!
	wait_for 30 "one to go through" more_throughs "$seen" "$pid"
	dev_fail_writes "$ORG" || return 1
	wait "$pid" && echo "# errors of the origin: $(circle_status "$N" origin_errors)" && run --ops 10 --mix write=50,read=50 && check "$N" && dev_heal "$ORG" && check "$N" && return
	dev_heal "$ORG"
	return 1
}
more_throughs() { [ "$(throughs)" -gt "$1" ] || ! kill -0 "$2" 2>/dev/null; }

all_at_origin() { dev_heal "$ORG" && circle_drain "$N" && check "$N" && check "$ORG"; }

cases()	# <what>
{
	hist init --zero --dev "/dev/mapper/$N" --seed $((RANDOM + 1)) || return 1
	ktap_test "$1: blocks that nobody asked for go through" crowd 20
	ktap_test "$1: what is read is what was written" mixed
	ktap_test "$1: the origin fails them: no error" origin_fails
	ktap_test "$1: again" origin_fails
	ktap_test "$1: all is at the origin in the end" all_at_origin
}

[ -e "$TRACE/trace" ] || mount -t tracefs nodev "$TRACE" || exit 1
echo 4096 >"$TRACE/buffer_size_kb" && echo 1 >"$TRACE/events/dm_circle/circle_through/enable" || exit 1
at_exit 'dmsetup remove --retry c c1 c2 2>/dev/null'
dev_null meta 2 && dev_null ssd 8 && dev_null org 24 || exit 1
N=c ORG=org
ktap_test "create" dmsetup create c --table "$(table_of $((23 * 2048)) meta ssd org "$BLOCK")"
cases "a local cache"
ktap_test "remove" dmsetup remove c

circle_timeout 30000
for n in 1 2; do
	node_add $n && dev_null ssd$n $((n * 8)) && dev_null meta$n 8 && dev_null org$n 24 || exit 1
done
N=c1 ORG=org1
ktap_test "a peer" circle_node_create 2 0 ""
ktap_test "its owner" circle_node_create 1 1 "2"
ktap_test "counts it" circle_wait_counts 1 1
cases "a circle"
ktap_test "remove both" dmsetup remove c1 c2
check_dmesg
ktap_done
