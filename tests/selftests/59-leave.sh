#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=900 modules=dm-circle,null_blk kernels=newest cpu=60
#
# A peer that leaves in order: its owners let it go, do not heal what it had for as long as it said, go on
# replicating to the others, and revive it when it is back. Not if something else is missing too, if the time is
# over, or if it may be asked for the only copy. At the end of each the owner dies, and what the peers say is what
# was written.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/rig.sh
. "$REPO/tests/lib/rig.sh"
ktap_header

# shellcheck source=tests/lib/heal.sh
. "$REPO/tests/lib/heal.sh"
revived() { circle_get 1 revived; }
risk() { "$IO" status c1 at_risk; }
says() { dmsetup message "$1" 0 "${@:2}"; }
relied_on_by() { [ "$(circle_get "$1" relied_on)" = "$2" ]; }
due() { circle_get 1 "peers/$1/away"; }
is_due() { [ "$(due "$1")" -gt 0 ]; }
not_due() { [ "$(due "$1")" = 0 ]; }

# leaves_in_order <N> <seconds> <peers left> [<at risk: yes|no>]: it is well, so nothing else would end its connection.
leaves_in_order()
{
	REVIVED=$(revived) HEALED=$(healed)
	says "c$1" leave "$2" && wait_for 30 "the owner to let $1 go" relied_on_by "$1" 0 &&
		wait_for 30 "a view without $1" circle_view_is 1 "$3" && is_due "$1" &&
		[ "$(due "$1")" -le "$2" ] && [ "$(circle_get "$1" leaving)" -gt 0 ] &&
		{ [ "${4:-yes}" = no ] || [ "$(risk)" -gt 0 ]; }
}
not_healed() { [ "$(healed)" = "$HEALED" ]; }

# Writes to new blocks do not go to the origin, which takes nothing: they are dirty, and have their holder.
writes_meanwhile()
{
	local risk dirty
	risk=$(risk) dirty=$(circle_dirty c1)
	run --ops 60 --qd 8 --mix write=95,discard=5 --sizes 4096,8192,65536 && not_healed &&
		[ "$(circle_dirty c1)" -gt "$dirty" ] && [ "$(risk)" -le "$risk" ]
}

# faults: peer-host return idle
is_back()	# <N> <peers> <floor>
{
	local rest
	peer "$1" && wait_for 60 "peer $1" whole "$2" "$3" && not_due "$1" || return 1
	rest=$(($(healed) - HEALED - $(revived) + REVIVED))
	echo "# revived: $(($(revived) - REVIVED)), copied: $rest"
	[ "$(revived)" -gt "$REVIVED" ]
}
nothing_is_copied() { is_back "$@" && [ "$(healed)" = "$((HEALED + $(revived) - REVIVED))" ]; }

says_no()	# <device> <in the log> <message...>
{
	local mark
	mark=$(log_mark)
	! says "$1" "${@:3}" 2>/dev/null && log_since "$mark" | grep -q "$2"
}
refused()
{
	says_no c2 'number of seconds, 1 to 86400' leave 0 && says_no c2 'number of seconds' leave 86401 &&
		says_no c2 'number of seconds' leave soon &&
		says_no c2 'number of seconds' leave 99999999999 && says_no c2 'words too many' leave 1 2 &&
		says_no c2 'words too many' stay 1 && [ "$(circle_get 2 leaving)" = 0 ] &&
		says_no loc 'in no circle' leave && says_no loc 'in no circle' stay
}
by_default()
{
	says c2 leave && [ "$(circle_get 2 leaving)" -gt 290 ] && [ "$(circle_get 2 leaving)" -le 300 ] &&
		says c2 LEAVE 86400 && [ "$(circle_get 2 leaving)" -gt 86000 ] && says c2 stay &&
		[ "$(circle_get 2 leaving)" = 0 ]
}
does_not_leave() { [ "$(circle_get "$1" leaving)" = 0 ]; }
loses_patience() { says c2 leave 1 && wait_for 20 "the end of its wish" does_not_leave 2; }

