#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1024 smp=2 timeout=900 modules=dm-circle,null_blk,dm-flakey kernels=newest cpu=60
#
# Devices of a local cache that fail: metadata, cache, origin, one or several, at load, write, flush,
# write-back, checkpoint, suspend and reload. No error reaches the host that one device alone
# causes; nothing older comes back, also not from metadata that failed and work again; what is
# really lost is listed.
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
BS=64
SSD=8				# MiB
SLOTS=$(((SSD * 2048 - 8) / BS))
SIZE=$((23 * 2048))
SPAN=12582912			# of the history

create() { dmsetup create c --table "$(table_of "$SIZE" meta ssd org "$BS" "${1-}")"; }
hist() { "$HISTORY" "$1" --log /tmp/h --size "$SPAN" "${@:2}"; }
run() { hist run --dev "$C" --resume --threads 2 --sizes 512,4096,16384,65536 "$@" >/tmp/out || { tail -5 /tmp/out; return 1; }; }
check() { hist check "$@" >/tmp/out || { tail -25 /tmp/out; return 1; }; }
is() { circle_is c "$1" "$2"; }
fdatasync_c() { "$IO" fdatasync "$C"; }
events() { dmsetup info -c --noheadings -o events c | tr -d ' '; }
remove() { within 25 dmsetup remove c; }
not() { ! "$@"; }
flushed_run() { run --ops 150 && run --ops 1 --mix flush=1; }

# Fresh devices, a history on them, dirty blocks that durable metadata know of.
fresh()
{
	dmsetup remove --retry c 2>/dev/null
	rm -f /tmp/h
	dev_heal meta && dev_heal ssd && dev_heal org || return 1
	dd if=/dev/zero of=/dev/mapper/meta bs=64k count=2 oflag=direct status=none &&
		blkdiscard -z /dev/mapper/ssd && create &&
		hist init --dev "$C" --seed "$((RANDOM + 1))" >/tmp/out && flushed_run
}

# What fails when: the metadata device, under writes and flushes.
# faults: owner-meta error writing,flushing,writing-back
meta_fails()
{
	local before
	before=$(events)
	dev_fail_writes meta && run --ops 300 --mix write=50,fua=10,flush=10,read=20,discard=10 &&
		run --ops 300 && fdatasync_c && check --dev "$C" --allow all || return 1
	wait_for 60 "nothing to be dirty" is health bare &&
		[ "$(events)" -gt "$before" ] && is 19 ro && is 20 needs_check
}

stays_well() { run --ops 200 && check --dev "$C" --allow all; }
suspends() { within 15 dmsetup suspend c && within 15 dmsetup resume c && stays_well; }
suspends_noflush() { within 15 dmsetup suspend --noflush --nolockfs c && within 15 dmsetup resume c && stays_well; }

reloads()
{
	dmsetup load c --table "$(table_of "$SIZE" meta ssd org "$BS" "1 writethrough default 0")" &&
		within 15 dmsetup resume c && stays_well
}

origin_alone() { check --dev /dev/mapper/org --allow all; }
void_refused() { refused "metadata failed in use(, or another cache took their place,)? and are void; $1" "$(table_of "$SIZE" meta ssd org "$BS" "${2-}")"; }
wipe_mark() { dd if=/dev/zero of=/dev/mapper/ssd bs=512 seek=$((SLOTS * BS)) count=8 oflag=direct status=none; }

# The test must see what the mark is for: without it the old metadata bring old data back.
without_mark()
{
	wipe_mark && create || return 1
	hist check --dev "$C" --allow all >/tmp/out
	[ $? = 2 ] || { echo "# nothing came back: this test tests nothing"; tail -3 /tmp/out; return 1; }
	dmsetup remove c
}

# Flushed blocks are dirty, and stay so: the origin does not answer.
dirty_for_long()
{
	run --ops 30 --mix write=100 && run --ops 1 --mix flush=1 && dev_freeze org || return 1
	[ "$(circle_dirty c)" -gt 0 ] &&	# and one more, that no batch under way can settle
		dd if=/dev/zero of="$C" bs=32k count=1 seek=510 oflag=direct conv=notrunc status=none && return
	dev_thaw org
	return 1
}

