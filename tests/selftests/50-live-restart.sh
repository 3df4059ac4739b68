#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=1200 modules=dm-circle,null_blk kernels=newest cpu=60
#
# An owner that comes back with its SSD serves its host before what is dirty is at the origin, which is
# slow here. The peers have what was completed, the SSD what was flushed: it is asked when they cannot be.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/live.sh
. "$REPO/tests/lib/live.sh"
ktap_header

wrote() { run --ops 400 --mix write=90,read=10 --sizes 4096,16384,65536; }
flushed() { random_blocks /tmp/before && "$IO" fdatasync /dev/mapper/c1; }
crashes() { circle_node_die 1 && dev_hold org1 1 "$SLOW"; }	# its SSD stays
dirty_and_dies() { live_dirty "${@:-wrote}" && crashes; }
restarts() { MARK=$(log_mark); within_awake 10 owner && is_live; }
reads() { is_live && dev_hold org1 1 500 && hist check --allow all; }
writes() { run --ops 15 --mix write=60,read=30,discard=10 && is_live; }
ends_well() { ends && check; }
stops()
{
	within_awake 15 dmsetup suspend c1 && within_awake 15 dmsetup resume c1 && is_live &&
		run --ops 5 && within_awake 15 dmsetup suspend --noflush --nolockfs c1 &&
		within_awake 15 dmsetup resume c1 && is_live
}
removed() { is_live && within_awake 15 dmsetup remove --retry c1 && not_by_tool && restarts && ends_well; }
# The peers have what is newest: the tool, which does not ask them, must not take the SSD for it.
not_by_tool()
{
	! "$REPO/build/tools-bin/circle_writeback" --metadata-device /dev/mapper/meta1 --fast-device /dev/mapper/ssd1 \
		--origin-device /dev/mapper/org1 >/tmp/wb 2>&1 && grep -q 'the stop was unclean' /tmp/wb && return
	sed 's/^/# /' /tmp/wb
	return 1
}

DEGREE=1
circle_timeout
at_exit "dmsetup remove --retry c1 c2 c3 2>/dev/null"
circle_nodes 64 1 2 3 || exit 1
peer 2 && peer 3 || exit 1
ktap_test "an owner" owner
hist init --seed $((RANDOM + 1)) || exit 1

# faults: owner-host power-loss idle
ktap_test "the owner dies" dirty_and_dies
# faults: owner-host return idle
ktap_test "it is back with its SSD, and live" restarts
ktap_test "nothing is at risk: all has a holder" circle_risk_is 1 0
ktap_test "writes in the middle of it" writes
# faults: owner-host power-loss recovering
ktap_test "another death in the middle of it" dies
# faults: owner-host return recovering
ktap_test "live again" restarts
ktap_test "everything can be read meanwhile" reads
ktap_test "the end" ends_well
ktap_test "the peers count again" counts

ktap_test "the owner dies again" dirty_and_dies
ktap_test "and is live" restarts
ktap_test "suspend and resume meanwhile" stops
ktap_test "removal meanwhile, and a restart" removed
ktap_test "the peers count once more" counts

# What was clean is still in the cache: nothing but what is dirty leaves it.
warm() { [ "$(circle_status c1 4 | cut -d/ -f1)" -gt 64 ]; }
clean_and_dirty()
{
	hist check --allow all && hist check --allow all && copy_blocks /tmp/before 448 8
}
head -c 32M /dev/urandom >/tmp/before
ktap_test "it dies with clean blocks, too" dirty_and_dies clean_and_dirty
ktap_test "and is live then" restarts
ktap_test "with a warm cache" warm
ktap_test "the end of that" ends
ktap_test "the cache is warm still" warm
ktap_test "the peers are counted" counts
rm /tmp/h

