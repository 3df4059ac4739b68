#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=900 modules=dm-circle,null_blk,dm-flakey kernels=newest cpu=60
#
# Devices of a node that fail in a circle: the owner's metadata (the label says so, its SSD counts no
# more), the owner's SSD (holders have what is dirty), a peer's. No error reaches the host, nothing
# is lost, and nothing older comes back when a device works again.
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

SIZE=16777216
C=/dev/mapper/c1
hist() { "$HISTORY" "$1" --log /tmp/h --size "$SIZE" "${@:2}" >/tmp/out || { tail -15 /tmp/out; return 1; }; }
run() { hist run --dev "$C" --resume --threads 2 "$@"; }
check() { hist check --dev "$C" --allow all "$@"; }
is() { circle_is c1 "$1" "$2"; }
create() { circle_node_create 1 1 "2 3"; }
recover() { circle_recovers 1 circle_node_create 1 1 "2 3" "3 writeback recover fenced"; }
both() { wait_for 30 "the view of node 1" circle_view_is 1 2 && wait_for 30 "the floor" is floor 1; }
bare() { wait_for 60 "nothing to be dirty" is health bare; }

# Devices that work, metadata and SSD without a past, a new history. Whoever takes the label over needs
# that nothing is dirty, or that its holders count.
fresh()
{
	local name
	for name in meta1 ssd1 org1; do
		dev_heal "$name" || return 1
	done
	rm -f /tmp/h
	if [ -e "$C" ]; then
		circle_drain c1 && wait_for 60 "a label that can be taken over" can_be_taken &&
			dmsetup remove --retry c1 || return 1
	fi
	circle_node_wipe 1 && recover &&
		hist init --dev "$C" --seed "$((RANDOM + 1))"
}

can_be_taken() { is floor 1 || is in_view 0; }

# Some dirty blocks, held by others, in metadata that have been flushed.
dirty() { both && run --ops 150 && wait_for 60 "dirty blocks" flushed && both; }
flushed() { run --ops 50 && run --ops 1 --mix flush=1 && [ "$(circle_dirty c1)" -gt 0 ]; }

refused_with()	# <text>
{
	local mark
	mark=$(log_mark)
	! create 2>/dev/null || return 1
	dmsetup remove c1 2>/dev/null
	log_since "$mark" | grep -q "$1"
}

# faults: owner-meta error writing,flushing,writing-back
metadata_fail()
{
	dirty && dev_fail_writes meta1 && run --ops 300 --mix write=50,fua=10,flush=10,read=20,discard=10 &&
		run --ops 100 && check && bare && is 19 ro && is lost_pages 0 && is at_risk 0
}

goes_on()
{
	within_awake 15 dmsetup suspend c1 && within_awake 5 dmsetup resume c1 && run --ops 50 &&
		within_awake 15 dmsetup suspend --noflush --nolockfs c1 && within_awake 5 dmsetup resume c1 &&
		run --ops 50 && check
}

# faults: owner-meta return idle
works_again() { within_awake 20 dmsetup remove c1 && dev_heal meta1 && refused_with 'they are void: wipe'; }
wiped() { circle_node_wipe 1 && create && check && dirty && check; }

# The owner dies while it drains: what went through must not be older than what comes back.
# faults: owner-host power-loss writing-back
dies_draining()
{
	local pid
	fresh && dirty && dev_hold org1 1 && run --ops 120 --qd 8 --mix write=100 && both &&
		dev_fail_writes meta1 || return 1
	hist run --dev "$C" --resume --ops 1 --mix fua=100 --errors record &
	pid=$!
	wait_for 60 "it to drain" is health draining && circle_node_die 1 || return 1
	wait "$pid"
	refused_with 'they are void: wipe' && circle_node_wipe 1 &&
		recover && check --record
}

# Whether the origin is known to fail too depends on who wrote to it last.
failing() { [[ "$("$IO" status c1)" =~ (\ Fail$|\ health\ failing\ ) ]]; }

under_way()
{
	local w
	dm_dir c1 && read -r _ w <"$REPLY/inflight" && [ "$w" -gt 0 ]
}