# Death while it drains: the host dies. The write may find it draining already, if a commit was under
# way; then it waits for the origin, until that fails.
dies_draining()
{
	fresh && circle_drain c && wait_for 60 "dirty blocks" dirty_for_long && dev_fail_writes meta || return 1
	dd if=/dev/zero of="$C" bs=32k count=1 seek=500 oflag=direct conv=notrunc status=none 2>/dev/null &
	wait_for 60 "it to drain" is health draining && crash c ssd org meta || return 1
	wait $!
	void_refused "what was dirty then may not all be at the origin"
}

by_force()
{
	create "2 writeback force default 0" && circle_drain c && dmsetup remove c && create
}

# dev_part_fails <name> <first> <sectors>: writes there fail
dev_part_fails()
{
	local lower=${DEV_LOWER[$1]} end=$(($2 + $3)) all=${DEV_SECTORS[$1]}
	"$IO" table "$1" noflush nolockfs <<-END
		0 $2 linear $lower 0
		$2 $3 flakey $lower $2 0 3600 1 error_writes
		$end $((all - end)) linear $lower $end
	END
}

TABLE=$((32 * 8)) TABLES=$((2 * ((SLOTS + 83) / 84) * 8))

# The journal works, the table does not: found when a suspend makes a checkpoint.
# faults: owner-meta error writing
# faults: owner-meta return idle
checkpoint_fails()
{
	fresh && dev_part_fails meta "$TABLE" "$TABLES" && stays_well && within 25 dmsetup suspend c &&
		dmsetup resume c && stays_well && wait_for 60 "nothing to be dirty" is health bare &&
		remove && dev_heal meta && void_refused "the origin has everything" && origin_alone
}

# Only the journal fails: the superblocks can say so too, so either witness will do.
either_witness()
{
	local from=$((TABLE + TABLES))
	fresh && dev_part_fails meta "$from" $((DEV_SECTORS[meta] - from - 8)) && stays_well && remove &&
		dev_heal meta && wipe_mark && void_refused "what was dirty then may not"
}

# No more than 3 blocks each: one batch of write-back, which ends however long it takes; a suspend begins
# none after 5 s.
few_dirty() { fresh && circle_drain c && run --ops 20 --mix write=100; }

# faults: owner-meta error idle
# faults: owner-meta return idle
suspend_fails()
{
	few_dirty && dev_fail_writes meta && within 25 dmsetup suspend c && dmsetup resume c &&
		stays_well && remove && dev_heal meta && void_refused "" && origin_alone
}

# faults: owner-meta error idle
# faults: owner-meta return idle
remove_fails()
{
	few_dirty && dev_fail_writes meta && remove && dev_heal meta && void_refused "" &&
		origin_alone
}

# Both at the same moment: write-back in between would have it said in the superblocks that the metadata
# are void.
both_fail() { dev_freeze meta && dev_fail_writes ssd && dev_fail_writes meta; }

# faults: owner-host power-loss idle
dies_at_once()	# nothing could be said, nothing went through: the metadata are as good as they were
{
	fresh && both_fail && crash c ssd org meta && create &&
		check --dev "$C" --allow flushed --record && stays_well
}

# Nothing can say that the metadata are void: writes fail, and later nothing is older than flushed.
# faults: owner-ssd error writing,flushing
# faults: owner-meta error writing,flushing
# faults: owner-ssd return idle
# faults: owner-meta return idle
no_witness()
{
	fresh && both_fail &&
		hist run --dev "$C" --resume --ops 20 --errors record --mix write=50,fua=50 >/tmp/out ||
		return 1
	within 20 not dd if=/dev/zero of="$C" bs=64k count=1 seek=300 oflag=direct status=none 2>/dev/null ||
		return 1
	is health failing && check --dev "$C" --allow all || return 1
	hist run --dev "$C" --resume --ops 20 --errors record >/tmp/out || return 1
	within 25 dmsetup suspend c && dmsetup resume c && remove && dev_heal meta && dev_heal ssd &&
		create && check --dev "$C" --allow flushed --record && stays_well
}

# faults: owner-ssd return idle
witness_late()	# the cache device comes back: it goes on
{
	fresh && both_fail || return 1
	hist run --dev "$C" --resume --ops 5 --errors record >/tmp/out
	dev_heal ssd && wait_for 60 "the mark" is health bare && stays_well && remove && dev_heal meta &&
		void_refused "the origin has everything" && origin_alone
}