# A block that is clean but for a page; another page is written and flushed while that one waits. Then the SSD
# is all that is left. What was clean there does not come back.
Y=448
page() { head -c 4096 /dev/zero | tr '\0' "$1" | dd of=/dev/mapper/c1 bs=4k seek=$((Y * 16 + $2)) conv=notrunc oflag=direct status=none; }
letter() { dd if=/dev/mapper/c1 bs=4k skip=$((Y * 16 + $1)) count=1 iflag=direct status=none | tr -s ab; }
holds_page()
{
	local low=${DEV_LOWER[org1]} n=${DEV_SECTORS[org1]} at=$((Y * 128))
	"$IO" table org1 noflush nolockfs <<-END
		0 $at linear $low 0
		$at 8 delay $low $at 0 $low $at 600000 $low $at 0
		$((at + 8)) $((n - at - 8)) linear $low $((at + 8))
	END
}
# Within a second: then write-back would begin.
one_dirty_page()
{
	local i
	for i in 1 2 3 4 5; do
		copy_blocks /tmp/before "$Y" 1 && circle_drain c1 && counts && page a 0 && dmsetup remove c1 &&
			holds_page && owner || return 1
		is_live && return
		dev_heal org1 || return 1
	done
	return 1
}
another_page() { page b 2 && "$IO" fdatasync /dev/mapper/c1 && is_live; }
# At once: when its origin goes, what is held there ends, and would be forgotten on the SSD.
# faults: owner-host power-loss recovering
# faults: peer-host power-loss recovering
# faults: owner-host return recovering
ssd_alone()
{
	dev_freeze meta1 && circle_node_die 1 && circle_node_die 2 && circle_node_die 3 && owner && [ "$(letter 0)$(letter 2)" = ab ]
}
ktap_test "a page is dirty, the rest of its block clean, and it restarts in order" one_dirty_page
ktap_test "another page is written and flushed" another_page
ktap_test "the SSD alone is left, and has what was flushed" ssd_alone
ktap_test "the end of this" wait_for 60 "the end" is_over
peer 2 && peer 3 || exit 1
ktap_test "the peers are counted, too" counts

# A block that is written while it recovers is forgotten by the SSD first: when all hosts restart, and the
# SSD is believed (R6), its old version does not come back.
written() { head -c 12M /dev/urandom >/tmp/after && copy_blocks /tmp/after "$X" 1 && is_live; }
# faults: owner-host power-loss recovering
# faults: owner-host return recovering
all_restart()
{
	crashes && dmsetup remove --retry c2 c3 && peer 2 && peer 3 && restarts &&
		said "live, up to the last FLUSH"
}
as_written_all() { as_written && ends && as_written && said "complete up to the last FLUSH"; }
as_written() { reads_as /tmp/after "$X" 1 && reads_as /tmp/before 0 "$X"; }
ktap_test "it dies with known blocks" dirty_and_dies random_blocks /tmp/before
ktap_test "and is live with them" restarts
ktap_test "one is written" written
ktap_test "all hosts restart" all_restart
ktap_test "it is as it was written, and the others as before" as_written_all
ktap_test "the peers are counted then" counts

# The holder of some stays away.
from_ssd() { said "come from the own SSD"; }
all_read() { dev_hold org1 1 100 && all_is_read; }
complete() { said "recovery complete: "; }
ktap_test "it dies with what was flushed" dirty_and_dies flushed
ktap_test "and is live with that" restarts
# faults: peer-host power-loss recovering
ktap_test "a holder dies" circle_node_die 3
ktap_test "what it has is at risk" wait_for 60 "at_risk" risk_is_known
ktap_test "what it had comes from the SSD" wait_for 120 "the SSD's" from_ssd
ktap_test "all can be read" all_read
ktap_test "and it ends" ends
ktap_test "complete, since that was all flushed" complete
ktap_test "as it was, at the origin" cmp -n $((192 << 16)) /tmp/before <(dd if=/dev/mapper/org1 bs=64k count=192 iflag=direct status=none)
ktap_test "the holder is back" peer 3
ktap_test "and counts" counts

# The same, and the SSD cannot read one of them: an error, until the holder is back.
# faults: owner-ssd error recovering
# faults: peer-host power-loss recovering
nobody_has_it() { find_holder && bad_place 1 && circle_node_die "$HOLDER"; }
# faults: peer-host return recovering
holder_back() { peer "$HOLDER" && wait_for 60 "the block" x_is_read; }
ktap_test "it dies once more with what was flushed" dirty_and_dies flushed
ktap_test "and is live once more" restarts
ktap_test "holder and SSD of a block fail" nobody_has_it
ktap_test "then it gives an error, and does not hang" x_fails
ktap_test "it is read when the holder is back" holder_back
ktap_test "the end of all" ends
ktap_test "everything is there" all_is_read
good_place 1
check_dmesg
ktap_done
