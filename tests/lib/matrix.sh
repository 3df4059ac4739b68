# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# For tests that bring a circle into a state which lasts, make something fail in it, and end both
# (source heal.sh first). Node 1 is the owner, of degree $DEGREE with the peers $PEERS; its label is
# on a device of its own. Its devices, and those of node 2, have volatile caches.

lab_owner()
{
	LABEL=/dev/mapper/lab circle_node_create 1 "$DEGREE" "$PEERS" "${FEATURES-1 writeback}"
}
peer() { LABEL='' circle_node_create "$1" 0 ""; }
how_many() { wc -w <<<"$PEERS"; }
all_count() { circle_wait_counts 1 "$(how_many)" "$DEGREE"; }
is_whole() { whole "$(how_many)" "$DEGREE"; }
held() { circle_get "$1" replicas_held; }

matrix_devices()	# <peers without a volatile cache>
{
	local n
	for n in 1 2; do
		node_add $n && dev_null ssd$n 64 volatile && dev_null meta$n 8 volatile &&
			dev_null org$n 65 volatile || return 1
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
	local pid d r w
	"$IO" status c1
	for d in c1 org1 ssd1 meta1 lab ssd2; do
		dm_dir "$d" && read -r r w <"$REPLY/inflight" &&
			echo "# $d: $r reads, $w writes" \
				"$(dmsetup info -c --noheadings -o suspended "$d")"
	done
	for pid in $(pgrep circle-history); do
		head -n 12 "/proc/$pid/task/"*/stack
	done
}
under_way()
{
	local r w
	dm_dir c1 && read -r r w <"$REPLY/inflight" && [ $((r + w)) -gt 0 ]
}
# For two seconds the host has waited, and nothing has ended.
stands()
{
	local now
	under_way && now=$(stat_of c1 1)/$(stat_of c1 5)/$(stat_of c1 12) || return 1
	get_now
	[ "$now" = "${STOOD-}" ] || STOOD=$now STANDS_SINCE=$NOW_MS
	[ $((NOW_MS - STANDS_SINCE)) -ge 2000 ]
}
waits() { STOOD=; wait_for 60 "the host's I/O to wait for $1" stands; }

# Node <N> loses power: each device what it had not flushed. A FLUSH of a device that fails succeeds
# (dm's error target has none), so that a node which is still there believes that a write before it
# is durable: nobody is to hear of that, nor are its metadata.
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
	circle_drain c1 && within_awake 20 dmsetup remove c1 && dev_heal ssd1 && dev_heal meta1 &&
		circle_node_wipe 1 && lab_owner && check
}

# Nothing of it gets to the origin before that has another table.
much_dirty()
{
	all_count && circle_drain c1 && dev_hold org1 1 600000 &&
		run --ops 120 --qd 32 --mix write=100 --sizes 512,4096,4096,8192,65536 &&
		[ "$(circle_dirty c1)" -gt 20 ] && circle_risk_is 1 0
}
origin_fast() { dev_hold org1 1 200; }
dies_dirty() { much_dirty && owner_is_gone && taken_over; }

counts_2() { [ "$(circle_get 1 peers/2/in_view)" = "$1" ]; }
loses_2() { wait_for 60 "a view without 2" counts_2 0; }
patience_ends() { circle_patient 1 2000 && loses_2 && circle_patient 1; }

# a_case <description> <command...>: the next one has a circle that is well, also if this one fails.
a_case() { ktap_test "$@" || anew || exit 1; }
anew()
{
	local n
	echo "# all is made anew"
	devices_well && link_up 2 || return 1
	[ -z "${RUN-}" ] || wait_for 90 "the host's I/O to end" ended "$RUN" ||
		{ who_waits; return 1; }
	for n in 1 $PEERS; do
		if dm_dir "c$n"; then
			within_awake 60 dmsetup remove --retry "c$n" || return 1
		fi
		circle_node_wipe "$n" || return 1
	done
	rm -f /tmp/h
	blkdiscard -z /dev/mapper/lab && hist init --dev /dev/mapper/org1 --seed $((RANDOM + 1)) ||
		return 1
	for n in $PEERS; do
		peer "$n" || return 1
	done
	lab_owner && all_count
}
