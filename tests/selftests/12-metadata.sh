#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1024 smp=2 timeout=600 modules=dm-circle,null_blk kernels=newest
#
# What stands on the metadata device: blank, foreign, damaged, newer, of another shape. What
# cannot be used is refused with a message, and nothing is written to it.
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

EDIT=$REPO/tests/tools/disk_edit.py
M=/dev/mapper/meta
SIZE=$((15 * 2048))

create() { dmsetup create c --table "$(table_of "$SIZE" "${1-meta}" ssd org 64)"; }
forget() { dd if=/dev/zero of="$M" bs=64k oflag=direct status=none 2>/dev/null; true; }
edit() { "$EDIT" $M "$@"; }
keep() { dd if="$M" of=/tmp/keep bs=64k status=none; }
restore() { dd if=/tmp/keep of="$M" bs=64k oflag=direct status=none; }

# not_touched <regular expression> <table line>: refused, and all three devices are as before
not_touched()
{
	local before after
	before=$(sum_of meta; sum_of ssd; sum_of org)
	refused "$@" || return 1
	after=$(sum_of meta; sum_of ssd; sum_of org)
	[ "$before" = "$after" ] && return
	echo "# it was written to"
	return 1
}

the_line() { table_of "$SIZE" meta ssd org 64; }

# with_part <name> <device> <sectors> <ktap_test's arguments>: the beginning of a device, as one of
# its own. It goes at once: as long as it is there the device's page cache is, too.
with_part()
{
	dmsetup create "$1" --table "0 $3 linear /dev/mapper/$2 0" || return 1
	ktap_test "${@:4}"
	dmsetup remove --retry "$1"
}

# A used one that stopped uncleanly, with four commits in its journal, and what must be there.
# faults: origin error writing
# faults: owner-host power-loss idle
make_used()
{
	local i
	forget
	create && dev_fail_writes org || return 1	# they stay dirty
	for i in 1 2 3 4; do
		head -c 131072 /dev/urandom | dd of=/dev/mapper/c bs=128k seek=$((i + 60)) \
			iflag=fullblock oflag=direct conv=fdatasync,notrunc status=none || return 1
	done
	dd if=/dev/mapper/c of=/tmp/want bs=64k iflag=direct status=none
	crash c ssd meta && dev_heal org && keep
}

loads()
{
	local rc
	create || return 1
	"$IO" same /dev/mapper/c /tmp/want
	rc=$?
	dmsetup remove c
	return "$rc"
}

formatted()
{
	create && dmesg_since_begin | grep -q "circle: metadata formatted" &&
		dmsetup remove c && [ "$(head -c 8 "$M")" = dmcircle ]
}

foreign()	# <command that writes something>
{
	forget
	"$@" >/dev/null 2>&1 || return 1
	sync
	not_touched "metadata device holds something else" "$(the_line)"
}

at_4k() { printf 'something else' | dd of="$M" bs=4096 seek=1 conv=notrunc,fsync status=none; }

damage() { restore && edit "$@"; }
damage_both() { damage flip 0 && edit flip 16; }
newer() { damage super 0 "$1" "$2" && edit super 1 "$1" "$2"; }
wiped_first() { restore && dd if=/dev/zero of="$M" bs=4096 count=1 oflag=direct status=none; }

# As one does it with dm-cache's: 4 KiB are zero, and a new one is made. Not of a circle's.
wiped_is_blank() { wiped_first && formatted; }

wiped_circle()
{
	restore && edit super 1 flags 4 && edit super 1 node_id 1 && edit super 1 label_kind 1 &&
		dd if=/dev/zero of="$M" bs=4096 count=1 oflag=direct status=none &&
		not_touched "superblock wiped" "$(the_line)"
}

wiped_damaged()
{
	restore && edit flip 16 && dd if=/dev/zero of="$M" bs=4096 count=1 oflag=direct status=none &&
		not_touched "superblock wiped" "$(the_line)"
}

