#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=900 modules=dm-circle,null_blk,dm-flakey kernels=newest cpu=60
#
# A new SSD by a reload of the table, with new metadata: in the place of one that failed, and of one that
# is well and has dirty blocks; under load, in a circle and in a local cache. What is not at the origin yet
# is never left behind: then the reload is refused, and the old table goes on.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/rig.sh
. "$REPO/tests/lib/rig.sh"
ktap_header

SIZE=16777216
hist() { "$HISTORY" "$1" --dev "/dev/mapper/$N" --log "/tmp/$N" --size $SIZE "${@:2}" >/tmp/out || { tail -15 /tmp/out; return 1; }; }
run() { hist run --resume --threads 2 "$@"; }
check() { hist check --allow all; }
is() { circle_is c1 "$1" "$2"; }
bare() { wait_for 60 "nothing to be dirty" is health bare; }
counts() { circle_wait_counts 1 "$1"; }

# line <suffix of the devices> [<mode>]: of node 1
line()
{
	circle_table /dev/mapper/org1 128 "/dev/mapper/meta1$1" "/dev/mapper/ssd1$1" "1 ${2:-writeback}" "default 0" \
		"$(circle_args 1 1 "2 3")"
}
load() { node_exec 1 dmsetup load c1 --table "$(line "$@")"; }
resume() { within_awake 20 dmsetup resume "$N"; }
exchange() { load "$1" && resume && is caching on; }
refused_load()	# <command...>: and I/O goes on
{
	! "$@" 2>/dev/null && log_since "$MARK" | grep -q "the cache in use must be clean" && run --ops 2 --mix read=100
}
# What is dirty is written back, and nothing gets dirty any more.
close_it() { circle_drain c1 && load "$1" passthrough && resume && circle_is_clean c1 && run --ops 20 && circle_is_clean c1; }
wipe() { blkdiscard -z "/dev/mapper/ssd1$1" && dd if=/dev/zero "of=/dev/mapper/meta1$1" bs=1M count=1 conv=fsync,notrunc status=none; }

dirty()	# much of it, that write-back does not get rid of
{
	circle_drain "$N" && dev_hold "$1" 1 2500 && run --qd 32 --ops 90 --mix write=100 --sizes 4096,16384,65536 &&
		[ "$(circle_dirty "$N")" -gt 20 ]
}

# faults: owner-ssd error writing,writing-back
# faults: owner-meta error writing,writing-back
holds_out()
{
	MARK=$(log_mark)
	dev_fail ssd1 && dev_fail meta1 || return 1
	run --ops 20 --mix write=70,read=30 &
	RUNS=$!
	wait_for 60 "draining" is health draining && ! load b 2>/dev/null &&
		log_since "$MARK" | grep -q "the cache in use must be clean" && is health draining
}
drained() { dev_heal org1 && wait "$RUNS" && bare && check; }

# All of sysfs, over and over: the old node's server ends before its directory.
reads_sysfs()
{
	local dir=$REPLY/circle
	local f line
	while [ -e /tmp/reading ]; do
		for f in "$dir"/* "$dir"/peers/*/*; do
			read -r line 2>/dev/null <"$f"
		done
	done
	: "$line"
}

# faults: owner-ssd return writing
under_load()
{
	local rc readers pid
	: >/tmp/reading
	dm_dir c1 || return 1
	reads_sysfs &
	readers=$!
	run --ops 150 --overlap --mix write=60,read=30,fua=5,flush=5 &
	pid=$!
	exchange "$1" && wait "$pid"
	rc=$?
	rm -f /tmp/reading
	wait "$readers"
	return "$rc"
}
sysfs_is() { [ "$(circle_get 1 state)" = "$1" ]; }
cached_again() { counts 2 && dirty org1 && dev_heal org1 && check; }
# faults: owner-host power-loss idle
owner_dies()	# <suffix>
{
	local org=org1
	counts 2 && dev_fail "$org" && dev_fail "ssd1$1" && dev_fail "meta1$1" && link_down 1 &&
		dmsetup remove --retry c1 && dev_heal "ssd1$1" && dev_heal "meta1$1" && dev_heal "$org" && link_up 1 &&
		dev_heal ssd1 && dev_heal meta1 && wipe "" && circle_recovers 1 circle_node_create 1 1 "2 3" "3 writeback recover fenced" &&
		check && circle_recovered 1 && check
}

