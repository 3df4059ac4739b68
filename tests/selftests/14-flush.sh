#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1024 smp=2 timeout=400 modules=dm-circle,null_blk
#
# What a completed FLUSH or FUA promises: it is there after all three devices went away at once,
# with and without a volatile cache of their own.
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

C=/dev/mapper/c
SIZE=$((23 * 2048))

create() { dmsetup create c --table "$(table_of "$SIZE" meta ssd org "$BS" "${1-}")"; }
history() { "$HISTORY" "$1" --dev "$C" --log /tmp/h "${@:2}"; }
flushes() { stat_of "$1" 16; }

# The host dies: nothing that circle does from now on reaches a device.
# faults: owner-host power-loss idle
# faults: owner-ssd power-loss idle
# faults: owner-meta power-loss idle
# faults: origin power-loss idle
# faults: owner-host return idle
die()
{
	if [ -n "$VOLATILE" ]; then
		dev_freeze meta && dev_off ssd && dev_off meta && dev_off org && dmsetup remove --retry c &&
			dev_on meta && dev_on ssd && dev_on org
	else
		dev_freeze meta && crash c ssd meta org
	fi
}

# dd's own sector by sector, so that the exact moment is known
one_write()	# <dd flags>: write, then die, then look
{
	head -c 65536 /dev/urandom >/tmp/piece
	dd if=/tmp/piece of="$C" bs=16k seek=16384 oflag=direct,seek_bytes conv="notrunc${1+,$1}" \
		status=none && die && create || return 1
	dd if="$C" bs=16k skip=16384 count=65536 iflag=direct,skip_bytes,count_bytes status=none |
		cmp - /tmp/piece
}

fua_write()
{
	head -c 16384 /dev/urandom >/tmp/piece
	dd if=/tmp/piece of="$C" bs=4k seek=3M oflag=direct,dsync,seek_bytes conv=notrunc \
		status=none && die && create || return 1
	dd if="$C" bs=4k skip=3M count=16k iflag=direct,skip_bytes,count_bytes status=none |
		cmp - /tmp/piece
}

rounds()	# <rounds> <options of run>
{
	local i n=$1
	shift
	for ((i = 0; i < n; i++)); do
		history run --resume --ops 400 --threads 4 --hot 50 --sizes 512,4096,16384,65536 \
			"$@" >/tmp/out || { tail -5 /tmp/out; return 1; }
		die && create || return 1
		history check --allow flushed --record >/tmp/out || { tail -25 /tmp/out; return 1; }
	done
}

# Clean cached pages are overwritten: their intent must be durable before the data (R1a).
clean_overwritten()
{
	circle_drain c && rounds 1 --mix write=100 && circle_drain c && rounds 1
}

through() { circle_drain c && dmsetup remove c && create "1 writethrough default 0" && rounds 1; }

# What is read once stays: nobody flushed it, but it was shown.
observed()
{
	history run --resume --ops 300 --threads 2 --mix write=50,read=50 >/tmp/out && die &&
		create && history check --allow flushed --record >/tmp/out && return
	tail -25 /tmp/out
	return 1
}

again() { dmsetup remove c && create "${1-}"; }		# in order, with other features
read_at() { dd if="$1" bs=4k skip="$2" count=4k iflag=direct,skip_bytes,count_bytes status=none; }
write_at() { dd if=/tmp/piece of="$C" bs=4k seek="$1" oflag=direct,seek_bytes conv=notrunc status=none; }
same_at() { read_at /dev/mapper/org "$1" | cmp - <(read_at "$C" "$1"); }

read_until_promoted()	# <byte>
{
	local before
	before=$(circle_status c 10)
	wait_for 30 "a promotion" promoted_at "$1" "$before"
}
promoted_at() { read_at "$C" "$1" >/dev/null && [ "$(circle_status c 10)" -gt "$2" ]; }
committed_since() { [ "$(stat_of meta 5)" -gt "$1" ]; }

# What is promoted is flushed at the origin first, or a power cut would take it there and leave the copy,
# for as long as that is not evicted (R1a). Nothing was written there before.
promoted()
{
	local before
	head -c 4096 /dev/urandom >/tmp/piece
	again "1 writethrough default 0" && write_at 2M && read_until_promoted 2M &&
		before=$(stat_of meta 5) && read_until_promoted 1M &&
		wait_for 30 "a commit" committed_since "$before" && die && create && same_at 2M
}

# What went to the origin alone before a restart is covered by the first FLUSH after it.
restarted()
{
	head -c 4096 /dev/urandom >/tmp/piece
	again "1 writethrough default 0" && write_at 2560k && again && fdatasync_c && die && create &&
		read_at "$C" 2560k | cmp - /tmp/piece
}

# A FLUSH with nothing new writes nothing to the metadata device.
idle_flush()
{
	local before after
	sync "$C"
	wait_for 60 "write-back" circle_is_clean c && fdatasync_c && before=$(stat_of meta 5) && fdatasync_c && fdatasync_c && after=$(stat_of meta 5)
	[ "$before" = "$after" ] || { echo "# $((after - before)) writes"; return 1; }
}

# Version 1 at the origin, version 2 flushed; a discard, no FLUSH behind it, is lost with the power
# (here: by an origin that drops it). Version 1 must not come back.
fdatasync_c() { "$IO" fdatasync "$C"; }

all()	# <block sectors> <"" | volatile>
{
	local what="$1${2:+ $2}"
	BS=$1 VOLATILE=$2
	dev_null meta 2 "$2" && dev_null ssd 8 "$2" && dev_null org 24 "$2" || return 1
	ktap_test "$what: create" create || return 1
	ktap_test "$what: written and flushed" one_write fdatasync
	ktap_test "$what: written by FUA" fua_write
	ktap_test "$what: a flush without need writes nothing" idle_flush
	ktap_test "$what: what is promoted is durable at the origin" promoted
	ktap_test "$what: the first flush after a restart reaches the origin" restarted
	"$HISTORY" init --zero --dev "$C" --log /tmp/h --seed "$1" --offset 4M --size 16M || return 1
	ktap_test "$what: history, two crashes" rounds 2
	ktap_test "$what: history with much FUA" rounds 1 --mix write=40,fua=40,read=10,discard=10
	ktap_test "$what: clean pages are overwritten" clean_overwritten
	ktap_test "$what: racing writes" rounds 1 --overlap
	ktap_test "$what: history of reads" observed
	ktap_test "$what: writethrough" through
	dmsetup remove c
	rm -f /tmp/h
	dev_remove meta; dev_remove ssd; dev_remove org
}

at_exit 'dmsetup remove --retry c 2>/dev/null'
all 128 ''
all 8 volatile
check_dmesg
ktap_done