needs_check() { damage super 0 flags 2 && edit super 1 flags 2; }

# Writes to the journal fail, those of the superblock do not: it says that the metadata are void.
# faults: owner-meta error flushing
journal_fails()
{
	local at=$(((32 + 14) * 8)) n events
	forget
	create && head -c 65536 /dev/urandom >/tmp/want && dd if=/tmp/want of=/dev/mapper/c bs=64k \
		oflag=direct conv=fdatasync,notrunc status=none || return 1
	events=$(dmsetup info -c --noheadings -o events c)
	dmsetup suspend --noflush --nolockfs meta &&
		printf '0 %s linear %s 0\n%s %s error\n' "$at" "${DEV_LOWER[meta]}" "$at" \
			"$((DEV_SECTORS[meta] - at))" | dmsetup load meta && dmsetup resume meta || return 1
	dd if=/dev/zero of=/dev/mapper/c bs=64k seek=9 oflag=direct conv=fdatasync,notrunc count=1 \
		status=none || return 1
	timeout 20 dmsetup wait c "$events" >/dev/null || { echo "# there was no event"; return 1; }
	dmsetup status c | grep -q " ro needs_check " || { dmsetup status c; return 1; }
	! dmsetup message c 0 migration_threshold 1 2>/dev/null || return 1
	dmsetup remove c && dev_heal meta && not_touched "are void" "$(the_line)" || return 1
	for n in 0 1; do
		edit super "$n" flags 0
	done
	not_touched "are void" "$(the_line)" || return 1	# so does the mark
	dd if=/dev/zero of=/dev/mapper/ssd bs=512 seek=$((511 * 64)) count=8 oflag=direct status=none
	create && cmp -n 65536 /tmp/want <(dd if=/dev/mapper/c bs=64k count=1 iflag=direct status=none)
	n=$?
	dmsetup remove c
	return "$n"
}

# Bits rot in one copy of table page 5, of which both are there: slots are taken from the last
# (511) down, so the newer copy knows of four blocks that the older one does not.
page_lost()	# newer|older
{
	local mb
	make_used && create || return 1
	head -c 131072 /dev/urandom >/tmp/piece
	dd if=/tmp/piece of=/dev/mapper/c bs=128k seek=70 oflag=direct conv=fdatasync,notrunc status=none
	dmsetup remove c && mb=$(edit page 5 "$1") && keep || return 1
	dd if=/tmp/piece of=/tmp/want bs=128k seek=70 conv=notrunc status=none
	edit flip "$mb"
	if create 2>/dev/null; then
		echo "# it loads"
		dmsetup remove c
		restore && edit flip "$mb" && loads
	else
		not_touched "metadata.*(table|damaged)" "$(the_line)"
	fi
}

pages_lost()
{
	restore && edit flip "$(edit page 5 newer)" && edit flip "$(edit page 5 older)" &&
		not_touched "metadata: page 5 of the slot table is damaged" "$(the_line)"
}

