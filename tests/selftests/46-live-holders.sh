#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=1500 modules=dm-circle,null_blk kernels=newest cpu=60
#
# Holders in a recovery that is live: one that is back with another store, pages of which one holder has
# a bad sector while the other has restarted or is away, and pages that are lost, when the label is all
# that whoever comes next has.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/live.sh
. "$REPO/tests/lib/live.sh"
ktap_header

SLOW=15000	# for what is to be there still when it is asked for
x_is_listed()
{
	dmsetup message c1 0 lost >/tmp/lost && head -n 3 /tmp/lost && grep -q "^$((X * 128))+128$" /tmp/lost
}
all_but_x() { reads_as /tmp/before 0 "$X"; }

circle_timeout
at_exit "dmsetup remove --retry c1 c2 c3 c4 2>/dev/null"
circle_nodes 64 1 2 3 4 || exit 1
dev_null wrong_ssd 64 && dev_null wrong_meta 8 && dev_null wrong_org 65 || exit 1
DEGREE=1
peer 2 && peer 3 || exit 1
ktap_test "an owner" owner

# What stands where node 3 was is not node 3, and has nothing.
wrong_store()
{
	dmsetup remove c3 && node_exec 3 dmsetup create c3 --table "$(circle_table /dev/mapper/wrong_org 128 \
		/dev/mapper/wrong_meta /dev/mapper/wrong_ssd "1 writeback" "default 0" "$(circle_args 3 0 "")")"
}
right_store() { dmsetup remove c3 && peer 3; }
not_back() { said "peer 3 does not come back: [1-9][0-9]* blocks"; }
# faults: owner-host power-loss idle
ktap_test "the owner is lost" live_lost random_blocks /tmp/before
ktap_test "and live" takes_over
ktap_test "a holder comes with another store" wrong_store
ktap_test "what it had is at risk" wait_for 60 "at_risk" risk_is_known
ktap_test "it is said that it is not back" wait_for 120 "the report" not_back
ktap_test "nothing is lost" nothing_lost
# faults: peer-host return recovering
ktap_test "it comes with its own" right_store
ktap_test "the end" ends
ktap_test "all is there" all_is_read
ktap_test "both count" counts

# A page is lost, the host dies again, and a peer that has other blocks is away.
refused_as()	# <text> <command...>
{
	MARK=$(log_mark)
	! "${@:2}" 2>/dev/null && said "$1"
}
taker() { ORIGIN=org1 circle_node_create 4 1 "2 3" "$RECOVER"; }
restarts() { dev_heal org1 && owner && wait_for 120 "the end" is_over; }
x_is_lost() { x_fails && x_is_listed; }
ktap_test "lost again" live_lost random_blocks /tmp/before
ktap_test "it is known who has a block" find_holder
ktap_test "live again" takes_over
# faults: peer-ssd error recovering
ktap_test "its holder cannot read it" bad_place "$HOLDER"
ktap_test "a read of it fails" x_fails
ktap_test "it is listed as lost" wait_for 60 "the list" x_is_listed
# faults: owner-host power-loss recovering
ktap_test "the host dies, its devices stay" dies
ktap_test "and the other peer is away" dmsetup remove "c$OTHER"
ktap_test "a restart is refused" refused_as "recovery refused: each dirty page has 1 holders" owner
dmsetup remove c1 2>/dev/null
ktap_test "the peer is back" peer "$OTHER"
ktap_test "who has not these metadata is refused" refused_as "recovery refused: pages are lost" taker
dmsetup remove c4 2>/dev/null
# faults: owner-host return recovering
ktap_test "a restart goes on" restarts
ktap_test "what is lost stays so" x_is_lost
ktap_test "all else is there" all_but_x
good_place "$HOLDER"
ktap_test "a write mends it" copy_blocks /tmp/before "$X" 1
ktap_test "then it is read" all_is_read

DEGREE=2
SLOW=2000	# of each page, when a block is fetched page by page
again() { dmsetup remove c1 c2 c3 && peer 2 && peer 3 && owner; }
ktap_test "all again, with degree 2" again

# The second holder has restarted: it has what was flushed, which is all.
restarted() { dmsetup remove c3 && peer 3; }
# faults: peer-ssd error recovering
# faults: peer-ssd return recovering
for_a_moment()
{
	local pid rc
	bad_place 2 || return 1
	x_is_read &
	pid=$!
	wait_for 60 "a try" said "block $X cannot be read from any peer"
	rc=$?
	good_place 2 && wait "$pid" && [ "$rc" = 0 ]
}
not_from_3() { ! said "block $X can be read from peer 3 alone"; }
ktap_test "lost, with two holders" live_lost random_blocks /tmp/before
ktap_test "one of them restarts" restarted
ktap_test "live" takes_over
ktap_test "the other cannot read a block for a moment" for_a_moment
ktap_test "that is no reason to take what may be older" not_from_3
X=190
ktap_test "the other cannot read another block" bad_place 2
ktap_test "it is read from the one that restarted" x_is_read
ktap_test "which is said" said "block $X can be read from peer 3 alone, which has restarted"
ktap_test "the end of it" ends
ktap_test "that is not called complete" said "recovery complete up to the last FLUSH"
ktap_test "all is there, nothing lost" all_is_read
good_place 2
X=191
ktap_test "both count again" counts

# It is away when the lists are made, and comes later.
ktap_test "lost, with two holders" live_lost random_blocks /tmp/before
# faults: link hang recovering
ktap_test "one of them is away" link_down 3
ktap_test "live" slow_take
ktap_test "the other cannot read a block" bad_place 2
ktap_test "a read of it fails" x_fails
ktap_test "but it is not lost" nothing_lost
# faults: link return recovering
ktap_test "the first one is there again" link_up 3
ktap_test "then it is read" wait_for 120 "the page" x_is_read
ktap_test "the end of that" ends
ktap_test "all is there again" all_is_read
good_place 2
ktap_test "both count once more" counts

# What stands where it was when the lists are made has nothing of it: that is not its list.
ktap_test "lost, with two holders" live_lost random_blocks /tmp/before
ktap_test "one comes with another store" wrong_store
ktap_test "live" slow_take
ktap_test "the other cannot read a block" bad_place 2
ktap_test "a read of it fails" x_fails
ktap_test "but it is not lost" nothing_lost
ktap_test "the first one comes with its own" right_store
ktap_test "then it is read" wait_for 120 "the page" x_is_read
ktap_test "the end of that" ends
ktap_test "all is there again" all_is_read
good_place 2
ktap_test "remove" dmsetup remove c1 c2 c3
check_dmesg
ktap_done