planned()
{
	dirty org1 && MARK=$(log_mark) && refused_load load b && dev_heal org1 && close_it "" &&
		exchange b && check
}
# With its metadata as they were when it was taken out.
# faults: owner-ssd return idle
old_one_refused()
{
	local mark
	dmsetup remove c1 && mark=$(log_mark) || return 1
	! node_exec 1 dmsetup create c1 --table "$(line "")" 2>/dev/null || return 1
	dmsetup remove c1 2>/dev/null
	log_since "$mark" | grep -q 'refused. Wipe the metadata device' &&
		node_exec 1 dmsetup create c1 --table "$(line b)" && counts 2 && check
}

# No label can be written then: the new one must not serve, however often it is asked to.
# faults: label error idle
# faults: label return idle
no_label()
{
	close_it b && wipe "" && load "" && dev_fail_writes org1 && MARK=$(log_mark) || return 1
	! dmsetup resume c1 2>/dev/null && ! dmsetup resume c1 2>/dev/null || return 1
	log_since "$MARK" | grep -q 'could not be marked clean' &&
		log_since "$MARK" | grep -q 'is not clean: the metadata device is blank' && dev_heal org1 && load b && resume && check
}
goes_on() { run --ops 50 --mix write=100 && counts 2 && check && wipe "" && close_it b && exchange "" && check; }

lends() { circle_node_create 2 1 "1" && wait_for 60 "node 2 to count" circle_counts 2 1 1 && N=c2 && hist init --zero --seed $((RANDOM + 1)) && dirty org2 && circle_risk_is 2 0 && N=c1; }
lent_again()
{
	MARK=$(log_mark)
	close_it "" && exchange b && log_since "$MARK" | grep -q 'blocks of other nodes' && dev_heal org2 &&
		wait_for 60 "node 2 to count it again" circle_counts 2 1 1 && wait_for 60 "no risk" circle_risk_is 2 0 &&
		N=c2 && run --ops 50 && check && N=c1 && check
}

# The constructor cannot know then what the first one will have.
other_origin()
{
	local pid line
	circle_node_wipe 1 && circle_node_wipe 2 && blkdiscard -z /dev/mapper/org1 && circle_node_create 2 0 "" &&
		circle_node_create 1 1 2 && counts 1 && dirty org1 && circle_node_die 1 && other_label && dmsetup remove c2 || return 1
	line=$(circle_table /dev/mapper/org1 128 /dev/mapper/meta1 /dev/mapper/ssd1 "1 writeback" "default 0" "$(circle_args 1 1 2)")
	MARK=$(log_mark)
	node_exec 1 dmsetup create c1 --table "$line" &
	pid=$!
	wait_for 30 "a start that waits for a peer" eval "log_since $MARK | grep -q 'waiting up to'" &&
		! node_exec 1 dmsetup load c1 --table "${line/org1/org3}" 2>/dev/null && log_since "$MARK" | grep -q 'cannot be changed by a reload' &&
		circle_node_create 2 0 "" && wait "$pid" && node_exec 1 dmsetup load c1 --table "$line" && resume
}
# A label on a device of its own, which the owner before does not look at: neither of its metadata, nor of new ones.
other_label()
{
	MARK=$(log_mark)
	! LABEL=/dev/mapper/lab circle_node_create 1 1 2 2>/dev/null && log_since "$MARK" | grep -q 'leave label <dev> out of the table line' || return 1
	MARK=$(log_mark)
	circle_node_wipe 3 && ! ORIGIN=org1 LABEL=/dev/mapper/lab circle_node_create 3 0 "" 2>/dev/null &&
		log_since "$MARK" | grep -q "at the origin's end is a label of node 1"
}
# A degree that the peers of the first line do not suffice for: nothing more would be cached.
more_peers()
{
	local line
	line=$(circle_table /dev/mapper/org1 128 /dev/mapper/meta1 /dev/mapper/ssd1 "1 writeback" "default 0" "$(circle_args 1 2 "2 3")")
	MARK=$(log_mark)
	! node_exec 1 dmsetup load c1 --table "$line" 2>/dev/null && log_since "$MARK" | grep -q 'degree is above the number of peers' &&
		circle_drain c1 && dmsetup remove c1 c2
}

