#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1024 smp=2 timeout=400 modules=dm-circle,null_blk,dm-flakey kernels=newest
#
# A FLUSH that fails, and what must not be believed because of another that succeeds (R4, R6): of the
# origin, one that was issued earlier and fails later, or one that comes when the origin has lost what it was
# to make durable; of the cache device, while what it dropped is copied to the origin; of a peer's cache device.
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

BLOCK=128

# pages <letter> <first> <number> [<circle>]
pages()
{
	head -c $(($3 * 4096)) /dev/zero | tr '\0' "$1" |
		dd "of=/dev/mapper/${4:-c1}" bs=4k seek="$2" conv=notrunc oflag=direct iflag=fullblock status=none
}
letters()	# <device> <first> <number>
{
	dd "if=/dev/mapper/$1" bs=4k skip="$2" count="$3" iflag=direct status=none | tr -s 'a-z\0' | tr '\0' -
}
flush() { exec "$IO" fdatasync "/dev/mapper/$1" 2>/dev/null; }
under_way()	# <circle> <number>
{
	local w
	dm_dir "$1" && read -r _ w <"$REPLY/inflight" && [ "$w" -ge "$2" ]
}
ended() { ! kill -0 "$1" 2>/dev/null; }
# It had time to be wrong in: nothing tells that a thing will not happen.
soon() { local i; for ((i = 0; i < 40; i++)); do "$@" && return; sleep 0.1; done; return 1; }

# ---------------------------------------------------------------- the origin's, in a local cache

dirty_is() { circle_is c 11 "$1"; }
asked() { under_way c 2 || ended "$1"; }

# A write that only the origin has, and was told to the host; then a FLUSH of it that does not end.
first_flush()	# <page>
{
	dev_path_only org b && bad_sectors ssd 0 16384 && pages t "$1" 1 c && good_sectors ssd 0 16384 &&
		dev_path_only org a || return 1
	flush c &
	FIRST=$!
	wait_for 30 "a FLUSH at the origin" dev_held_flushes org 1 && dev_path_only org b
}

first_fails()
{
	dev_path_only org none && dev_fail_writes org && dev_path_open org && ! wait "$FIRST"
}

origin_is_back()
{
	local o=/dev/mapper/org
	dev_heal org && __dev_table orga delay "$o" 0 0 "$o" 0 0 "$o" 0 600000 && dev_path_only org b
}

# Not believed by the host.
later_flush()
{
	local second early rc
	first_flush 0 || return 1
	flush c &
	second=$!
	wait_for 30 "the second FLUSH" asked "$second" && soon ended "$second"
	early=$?
	first_fails || return 1
	wait "$second"
	rc=$?
	echo "# the second FLUSH: early $early, exit $rc"
	origin_is_back && [ "$early" != 0 ] && [ "$rc" != 0 ]
}

# Not believed by the write-back, either.
# faults: origin hang writing-back
# faults: origin error writing-back
later_batch()
{
	local before early dirty
	first_flush 32 && before=$(stat_of orgb 5) && pages u 64 1 c && dirty_is 1 &&
		dmsetup message c 0 drain && wait_for 60 "a batch at the origin" written_more "$before" || return 1
	soon dirty_is 0
	early=$?
	first_fails && dirty=$(circle_dirty c) && echo "# clean early: $early, dirty behind it: $dirty" && before=$(stat_of orgb 5) && origin_is_back &&
		[ "$early" != 0 ] && [ "$dirty" = 1 ] || return 1
	wait_for 60 "it to be clean" circle_is_clean c && written_more "$before" &&
		[ "$(letters org 64 1)" = u ]
}
written_more() { [ "$(stat_of orgb 5)" -gt "$1" ]; }

dev_null meta 2 && dev_null ssd 8 && dev_null org 24 volatile && dev_paths org || exit 1
at_exit 'dmsetup remove --retry c 2>/dev/null'
ktap_test "create" dmsetup create c --table "$(table_of $((23 * 2048)) meta ssd orgm "$BLOCK")"
ktap_test "a FLUSH of the host behind one that fails late" later_flush
ktap_test "the write-back's behind one that fails late" later_batch
ktap_test "remove" dmsetup remove c