# The label cannot be written either: what waits ends with a suspend.
# faults: label error writing,flushing
# faults: origin error writing,flushing
# faults: owner-meta error writing,flushing
# faults: label return idle
# faults: origin return idle
no_label()
{
	local pid
	fresh && dirty && dev_fail org1 && dev_fail_writes meta1 || return 1
	dd if=/dev/zero of="$C" bs=4k count=1 seek=30M oflag=direct,dsync,seek_bytes conv=notrunc status=none 2>/dev/null &
	pid=$!
	wait_for 30 "the write" under_way || return 1
	wait_for 30 "the failure" failing && within_awake 25 dmsetup suspend c1 && dmsetup resume c1 || return 1
	wait "$pid" && return 1		# the suspend ended it
	dev_heal org1 && bare && run --ops 100 && check && within_awake 20 dmsetup remove c1 &&
		dev_heal meta1 && refused_with "they are void" && circle_node_wipe 1 && create && both
}

# The SSD is dead: what is dirty is read from the holders.
# faults: owner-ssd error idle,writing,flushing,writing-back
ssd_dies()
{
	fresh && dirty && dev_fail ssd1 && check && run --ops 200 && check && is lost_pages 0 &&
		wait_for 60 "it to be clean" circle_is_clean c1 && wait_for 30 "caching to end" is caching off &&
		within_awake 20 dmsetup remove c1
}

# What is dirty there is not written to the origin page by page.
# faults: owner-ssd error idle,writing-back
ssd_dies_full()
{
	local n
	fresh && both && circle_drain c1 && head -c 6M /dev/urandom >/tmp/fill && dev_hold org1 1 120000 &&
		dd if=/tmp/fill of="$C" bs=64k seek=256 oflag=direct conv=notrunc status=none &&
		[ "$(circle_dirty c1)" = 96 ] && both || return 1
	n=$(stat_of org1 5)
	dev_fail ssd1 && dev_heal org1 && wait_for 60 "it to be clean" circle_is_clean c1 || return 1
	n=$(($(stat_of org1 5) - n))
	echo "# $n writes of the origin for 96 blocks"
	[ "$n" -lt 250 ] && is lost_pages 0 &&
		cmp /tmp/fill <(dd if="$C" bs=64k skip=256 count=96 iflag=direct status=none) && within_awake 20 dmsetup remove c1
}

# It dies together with the owner: the holders alone are enough.
# faults: owner-host power-loss idle
# faults: owner-host return idle
# faults: owner-ssd error recovering
dead_at_start()
{
	dev_heal ssd1 && create && dirty && circle_node_die 1 && dev_fail ssd1 && create && check &&
		run --ops 50 && check && dmsetup remove c1 && dev_heal ssd1 && create
}

# FLUSHes of the SSD fail, and what it had acknowledged is not there, though it can be read: what counts
# is what the holders have, for a read, a write of a part of a page, and what is written back.
run_whole() { run --ops 100 --mix write=100 --align 4096 --sizes 4096,8192,65536; }	# reads no rest of a page
# faults: origin error writing
# faults: owner-ssd error writing,flushing,writing-back
# faults: owner-ssd power-loss flushing
flush_fails()
{
	dmsetup remove c1 && dev_remove ssd1 && dev_null ssd1 32 volatile && circle_node_wipe 1 && recover &&
		both && rm -f /tmp/h && hist init --dev "$C" --seed "$((RANDOM + 1))" && dirty && dev_fail_writes org1 &&
		dev_drop_writes ssd1 && run_whole && both && dev_fail_writes ssd1 &&
		dev_heal org1 && fdatasync_c && run --ops 100 --mix write=70,read=30 && check && bare && check &&
		is lost_pages 0 && fdatasync_c
}
flush_fails_over()
{
	within_awake 20 dmsetup remove c1 && dev_remove ssd1 && dev_null ssd1 32 && circle_node_wipe 1 && create && check
}

