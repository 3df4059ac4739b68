#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=600 modules=dm-circle,null_blk,dm-flakey kernels=newest
#
# A crash in the middle of a checkpoint: the pages that it wrote never count, whoever loads, and however.
# The next start goes by the copy map, and does not look at them; what is written over in place then is in
# no journal. Then another crash, and circle_writeback, or a load without the map, or with a page that is
# damaged. And: nothing follows a torn commit, not even a resize's at the first start.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/ktap.sh
. "$REPO/tests/lib/ktap.sh"
# shellcheck source=tests/lib/nodes.sh
. "$REPO/tests/lib/nodes.sh"
# shellcheck source=tests/lib/circle.sh
. "$REPO/tests/lib/circle.sh"
# shellcheck source=tests/lib/local.sh
. "$REPO/tests/lib/local.sh"
# shellcheck source=tests/lib/startup.sh
. "$REPO/tests/lib/startup.sh"
ktap_header

[ -x "$FORGE" ] || { skip "all" "no circle-forge: make -C tests/tools"; ktap_done; }

SMALL=8192
BIN=$REPO/build/tools-bin
EDIT=$REPO/tests/tools/disk_edit.py
M=/dev/mapper/meta

# after: a full cache that crashed in a checkpoint, served, was written to and flushed, and crashed again
# faults: origin error writing
# faults: owner-host power-loss idle
after()
{
	local what slot block later='' _
	NOW=()
	rig "$SMALL" "${1-a}" interrupted || return 1
	dev_fail_writes org && create && wait_for 60 "all to be loaded" all_loaded && all_right || return 1
	while read -r what slot block _; do
		[ "$what" = dirty ] || continue
		later+="$block later$block"$'\n'
		NOW[$block]=later$block
	done </tmp/places
	[ ${#NOW[@]} -ge 4 ] && put_all c sync <<<"$later" && all_right && crash c ssd meta && dev_heal org
}

# What was dirty is at the origin now.
at_origin()
{
	local what slot block there='' _
	while read -r what slot block _; do
		case $what in
		dirty) there+="$block ${NOW[$block]}"$'\n' ;;
		twin) there+="$block new$block"$'\n' ;;
		esac
	done </tmp/places
	[ -n "$there" ] && has_all org <<<"$there"
}

drained() { circle_drain c && dmsetup remove --retry c && at_origin; }
sound() { "$BIN/circle_check" "$M" >/tmp/check 2>&1 || { sed 's/^/# /' /tmp/check; return 1; }; }

with_the_map()	# <copies>
{
	after "$1" && create && all_right && wait_for 60 "all to be loaded" all_loaded && all_right &&
		drained && sound && create && all_right && dmsetup remove --retry c && gone
}

without_a_map()	# <copies>
{
	after "$1" && dd if=/dev/urandom of="$M" bs=4096 seek=1 count=1 oflag=direct status=none &&
		create && all_right && drained && sound && create && all_right &&
		dmsetup remove --retry c && gone
}

offline()	# <copies>
{
	after "$1" && sound || return 1
	"$BIN/circle_writeback" --metadata-device "$M" --fast-device /dev/mapper/ssd --origin-device \
		/dev/mapper/org >/tmp/wb 2>&1 || { sed 's/^/# /' /tmp/wb; return 1; }
	at_origin && sound && create && all_right && dmsetup remove --retry c && gone
}

# Bits rot in the copy that counts; the other is of the checkpoint that did not end.
page_lost()
{
	after a && "$EDIT" "$M" flip 32 &&
		refused "page 0 of the slot table is damaged" "$(table_of "$SECTORS" meta ssd org "$BS")" &&
		! sound && gone
}

