#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1024 smp=2 timeout=600 modules=dm-circle,null_blk kernels=newest
#
# What a recovery must not take for more than it is: a holder whose metadata are new, one that lost a
# replica to its disk, and what a holder kept of pages that were discarded.
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

RECOVER="3 writeback recover fenced"

# pages <letter> <seek in pages> <number> [<circle>]: written, each durably (an fsync behind a write that
# failed would wait again)
pages()
{
	head -c $(($3 * 4096)) /dev/zero | tr '\0' "$1" |
		dd "of=/dev/mapper/${4:-c1}" bs=4k seek="$2" conv=notrunc oflag=direct,dsync iflag=fullblock \
			status=none
}

letter_at()
{
	dd "if=/dev/mapper/$1" bs=4k skip="$2" count=1 iflag=direct status=none | head -c 1 | tr '\0' -
}

said() { dmesg | grep -q "$1"; }

# refused_for <text> <arguments of circle_node_create>. Again, at most twice, if the peer was not heard at
# all: the machine stood still.
refused_for()
{
	local i mark
	for i in 1 2 3; do
		mark=$(log_mark)
		circle_refused "${@:2}" || return 1
		log_since "$mark" | grep -q "$1" && return
		log_since "$mark" | grep "peer [0-9]* of the view cannot be reached" || return 1
		echo "# try $i: the machine stood still"
		circle_node_wipe "$2" || return 1
	done
	return 1
}

circle_timeout 30000	# a peer is lost by what it answers only
circle_nodes 32 1 2 || exit 1
ktap_test "a peer" circle_node_create 2 0 ""
ktap_test "its owner" circle_node_create 1 1 "2"
ktap_test "counts it" circle_wait_counts 1 1

# A peer that is suspended, with a cache full of clean blocks, takes more than it has in stock: what is not
# stored fails here, since the origin takes nothing.
full_of_clean()
{
	dd if=/dev/zero of=/dev/mapper/c2 bs=64k count=511 conv=notrunc oflag=direct status=none && circle_drain c2 &&
		dd if=/dev/mapper/c2 of=/dev/null bs=64k count=511 iflag=direct status=none &&
		dd if=/dev/mapper/c2 of=/dev/null bs=64k count=511 iflag=direct status=none &&
		wait_for 60 "it to be full" few_are_free
}
few_are_free() { [ "$(circle_status c2 free)" -le 32 ]; }
stores_while_suspended()
{
	dmsetup suspend c2 && dev_fail_writes org1 || return 1
	dd if=/dev/urandom of=/dev/mapper/c1 bs=64k count=96 conv=notrunc oflag=direct status=none
	local rc=$?
	test_lent 2 96 && dmsetup resume c2 && dev_heal org1 && [ "$rc" = 0 ] && circle_drain c1
}
ktap_test "the peer is full of clean blocks" full_of_clean
ktap_test "and makes room also while it is suspended" stores_while_suspended
ktap_test "counts it still" circle_wait_counts 1 1

# Of a block one page becomes clean, the other never does, so that the holder keeps both: it is written
# again before the origin has answered.
keep_writing() { while [ ! -e /tmp/enough ]; do pages q 1 1 || return; done; }
dirty_pages_are() { [ "$(circle_get 1 dirty_bytes)" = $(($1 * 4096)) ]; }
both_dirty() { pages p 0 1 && dirty_pages_are 2; }
clean_but_held()
{
	keep_writing &
	writer=$!
	wait_for 60 "both to be dirty" both_dirty && dev_delay org1 0 500 &&
		dmsetup message c1 0 drain && wait_for 60 "one dirty page" dirty_pages_are 1 &&
		circle_wait_counts 1 1	# here, for then there is no time
}
discarded()
{
	blkdiscard -o 0 -l 4096 /dev/mapper/c1 && shown=$(letter_at c1 0) || return
	: >/tmp/enough
	wait "$writer"		# the holder is told to forget a second later, when the origin has answered
}
same_again()
{
	local now
	now=$(letter_at c1 0)
	echo "#   before: '$shown', after: '$now'"
	[ "$now" = "$shown" ] && [ "$(letter_at c1 1)" = q ]
}
ktap_test "a clean page of a block that is held" clean_but_held
ktap_test "is discarded, and read" discarded
# faults: owner-host power-loss writing-back
ktap_test "the owner dies" circle_node_die 1
circle_node_wipe 1
ktap_test "it is taken over" circle_recovers 1 circle_node_create 1 1 "2" "$RECOVER"
ktap_test "what was read stays" same_again
ktap_test "counts its peer again" circle_wait_counts 1 1

ktap_test "writes" pages a 64 64
ktap_test "which its peer has" circle_wait_counts 1 1
ktap_test "the owner dies again" circle_node_die 1
circle_node_wipe 1
new_peer() { dmsetup remove c2 && circle_node_wipe 2 && circle_node_create 2 0 ""; }
ktap_test "its peer gets new metadata" new_peer
ktap_test "no recovery without what it had" refused_for "peer 2 has not all that it had" 1 1 "2" "$RECOVER"
ktap_test "nor a second time" refused_for "peer 2 has not all that it had" 1 1 "2" "$RECOVER"
ktap_test "but by force" circle_recovers 1 circle_node_create 1 1 "2" "4 writeback recover fenced force"
ktap_test "counts the new one" circle_wait_counts 1 1

ktap_test "writes" pages b 64 64
# The owner cannot say in the label that it lost its peer.
loses_a_replica()
{
	circle_wait_counts 1 1 && dev_fail org1 && bad_sectors ssd2 0 65536 || return
	pages c 65 1 2>/dev/null &
	wait_for 20 "the loss" said "a replica of node 1 could not be written" &&
		dmsetup suspend c1 || return	# which ends the write
	wait $!
	circle_node_die 1 && good_sectors ssd2 0 65536
}
ktap_test "the peer loses a replica, then the owner dies" loses_a_replica
circle_node_wipe 1
ktap_test "no recovery without it" refused_for "peer 2 has not all that it had" 1 1 "2" "$RECOVER"
again() { dmsetup remove c2 && circle_node_create 2 0 ""; }
ktap_test "the peer is started again" again
ktap_test "and knows it still" refused_for "peer 2 has not all that it had" 1 1 "2" "$RECOVER"
ktap_test "remove" dmsetup remove c2
check_dmesg
ktap_done
