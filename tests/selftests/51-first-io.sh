#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=2000 smp=1 timeout=900 modules=dm-circle,null_blk icount=1 kernels=newest
#
# How soon a recovery serves its host, in instructions, 1 ns each, with a few dirty blocks and with many:
# a takeover with a blank SSD and `fenced`, and a restart of the owner with its own SSD. From `dmsetup create`
# to the end of the first read, which is of a dirty block that nobody fetched yet.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/live.sh
. "$REPO/tests/lib/live.sh"
ktap_header

SLOW=20			# ms
BLOCK=8			# sectors: many blocks in little memory
PEERS=2
DEGREE=1
SIZES=("${1:-512}" "${2:-4096}")	# blocks
BAR=1000000		# us, and what the lists take:
BAR_BLOCK=${3:-15000}	# ns for each block
counts() { circle_wait_counts 1 1; }

# Busy whenever nobody else is: the clock of an idle guest runs away.
spin()
{
	chrt -i 0 bash -c "while :; do :; done" &
	at_exit "kill $!"
}

# dirty_blocks <number>: from the start of the device, with words of its own in each
dirty_blocks()
{
	awk -v n="$1" -v r="$RANDOM" 'BEGIN { for (i = 0; i < n; i++) printf "%-4095s\n", i " of " n ", " r }' >/tmp/data &&
		dd if=/tmp/data of=/dev/mapper/c1 bs=1M oflag=direct conv=notrunc iflag=fullblock status=none
}

# The link of a node that died is up again: a SYN that is lost before that is sent anew after 1 s.
reaches_peer() { node_exec 1 bash -c ": </dev/tcp/$(node_addr 2)/7000" 2>/dev/null; }

# The last block, and the time in us until it is there.
first()	# <features>
{
	local FEATURES=$1 t0 t1
	wait_for 60 "the network" reaches_peer || return 1
	t0=${EPOCHREALTIME/./}
	owner || return 1
	t1=${EPOCHREALTIME/./}
	dd if=/dev/mapper/c1 of=/tmp/block bs=4k skip=$((N - 1)) count=1 iflag=direct status=none || return 1
	TOOK=$((${EPOCHREALTIME/./} - t0))
	echo "# $N blocks: create $((t1 - t0)) us, first read after $TOOK us"
	is_live && cmp -n 4096 -i $(((N - 1) * 4096)):0 /tmp/data /tmp/block
}

takeover() { first "$RECOVER" && TAKEOVER+=("$TOOK"); }
# faults: owner-host return idle
restart() { first "1 writeback" && RESTART+=("$TOOK"); }
# faults: owner-host power-loss idle
dies() { circle_node_die 1 && dev_hold org1 1 "$SLOW"; }
all_there()
{
	dev_heal org1 && wait_for 120 "the end" is_over && nothing_lost &&
		dd if=/dev/mapper/c1 of=/tmp/all bs=1M count=$((N / 256)) iflag=direct status=none && cmp /tmp/all /tmp/data
}

# in_time <us with SIZES[0]> <with SIZES[1]>
in_time()
{
	local ns=$((($2 - $1) * 1000 / (SIZES[1] - SIZES[0])))
	echo "# $ns ns a block, and $(($1 - SIZES[0] * ns / 1000)) us"
	[ "$1" -le "$BAR" ] && [ "$ns" -le "$BAR_BLOCK" ] && [ "$2" -le $((BAR + SIZES[1] * BAR_BLOCK / 1000)) ]
}

circle_timeout 30000
at_exit "dmsetup remove --retry c1 c2 2>/dev/null"
spin
circle_nodes 80 1 2 || exit 1
circle_node_create 2 0 "" || exit 1
ktap_test "an owner" owner
for N in "${SIZES[@]}"; do
	ktap_test "$N blocks: the owner is lost with its SSD" live_lost dirty_blocks "$N"
	ktap_test "$N blocks: taken over" takeover
	ktap_test "$N blocks: all is there" all_there
	ktap_test "$N blocks: the peer counts" counts
	ktap_test "$N blocks: dirty again" live_dirty dirty_blocks "$N"
	ktap_test "$N blocks: the owner dies" dies
	ktap_test "$N blocks: it restarts" restart
	ktap_test "$N blocks: all is there still" all_there
	ktap_test "$N blocks: and the peer counts" counts
done
ktap_test "a takeover is in time" in_time "${TAKEOVER[@]}"
ktap_test "a restart is in time" in_time "${RESTART[@]}"
check_dmesg
ktap_done
