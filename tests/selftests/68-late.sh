#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=400 modules=dm-circle,null_blk kernels=newest cpu=50
#
# An owner that is cut off, and another that takes over meanwhile: what its SSD gives too late is not written to the
# origin, and nobody reads there what is older than what the new owner has acknowledged; with the peers there it goes on.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/rig.sh
. "$REPO/tests/lib/rig.sh"
ktap_header

# The owner's path to the origin, which can be cut; the taker has another one, and node 2 has what is dirty.
DEV_LOWER[path]=/dev/mapper/org1
path() { DEV_SECTORS[path]=${DEV_SECTORS[org1]} && dmsetup create path --table "0 ${DEV_SECTORS[org1]} linear /dev/mapper/org1 0"; }
owner() { circle_node_wipe 1 && ORIGIN=path circle_node_create 1 1 2 && circle_wait_counts 1 1; }
takes_over() { circle_node_wipe 3 && ORIGIN=org1 circle_recovers 3 circle_node_create 3 0 2 "3 writeback recover fenced" && circle_recovered 3; }

put()	# <circle> <letter> <block> [<how>]
{
	head -c 65536 /dev/zero | tr '\0' "$2" |
		dd of="/dev/mapper/$1" bs=64k count=1 seek="$3" iflag=fullblock oflag=direct conv="notrunc${4:+,$4}" status=none
}
get() { dd if="/dev/mapper/$1" bs=64k count=1 skip="$2" iflag=direct status=none | tr -s 'a-z\0' | tr '\0' -; }
is() { local is; is=$(get "$1" "$3") && echo "# $1: $is" && [ "$is" = "$2" ]; }
# In the background: a file has it when it ends.
reads() { rm -f /tmp/read; (get c1 "$1" >/tmp/read.new 2>/dev/null; mv /tmp/read.new /tmp/read) & }
has_read() { [ -e /tmp/read ]; }
waits() { local i; for ((i = 0; i < 20; i++)); do ! has_read || { echo "# read: $(</tmp/read)"; return 1; }; sleep 0.1; done; }

# The SSD gives what it is asked for when there is another owner.
# faults: owner-ssd hang writing-back
# faults: link hang writing-back
late_copy()
{
	local low=${DEV_LOWER[ssd1]}
	# were it rid of the holder before, its label would say so
	circle_patient 1 60000 && circle_drain c1 && __dev_table ssd1 delay "$low" 0 600000 "$low" 0 0 "$low" 0 0 && put c1 a 5 && circle_risk_is 1 0 &&
		dmsetup message c1 0 drain && wait_for 30 "a read of the SSD" ssd_is_asked && MARK=$(log_mark) && link_down 1 || return 1
	takes_over && is c3 a 5 && put c3 b 5 && circle_drain c3 && is org1 b 5 && wait_for 60 "the owner to see it" fenced || return 1
	dev_heal ssd1 && dmsetup remove --retry c1 && is org1 b 5 && is c3 b 5
}
ssd_is_asked() { [ "$(__dev_delayed ssd1 4)" -gt 0 ]; }
fenced() { log_since "$MARK" | grep -q 'another node has taken over'; }
again() { link_up 1 && dmsetup remove c3 && owner; }

# Cached, and clean; the origin, and with it the label, is out of reach, but the holder is there.
# faults: origin hang idle
goes_on()
{
	put c1 a 7 && circle_drain c1 && is c1 a 7 && dev_freeze path && lease_is_over && is c1 a 7 && dev_thaw path
}
# Nothing shows that it is: the last look was 5 s ago (R5).
lease_is_over() { sleep 7; }
# Now neither is.
# faults: origin hang idle
# faults: link hang idle
cut_off()
{
	local rc=0
	is c1 a 7 && MARK=$(log_mark) && dev_freeze path && link_down 1 && circle_patient 1 3000 &&
		wait_for 60 "the holder to be lost" lost_holder && takes_over && put c3 b 7 && is c3 b 7 || rc=1
	reads 7
	waits || rc=1
	dev_thaw path
	wait_for 60 "the read to end" has_read && wait_for 60 "the owner to see it" fenced || rc=1
	[ "$(</tmp/read)" != a ] && [ "$rc" = 0 ] && dmsetup remove --retry c1 c3
}
lost_holder() { [ "$(circle_get 1 peers/2/state)" != ready ]; }

# Both were away, nobody took over: it is as it was.
# faults: origin return idle
# faults: link return idle
comes_back()
{
	local rc=0
	put c1 a 9 && circle_drain c1 && is c1 a 9 && MARK=$(log_mark) && dev_freeze path && link_down 1 && circle_patient 1 3000 &&
		wait_for 60 "the holder to be lost" lost_holder || rc=1
	reads 9
	waits || rc=1
	link_up 1
	dev_thaw path
	wait_for 60 "the read to end" has_read && [ "$(</tmp/read)" = a ] && [ "$rc" = 0 ]
}

circle_timeout
circle_nodes 48 1 2 3 && path || exit 1
at_exit "dmsetup resume path 2>/dev/null; dmsetup remove --retry c1 2>/dev/null; dmsetup remove --retry c3 2>/dev/null; dmsetup remove --retry path"
ktap_test "a holder" circle_node_create 2 0 ""
ktap_test "the owner" owner
ktap_test "what its SSD gives when another has taken over is not written" late_copy
ktap_test "the owner again" again
ktap_test "the origin is away: what is cached can be read" goes_on
ktap_test "both are: it waits, and is never older than what another acknowledged" cut_off
ktap_test "the owner once more" eval "link_up 1 && owner"
ktap_test "both are, for a while" comes_back
ktap_test "remove" dmsetup remove c1 c2
check_dmesg
ktap_done
