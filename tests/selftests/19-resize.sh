#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=1200 modules=dm-circle,null_blk,dm-log-writes kernels=newest
#
# Origin and cache of another size: under a live device by a reload, and from one start to the next;
# what is refused; and a crash at every write that resizing the metadata makes. Arguments: SEED=n,
# POINTS=n (crashes per resize; 1000 tries all).
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

for arg in "$@"; do
	declare "$arg"
done
REPLAY=$REPO/tests/tools/log_replay.py
SEED=${SEED:-$((10#${EPOCHREALTIME##*[.,]} % 100000))}
POINTS=${POINTS:-8}
SSD_USED=8	# MiB of the SSD; piece_s never gets larger
BS=8 META=2048 ORG=12288 ORG_MAX=16384	# sectors
C=/dev/mapper/c

# Devices of changing size, m s o, at the beginning of others; a suspended user is not disturbed.
piece()	# <name> <lower> <sectors>
{
	if dm_dir "$1"; then
		"$IO" table "$1" noflush nolockfs <<<"0 $3 linear /dev/mapper/$2 0"
	else
		dmsetup create "$1" --table "0 $3 linear /dev/mapper/$2 0"
	fi
}
piece_s() { piece s ssd $(($1 + 8)); }	# <sectors of slots>, and room for the void mark

table() { table_of "$ORG" m s o "$BS" '1 writeback default 0'; }
create() { dmsetup create c --table "$(table)"; }
slots_are() { local t; t=$("$IO" status c 4); [ "${t#*/}" = "$1" ] || { echo "# $t slots"; return 1; }; }

# Random data at random places, up to the end; and their copy, of all that there is.
scribble()	# <number of writes>
{
	"$IO" scribble "$C" "$ORG" "$1" "$((RANDOM * 32768 + RANDOM))" &&
		dd if="$C" of=/tmp/want bs=64k iflag=direct status=none
}

# What was, with zeroes behind.
same() { "$IO" same "$C" /tmp/want "$ORG"; }

cs()	# <sectors of the cache> <ktap_test's command that must be true of it>: with a reload
{
	dmsetup suspend c && piece_s "$1" && dmsetup load c --table "$(table)" && dmsetup resume c &&
		slots_are $(($1 / BS)) && same
}

again() { dmsetup remove c && "$@" && create; }
again_cs() { again piece_s "$1" && slots_are $(($1 / BS)) && same; }
drained() { circle_drain c; }

# Refused, and all goes on when the old size is back. Until there is something dirty at the end: it
# may have been written back when the slots go.
cs_refused()	# <sectors> <before> <regular expression>
{
	local n tries
	n=$(dmesg | grep -cE "$3")
	for ((tries = 0; tries < 20; tries++)); do
		scribble 50 && dmsetup suspend c && piece_s "$1" &&
			dmsetup load c --table "$(table)" || return 1
		dmsetup resume c 2>/dev/null || break
		slots_are $(($1 / BS)) && same && cs "$2" || return 1
	done
	[ "$(dmesg | grep -cE "$3")" -gt "$n" ] || { echo "# it was resumed $tries times"; return 1; }
	piece_s "$2" && dmsetup load c --table "$(table)" && dmsetup resume c &&
		slots_are $(($2 / BS)) && same
}

org()	# <sectors>: by a reload
{
	dmsetup suspend c && ORG=$1 && piece o org "$1" && dmsetup load c --table "$(table)" &&
		dmsetup resume c && [ "$(blockdev --getsz "$C")" = "$1" ] && same
}

again_org() { dmsetup remove c && ORG=$1 && piece o org "$1" && create && same; }

# The same of the origin: here the last sectors are what is dirty.
org_refused()	# <sectors>
{
	local old=$ORG n tries
	n=$(dmesg | grep -c "unable to shrink origin; cache block .* is dirty")
	for ((tries = 0; tries < 20; tries++)); do
		scribble 4 && dmsetup suspend c && ORG=$1 && dmsetup load c --table "$(table)" || return 1
		if ! dmsetup resume c 2>/dev/null; then
			[ "$(dmesg | grep -c "unable to shrink origin; cache block .* is dirty")" -gt "$n" ] ||
				return 1
			ORG=$old
			dmsetup load c --table "$(table)" && dmsetup resume c && same
			return
		fi
		ORG=$old
		dmsetup suspend c && dmsetup load c --table "$(table)" && dmsetup resume c && same || return 1
	done
	echo "# it was resumed $tries times"
	return 1
}

# The metadata device is as small as can be: growth is refused at the load, with the size.
no_room()
{
	local need
	dmsetup remove c && piece m meta $(((32 + 2 * 10 + 64) * 8)) &&
		blkdiscard -z /dev/mapper/m && piece_s $((768 * BS)) && create && scribble 20 || return 1
	dmsetup suspend c && piece_s $((1536 * BS)) || return 1
	! dmsetup load c --table "$(table)" 2>/dev/null || { echo "# it was loaded"; return 1; }
	need=$(dmesg | sed -nE 's/.*for 1536 blocks the metadata device needs at least ([0-9]+) sectors.*/\1/p' | tail -n 1)
	[ "$need" = $(((32 + 2 * 19 + 64) * 8)) ] || { echo "# it says \"$need\""; return 1; }
	piece m meta "$need" && dmsetup load c --table "$(table)" && dmsetup resume c &&
		slots_are 1536 && same
}

# ---- crashes

mark() { dmsetup message lw 0 mark "$1"; }

# resized <n> <sectors of the cache>: between the marks a<n> and b<n>; what is there before is kept
resized()
{
	dmsetup suspend c && dd if=/dev/mapper/ssd of="/tmp/ssd$1" bs=1M count="$SSD_USED" iflag=direct status=none &&
		dd if=/dev/mapper/org of="/tmp/org$1" bs=1M iflag=direct status=none && cp /tmp/want "/tmp/want$1" &&
		piece_s "$2" || return 1
	echo "$2" >"/tmp/size$1"
	mark "a$1"
	dmsetup resume c && mark "b$1" && slots_are $(($2 / BS)) && same
}

record()
{
	piece_s $((768 * BS)) && create && scribble 300 && resized 1 $((1536 * BS)) &&
		scribble 100 && resized 2 $((1540 * BS)) && scribble 100 && drained &&
		resized 3 $((500 * BS)) && scribble 100 && resized 4 $((1900 * BS)) && drained &&
		resized 5 $((1890 * BS))
}

# faults: owner-host power-loss idle
judge()	# <entry> <mark before> <mark behind> <die>
{
	local n=${2#?} size
	read -r size <"/tmp/size$n"
	dd if="/tmp/ssd$n" of=/dev/mapper/ssd bs=1M oflag=direct status=none &&
		dd if="/tmp/org$n" of=/dev/mapper/org bs=1M oflag=direct status=none &&
		cp "/tmp/want$n" /tmp/want && piece_s "$size" || return 1
	if ! create; then
		echo "# point $*, SEED=$SEED: it does not load"
		return 1
	fi
	if slots_are $((size / BS)) && same && dmsetup remove c && create && same; then
		dmsetup remove c
		return
	fi
	echo "# point $*, SEED=$SEED"
	dmsetup remove c
	return 1
}

judge_all()
{
	local line bad=0 tried=0 n
	for n in 1 2 3 4 5; do
		"$REPLAY" /dev/mapper/log points "a$n" "b$n" "$POINTS" $((SEED + n))
	done >/tmp/points
	coproc image { exec "$REPLAY" /dev/mapper/log image /dev/mapper/m; }
	while read -r line <&3; do
		echo "$line" >&"${image[1]}"
		read -r line <&"${image[0]}" || { echo "# no image"; return 1; }
		tried=$((tried + 1))
		# shellcheck disable=SC2086	# four words
		judge $line || bad=$((bad + 1))
	done 3</tmp/points
	eval "exec ${image[1]}>&-"
	echo "# crashes tried $tried, violations $bad, SEED=$SEED"
	[ "$tried" -gt 20 ] && [ "$bad" = 0 ]
}

cleanup()
{
	local d
	for d in c m s o lw; do
		dmsetup remove --retry "$d" 2>/dev/null
	done
}

dev_null meta 1 && dev_null ssd 16 && dev_null org 8 && dev_null log 256 || exit 1
at_exit cleanup
piece m meta $META && piece_s $((768 * BS)) && piece o org $ORG || exit 1
create && scribble 200
ktap_test "the cache grows" cs $((1536 * BS))
scribble 100
ktap_test "and by less than a page of the table" cs $((1540 * BS))
scribble 100
ktap_test "its end is dirty: no shrinking" cs_refused $((800 * BS)) $((1540 * BS)) \
	"unable to shrink cache; cache block [0-9]+ is dirty"
drained
ktap_test "all is clean: it shrinks" cs $((500 * BS))
scribble 100
ktap_test "larger at the next start" again_cs $((1900 * BS))
drained
ktap_test "smaller at the next start" again_cs $((400 * BS))
scribble 50
ktap_test "the origin grows, its last page dirty" org $((ORG + 5))
scribble 50
ktap_test "and again, from the midst of a page" org $((ORG + 2048))
scribble 50
ktap_test "and from one start to the next" again_org $ORG_MAX
ktap_test "dirty blocks beyond: the origin does not shrink" org_refused $((ORG_MAX - 8))
drained
truncate -s $(((ORG_MAX - 1027) * 512)) /tmp/want
ktap_test "clean: it shrinks" org $((ORG_MAX - 1027))
scribble 50
dd if=/dev/zero of=/dev/mapper/org bs=512 seek="$ORG" oflag=direct conv=notrunc status=none 2>/dev/null # what was cut off is not what it was
ktap_test "and grows" org $ORG_MAX
ktap_test "no room in the metadata" no_room
dmsetup remove c

dmsetup remove m; ORG=$ORG_MAX; blkdiscard -z /dev/mapper/meta
piece o org $ORG
dmsetup create lw --table "0 $META log-writes /dev/mapper/meta /dev/mapper/log" &&
	dmsetup create m --table "0 $META linear /dev/mapper/lw 0" || exit 1
ktap_test "resizes are recorded" record
dmsetup remove c; dmsetup remove m; dmsetup remove lw
piece m meta $META
ktap_test "a crash at any time leaves metadata that load" judge_all
check_dmesg
ktap_done
