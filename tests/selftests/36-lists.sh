#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1024 smp=2 timeout=450 modules=dm-circle,null_blk kernels=newest
#
# Many replicas of 4 KiB: the owner is lost, another node recovers from the peer. Its list comes in
# pages, what the recovery remembers of a block is bounded, and all blocks arrive. Argument: BLOCKS=n;
# a million takes an hour or more in an emulated machine, and `tests/vm/run-one --mem 3072`.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/ktap.sh
. "$REPO/tests/lib/ktap.sh"
# shellcheck source=tests/lib/nodes.sh
. "$REPO/tests/lib/nodes.sh"
# shellcheck source=tests/lib/circle.sh
. "$REPO/tests/lib/circle.sh"
ktap_header

for arg in "$@"; do
	declare "$arg"
done
BLOCKS=${BLOCKS:-20000}
BLOCK=8
PAGE=1024		# items of a list's page
SCAN=1048576		# slots that are looked at for one page
COPY=40			# bytes that a recovery remembers of a copy
SLACK=512		# KiB of vmalloc: stacks of threads
LOOSE=16384		# KiB of all memory: what else the system does meanwhile
TRACE=/sys/kernel/tracing

mib() { echo $((($1 * 4 + 1023) / 1024)); }	# <blocks of 4 KiB>

# No block has what another one has, and all are easily compressed.
contents() { seq -f '%04095.0f' 0 $((BLOCKS - 1)); }

devices()
{
	local room=$((BLOCKS + BLOCKS / 4 + 1024))	# stocks of free slots, and less than 3/4 dirty
	local meta=$((8 + room / 5000))
	dev_zram ssd1 "$(mib $((BLOCKS + BLOCKS / 2)))" && dev_null meta1 "$meta" &&
		dev_zram org1 $(($(mib "$BLOCKS") + 1)) &&
		dev_zram ssd2 "$(mib $room)" && dev_null meta2 "$meta" && dev_null org2 9 &&
		dev_null ssd3 16 && dev_null meta3 8
}

put() { echo "$3" >"/sys/block/dm-$(dmsetup info -c --noheadings -o minor "c$1")/circle/$2"; }

fill() { contents | dd of=/dev/mapper/c1 bs=1M iflag=fullblock oflag=direct status=none; }

# so many, each with a holder, none at the origin
all_replicated()
{
	echo "# dirty $(circle_dirty c1), lent $(circle_status c2 lent), at risk $(circle_status c1 at_risk)"
	[ "$(circle_dirty c1)" = "$BLOCKS" ] && test_lent 2 "$BLOCKS" && circle_risk_is 1 0
}

count_lists()
{
	[ -e "$TRACE/trace" ] || mount -t tracefs nodev "$TRACE" || return 1
	echo 'p:lists/page circle_serve_list' >"$TRACE/kprobe_events" && : >"$TRACE/trace" &&
		echo 1 >"$TRACE/events/lists/page/enable"
}

# KiB: vmalloc'ed; all that is used but by compressed devices
memory()
{
	local key n _ total=0 available=0 zram=0 f
	while read -r key n _; do
		case $key in
		MemTotal:) total=$n ;;
		MemAvailable:) available=$n ;;
		VmallocUsed:) VMALLOC=$n ;;
		esac
	done </proc/meminfo
	for f in /sys/block/zram*/mm_stat; do
		read -r _ _ n _ <"$f"
		zram=$((zram + n / 1024))
	done
	USED=$((total - available - zram))
}