# One of two blocks is refused; the other was taken, and lost before the FLUSH, which succeeds. Each of the
# two places is a device of its own: one drops what it is given, the other keeps it back, and then refuses it.
two_places()
{
	local low=${DEV_LOWER[org]} n=${DEV_SECTORS[org]}
	DEV_LOWER[drops]=$low DEV_SECTORS[drops]=128 DEV_LOWER[refuses]=$low DEV_SECTORS[refuses]=128
	dmsetup create none --table "0 128 error" && dmsetup create drops --table "0 128 linear $low 512" &&
		dmsetup create refuses --table "0 128 linear $low 1024" && "$IO" table org noflush nolockfs <<-END
			0 512 linear $low 0
			512 128 linear /dev/mapper/drops 0
			640 384 linear $low 640
			1024 128 linear /dev/mapper/refuses 0
			1152 $((n - 1152)) linear $low 1152
		END
}
both_are_out() { [ "$(stat_of drops 5)" -gt "$1" ] && dev_held_writes refuses 1; }
# faults: origin error writing-back
# faults: origin power-loss writing-back
away_in_between()
{
	local none=/dev/mapper/none low=${DEV_LOWER[org]} before
	__dev_table drops flakey "$low" 512 0 3600 1 drop_writes &&
		__dev_table refuses delay "$none" 0 0 "$none" 0 600000 "$none" 0 0 &&
		before=$(stat_of drops 5) && pages x 64 1 c && pages y 128 1 c && dmsetup message c 0 drain &&
		wait_for 30 "both at the origin" both_are_out "$before" &&
		__dev_table drops linear "$low" 512 && __dev_table refuses linear "$low" 1024 &&
		wait_for 60 "both to be clean" circle_is_clean c || return 1
	echo "# $(letters org 64 1)$(letters org 128 1)"
	[ "$(letters org 64 1)$(letters org 128 1)" = xy ]
}
at_exit 'dmsetup remove none drops refuses 2>/dev/null'
ktap_test "two places of the origin" two_places
ktap_test "create it again" dmsetup create c --table "$(table_of $((23 * 2048)) meta ssd org "$BLOCK")"
ktap_test "a FLUSH of it" "$IO" fdatasync /dev/mapper/c
ktap_test "one block is refused, the other lost, before a FLUSH that succeeds" away_in_between
ktap_test "remove it" dmsetup remove c
dev_heal org && dmsetup remove none drops refuses

# ---------------------------------------------------------------- the cache device's, in a local cache

health_is() { [ "$(circle_status "$1" health)" = "$2" ]; }
promoted() { ! circle_is "$1" 10 0; }
read_until_promoted() { local i; for i in {1..50}; do letters "$1" "$2" 1 >/tmp/letters; promoted "$1" && return; sleep 0.1; done; return 1; }
# Writes to the SSD are held, also the one that says that the metadata are void; FLUSHes of it go by a device of their own.
hold_ssd()
{
	local low=${DEV_LOWER[$1]} n=${DEV_SECTORS[$1]}
	DEV_LOWER[fl]=$low DEV_SECTORS[fl]=$n
	dmsetup create fl --table "0 $n linear $low 0" &&
		"$IO" table "$1" noflush nolockfs <<<"0 $n delay $low 0 0 $low 0 600000 /dev/mapper/fl 0 0"
}
# A part of a page is written, of which the SSD has dropped the rest; its FLUSH fails before the write ends. No more
# than that part may go to the origin.
# faults: owner-ssd error writing,flushing
# faults: owner-ssd power-loss writing
write_under_way()	# <cache> <SSD> <origin>
{
	local pid fpid
	dev_drop_writes "$2" && read_until_promoted "$1" 80 && hold_ssd "$2" || return 1
	head -c 512 /dev/zero | tr '\0' n | dd of="/dev/mapper/$1" bs=512 seek=$((80 * 8 + 3)) oflag=direct conv=notrunc status=none &
	pid=$!
	wait_for 30 "the write at the SSD" dev_held_writes "$2" 1 && dev_fail_writes fl || return 1
	flush "$1" &
	fpid=$!
	wait_for 60 "the FLUSH to fail" isnt well "$1" && dev_heal fl && dev_heal "$2" && wait "$pid" &&
		wait_for 60 "nothing to be dirty" health_is "$1" bare || return 1
	wait "$fpid"
	echo "# the FLUSH: exit $?; the origin has $(letters "$3" 80 1)"
	dmsetup remove fl
	[ "$(letters "$3" 80 1)" = ono ]
}
isnt() { ! health_is "$2" "$1"; }
fill() { head -c $(($3 * 1024 * 1024)) /dev/zero | tr '\0' "$1" | dd of="/dev/mapper/$2" bs=1M iflag=fullblock oflag=direct conv=fsync,notrunc status=none; }

dev_null metav 2 && dev_null ssdv 8 volatile && dev_null orgv 24 volatile && fill x ssdv 8 && fill o orgv 24 || exit 1
at_exit 'dmsetup remove --retry c fl 2>/dev/null'
ktap_test "a cache whose SSD is volatile" dmsetup create c --table "$(table_of $((23 * 2048)) metav ssdv orgv "$BLOCK")"
ktap_test "a write, while a FLUSH of the SSD fails" write_under_way c ssdv orgv
ktap_test "remove that" dmsetup remove c

# ---------------------------------------------------------------- the cache device's, in a circle

is() { [ "$(circle_status c1 "$1")" = "$2" ]; }
new_node()	# <N> <degree> "<peers>": with new metadata, and an SSD whose writes a FLUSH is needed for
{
	dmsetup remove --retry "c$1" 2>/dev/null
	if [ -e "/dev/mapper/ssd$1" ]; then dev_remove "ssd$1" || return 1; fi
	dev_null "ssd$1" 32 volatile && circle_node_wipe "$1" && circle_node_create "$@"
}