local_line() { table_of $((31 * 2048)) "meta$1" "ssd$1" org 64 "1 ${2:-writeback} default 0"; }
local_load() { dmsetup load c --table "$(local_line "$@")"; }
local_close() { local_load "$1" writethrough && resume && wait_for 60 "nothing to be dirty" circle_is_clean c; }
local_dirty() { dirty org && MARK=$(log_mark) && refused_load local_load b && dev_heal org; }
local_exchange() { local_close "" && local_load b && resume && check && run --ops 100 && check; }
local_old() { dmsetup remove c && refused 'another cache took their place' "$(local_line "")" && dmsetup create c --table "$(local_line b)" && check; }
# Nothing can say of the old one that it counts no more.
# faults: owner-ssd error idle
# faults: owner-meta error idle
# faults: owner-ssd return idle
# faults: owner-meta return idle
local_fails()
{
	local_close b && wipe_local && local_load "" && dev_fail_writes ssdb && dev_fail_writes metab && MARK=$(log_mark) || return 1
	! dmsetup resume c 2>/dev/null && ! dmsetup resume c 2>/dev/null || return 1
	log_since "$MARK" | grep -q 'cannot be exchanged' && log_since "$MARK" | grep -q 'could not take the place' &&
		dev_heal ssdb && dev_heal metab && local_load b && resume && check && run --ops 50 && check
}
# The whole SSD is dead, and nothing was dirty: by force.
# faults: owner-ssd error idle
# faults: owner-meta error idle
local_forced()
{
	local_close b && wipe_local && local_load "" && dev_fail ssdb && dev_fail metab || return 1
	! dmsetup resume c 2>/dev/null || return 1
	! dmsetup resume c 2>/dev/null || return 1
	dmsetup load c --table "$(table_of $((31 * 2048)) meta ssd org 64 "2 writeback force default 0")" && resume &&
		run --ops 100 && check && dev_heal ssdb && dev_heal metab
}
others_refused()	# what else would have to be another one
{
	local_close "" && MARK=$(log_mark) || return 1
	! local_load b 2>/dev/null && log_since "$MARK" | grep -q 'must be blank: wipe' &&
		! dmsetup load c --table "0 $((31 * 2048)) circle /dev/mapper/metab /dev/mapper/ssdb /dev/mapper/org1 64 1 writeback default 0" 2>/dev/null &&
		log_since "$MARK" | grep -q 'the origin cannot be changed together' &&
		! dmsetup load c --table "$(local_line b) 8 id 1 listen 127.0.0.1:7009 degree 0 label /dev/mapper/org1" 2>/dev/null &&
		log_since "$MARK" | grep -q 'cannot come or go' && check
}
# What was told to the host, and is lost by a FLUSH that is not the host's, which is of the old node or the new one's.
told_late()	# <suffix of the SSD in use> <of the next>
{
	local t
	t=$(table_of $((31 * 2048)) "meta$1" "ssd$1" orgv 64 "1 writethrough default 0")
	wipe_local "$1" && wipe_local "$2" && dmsetup create v --table "$t" && put_v a && "$IO" fdatasync /dev/mapper/v && dev_drop_writes orgv &&
		put_v b && dev_fail_writes orgv && fails_unasked && dev_heal orgv
}
put_v() { head -c 32768 /dev/zero | tr '\0' "$1" | dd of=/dev/mapper/v bs=32k count=1 iflag=fullblock oflag=direct conv=notrunc status=none; }
# A promotion FLUSHes the origin before it calls anything clean.
fails_unasked()
{
	local i
	for ((i = 8; i < 72; i++)); do
		[ "$(circle_status v origin_errors)" = 0 ] || return 0
		dd if=/dev/mapper/v bs=32k skip="$i" count=1 iflag=direct of=/dev/null status=none
	done
	wait_for 30 "a FLUSH to fail" flush_failed
}
flush_failed() { [ "$(circle_status v origin_errors)" != 0 ]; }
next_v() { dmsetup load v --table "$(table_of $((31 * 2048)) "meta$1" "ssd$1" orgv 64 "1 writethrough default 0")" && dmsetup resume v; }
flush_tells() { ! "$IO" fdatasync /dev/mapper/v 2>/dev/null && "$IO" fdatasync /dev/mapper/v; }
told_at_once() { told_late "" b && flush_tells && dmsetup remove v; }
told_by_next() { told_late "" b && next_v b && flush_tells && dmsetup remove v; }
# The next one cannot take its place, and the old table is loaded again.
told_by_same()
{
	told_late b "" && dmsetup load v --table "$(table_of $((31 * 2048)) meta ssd orgv 64 "1 writethrough default 0")" &&
		dev_fail_writes ssdb && dev_fail_writes metab && ! dmsetup resume v 2>/dev/null && dev_heal ssdb && dev_heal metab &&
		next_v b && flush_tells && dmsetup remove v
}
wipe_local() { dd if=/dev/zero of="/dev/mapper/meta${1-}" bs=128K count=1 conv=fsync,notrunc status=none; }