has_failed() { [[ "$("$IO" status c)" =~ ^0\ [0-9]+\ [a-z]+\ Fail$ ]]; }
all_dead()
{
	fresh && dev_fail_writes meta && run --ops 20 && dev_fail org || return 1
	hist run --dev "$C" --resume --ops 20 --errors record >/tmp/out
	wait_for 60 "Fail" has_failed || { dmsetup status c; return 1; }
	within 25 dmsetup suspend c && dmsetup resume c && dev_heal org && run --ops 20 &&
		dmsetup message c 0 drain && wait_for 60 "nothing to be dirty" is health bare && remove && dev_heal meta
}

# cache device

# faults: owner-ssd error idle,writing,flushing
ssd_dies_clean()
{
	fresh && circle_drain c && dev_fail ssd && check --dev "$C" --allow all && run --ops 300 &&
		check --dev "$C" --allow all && is caching off && is lost_pages 0
}

# faults: owner-ssd return idle
ssd_returns()
{
	dev_heal ssd && dmsetup load c --table "$(table_of "$SIZE" meta ssd org "$BS")" &&
		within 15 dmsetup resume c && is caching on && run --ops 300 &&
		check --dev "$C" --allow all
}

some_retired() { [ "$(circle_status c retired)" -gt 0 ]; }

# Some bad slots: retired, for good; caching goes on.
# faults: owner-ssd error writing
some_bad()
{
	local retired
	fresh && circle_drain c && bad_sectors ssd $(((SLOTS - 6) * BS)) $((4 * BS)) &&
		run --ops 600 --hot 0 && check --dev "$C" --allow all && is caching on || return 1
	wait_for 20 "bad slots to be retired" some_retired && circle_drain c || return 1
	retired=$(circle_status c retired)
	[ "$retired" -le 5 ] && remove && create && is retired "$retired" &&
		is lost_pages 0 && check --dev "$C" --allow all && run --ops 300 &&
		check --dev "$C" --allow all
}

# Nothing is dirty but what is lost.
test_lost() { [ "$(circle_status c lost_pages)" -gt 0 ] && is lost_pages "$(circle_status c dirty_pages)"; }
lost_list() { dmsetup message c 0 lost >/tmp/lost; }

# The origin takes no writes until it is healed: nothing is written back, however slow the machine is, and
# clean blocks make room for these, 3 * 60 at most.
dirty_for_sure() { fresh && circle_drain c && dev_fail_writes org && run --ops 60 --mix write=70,read=30; }

# Dirty pages whose only copy goes: errors, listed, never older data; others are saved.
# faults: origin error writing
# faults: owner-ssd error writing-back
dirty_lost()
{
	good_sectors ssd 0 $((SLOTS * BS)) && dirty_for_sure &&
		bad_sectors ssd $((SLOTS * BS / 2)) $((SLOTS * BS / 4)) && dev_heal org &&
		dmsetup message c 0 drain || return 1
	wait_for 120 "lost pages" test_lost && lost_list && [ -s /tmp/lost ] &&
		check --dev "$C" --allow all --errors-allowed /tmp/lost
}

lost_stays()
{
	remove && create && cp /tmp/lost /tmp/before && lost_list && cmp /tmp/lost /tmp/before &&
		fdatasync_c && check --dev "$C" --allow all --errors-allowed /tmp/lost
}

lost_in_part()	# the rest of the page is not known
{
	local first n
	good_sectors ssd 0 $((SLOTS * BS))
	IFS=+ read -r first n </tmp/lost
	! dd if=/dev/zero of="$C" bs=512 seek="$first" count=1 oflag=direct conv=notrunc 2>/dev/null &&
		lost_list && cmp /tmp/lost /tmp/before
}

# What is read beside them is not kept in their slot, of which a crash makes one thing: lost.
# faults: owner-host power-loss idle
beside_lost()
{
	local first n s i
	good_sectors ssd 0 $((SLOTS * BS))
	cp /tmp/lost /tmp/before
	crash c ssd meta && create || return 1		# after so many errors nothing more is cached
	while IFS=+ read -r first n; do
		for ((s = first; s < first + n; s += 8)); do echo "$s"; done
	done </tmp/before >/tmp/bad
	for i in 1 2 3; do
		while read -r first; do
			for ((s = first + BS - 8; s >= first; s -= 8)); do
				grep -qx "$s" /tmp/bad || dd if="$C" of=/dev/null bs=512 skip="$s" count=8 iflag=direct status=none || return 1
			done
		done < <(awk -v b="$BS" '{ print $1 - $1 % b }' /tmp/bad | sort -un | head -8)
	done
	# a commit; nothing tells that there was nothing to commit
	fdatasync_c && sleep 3 && crash c ssd meta && create && lost_list && cmp /tmp/lost /tmp/before && check --dev "$C" --allow all --errors-allowed /tmp/lost
}

