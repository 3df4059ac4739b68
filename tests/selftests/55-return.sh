#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=900 modules=dm-circle,null_blk kernels=newest cpu=60
#
# A peer whose connection was lost comes back: what it still has of its replicas, and has not changed since, is not
# sent again. What did change is: by writes that other peers held, or nobody did, or that went through, by
# discards, and by write-back. So after a restart in order, but not after a crash. Each time the owner dies at the
# end, and what the peers say is what was written.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/rig.sh
. "$REPO/tests/lib/rig.sh"
ktap_header

# shellcheck source=tests/lib/heal.sh
. "$REPO/tests/lib/heal.sh"
revived() { circle_get 1 revived; }
parked() { circle_get "$1" parked; }
bytes_sent() { cat /sys/class/net/v1/statistics/rx_bytes; }
some_revived() { [ "$(revived)" -gt "$REVIVED" ]; }

# faults: link hang idle
lost()
{
	DIRTY=$(circle_dirty c1) REVIVED=$(revived) HEALED=$(healed)
	circle_patient 1 3000 && link_down "$1" && wait_for 60 "a view without $1" circle_view_is 1 "$2" &&
		circle_patient 1 "$PATIENT_MS"
}
# back <N> <peers> <floor>: it gets what it has to, and some of it is not sent.
# faults: link return idle
back()
{
	local before rest
	before=$(bytes_sent)
	link_up "$1" && wait_for 60 "peer $1" whole "$2" "$3" || return 1
	rest=$(($(healed) - HEALED - $(revived) + REVIVED))
	SENT=$(($(bytes_sent) - before))
	echo "# revived: $(($(revived) - REVIVED)), copied: $rest, bytes sent: $SENT"
	some_revived
}
nothing_is_sent() { back "$@" && [ "$SENT" -lt 300000 ] && [ "$(healed)" = "$((HEALED + $(revived) - REVIVED))" ]; }

# faults: link hang writing
written_alone()
{
	put 1 degree 0 && wait_for 30 "degree 0" circle_is c1 degree 0 &&
		run --ops 80 --hot 50 --mix write=95,discard=5 --sizes 512,4096,8192 &&
		put 1 degree 1 && wait_for 30 "degree 1" circle_is c1 degree 1
}
# Of blocks that are dirty elsewhere, too: those pages must not come back.
# faults: link hang writing
written_through() { run --ops 80 --qd 16 --hot 90 --mix write=90,discard=10 --sizes 512,4096,8192; }
hot() { run --ops 60 --qd 32 --hot 90 --mix write=100 --sizes 4096,8192 && circle_risk_is 1 0; }
# faults: link hang writing-back
written_back() { dev_hold org1 1 1000 && wait_for 60 "fewer dirty blocks" fewer && dev_hold org1 1 2500; }
fewer() { [ "$(circle_dirty c1)" -lt "$DIRTY" ]; }

# Each time in the midst of writes: what was sent and not answered may be there or not, and in part.
# faults: link hang writing
# faults: link return writing
flaps()
{
	local i pid
	REVIVED=$(revived) HEALED=$(healed)
	dev_hold org1 1 1000 && circle_patient 1 3000 || return 1
	run --ops 1200 --overlap --qd 16 --hot 60 --mix write=80,read=10,fua=5,discard=5 --sizes 512,4096,8192,16384 --pause 2000 &
	pid=$!
	for i in {1..6}; do
		link_down 2 && wait_for 60 "a view without 2" circle_view_is 1 0 && link_up 2 &&
			wait_for 60 "2 again" circle_view_is 1 1 || return 1
	done
	wait "$pid" && circle_patient 1 "$PATIENT_MS" && wait_for 60 "a floor" whole 1 1 && echo "# revived: $(($(revived) - REVIVED))" && some_revived
}

# restarts: after writes that overwrite, so that what the metadata device says of tags is old.
restarts()
{
	run --ops 60 --hot 50 --qd 8 --mix write=100 --sizes 512,4096,8192 && REVIVED=$(revived) HEALED=$(healed) &&
		dmsetup remove c2 && wait_for 60 "a view without 2" circle_view_is 1 0 && peer 2 && nothing_is_sent 2 1 1
}
# faults: peer-host power-loss idle
# faults: peer-host return idle
crashes()
{
	run --ops 60 --hot 50 --qd 8 --mix write=100 --sizes 512,4096,8192 && REVIVED=$(revived) HEALED=$(healed) &&
		circle_node_die 2 && wait_for 60 "a view without 2" circle_view_is 1 0 && peer 2 &&
		wait_for 60 "peer 2" whole 1 1 && heals_on "$HEALED" && [ "$(revived)" = "$REVIVED" ]
}
# Not tidy when it was loaded, it must not be called so by a stop in order.
# faults: peer-host power-loss idle
# faults: peer-host return idle
crashes_and_restarts()
{
	REVIVED=$(revived) HEALED=$(healed)
	circle_node_die 2 && wait_for 60 "a view without 2" circle_view_is 1 0 && link_down 2 && peer 2 &&
		dmsetup remove c2 && link_up 2 && peer 2 && wait_for 60 "peer 2" whole 1 1 &&
		heals_on "$HEALED" && [ "$(revived)" = "$REVIVED" ]
}