circle_timeout
at_exit "dmsetup remove --retry c c1 c2 c3 2>/dev/null"
circle_nodes 48 1 2 3 || exit 1
dev_null ssd1b 64 && dev_null meta1b 8 && dev_null ssd 32 && dev_null meta 4 && dev_null org 32 && dev_null ssdb 48 && dev_null metab 4 && dev_null lab 4 || exit 1
N=c1
ktap_test "node 2" circle_node_create 2 0 ""
ktap_test "node 3" circle_node_create 3 0 ""
ktap_test "node 1" circle_node_create 1 1 "2 3"
ktap_test "all count" counts 2
hist init --zero --seed $((RANDOM + 1)) || exit 1

ktap_test "the SSD fails, and is not drained: not yet" eval "dirty org1 && holds_out"
ktap_test "it is drained from the holders" drained
ktap_test "a new SSD, under load" under_load b
ktap_test "nothing is lost" check
ktap_test "sysfs is the new one's" sysfs_is live
ktap_test "caching goes on" cached_again
ktap_test "the owner dies with the new one" owner_dies b
ktap_test "an exchange of one that is well and dirty" eval "counts 2 && wipe b && planned"
ktap_test "the old one is never believed again" old_one_refused
ktap_test "no label can be written: refused, again too, and the old table goes on" no_label
ktap_test "and is exchanged in the end" goes_on
ktap_test "remove" eval "circle_drain c1 && dmsetup remove c1 c2"
ktap_test "one that lends to another" eval "wipe '' && wipe b && node_exec 1 dmsetup create c1 --table \"\$(line '')\" && counts 1 && lends"
ktap_test "is exchanged: what it held for others is held again" lent_again
ktap_test "remove again" dmsetup remove c1 c2 c3
ktap_test "another origin, loaded while the first table starts: refused" other_origin
ktap_test "a higher degree with another peer: refused" more_peers

N=c
ktap_test "a local cache" dmsetup create c --table "$(local_line "")"
hist init --zero --seed $((RANDOM + 1)) || exit 1
ktap_test "has dirty blocks" local_dirty
ktap_test "and a new SSD: nothing is lost" local_exchange
ktap_test "the old one is void" local_old
ktap_test "nothing says so of the old one: refused, again too, and the old table goes on" local_fails
ktap_test "the old one is dead, and nothing was dirty: by force" local_forced
ktap_test "with it, metadata that are not blank, another origin, or a circle: refused" others_refused
ktap_test "the end" dmsetup remove c

dev_null orgv 32 volatile || exit 1
at_exit "dmsetup remove --retry v 2>/dev/null"
ktap_test "what a FLUSH of nobody's lost, the host's next one tells" told_at_once
ktap_test "... that of a new SSD, too" told_by_next
ktap_test "... and of the old one's, when the new one was refused" told_by_same
check_dmesg
ktap_done