# map_fails: of the metadata device, writes to the copy maps
map_fails()
{
	local low=${DEV_LOWER[meta]} bad="0 3600 1 error_writes"
	modprobe dm-flakey && dmsetup suspend --noflush --nolockfs meta && {
		echo "0 8 linear $low 0"
		echo "8 120 flakey $low 8 $bad"
		echo "128 8 linear $low 128"
		echo "136 120 flakey $low 136 $bad"
		echo "256 $((DEV_SECTORS[meta] - 256)) linear $low 256"
	} | dmsetup load meta && dmsetup resume meta
}

# It is only a hint: the metadata are as well without.
# faults: owner-meta error idle
no_map_written()
{
	local mark
	NOW=()
	rig "$SMALL" mixed && create && wait_for 60 "all to be loaded" all_loaded && map_fails || return 1
	mark=$(log_mark)
	dmsetup remove --retry c && log_since "$mark" | grep -q "copy map" && sound || return 1
	create && [ "$(circle_status c health)" = well ] && all_right && dmsetup remove --retry c || return 1
	dev_heal meta && create && all_right && dmsetup remove --retry c && sound && gone
}

# ---------------------------------------------------------------- a torn commit, and a resize

SIZE=$((15 * 2048))
small() { dmsetup create c --table "$(table_of "$1" meta ssd org 64)"; }
write_at() { dd if=/tmp/data of=/dev/mapper/c bs=32k seek="$1" count="$2" oflag=direct conv=fdatasync,notrunc status=none; }

# only_journal: of the metadata device, all but the journal fails
only_journal()
{
	local at=$(((32 + 14) * 8))
	dmsetup suspend --noflush --nolockfs meta &&
		printf '0 %s flakey %s 0 0 3600 1 error_writes\n%s %s linear %s %s\n' "$at" \
			"${DEV_LOWER[meta]}" "$at" $((DEV_SECTORS[meta] - at)) "${DEV_LOWER[meta]}" "$at" |
		dmsetup load meta && dmsetup resume meta
}

# The origin gets shorter; of what is clean beyond its end nothing stays, durably.
# faults: owner-host power-loss idle
# faults: owner-meta error recovering
torn_then_resized()
{
	local -a mb
	dev_null meta 4 && dev_null ssd 16 && dev_null org 16 && head -c 4M /dev/urandom >/tmp/data || return 1
	small "$SIZE" && write_at 440 4 && circle_drain c && dev_fail_writes org && write_at 0 100 || return 1
	dd if=/dev/mapper/c of=/tmp/want bs=32k count=100 iflag=direct status=none
	write_at 100 100 && crash c ssd meta && dev_heal org || return 1
	read -ra mb <<<"$("$EDIT" "$M" journal)"
	echo "# ${#mb[@]} blocks of journal"
	[ ${#mb[@]} -ge 4 ] && "$EDIT" "$M" flip "${mb[-2]}" && only_journal || return 1
	! small $((SIZE - 2048)) 2>/dev/null || { echo "# its metadata could be written"; return 1; }
	dmsetup remove --retry c 2>/dev/null
	dev_heal meta && small "$SIZE" || return 1
	"$IO" same /dev/mapper/c /tmp/want 6400 0 || return 1
	dmsetup remove --retry c
}

at_exit 'dmsetup remove --retry c 2>/dev/null'
for copies in a mixed; do
	ktap_test "by the map ($copies)" with_the_map $copies
	[ ! -e $M ] || gone
	ktap_test "the map is damaged ($copies)" without_a_map $copies
	[ ! -e $M ] || gone
	if [ -x "$BIN/circle_writeback" ]; then
		ktap_test "circle_writeback ($copies)" offline $copies
		[ ! -e $M ] || gone
	else
		skip "circle_writeback ($copies)" "no tools: make tools"
	fi
done
ktap_test "a page is damaged" page_lost
[ ! -e $M ] || gone
ktap_test "a map that cannot be written" no_map_written
[ ! -e $M ] || gone
NOW=()
ktap_test "a torn commit, and a resize" torn_then_resized
check_dmesg
ktap_done