# What is parked is none on disk: it crashes and is back, before its owner can release anything.
# faults: peer-host power-loss idle
# faults: peer-host return idle
parked_crashes()
{
	lost 2 0 && put 1 degree 0 && wait_for 30 "degree 0" circle_is c1 degree 0 && link_up 2 &&
		wait_for 60 "peer 2" circle_view_is 1 1 && [ "$(parked 2)" -gt 20 ] && [ "$(circle_get 2 replicas_held)" = 0 ] &&
		circle_node_die 2 && link_down 2 && peer 2 && [ "$(circle_get 2 replicas_held)" = 0 ] && [ "$(parked 2)" = 0 ] &&
		link_up 2 && put 1 degree 1 && wait_for 60 "floor 1" whole 1 1
}

# It needs the space itself. What it has written back meanwhile gives way in the same manner: so it writes on.
gives_way()
{
	lost 2 0 && put 1 degree 0 && wait_for 30 "degree 0" circle_is c1 degree 0 && link_up 2 &&
		wait_for 60 "peer 2" circle_view_is 1 1 && [ "$(parked 2)" -gt 20 ] &&
		wait_for 90 "none parked" none_parked_by_writes && put 1 degree 1 && wait_for 60 "floor 1" whole 1 1
}
none_parked_by_writes()
{
	dd if=/dev/zero of=/dev/mapper/c2 bs=1M count=64 oflag=direct conv=notrunc status=none && [ "$(parked 2)" = 0 ]
}

circle_timeout
at_exit "dmsetup remove --retry c1 c2 c3 2>/dev/null"
circle_nodes 64 1 2 3 || exit 1
peer 2 && peer 3 || exit 1
hist init --zero --dev /dev/mapper/org1 --seed $((RANDOM + 1)) || exit 1

ktap_test "one peer" owner 1 2
ktap_test "its link is lost" lost 2 0
ktap_test "it is back: nothing is sent" nothing_is_sent 2 1 1
# faults: owner-host power-loss idle
ktap_test "the owner dies: it has all" owner_dies 1 2

ktap_test "again" owner 1 2
ktap_test "lost" lost 2 0
ktap_test "writes that nobody holds" written_alone
ktap_test "back: what they changed is sent" back 2 1 1
ktap_test "the owner dies: nothing older is left" owner_dies 1 2

ktap_test "again" owner 1 2
ktap_test "much in few blocks" hot
ktap_test "lost" lost 2 0
ktap_test "writes go through" written_through
ktap_test "back: what is dirty still is revived" back 2 1 1
ktap_test "the owner dies: what went through is not undone" owner_dies 1 2

ktap_test "again" owner 1 2
ktap_test "lost" lost 2 0
ktap_test "some is written back" written_back
ktap_test "back: the rest" back 2 1 1
ktap_test "the owner dies: what was written back is not undone" owner_dies 1 2

ktap_test "two peers, one holder" owner 1 "2 3"
ktap_test "one is lost: the other gets its blocks" eval "lost 2 1 && heal 1 1"
ktap_test "they are written there" run --ops 60 --hot 50 --mix write=95,discard=5 --sizes 512,4096,8192
ktap_test "the first is back" eval "link_up 2 && wait_for 60 'two' circle_view_is 1 2"
ktap_test "the other is lost" eval "lost 3 1 && wait_for 60 'one' whole 1 1 && some_revived"
ktap_test "the owner dies: the first has all again" owner_dies 1 "2"
ktap_test "the other is back" link_up 3

ktap_test "two holders" owner 2 "2 3"
ktap_test "one is lost" lost 2 1
ktap_test "writes while it is away" written_through
ktap_test "it is back" back 2 2 2
ktap_test "and the other is lost" eval "lost 3 1"
ktap_test "the owner dies: it has all, alone" owner_dies 1 "2"

# The label still names 3, whose link stays down.
ktap_test "once more one peer" owner 1 2
ktap_test "its link is lost again and again" flaps
ktap_test "the owner dies: nothing is lost" owner_dies 1 2

ktap_test "for a restart" owner 1 2
ktap_test "the peer restarts in order: nothing is sent" restarts
ktap_test "the owner dies after that" owner_dies 1 2

ktap_test "for a crash" owner 1 2
ktap_test "the peer crashes: all is sent" crashes
ktap_test "the owner dies after the crash" owner_dies 1 2

ktap_test "for a crash and a restart" owner 1 2
ktap_test "the peer crashes and restarts in order: all is sent" crashes_and_restarts
ktap_test "the owner dies after both" owner_dies 1 2

ktap_test "for a crash of what is parked" owner 1 2
ktap_test "nothing is left of it" parked_crashes
ktap_test "the owner dies after that, too" owner_dies 1 2

ktap_test "for a peer with a use for its space" owner 1 2
ktap_test "what is parked gives way" gives_way
ktap_test "the owner dies: all was sent anew" owner_dies 1 2

ktap_test "remove" dmsetup remove c2 c3
check_dmesg
ktap_done