drained() { [ "$(circle_status c3 recovering)" = 0 ]; }
# Another node; what it takes meanwhile stands in VMALLOC_PEAK, USED_PEAK.
recover()
{
	local pid begin
	begin=$(now_ms)
	VMALLOC_PEAK=0 USED_PEAK=0
	: >"$TRACE/trace"
	ORIGIN=org1 circle_node_create 3 1 2 "3 writeback recover fenced" &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		memory
		[ "$VMALLOC" -le "$VMALLOC_PEAK" ] || VMALLOC_PEAK=$VMALLOC
		[ "$USED" -le "$USED_PEAK" ] || USED_PEAK=$USED
		sleep 0.1
	done
	wait "$pid" || return 1
	echo "# live after $(($(now_ms) - begin)) ms"
	while ! drained; do
		memory
		[ "$VMALLOC" -le "$VMALLOC_PEAK" ] || VMALLOC_PEAK=$VMALLOC
		[ "$USED" -le "$USED_PEAK" ] || USED_PEAK=$USED
		sleep 0.1
	done
	memory
	echo "# took $(($(now_ms) - begin)) ms"
}

complete()
{
	dmesg | grep -o 'recovery complete: .*' | tail -n 1 | sed 's/^/# /'
	dmesg | grep -q "recovery complete: $BLOCKS blocks ($BLOCKS from peers), $BLOCKS pages"
}

# As many pages as needed, and what it takes to see that nothing is behind.
paged()
{
	local n took least=$(((BLOCKS + PAGE - 1) / PAGE))
	echo 0 >"$TRACE/events/lists/page/enable"
	read -r n took < <(awk '/ page: / {
		match($0, /[0-9]+\.[0-9]+:/); t = substr($0, RSTART, RLENGTH - 1)
		if (!n++) first = t
	} END { printf "%d %d\n", n, (t - first) * 1000 }' "$TRACE/trace")
	echo "# $n pages in $took ms"
	[ "$n" -ge "$least" ] && [ "$n" -le $((least + 1 + BLOCKS * 2 / SCAN)) ]
}

# The map doubles when it is full, the old one being there until it is copied; it goes at the end.
map_is_bounded()
{
	local room=4096 grown=$((VMALLOC_PEAK - VMALLOC))
	while [ "$room" -lt "$BLOCKS" ]; do
		room=$((room * 2))
	done
	echo "# $grown KiB, $((grown * 1024 / BLOCKS)) bytes per block"
	[ "$grown" -ge $((room * COPY / 1024 - SLACK)) ] &&
		[ "$grown" -le $((room * COPY * 3 / 2 / 1024 + SLACK)) ]
}

memory_is_bounded()
{
	local grown=$((USED_PEAK - USED))
	echo "# $grown KiB at most over what it is afterwards"
	[ "$grown" -le $((BLOCKS * COPY * 3 / 1024 + LOOSE)) ]
}

arrived() { contents | cmp -n $((BLOCKS * 4096)) - /dev/mapper/org1; }

for n in 1 2 3; do
	node_add $n || exit 1
done
devices || exit 1
at_exit "dmsetup remove --retry c3 2>/dev/null"
# While nothing goes to the origin, no peer can leave the view: a slow machine must not lose it.
ktap_test "peers may be slow" circle_timeout 60000
ktap_test "the owner" circle_node_create 1 1 2
ktap_test "its peer" circle_node_create 2 0 ""
ktap_test "which lends all it has" put 2 lend 100
ktap_test "the owner counts it" circle_wait_counts 1 1
# faults: origin error writing
ktap_test "nothing goes to the origin" dev_fail_writes org1
begin=$(now_ms)
ktap_test "$BLOCKS blocks are written" fill
echo "# took $(($(now_ms) - begin)) ms"
ktap_test "all are replicas" all_replicated
# faults: owner-host power-loss idle
ktap_test "the owner is lost, its SSD too" circle_node_die 1
ktap_test "lists are counted" count_lists
ktap_test "another node recovers" circle_recovers 3 recover || exit 1
ktap_test "complete" complete
ktap_test "the list came in pages" paged
ktap_test "what is remembered of a block is bounded" map_is_bounded
ktap_test "memory is bounded" memory_is_bounded
ktap_test "all blocks are there" arrived
ktap_test "the peer has nothing left" wait_for 120 "release" test_lent 2 0
ktap_test "it counts for the new owner" wait_for 120 "its view" circle_view_is 3 1
ktap_test "remove all" dmsetup remove c3 c2
check_dmesg
ktap_done