# Once clean as "a", then "b", which the SSD drops and the holder has; it is to be copied now.
dropped()	# <pages>
{
	circle_wait_counts 1 1 && pages a 0 "$1" && circle_drain c1 && find_slot && dev_drop_writes ssd1 &&
		dev_hold org1 1 600000 && pages b 0 "$1" && is dirty_pages "$1"
}
find_slot()
{
	local at
	at=$(LC_ALL=C grep -obUam1 'aaaaaaaaaaaaaaaa' /dev/mapper/ssd1 | head -n1)
	[ -n "$at" ] || { echo "# it is not on the SSD"; return 1; }
	SLOT=$((${at%%:*} / 65536))
}

# b_everywhere <what was read>
b_everywhere() { echo "# $*"; [[ "$*" =~ ^b(\ b)*$ ]]; }

# The FLUSH fails while the origin has the old data and has not answered. Then it all works again.
flush_fails()
{
	local pid
	dev_fail_writes ssd1 || return 1
	flush c1 &
	pid=$!
	wait_for 60 "a label against the SSD" is health draining && dev_heal ssd1 && dev_heal org1 &&
		wait_for 60 "nothing to be dirty" is health bare && wait "$pid" && is lost_pages 0
}

# faults: owner-ssd error flushing,writing-back
# faults: owner-ssd power-loss writing-back
# faults: owner-ssd return writing-back
batch_under_way()
{
	dropped 1 && dmsetup message c1 0 drain && wait_for 30 "the batch" dev_held_writes org1 1 &&
		flush_fails && b_everywhere "$(letters c1 0 1)" "$(letters org1 0 1)"
}

# Page 1 cannot be read, so the slot is given up; the place of page 0 is well, but has the old data.
# faults: owner-ssd error flushing,writing-back
# faults: owner-ssd return writing-back
save_under_way()
{
	local pid
	dropped 2 && bad_sectors ssd1 $((SLOT * BLOCK + 8)) 8 || return 1
	letters c1 1 1 >/tmp/letters &
	pid=$!
	wait_for 30 "both to be saved" dev_held_writes org1 2 && flush_fails && wait "$pid" &&
		b_everywhere "$(cat /tmp/letters)" "$(letters c1 0 2)" "$(letters org1 0 2)"
}

circle_timeout 30000
circle_nodes 32 1 2 || exit 1
ktap_test "a peer" new_node 2 0 ""
ktap_test "its owner" new_node 1 1 "2"
ktap_test "a batch, while a FLUSH of the SSD fails" batch_under_way
ktap_test "another SSD" new_node 1 1 "2"
ktap_test "a block that is saved, while a FLUSH of the SSD fails" save_under_way
dmsetup remove c1 && fill o org1 2 || exit 1
ktap_test "another SSD again" new_node 1 1 "2"
ktap_test "it counts" circle_wait_counts 1 1
ktap_test "a write, while a FLUSH of the SSD fails, in a circle" write_under_way c1 ssd1 org1
ktap_test "another SSD for the next" new_node 1 1 "2"

# ---------------------------------------------------------------- a peer's cache device

RECOVER="3 writeback recover fenced"

# What it holds for others is dropped; its own host has it found out.
peer_fails() { dev_fail_writes ssd2 && (flush c2); dev_heal ssd2; }

# The owner hears of it.
# faults: peer-ssd error idle
# faults: peer-ssd power-loss idle
peer_not_counted()
{
	circle_wait_counts 1 1 && dev_hold org1 1 600000 && dev_drop_writes ssd2 && pages c 0 1 && is dirty_pages 1 &&
		is at_risk 0 && peer_fails || return 1
	if ! wait_for 30 "the owner not to count it" circle_counts 1 0 0 || ! is at_risk 4096; then
		dev_heal org1
		return 1
	fi
	dev_heal org1 && wait_for 60 "it to be clean" circle_is_clean c1 &&
		[ "$(letters org1 0 1)" = c ]
}

# The owner cannot say so in the label before it dies: who takes over must not believe the peer.
peer_not_believed()
{
	local mark
	circle_wait_counts 1 1 && dev_fail_writes org1 && dev_drop_writes ssd2 && pages d 0 1 && is dirty_pages 1 &&
		peer_fails && circle_node_die 1 && circle_node_wipe 1 && mark=$(log_mark) &&
		circle_refused 1 1 "2" "$RECOVER" && log_since "$mark" | grep -q "peer 2 has not all that it had"
}

ktap_test "a FLUSH of the peer's SSD fails: it is not counted" peer_not_counted
ktap_test "another peer" new_node 2 0 ""
ktap_test "the same, and the owner dies: it is not believed" peer_not_believed
ktap_test "remove" dmsetup remove c2
check_dmesg
ktap_done
