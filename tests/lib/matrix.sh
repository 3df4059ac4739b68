# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# For tests that bring a circle into a state which lasts, make something fail in it, and end both (source heal.sh
# first). Node 1 is the owner, of degree $DEGREE with the peers $PEERS; its label is on a device of its own. Its
# devices, and those of node 2, have volatile caches.

lab_owner() { LABEL=/dev/mapper/lab circle_node_create 1 "$DEGREE" "$PEERS" "${FEATURES-1 writeback}"; }
peer() { LABEL='' circle_node_create "$1" 0 ""; }
how_many() { wc -w <<<"$PEERS"; }
all_count() { circle_wait_counts 1 "$(how_many)" "$DEGREE"; }
is_whole() { whole "$(how_many)" "$DEGREE"; }
held() { circle_get "$1" replicas_held; }

matrix_devices()	# <peers without a volatile cache>
{
	local n
	for n in 1 2; do
		node_add $n && dev_null ssd$n 64 volatile && dev_null meta$n 8 volatile && dev_null org$n 65 volatile || return 1
	done
	for n in "$@"; do
		node_add "$n" && circle_node_devices "$n" 64 || return 1
	done
	dev_null lab 4
}

# At its end a case has its devices as they should be.
devices_well()
{
	local d
	for d in org1 ssd1 meta1 lab ssd2 meta2; do
		dev_heal "$d" || return 1
	done
}

# in_background <ops> <words>: the host's I/O; goes_on: it has ended, without an error.
in_background()
{
	run --ops "$1" "${@:2}" &
	RUN=$!
}
goes_on() { wait "$RUN" || { echo "# the host's I/O ended with $?"; return 1; }; }
still_runs() { kill -0 "$RUN"; }
ended() { ! kill -0 "$1" 2>/dev/null; }
ended_well()
{
	wait_for "$1" "the host's I/O to end" ended "$RUN" || { who_waits; return 1; }
	goes_on
}
who_waits()
{
	local pid
	"$IO" status c1
	for pid in $(pgrep circle-history); do
		head -n 12 "/proc/$pid/task/"*/stack
	done
}

# Node <N> loses power: each device what it had not flushed. A FLUSH of a device that fails succeeds (dm's error target
# has none), so that a node which is still there believes that a write before it is durable: nobody is to hear of that,
# nor are its metadata.
power_cut()
{
	local d failed=''
	link_down "$1" && dev_freeze "meta$1" || failed=1
	for d in "org$1" "ssd$1" "meta$1"; do
		dev_off "$d" || failed=1
	done
	dmsetup remove --retry "c$1" || failed=1
	for d in "org$1" "ssd$1" "meta$1"; do
		dev_on "$d" || failed=1
	done
	link_up "$1"
	[ -z "$failed" ]
}
owner_power_cut() { dev_fail lab && power_cut 1 && dev_heal lab; }

# The owner is gone, with its SSD: the peers alone say what was written.
owner_is_gone() { dev_fail lab && circle_node_die 1 && dev_heal lab && circle_node_wipe 1; }
recovered()
{
	local FEATURES="3 writeback recover fenced"
	circle_recovers 1 lab_owner && check && circle_recovered 1 && check
}
taken_over() { recovered && all_count; }
gone_and_taken_over() { all_count && owner_is_gone && taken_over; }

# Blank devices in place of the owner's that failed, when nothing is dirty.
renewed()
{
	circle_drain c1 && within_awake 20 dmsetup remove c1 && dev_heal ssd1 && dev_heal meta1 && circle_node_wipe 1 &&
		lab_owner && check
}
