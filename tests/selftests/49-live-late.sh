#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=1800 modules=dm-circle,null_blk kernels=newest cpu=60
#
# Holders that a live recovery goes on without: one that was away when the lists were made, or for a
# while, has what nobody else can give, also after the taker restarted. And an origin that takes some
# blocks and refuses others.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/live.sh
. "$REPO/tests/lib/live.sh"
ktap_header

SLOW=15000	# so that X is not drained before it is asked for
NR=2		# peers in view
counts() { circle_wait_counts 1 "$NR" "$DEGREE"; }
# in_pieces: the origin has the table that is read
in_pieces() { dmsetup suspend --noflush --nolockfs org1 && dmsetup load org1 && dmsetup resume org1; }
# As dev_hold, but for the block that is looked at.
x_is_fast()
{
	local lower=${DEV_LOWER[org1]} all=${DEV_SECTORS[org1]} from=$((X * 128)) to=$((X * 128 + 128)) end
	end=$((all - 2048))
	modprobe dm-delay && in_pieces <<-END
		0 $from delay $lower 0 0 $lower 0 $SLOW $lower 0 0
		$from $((to - from)) linear $lower $from
		$to $((end - to)) delay $lower $to 0 $lower $to $SLOW $lower $to 0
		$end 2048 linear $lower $end
	END
}
again() { dmsetup remove c1 && owner; }
restarts() { MARK=$(log_mark) && owner && is_live; }
x_comes() { x_is_fast && wait_for 240 "the block" x_is_read; }
is_complete() { said "recovery complete: "; }
without() { said "going on without peer $1"; }
is_up() { [ "$(circle_get 1 "peers/$1/state")" = up ]; }

circle_timeout
at_exit "dmsetup remove --retry c1 c2 c3 c4 2>/dev/null"
circle_nodes 64 1 2 3 4 || exit 1
DEGREE=1
peer 2 && peer 3 || exit 1
ktap_test "an owner" owner

# The only copy cannot be read: that is no copy, before it is called lost.
reader=
# faults: peer-ssd error recovering
waits_for_x()
{
	x_is_read &
	reader=$!
	wait_for 60 "at_risk" risk_is_known && nothing_lost
}
# faults: peer-ssd return recovering
reader_ends() { wait "$reader"; }
# faults: owner-host power-loss idle
ktap_test "the owner is lost, with a holder each" live_lost random_blocks /tmp/before
ktap_test "it is known who has a block" find_holder
ktap_test "live" takes_over
ktap_test "nothing is at risk" circle_risk_is 1 0
ktap_test "the holder cannot read it" bad_place "$HOLDER"
ktap_test "a read waits, and the block is at risk" waits_for_x
good_place "$HOLDER"
ktap_test "it can be read after all" reader_ends
ktap_test "the end" ends
ktap_test "nothing is lost" all_is_read
ktap_test "the peers count" counts

# A part of the origin refuses: the rest of it gets on, and there nobody waits without end.
# faults: origin error recovering
part_refuses()
{
	local lower=${DEV_LOWER[org1]} all=${DEV_SECTORS[org1]} from=$((184 * 128)) to=$((190 * 128))
	modprobe dm-flakey && in_pieces <<-END
		0 $from linear $lower 0
		$from $((to - from)) flakey $lower $from 0 3600 1 error_writes
		$to $((all - to)) linear $lower $to
	END
}
refused_fails() { ! reads_as /tmp/before 186 1; }
rest_is_read() { reads_as /tmp/before 0 184 && reads_as /tmp/before 190 2; }
ktap_test "the owner is lost" live_lost random_blocks /tmp/before
ktap_test "live" takes_over
ktap_test "a part of the origin refuses" part_refuses
ktap_test "the rest is read" rest_is_read
ktap_test "what is refused gives errors" refused_fails
ktap_test "it is still live" is_live
# faults: origin return recovering
ktap_test "the end, when all is taken" ends
ktap_test "all is there" all_is_read
ktap_test "the peers count" counts

DEGREE=2
# One is away when the lists are made; then the taker restarts.
ktap_test "all again, with degree 2" again
ktap_test "lost, with two holders" live_lost random_blocks /tmp/before
# faults: link hang recovering
ktap_test "one of them is away" link_down 3
ktap_test "live" slow_take
ktap_test "the other cannot read a block" bad_place 2
ktap_test "a read of it fails" x_fails
# faults: owner-host power-loss recovering
ktap_test "the taker dies" dies
# faults: owner-host return recovering
ktap_test "and goes on" restarts
ktap_test "a read fails still" x_fails
ktap_test "but it is not lost" nothing_lost
# faults: link return recovering
ktap_test "the first one is there again" link_up 3
ktap_test "then it is read" x_comes
ktap_test "the end of it" ends
ktap_test "that is complete" is_complete
ktap_test "all is there" all_is_read
good_place 2
ktap_test "both count" counts

# What it gave is read when it is gone once more.
ktap_test "lost, with two holders" live_lost random_blocks /tmp/before
# faults: link hang recovering
ktap_test "one of them is away" link_down 3
ktap_test "live" slow_take
ktap_test "the other cannot read a block" bad_place 2
ktap_test "a read of it fails" x_fails
ktap_test "the first one is there" link_up 3
ktap_test "it is read" x_comes
ktap_test "the first one is away again" link_down 3
# faults: owner-host power-loss recovering
ktap_test "the taker dies" dies
# faults: owner-host return recovering
ktap_test "and goes on" restarts
ktap_test "it is read" x_is_read
ktap_test "the end of it" ends
ktap_test "all is there" all_is_read
link_up 3
good_place 2
ktap_test "both count" counts

# It was there, and the label went on without it while it was away.
ktap_test "lost, with two holders" live_lost random_blocks /tmp/before
ktap_test "live" takes_over
# faults: link hang recovering
ktap_test "one of them is away" link_down 3
ktap_test "which is not waited for" wait_for 120 "the label" without 3
# faults: owner-host power-loss recovering
ktap_test "the taker dies" dies
# faults: link return recovering
ktap_test "the first one is there again" link_up 3
ktap_test "the taker goes on" restarts
ktap_test "the other cannot read a block" bad_place 2
ktap_test "it is read from the first" x_comes
ktap_test "the end of it" ends
ktap_test "that is complete" is_complete
ktap_test "all is there" all_is_read
good_place 2
ktap_test "both count" counts

# Three peers: one is away for a while, and is back when another goes for good.
three() { NR=3 PEERS="2 3 4" && peer 4 && again; }
comes_back() { link_up 3 && wait_for 60 "peer 3 to be up" is_up 3; }
ktap_test "a third peer" three
ktap_test "lost" live_lost random_blocks /tmp/before
ktap_test "live" takes_over
# faults: link hang recovering
ktap_test "one is away" link_down 3
ktap_test "which is not waited for" wait_for 120 "the label" without 3
# faults: link return recovering
ktap_test "it is back" comes_back
ktap_test "another goes" link_down 2
ktap_test "the origin is less slow" dev_hold org1 1 500
ktap_test "all is read" all_is_read
ktap_test "the end" ends
ktap_test "all is there" all_is_read
link_up 2
ktap_test "all three count" counts
ktap_test "remove" dmsetup remove c1 c2 c3 c4
check_dmesg
ktap_done
