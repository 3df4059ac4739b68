# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What fails while node 2 gets copies of dirty blocks: since it is back, or another holder has left.
# Source matrix.sh first; $STATE brings it about that node 2 has been sent a copy that its SSD does
# not store. All that is dirty has one holder that is well, at least: node $OTHER, but of what was
# written since. Each ends with all well again, for which $AFTER does what the state leaves to be
# done.

copies_held() { dev_hold ssd2 0 600000; }
copies_go_on() { dev_heal ssd2; }
copy_held() { dev_held_writes ssd2 1; }

# Still: not before that copy is stored may the floor be what it should be.
lasts()
{
	copy_held && circle_is c1 floor 1 && ! circle_risk_is 1 0 && return
	echo "# it does not last: $("$IO" status c1), $("$IO" status ssd2)"
	return 1
}
begins() { "$STATE" && lasts && HEALED=$(healed); }
is_level() { circle_is c1 floor "$DEGREE" && circle_risk_is 1 0 && counts_2 1; }
whole_again() { wait_for 90 "the degree, floor $DEGREE of all" is_level && check && "$AFTER"; }
# By copying, as the origin takes nothing.
all_copied() { wait_for 60 "all to be copied" "$1" && heals_on "$HEALED"; }
safe() { circle_risk_is 1 0; }
# Else requests wait for what the case had left undone.
all_goes_on() { [ "$1" = 0 ] || { origin_fast && copies_go_on; }; }

# The host reads from the other holder, and writes through.
owner_ssd_fails()
{
	begins && dev_fail ssd1 && in_background 80 --mix write=50,read=50 && lasts &&
		origin_fast && copies_go_on && ended_well 120 && check && dev_heal org1 &&
		wait_for 60 "it to be clean" circle_is_clean c1 && circle_is c1 lost_pages 0 &&
		renewed && "$AFTER"
}
owner_ssd_hangs()
{
	local rc=0
	begins && dev_freeze ssd1 || return 1
	in_background 40 --mix write=60,read=30,flush=5,discard=5
	lasts && origin_fast && copies_go_on && waits "the SSD" && circle_is c1 floor 1 || rc=1
	dev_thaw ssd1
	all_goes_on "$rc" && ended_well 90 && [ "$rc" = 0 ] && whole_again
}
owner_meta_fails()
{
	begins && dev_fail_writes meta1 && in_background 80 && lasts && origin_fast &&
		copies_go_on && ended_well 120 && check && run --ops 1 --mix fua=100 &&
		dev_heal org1 && wait_for 60 "nothing to be dirty" circle_is c1 health bare &&
		check && renewed && "$AFTER"
}
owner_meta_hangs()
{
	local rc=0
	begins && dev_freeze meta1 || return 1
	lasts && copies_go_on && all_copied is_level && origin_fast || rc=1
	in_background 40 --mix write=40,read=20,fua=40
	waits "the metadata" || rc=1
	dev_thaw meta1
	all_goes_on "$rc" && ended_well 90 && [ "$rc" = 0 ] && whole_again
}

# The SSD does not keep all that it has, if it lost power, nor does the origin.
all_of_owner_cut()
{
	begins && owner_power_cut && copy_held && copies_go_on &&
		lab_owner && check && circle_recovered 1 && check && "$AFTER"
}
owner_lost() { begins && owner_is_gone && copy_held && copies_go_on && recovered && "$AFTER"; }
# What node 2 has got is all that is left.
copies_alone()
{
	begins && copies_go_on && all_copied is_level && link_down 1 && owner_is_gone &&
		dmsetup remove "c$OTHER" && recovered && peer "$OTHER" && "$AFTER"
}

# Node 2 itself, and the way there.
peer_power_cut()
{
	begins && power_cut 2 && in_background 40 && patience_ends && origin_fast &&
		ended_well 90 && check && peer 2 && whole_again
}
peer_ssd_fails()
{
	begins && dev_fail_writes ssd2 && in_background 40 && loses_2 && origin_fast &&
		ended_well 90 && check && dmsetup remove c2 && dev_heal ssd2 &&
		circle_node_wipe 2 && peer 2 && whole_again
}
peer_ssd_hangs()
{
	begins && in_background 40 && patience_ends && copy_held && origin_fast && ended_well 90 &&
		check && copies_go_on && whole_again
}
link_hangs()
{
	begins && link_down 2 && lasts && in_background 40 && patience_ends && origin_fast &&
		ended_well 90 && check && link_up 2 && copy_held && copies_go_on && whole_again
}
# It is back at once, but not to count before what it was sent is stored.
link_resets()
{
	begins && in_background 40 && lasts && node_exec 1 ss -K dst "$(node_addr 2)" >/dev/null &&
		loses_2 && origin_fast && ended_well 90 && copy_held && counts_2 0 &&
		copies_go_on && whole_again
}

# Origin and label have no part in it, but for the label that says the end.
origin_fails()
{
	begins && dev_fail_writes org1 && lasts && copies_go_on && all_copied is_level &&
		origin_fast && in_background 40 && ended_well 90 && whole_again
}
origin_hangs()
{
	local rc=0
	begins && dev_freeze org1 || return 1
	lasts && copies_go_on && all_copied is_level || rc=1
	dev_thaw org1
	origin_fast && in_background 40 && ended_well 90 && [ "$rc" = 0 ] && whole_again
}
label_fails()
{
	local rc=0
	begins && dev_fail_writes lab || return 1
	lasts && copies_go_on && all_copied safe && origin_fast && in_background 40 &&
		ended_well 90 && circle_is c1 floor 1 || rc=1
	dev_heal lab
	all_goes_on "$rc" && [ "$rc" = 0 ] && check && whole_again
}
# The lease of the owner is over in the end; then the host waits, since it needs the origin. What it
# waits for is its last.
label_hangs()
{
	local rc=0
	begins && dev_freeze lab || return 1
	lasts && copies_go_on && all_copied safe && origin_fast || rc=1
	in_background 1000000 --pause 50000 --mix write=80,read=20
	waits "the label" && circle_is c1 floor 1 || rc=1
	kill "$(pgrep -P "$RUN")" || rc=1
	dev_thaw lab
	all_goes_on "$rc" && ended_well 90 && [ "$rc" = 0 ] && whole_again
}