stays() { says "c$1" stay && wait_for 60 "peer $1" whole 2 1 && not_due "$1" && [ "$(revived)" -gt "$REVIVED" ]; }

# faults: link hang idle
another_is_lost()
{
	circle_patient 1 3000 && link_down 4 && heal 1 1 && not_due 2 && circle_patient 1 "$PATIENT_MS" && link_up 4
}

# It may go when the last dirty block is at the origin, and not before.
# faults: owner-ssd error idle
needed()
{
	dev_fail ssd1 && run --ops 20 --mix read=50,write=50 && [ "$(circle_dirty c1)" -gt 0 ] && says c2 leave 600 &&
		dev_hold org1 1 100 || return 1
	while [ "$(circle_dirty c1)" -gt 0 ]; do
		circle_view_is 1 1 || [ "$(circle_dirty c1)" = 0 ] || return 1
		run --ops 2 --mix read=100 || return 1
	done
	wait_for 20 "the owner to let it go" relied_on_by 2 0 && check
}
exchanged() { dmsetup remove c1 && dev_heal ssd1 && circle_node_wipe 1 && says c2 stay; }

# A taker asks it all the same.
# faults: owner-host power-loss idle
taken_over_while_it_leaves()
{
	circle_node_die 1 && circle_node_wipe 1 && says c2 leave 300 &&
		circle_recovers 1 circle_node_create 1 1 2 "3 writeback recover fenced" && check &&
		circle_recovered 1 && wait_for 20 "the owner to let it go" relied_on_by 2 0 && run --ops 20 && check &&
		says c2 stay && wait_for 60 "peer 2" circle_counts 1 1 && check && dmsetup remove c1
}

# faults: peer-host power-loss idle
crashes_away()
{
	circle_node_die 2 && peer 2 && wait_for 60 "peer 2" whole 2 1 && heals_on "$HEALED" &&
		[ "$(revived)" = "$REVIVED" ]
}

# It knows nothing of it, until that peer says so again, which may be at once.
owner_restarts()
{
	local mark
	dev_hold org1 1 200 && dmsetup remove c1 && mark=$(log_mark) && circle_node_create 1 1 "2 3" && wait_for 60 "floor 1" whole 1 1 &&
		{ not_due 2 || log_since "$mark" | grep -q 'peer 2 leaves in order'; }
}
degree_raised()
{
	put 1 degree 2 && wait_for 60 "degree 2" circle_is c1 degree 2 && wait_for 60 "floor 2" whole 2 2 &&
		heals_on "$HEALED" && not_due 2
}
# Two at once: no longer than until the first is back.
two_leave() { leaves_in_order 2 300 2 && says c3 leave 300 && wait_for 30 "a view without 3" circle_view_is 1 1 && not_healed && is_due 2 && is_due 3; }
first_back() { dmsetup remove c2 && peer 2 && wait_for 60 "floor 1" whole 2 1 && not_due 3; }

# The owner takes its whole time for writes: the peer goes in their midst.
# faults: peer-host return writing
under_load()
{
	local i pid
	REVIVED=$(revived)
	dev_hold org1 1 200
	run --ops 1500 --overlap --qd 16 --hot 60 --mix write=80,read=10,fua=5,discard=5 --sizes 512,4096,8192,16384 --pause 2000 &
	pid=$!
	for i in 1 2 3; do
		says c2 leave 300 && wait_for 60 "the owner to let it go" relied_on_by 2 0 && dmsetup remove c2 &&
			wait_for 20 "a view without 2" circle_view_is 1 1 && peer 2 && wait_for 60 "2 again" circle_view_is 1 2 || return 1
	done
	wait "$pid" && dev_hold org1 1 2500 && wait_for 60 "a floor" whole 2 1 && [ "$(revived)" -gt "$REVIVED" ]
}

