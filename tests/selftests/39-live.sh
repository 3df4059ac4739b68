#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=1800 modules=dm-circle,null_blk kernels=newest cpu=60
#
# A takeover serves its host before what was dirty is at the origin, which is slow here: reads and
# writes of it, another death in the middle, suspend and removal, peers that die or cannot read.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/live.sh
. "$REPO/tests/lib/live.sh"
ktap_header

lost() { live_lost "${@:-wrote}"; }
wrote() { run --ops 400 --mix write=90,read=10 --sizes 4096,16384,65536; }
# All of it, while it is drained, for which the origin need not be that slow.
read_all() { dev_hold org1 1 500 && hist check --allow all; }
reads() { is_live && read_all; }
writes() { run --ops 15 --mix write=60,read=30,discard=10 && is_live; }
fast() { dev_heal org1 && wait_for 120 "the end" is_over && check; }
stops()
{
	within_awake 15 dmsetup suspend c1 && within_awake 15 dmsetup resume c1 && is_live &&
		run --ops 5 && within_awake 15 dmsetup suspend --noflush --nolockfs c1 &&
		within_awake 15 dmsetup resume c1 && is_live
}
stopped_in_use()	# requests wait when it is suspended
{
	local pid
	dd if=/dev/mapper/c1 of=/dev/null bs=64k skip=384 count=32 iflag=direct status=none &
	pid=$!
	wait_for 30 "reads" reads_are_under_way
	within_awake 15 dmsetup suspend --noflush --nolockfs c1 && within_awake 15 dmsetup resume c1 &&
		wait "$pid" && is_live
}
reads_are_under_way() { [ "$(stat_of c1 9)" -gt 0 ]; }
removed() { is_live && within_awake 15 dmsetup remove --retry c1 && dev_heal org1 && owner && check; }
peer_gone() { circle_node_die 3 && run --ops 10 && read_all; }
peer_back() { circle_node_create 3 0 ""; }

circle_timeout
at_exit "dmsetup remove --retry c1 c2 c3 2>/dev/null"
circle_nodes 64 1 2 3 || exit 1
DEGREE=1
circle_node_create 2 0 "" && peer_back || exit 1
ktap_test "an owner" owner
hist init --seed $((RANDOM + 1)) || exit 1

# faults: owner-host power-loss idle
ktap_test "the owner is lost" lost
ktap_test "taken over, and live" takes_over
ktap_test "nothing is at risk: all has a holder" circle_risk_is 1 0
ktap_test "writes in the middle of it" writes
# faults: owner-host power-loss recovering
ktap_test "another death in the middle of it" dies_again
# faults: owner-host return recovering
ktap_test "taken over again" takes_over
ktap_test "everything can be read meanwhile" reads
ktap_test "the end" fast
ktap_test "the peers count again" counts

ktap_test "the owner is lost again" lost
ktap_test "live again" takes_over
ktap_test "suspend and resume meanwhile" stops
ktap_test "with requests that wait" stopped_in_use
ktap_test "removal meanwhile, and a restart" removed
ktap_test "the peers count once more" counts

# A FLUSH of the origin fails in the middle, and takes what it was to make durable with it.
# faults: origin error recovering
# faults: origin return recovering
flush_fails()
{
	is_live && dev_fail_writes org1 && wait_for 60 "it to be known that the origin fails" refused_some &&
		dev_hold org1 1 500 && reads
}
refused_some() { [ "$(circle_status c1 origin_errors)" -gt 0 ]; }
ktap_test "the owner is lost, the third time" lost
ktap_test "and live" takes_over
ktap_test "the origin fails for a while" flush_fails
ktap_test "the end of it" fast
ktap_test "the peers count" counts