lost_overwritten()
{
	"$IO" zero "$C" </tmp/before || return 1	# whole pages of 8 sectors
	is lost_pages 0 && lost_list && [ ! -s /tmp/lost ]
}

# The device was only away: what was given up is there after all.
# faults: owner-ssd error writing-back
# faults: owner-ssd return idle
lost_found()
{
	dirty_for_sure && dev_fail ssd && dev_heal org &&
		dmsetup message c 0 drain || return 1
	wait_for 120 "lost pages" test_lost && dev_heal ssd && dmsetup message c 0 retry_lost &&
		wait_for 60 "them to be found" is lost_pages 0 && wait_for 120 "it to be clean" circle_is_clean c &&
		check --dev "$C" --allow all
}

# origin

# Of 255 blocks no more than 3 * (40 + 25) are dirty: a clean one makes room for every write.
# faults: origin error writing,writing-back
# faults: origin return writing-back
origin_fails()
{
	fresh && circle_drain c && run --ops 100 --mix read=100 && dev_fail_writes org &&
		run --ops 40 --mix write=100 && dmsetup message c 0 drain &&
		wait_for 30 "write-back to fail" origin_failed && ! circle_is_clean c &&
		run --ops 50 --mix write=50,read=50 && within 20 dmsetup suspend c && dmsetup resume c || return 1
	dev_heal org && wait_for 120 "it to be clean" circle_is_clean c && check --dev "$C" --allow all &&
		remove && origin_alone
}
origin_failed() { [ "$(circle_status c origin_errors)" -gt 0 ]; }

# One bad place at the origin does not keep the others from being written back.
origin_bad_place()
{
	fresh && circle_drain c && bad_sectors org $((100 * BS)) 8 &&
		dd if=/dev/urandom of="$C" bs=32k count=1 seek=100 oflag=direct status=none &&
		dd if=/dev/urandom of="$C" bs=32k count=1 seek=200 oflag=direct status=none &&
		dmsetup message c 0 drain && wait_for 60 "write-back to fail" origin_failed &&
		wait_for 60 "one dirty block" dirty_is 1 &&
		good_sectors org $((100 * BS)) 8 && wait_for 120 "it to be clean" circle_is_clean c
}
dirty_is() { circle_is c 11 "$1"; }

# Writes up to the cache's capacity go on while the origin fails, also right after it took the last one.
# More than once: on its way from clean to free a slot may be missed.
# faults: origin error writing
# faults: origin return writing-back
origin_away() { away 400 && away 100 && away 400 && away 100; }
away()	# <first block>
{
	dmsetup message c 0 drain && wait_for 60 "it to be clean" circle_is_clean c &&
		dd if=/dev/urandom of=/tmp/data bs=32k count=240 status=none && dev_fail_writes org &&
		dd if=/tmp/data of="$C" bs=32k seek="$1" oflag=direct conv=notrunc status=none &&
		dd if="$C" bs=32k skip="$1" count=240 iflag=direct status=none | cmp - /tmp/data &&
		dev_heal org && wait_for 120 "it to be clean" circle_is_clean c &&
		dd if=/dev/mapper/org bs=32k skip="$1" count=240 iflag=direct status=none | cmp - /tmp/data
}

# A FLUSH of the cache device fails, and what it had acknowledged is not there: the host is told, once.
flush_fails()
{
	dmsetup remove c && dev_remove ssd && dev_null ssd "$SSD" volatile && fresh && circle_drain c && dev_fail_writes org &&
		dev_drop_writes ssd && run --ops 60 --mix write=100 && dev_fail_writes ssd && dev_heal org || return 1
	! fdatasync_c 2>/dev/null && fdatasync_c && wait_for 60 "nothing to be dirty" is health bare && fdatasync_c &&
		remove && dev_remove ssd && dev_null ssd "$SSD" && fresh
}