circle_timeout
at_exit "dmsetup remove --retry c1 c2 c3 c4 loc 2>/dev/null"
circle_nodes 64 1 2 3 4 || exit 1
dev_null locssd 16 && dev_null locmeta 8 && dev_null locorg 17 || exit 1
circle_create loc /dev/mapper/locorg 128 /dev/mapper/locmeta /dev/mapper/locssd || exit 1
peer 2 && peer 3 && peer 4 || exit 1
hist init --zero --dev /dev/mapper/org1 --seed $((RANDOM + 1)) || exit 1

ktap_test "what is no time to leave" refused
ktap_test "how long it is meant for" by_default
ktap_test "a wish that ends by itself" loses_patience

# The label goes on to name whom it has named: so first the tests with one peer, those with three at the end.
ktap_test "an only peer" owner 1 2
ktap_test "it leaves" leaves_in_order 2 300 0
ktap_test "writes go through" run --ops 20 --qd 16 --hot 90 --mix write=90,discard=10 --sizes 512,4096,8192
ktap_test "it is back" eval "dmsetup remove c2 && is_back 2 1 1"
ktap_test "the owner is taken over while it leaves again" taken_over_while_it_leaves

ktap_test "an owner whose SSD fails" owner 1 2
ktap_test "a peer that it needs is not let go" needed
ktap_test "it has drained" exchanged

ktap_test "two peers, one holder" owner 1 "2 3"
ktap_test "one leaves: the view is without it at once" leaves_in_order 2 300 1
ktap_test "new writes have the other" writes_meanwhile
ktap_test "it is taken down" dmsetup remove c2
ktap_test "nothing is healed" not_healed
ktap_test "it is back, and has what did not change" is_back 2 2 1
ktap_test "it leaves again" leaves_in_order 2 300 1
ktap_test "it restarts at once" eval "dmsetup remove c2 && nothing_is_copied 2 2 1"
ktap_test "the owner dies: they have all" owner_dies 1 "2 3"

ktap_test "again" owner 1 "2 3"
ktap_test "one leaves, and is let go" leaves_in_order 2 300 1
ktap_test "it stays" stays 2
ktap_test "it leaves for 12 s" leaves_in_order 2 12 1
ktap_test "and is not back: its blocks are healed" eval "dmsetup remove c2 && heal 1 1 && not_due 2"
ktap_test "the owner dies without it" owner_dies 1 3
peer 2

ktap_test "for a crash while it is away" owner 1 "2 3"
ktap_test "one leaves" leaves_in_order 2 300 1
ktap_test "it crashes: all is sent anew" crashes_away
ktap_test "it leaves again" leaves_in_order 2 300 1 no
ktap_test "the owner restarts: it does not wait for it" owner_restarts
ktap_test "the owner dies after that" eval "says c2 stay && owner_dies 1 3"

ktap_test "under load" owner 1 "2 3"
ktap_test "it leaves and is back, three times" under_load
ktap_test "the owner dies: nothing is lost" owner_dies 1 "2 3"

ktap_test "three peers" owner 1 "2 3 4"
ktap_test "one leaves" leaves_in_order 2 300 2
ktap_test "another is lost: all is healed" another_is_lost
ktap_test "the owner dies: the third has all" eval "says c2 stay && owner_dies 1 3"

ktap_test "for two that leave" owner 1 "2 3 4"
ktap_test "two leave" two_leave
ktap_test "one of them is back" first_back
ktap_test "it leaves again" eval "says c3 stay && wait_for 60 'floor 1' whole 3 1 && leaves_in_order 2 300 2"
ktap_test "the degree is raised: all is healed" degree_raised
ktap_test "the owner dies: they have all of it" eval "says c2 stay && owner_dies 1 '3 4'"

ktap_test "remove" dmsetup remove c2 c3 c4 loc
check_dmesg
ktap_done