# With one holder for each block: a peer that stays away is reported, and does not hang anybody.
risk_is_known() { [ "$(circle_status c1 at_risk)" -gt 0 ]; }
gave_up() { said "peer 3 does not come back: [1-9][0-9]* blocks"; }
errors_not_hangs()
{
	local n bad=0 good=0
	for ((n = 0; n < 512; n += 16)); do
		if timeout 120 dd if=/dev/mapper/c1 of=/dev/null bs=64k skip="$n" count=1 iflag=direct \
			status=none 2>/dev/null; then good=$((good + 1)); else bad=$((bad + 1)); fi
	done
	echo "# $good read, $bad gave errors"
	[ "$good" -gt 0 ] && [ "$bad" -gt 0 ]
}
ktap_test "the owner is lost, the fourth time" lost
ktap_test "and live" takes_over
# faults: peer-host power-loss recovering
ktap_test "a holder dies, and nobody waits for it" circle_node_die 3
ktap_test "what it has is at risk" wait_for 60 "at_risk" risk_is_known
ktap_test "it is said that it does not come back" wait_for 120 "the report" gave_up
ktap_test "then what it has gives errors, the rest is read" errors_not_hangs
# faults: peer-host return recovering
ktap_test "it comes back, with all that it had" peer_back
ktap_test "the end of that" fast
ktap_test "the peers count" counts

# Nobody can read what the holders have: an error, listed, until it is written anew. Of 192 blocks 64 are
# written back when the owner dies (dev_hold).
# faults: peer-ssd error recovering
holders_fail() { is_live && bad_sectors ssd2 0 131072 && bad_sectors ssd3 0 131072; }
reads_fail() { ! reads_as /tmp/before 191 1; }
is_listed() { dmsetup message c1 0 lost >/tmp/lost && head -n 3 /tmp/lost && grep -q "^$((191 * 128))+128$" /tmp/lost; }
anew() { head -c 12M /dev/urandom >/tmp/after && copy_blocks /tmp/after 188 4 && reads_as /tmp/after 188 4; }
still_listed() { is_over && ! nothing_lost && ! reads_as /tmp/after 187 1; }
all_anew() { copy_blocks /tmp/after 0 192 && reads_as /tmp/after 0 192 && nothing_lost; }
ktap_test "the owner is lost, with known blocks" lost random_blocks /tmp/before
ktap_test "and live" takes_over
ktap_test "its holders cannot read them" holders_fail
ktap_test "a read of one fails, and does not hang" reads_fail
ktap_test "that is listed" is_listed
ktap_test "a write of whole pages overwrites it, and is read" anew
ktap_test "the origin is fast again" dev_heal org1
ktap_test "it ends" wait_for 120 "the end" is_over
good_sectors ssd2 0 131072 && good_sectors ssd3 0 131072
ktap_test "what is lost stays so" still_listed
ktap_test "until it is written" all_anew

DEGREE=2
again() { rm /tmp/h && dmsetup remove c1 c2 c3 && circle_node_create 2 0 "" && peer_back && owner; }
ktap_test "all again, with degree 2" again
hist init --seed $((RANDOM + 1)) || exit 1
ktap_test "it is lost" lost
ktap_test "and live" takes_over
# faults: peer-host power-loss recovering
ktap_test "a holder dies meanwhile" peer_gone
# faults: peer-host return recovering
ktap_test "and comes back" peer_back
ktap_test "the end" fast
ktap_test "both count" counts

# A copy that cannot be read: the other holder is asked.
# faults: peer-ssd error recovering
one_fails() { is_live && bad_sectors ssd2 0 131072 && read_all; }
ktap_test "lost once more" lost
ktap_test "and live" takes_over
ktap_test "one holder cannot read" one_fails
ktap_test "the end of that" fast
good_sectors ssd2 0 131072
ktap_test "nothing was lost" nothing_lost
again_2() { dmsetup remove c2 && circle_node_wipe 2 && circle_node_create 2 0 "" && counts; }
ktap_test "it gets new metadata, and counts" again_2

# It answered when it was told, and is gone when its list is asked for.
# faults: link hang recovering
# faults: link return recovering
silent_peer()
{
	local rc pid
	MARK=$(log_mark)
	FEATURES="2 writeback recover" owner &
	pid=$!
	wait_for 60 "the wait for the lease" said "waiting 10000 ms for the lease" && sleep 1 &&
		link_down 3 && wait "$pid"
	rc=$?
	link_up 3
	[ "$rc" = 0 ] && said "recovery: live"
}
ktap_test "lost for the last time" lost
ktap_test "a peer falls silent before its list is asked for" silent_peer
ktap_test "the last end" fast
ktap_test "remove" dmsetup remove c1 c2
check_dmesg
ktap_done
