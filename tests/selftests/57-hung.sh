#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=600 modules=dm-circle,null_blk kernels=newest cpu=60
#
# A device below that answers nothing for a while: what it holds is waited for, by the host's requests and by a
# suspend or a removal, which name it in the log and in status; nothing is lost, and nothing is named that
# answers. The label's device is 58-label's.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/rig.sh
. "$REPO/tests/lib/rig.sh"
ktap_header

SIZE=16777216
C=/dev/mapper/c1
hist() { "$HISTORY" "$1" --log /tmp/h --dev "$C" --size "$SIZE" "${@:2}" >/tmp/out || { tail -15 /tmp/out; return 1; }; }
run() { hist run --resume --threads 2 "$@"; }
check() { hist check --allow all; }
hung_is() { circle_is "$1" hung "$2"; }
named() { log_since "$MARK" | grep -q "$1 device (.*) does not answer"; }
nobody_named() { ! log_since "$MARK" | grep -q 'does not answer'; }
under_way()
{
	local r w
	dm_dir c1 && read -r r w <"$REPLY/inflight" && [ $((r + w)) -gt 0 ]
}

# named_by <pid> <what> <which> <circle>: while that, which has been begun, lasts
named_by()
{
	wait_for 60 "the log to name it" named "$2: the $3" && kill -0 "$1" && hung_is "$4" "$3"
}

well() { MARK=$(log_mark) && within_awake 15 dmsetup suspend c1 && dmsetup resume c1 && hung_is c1 - && nobody_named; }

# hangs <device> <its name> <command...>: which has requests under way when it is suspended
hangs()
{
	local pid sus rc=0
	MARK=$(log_mark)
	dev_freeze "$1" || return 1
	"${@:3}" &
	pid=$!
	wait_for 30 "requests" under_way || rc=1
	dmsetup suspend --nolockfs c1 &
	sus=$!
	named_by "$sus" suspend "$2" c1 || rc=1
	dev_thaw "$1"
	wait "$sus" && dmsetup resume c1 && wait "$pid" && [ "$rc" = 0 ] && hung_is c1 - && check
}

reads() { dd "if=$C" of=/dev/null bs=64k skip=300 count=8 iflag=direct status=none; }	# behind the history

cached() { dd "if=$C" of=/dev/null bs=64k count=64 iflag=direct status=none; }
ended() { ! kill -0 "$1" 2>/dev/null; }

# begins_to_hang <device...>: reads of what is cached are under way in a suspend; READER, SUSPEND. Nothing is dirty,
# so nothing is written back.
begins_to_hang()
{
	local d
	MARK=$(log_mark)
	circle_drain c1 && cached || return 1
	for d in "$@"; do
		dev_freeze "$d" || return 1
	done
	cached &
	READER=$!
	wait_for 30 "requests" under_way || return 1
	dmsetup suspend --nolockfs c1 2>/dev/null &
	SUSPEND=$!
	wait_for 60 "the log to name it" named "suspend: the cache"
}

# Who waits is told to stop: the host's requests are waited for as before, and all goes on.
interrupted()
{
	local rc=0
	begins_to_hang ssd1 || rc=1
	kill "$SUSPEND"
	wait_for 10 "the suspend to end" ended "$SUSPEND" || rc=1
	hung_is c1 - || rc=1
	dev_thaw ssd1
	wait "$READER" && [ "$rc" = 0 ] && circle_is_live && run --ops 20 && check
}
circle_is_live() { [ "$(circle_get 1 state)" = live ]; }

# The origin hangs too, but nobody waits for it.
nobody_waits()
{
	local rc=0
	begins_to_hang ssd1 org1 || rc=1
	dev_thaw ssd1
	wait_for 15 "the suspend to end" ended "$SUSPEND" || rc=1
	dev_thaw org1
	wait "$SUSPEND" && dmsetup resume c1 && wait "$READER" && [ "$rc" = 0 ] && check
}

# A server's device: its owner does without it.
# faults: peer-ssd hang writing
peer_hangs()
{
	local rm rc=0
	MARK=$(log_mark)
	circle_wait_counts 1 1 && circle_patient 1 2000 && dev_freeze ssd2 || return 1
	run --ops 60 --mix write=100 || rc=1
	circle_patient 1
	dmsetup remove c2 &
	rm=$!
	wait_for 60 "the log to name it" named "removal: the cache" && kill -0 "$rm" || rc=1
	dev_thaw ssd2
	wait "$rm" && [ "$rc" = 0 ] && check
}

start_hangs()
{
	local pid rc=0
	MARK=$(log_mark)
	dmsetup remove c1 && dev_freeze org1 || return 1
	circle_node_create 1 0 "" &
	pid=$!
	wait_for 60 "the log to name it" named "resume: the origin" && kill -0 "$pid" || rc=1
	dev_thaw org1
	wait "$pid" && [ "$rc" = 0 ] && check
}

circle_timeout 30000
circle_nodes 32 1 2 || exit 1
circle_node_create 2 0 "" && circle_node_create 1 1 2 && circle_wait_counts 1 1 &&
	hist init --seed $((RANDOM + 1)) && run --ops 100 || exit 1

ktap_test "nothing hangs: nothing is named" well
# faults: owner-ssd hang writing
ktap_test "the SSD hangs under writes" hangs ssd1 cache run --ops 60 --mix write=90,read=10
# faults: origin hang idle
ktap_test "the origin hangs under reads of what is not cached" hangs org1 origin reads
# faults: owner-meta hang flushing
ktap_test "the metadata device hangs under FLUSHes" hangs meta1 metadata run --ops 30 --mix write=50,fua=25,flush=25
# faults: owner-ssd hang idle
ktap_test "a suspend that hangs is interrupted" interrupted
ktap_test "a device that hangs, and nothing waits for" nobody_waits
ktap_test "nothing hangs any more" well
ktap_test "a peer's SSD hangs: the owner goes on, its removal names it" peer_hangs
ktap_test "the origin hangs at a start" start_hangs
ktap_test "remove" dmsetup remove c1
check_dmesg
ktap_done
