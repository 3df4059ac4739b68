# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# A full local cache that crashed, made by circle-forge. Source after local.sh.

BS=128
DIRTY=10	# percent of the slots
FORGE=$REPO/build/tools/circle-forge

# rig <slots> <copies> [nomap|interrupted]: devices of a full cache that crashed; their places in /tmp/places
rig()
{
	local slots=$(($1 - 1)) mib=$(($1 * BS / 2048)) journal=$(($1 / 512))	# one less: the mark
	[ "$journal" -ge 64 ] || journal=64
	DEV_SECTOR=4096 dev_null meta $(((32 + 2 * (slots / 84 + 1) + journal + 255) / 256)) &&
		dev_null ssd $mib && dev_null org $((mib * 2)) || return 1
	SECTORS=$((mib * 2 * 2048))
	"$FORGE" "$(readlink -f "/dev/mapper/meta")" "$slots" $BS $SECTORS "$DIRTY" "$2" $((DIRTY ? journal / 4 : 0)) \
		${3:+"$3"} >/tmp/places || return 1
	fill
}

# put <device> <block of 64 KiB> <word> [sync], get <device> <block>: its first page. put_all, has_all: of many
# blocks, one after the other, in one process: lines of a block and a word.
put() { "$IO" put "/dev/mapper/$1" $((BS * 512)) ${4:+sync} <<<"$2 $3"; }
get() { dd if="/dev/mapper/$1" bs=4096 skip=$(($2 * BS / 8)) count=1 iflag=direct status=none | head -n 1; }
has() { "$IO" has "/dev/mapper/$1" $((BS * 512)) <<<"$2 $3"; }
put_all() { "$IO" put "/dev/mapper/$1" $((BS * 512)) ${2:+sync}; }	# <device> [sync]
has_all() { "$IO" has "/dev/mapper/$1" $((BS * 512)); }

# Of the blocks that are looked at, the SSD has what it should have, and the origin, if they are
# dirty, something older; a twin has neither.
fill()
{
	local what slot block twin age on_ssd='' on_org='' _
	while read -r what slot block _ twin; do
		[ "$what" != twins ] || continue
		on_ssd+="$slot new$block"$'\n'
		[ "$what" != twin ] || on_ssd+="$twin bad$block"$'\n'
		age=old
		[ "$what" != clean ] || age=new
		on_org+="$block $age$block"$'\n'
	done </tmp/places
	[ -n "$on_ssd" ] && put_all ssd <<<"$on_ssd" && put_all org <<<"$on_org"
}

# block <dirty|clean|twin> <early|late> <which, from 1>
block() { awk -v w="$1" -v when="$2" -v n="$3" '$1 == w && $4 == when && !--n { print $3 }' /tmp/places; }

create() { dmsetup create c --table "$(table_of "$SECTORS" meta ssd org "$BS")"; }
loaded() { circle_status c 4; }
loading() { circle_is c loading 1; }
all_loaded() { circle_is c loading 0; }
gone() { dmsetup remove --retry c 2>/dev/null; dev_remove meta; dev_remove ssd; dev_remove org; }

all_right()
{
	local what slot block all='' _
	while read -r what slot block _; do
		[ "$what" = twins ] || all+="$block ${NOW[$block]:-new$block}"$'\n'
	done </tmp/places
	[ -n "$all" ] && has_all c <<<"$all"
}

declare -A NOW=()	# what was written to a block