# load

load_fails() { dmsetup remove c; "$1" "$2" && ! create 2>/dev/null; dmsetup remove c 2>/dev/null; dev_heal "$2"; }
mark_unreadable()
{
	bad_sectors ssd $((SLOTS * BS)) 8 && refused "void mark is damaged or cannot be read" \
		"$(table_of "$SIZE" meta ssd org "$BS")" && good_sectors ssd $((SLOTS * BS)) 8
}

# Until what cannot be read is what a page of the cache needs, which is clean.
until_retired()
{
	is retired 1 && return
	echo 0 >"$OPTS" && run --ops 200 && circle_drain c && echo 2 >"$OPTS" &&
		check --dev "$C" --allow all && is retired 1
}

OPTS=/sys/bus/pseudo/drivers/scsi_debug/opts
# faults: owner-ssd error writing
scsi()
{
	local dev
	modprobe scsi_debug dev_size_mb=8 sector_size=512 max_luns=1 num_tgts=1 delay=0 \
		medium_error_start=$(((SLOTS - 20) * BS + 16)) medium_error_count=8 2>/dev/null || {
		KTAP_REASON="no scsi_debug"
		return 4
	}
	modprobe sd_mod
	wait_for 10 "the disk" compgen -G '/sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*/block/*' >/dev/null ||
		return 1
	dev=/dev/$(basename /sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*/block/*)
	DEV_LOWER[ssd]=$dev
	# from when opts is 2 some sectors of the 20th slot from the end cannot be read
	fresh && wait_for 180 "the slot to be retired" until_retired &&
		run --ops 400 && check --dev "$C" --allow all && is lost_pages 0 && is caching on
	local rc=$?
	echo 0 >"$OPTS"
	return "$rc"
}

dev_null meta 2 && dev_null ssd "$SSD" && dev_null org 24 || exit 1
at_exit 'dmsetup remove --retry c 2>/dev/null'

ktap_test "metadata well" fresh
ktap_test "metadata fail: no error, nothing is lost, then nothing is dirty" meta_fails
ktap_test "suspend and resume" suspends
ktap_test "suspend without flush" suspends_noflush
ktap_test "reload" reloads
ktap_test "remove" remove
dev_heal meta
ktap_test "the origin has everything" origin_alone
ktap_test "the metadata work again: refused" void_refused "the origin has everything"
ktap_test "also by force" void_refused "the origin has everything" "2 writeback force default 0"
ktap_test "without the mark old data come back" without_mark
ktap_test "death while it drains: refused" dies_draining
ktap_test "believed by force" by_force
ktap_test "death before anything went through: loads" dies_at_once
ktap_test "a checkpoint fails" checkpoint_fails
ktap_test "only the journal fails: the superblock says so too" either_witness
ktap_test "they fail at suspend" suspend_fails
ktap_test "they fail at removal" remove_fails
ktap_test "metadata and cache fail: writes fail, nothing older comes back" no_witness
ktap_test "metadata and cache fail, the cache comes back" witness_late
ktap_test "metadata and origin fail, the origin comes back" all_dead
ktap_test "clean cache dies: no error" ssd_dies_clean
ktap_test "it comes back: a reload tries again" ssd_returns
ktap_test "bad places are retired" some_bad
ktap_test "dirty pages are lost: errors, listed, no others" dirty_lost
ktap_test "what is beside them is not lost with them" beside_lost
ktap_test "they stay so" lost_stays
ktap_test "a part of a page is not enough" lost_in_part
ktap_test "until they are overwritten" lost_overwritten
ktap_test "lost pages are found" lost_found
ktap_test "origin fails write-back" origin_fails
ktap_test "a bad place of the origin" origin_bad_place
ktap_test "the origin is away: as much is written as the cache holds" origin_away
ktap_test "a FLUSH of the cache device fails: the host is told once that writes may be lost" flush_fails
ktap_test "load: metadata cannot be read" load_fails dev_fail meta
ktap_test "load: metadata cannot be written" load_fails dev_fail_writes meta
ktap_test "load: cache cannot be read" load_fails dev_fail ssd
ktap_test "load: the mark cannot be read" mark_unreadable
ktap_test "load" create
ktap_test "medium errors of a SCSI disk" scsi
check_dmesg
ktap_done