# All slots of the SSD fail, its FLUSH does not.
slots_fail()
{
	"$IO" table ssd1 noflush nolockfs <<-END
		0 65528 error
		65528 8 linear ${DEV_LOWER[ssd1]} 65528
	END
}

# Nothing is held: pages that cannot be read are lost, listed, and survive a restart.
# faults: origin error writing
# faults: owner-ssd error writing-back
# faults: owner-ssd return idle
degree_0()
{
	fresh && dmsetup remove c1 && circle_node_create 1 0 "2 3" && circle_recovered 1 && dev_fail_writes org1 &&
		run --ops 60 --mix write=100 && slots_fail && dev_heal org1 &&
		dmsetup message c1 0 drain &&
		wait_for 60 "lost pages" all_lost && dmsetup message c1 0 lost >/tmp/lost &&
		check --errors-allowed /tmp/lost && dmsetup remove c1 && circle_node_create 1 0 "2 3" &&
		dmsetup message c1 0 lost >/tmp/again && cmp /tmp/lost /tmp/again &&
		check --errors-allowed /tmp/lost && dev_heal ssd1 &&
		dmsetup message c1 0 retry_lost && wait_for 30 "them to be found" is lost_pages 0 && check
}
all_lost() { [ "$(circle_status c1 lost_pages)" -gt 0 ] && is lost_pages "$(circle_status c1 dirty_pages)"; }

# faults: peer-ssd error writing,flushing
peer_fails()	# <device> <peers in view before>
{
	wait_for 30 "the view of node 1" circle_view_is 1 "$2" && wait_for 30 "the floor" is floor 1 && dev_fail_writes "$1" && run --ops 400 && check && run --ops 100 && check
}

# A label write is a FLUSH of the origin too: if it fails, what was written there before and never
# flushed may be gone, and the host's next FLUSH says so, once.
label_takes()
{
	dmsetup remove c1 && dev_remove org1 && dev_null org1 33 volatile && circle_node_wipe 1 &&
		create && both && circle_patient 1 2000 && link_down 2 && link_down 3 &&
		wait_for 30 "nobody in view" circle_view_is 1 0 && wait_for 30 "the floor" is floor 0 &&
		dd if=/dev/urandom of="$C" bs=4k count=1 oflag=direct conv=notrunc status=none &&
		dev_fail_writes org1 && echo "label_takes" >/dev/kmsg && link_up 2 && link_up 3 &&
		wait_for 60 "a failed label" label_failed && dev_heal org1 && both || return 1
	! fdatasync_c 2>/dev/null && fdatasync_c
}
label_failed() { log_since label_takes | grep -q "label cannot be written"; }
fdatasync_c() { "$IO" fdatasync "$C"; }

circle_timeout 30000	# who loses peers sets less
for n in 1 2 3; do
	node_add $n && circle_node_devices $n 32 || exit 1
	circle_node_create $n 1 "$(echo 1 2 3 | sed "s/$n//")" || exit 1
done
both && hist init --dev "$C" --seed "$((RANDOM + 1))" || exit 1

ktap_test "metadata fail: no error, nothing is lost" metadata_fail
ktap_test "suspend and resume" goes_on
ktap_test "the metadata work again: refused" works_again
ktap_test "wiped, it goes on" wiped
ktap_test "a failed label write may take writes with it: the host is told" label_takes
ktap_test "death while it drains" dies_draining
ktap_test "neither metadata nor label can be written" no_label
ktap_test "the SSD dies: the holders are read" ssd_dies
ktap_test "so are whole blocks, and written as such" ssd_dies_full
ktap_test "the SSD is dead at the start" dead_at_start
ktap_test "a FLUSH of the SSD fails: what it dropped is read from the holders" flush_fails
ktap_test "with another SSD it goes on" flush_fails_over
ktap_test "a peer's metadata fail" peer_fails meta2 2
ktap_test "a peer's SSD fails" peer_fails ssd3 1
dev_heal meta2; dev_heal ssd3
ktap_test "without holders pages are lost, and found" degree_0
ktap_test "remove all" circle_remove_all
check_dmesg
ktap_done
