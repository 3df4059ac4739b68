#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=1 timeout=600 modules=dm-circle,null_blk icount=1 kernels=newest
#
# A peer gets back what it has lent: when less may be lent from now on, and when its own host finds no room
# in the cache. The owner writes back what that peer holds, and nothing else; no replica goes without having been
# released, so nothing is lost when the owner dies then. In virtual time, so that nothing is old meanwhile.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/rig.sh
. "$REPO/tests/lib/rig.sh"
ktap_header

SIZE=12582912
hist() { "$HISTORY" "$1" --dev /dev/mapper/c1 --log /tmp/h --size $SIZE "${@:2}" >/tmp/out || { tail -15 /tmp/out; return 1; }; }
check() { hist check --allow all --record; }
put() { dm_dir "c$1" && echo "$3" >"$REPLY/circle/$2"; }
may_lend_much() { [ "$(circle_get 1 peers/2/space)" -gt 100 ]; }
lend_half() { put 2 lend 50 && wait_for 10 "node 1 to hear of it" may_lend_much; }
lent() { circle_status "c$1" lent; }
lent_at_most() { [ "$(lent "$1")" -le "$2" ]; }

# The host is at it all the time, from before the first write on: then only what is due is written back. And the
# clock of an idle guest would run away while anything waits for the host's file system.
busy()
{
	while [ -e /tmp/busy ]; do
		dd if=/dev/mapper/c1 of=/dev/null bs=4k count=8 iflag=direct status=none
	done
}
begin_busy() { touch /tmp/busy && { busy & BUSY=$!; }; }
end_busy() { [ ! -e /tmp/busy ] || { rm /tmp/busy && wait "$BUSY"; }; }

dirty()	# and busy from then on: end_busy, whatever it says
{
	circle_drain c1 && begin_busy && hist run --resume --ops 150 --qd 32 --mix write=100 --sizes 4096,8192 &&
		[ "$(lent 2)" -gt 15 ] && [ "$(lent 3)" -gt 15 ] && circle_risk_is 1 0
}

# Within 2 s; what is due by age is 10 s old. The other peer has what it had.
given_back()	# <at most>
{
	local before
	before=$(lent 3)
	[ "$before" -gt 15 ] || { echo "# node 3: $before blocks lent"; return 1; }
	wait_for 2 "node 2 to have $1" lent_at_most 2 "$1" || return 1
	echo "# node 2: $(lent 2) blocks lent, node 3: $(lent 3) of $before"
	[ "$(lent 2)" -ge $(($1 * 2 / 3)) ] && [ "$(lent 3)" = "$before" ] && circle_risk_is 1 0
}

less()	# <percent> <slots at most>
{
	lend_half && dirty && put 2 lend "$1" && given_back "$2"
	local r=$?
	end_busy
	return "$r"
}
# faults: owner-host power-loss idle
owner_dies()
{
	circle_node_die 1 && circle_node_wipe 1 &&
		circle_recovers 1 circle_node_create 1 1 "2 3" "3 writeback recover fenced" && check &&
		circle_recovered 1 && check && circle_wait_counts 1 2
}

# A host that has room wants nothing back, however much it writes: neither at once nor later.
roomy()
{
	local before i
	dirty || { end_busy; return 1; }
	before=$(lent 2)
	for ((i = 0; i < 20; i++)); do
		dd if=/dev/zero of=/dev/mapper/c2 bs=64k count=20 oflag=direct status=none || break
		pause 0.1
		nothing_wanted || break
	done
	end_busy
	echo "# node 2: $(lent 2) of $before blocks lent"
	[ "$i" = 20 ]
}

# Its own host fills its cache with what cannot be written back: then what is lent is wanted, and only as long.
starving()
{
	local before
	dirty || { end_busy; return 1; }
	before=$(lent 2)
	dev_hold org2 1 1000
	dd if=/dev/zero of=/dev/mapper/c2 bs=64k count=600 oflag=direct status=none &
	wait_for 20 "node 2 to get some back" lent_at_most 2 $((before / 2))
	local r=$?
	echo "# node 2: $(lent 2) of $before blocks lent"
	dev_heal org2
	wait $!
	end_busy
	return "$r"
}
wants_no_more() { circle_drain c2 && wait_for 20 "node 2 to want nothing" nothing_wanted; }
nothing_wanted() { [ "$(circle_get 1 peers/2/wanted)" = 0 ]; }

at_exit "dmsetup remove --retry c1 c2 c3 2>/dev/null"
circle_nodes 32 1 2 3 || exit 1
ktap_test "node 2, an owner itself" circle_node_create 2 0 ""
ktap_test "node 3" circle_node_create 3 0 ""
ktap_test "node 1" circle_node_create 1 1 "2 3"
ktap_test "all count" circle_wait_counts 1 2
hist init --zero --seed $((RANDOM + 1)) || exit 1
ktap_test "less may be lent: some is given back" less 2 10
ktap_test "the owner dies: nothing is lost" owner_dies
ktap_test "nothing may be lent: all is given back" less 0 0
ktap_test "what was given back is at the origin" owner_dies
ktap_test "as much as before" lend_half
ktap_test "its host writes, and has room: it wants nothing" roomy
ktap_test "its host finds no room: it gets some back" starving
ktap_test "and then no more" wants_no_more
ktap_test "the end" dmsetup remove c1 c2 c3
check_dmesg
ktap_done