journal_lost()
{
	local -a mb
	restore
	read -ra mb <<<"$(edit journal)"
	[ ${#mb[@]} -ge 3 ] || { echo "# ${#mb[@]} blocks"; return 1; }
	edit flip "${mb[1]}"
	not_touched "metadata.*journal" "$(the_line)"
}

journal_end_lost()	# the last commit may have been torn by the crash
{
	local -a mb
	restore
	read -ra mb <<<"$(edit journal)"
	edit flip "${mb[-1]}"
	create && dmsetup remove c
}

other_block() { restore && not_touched "block size differs" "$(table_of "$SIZE" meta ssd org 128)"; }
other_size() { restore && not_touched "$1" "$(table_of "${4-$SIZE}" "$2" "$3" org 64)"; }
too_small() { forget; not_touched "metadata.*too small" "$(table_of "$SIZE" "$1" ssd org 64)"; }

just_enough()
{
	forget
	create need && dd if=/tmp/want of=/dev/mapper/c bs=64k oflag=direct status=none count=200 &&
		dmsetup remove c && create need || return 1
	dd if=/dev/mapper/c bs=64k count=200 iflag=direct status=none | cmp -n $((200 * 65536)) - /tmp/want
	dmsetup remove c
}

in_use()	# <meta> <ssd>
{
	refused "(metadata|cache).*in use by another circle" "$(table_of "$SIZE" "$1" "$2" org 64)"
}

twice() { refused "three devices" "$(table_of "$SIZE" meta meta org 64)"; }
absent() { refused "opening $1 device" "$2"; }

at_exit 'dmsetup remove --retry c 2>/dev/null'
dev_null meta 4 && dev_null ssd 16 && dev_null org 16 && dev_null meta2 4 && dev_null ssd2 16

ktap_test "a blank device is formatted" formatted
ktap_test "ext4 is refused" foreign mkfs.ext4 -q -F $M
ktap_test "swap is refused" foreign mkswap $M
ktap_test "something that begins at 4 KiB is refused" foreign at_4k
ktap_test "prepare" make_used
ktap_test "what is undamaged loads" loads
damage flip 0; ktap_test "first superblock damaged: loads" loads
damage flip 16; ktap_test "second superblock damaged: loads" loads
damage_both; ktap_test "both damaged: refused" not_touched "superblock is damaged" "$(the_line)"
ktap_test "first superblock wiped: formatted anew" wiped_is_blank
ktap_test "that of a circle wiped: refused" wiped_circle
ktap_test "first wiped, second damaged: refused" wiped_damaged
newer version 3; ktap_test "newer version: refused" not_touched "newer version" "$(the_line)"
newer incompat 1; ktap_test "unknown feature: refused" not_touched "newer version" "$(the_line)"
needs_check; ktap_test "a check is asked for: refused" not_touched "need a check" "$(the_line)"
newer flags 0x80; ktap_test "unknown flag: refused" not_touched "newer version" "$(the_line)"
ktap_test "journal damaged in its middle: refused" journal_lost
ktap_test "journal damaged at its end: loads" journal_end_lost
ktap_test "wrong block size: refused" other_block
with_part small ssd $((15 * 2048)) "cache device shrunk, its end dirty: refused" \
	other_size "unable to shrink cache; cache block .* is dirty" meta small
with_part short meta 4096 "metadata device shrunk: refused" \
	other_size "metadata device is smaller" short ssd
ktap_test "origin shrunk, dirty blocks beyond: refused" \
	other_size "unable to shrink origin; cache block .* is dirty" meta ssd 8192
with_part tiny meta 64 "metadata device of 32 KiB: refused" too_small tiny
# 512 slots: 7 pages of the table, twice, 32 blocks before and 64 behind them
with_part less meta $(((32 + 14 + 64) * 8 - 8)) "one block too few: refused" too_small less
with_part need meta $(((32 + 14 + 64) * 8)) "as small as can be" just_enough
ktap_test "older copy of a table page damaged" page_lost older
ktap_test "newer copy of a table page damaged: refused or right" page_lost newer
ktap_test "both copies damaged: refused" pages_lost
ktap_test "a journal that cannot be written" journal_fails
forget
create || not_ok "create"
ktap_test "metadata in use: refused" in_use meta ssd2
ktap_test "cache in use: refused" in_use meta2 ssd
ktap_test "one device twice: refused" twice
ktap_test "no metadata device: refused" absent metadata "$(table_of "$SIZE" nowhere ssd2 org 64)"
ktap_test "no cache device: refused" absent cache "$(table_of "$SIZE" meta2 nowhere org 64)"
ktap_test "no origin: refused" absent origin "$(table_of "$SIZE" meta2 ssd2 nowhere 64)"
dmsetup remove c
check_dmesg
ktap_done
