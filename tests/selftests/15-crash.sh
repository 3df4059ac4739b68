#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1024 smp=2 timeout=400 modules=dm-circle,null_blk,dm-log-writes
#
# Crashes at many moments of one history: metadata, cache and origin are parts of one device under
# dm-log-writes. What a power loss could have left at some entry of the log, what was not flushed
# lost in part, is put on another device, loaded and judged. Arguments: SEED=n (repeats the choice),
# POINTS=n (moments), FULL=1 (all of them), MIX=... (circle-history's), BATCHES=n.
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
SEED=${SEED:-$(($(date +%N | sed 's/^0*//;s/^$/1/') % 100000))}
POINTS=${POINTS:-30}
[ -z "${FULL-}" ] || POINTS=1000000
BATCHES=${BATCHES:-12}
MIX=${MIX:-write=60,read=30,discard=10}
META=2048 SSD=6144 ORG=16384	# sectors; 96 slots of 64 sectors, 256 blocks
declare -A SIZE			# of the history's log at a mark

parts()	# <device> <prefix>: its three parts
{
	dmsetup create "$2meta" --table "0 $META linear $1 0" &&
		dmsetup create "$2ssd" --table "0 $SSD linear $1 $META" &&
		dmsetup create "$2org" --table "0 $ORG linear $1 $((META + SSD))" || return 1
	at_exit "dmsetup remove $2meta $2ssd $2org 2>/dev/null"
}

create() { dmsetup create "$1" --table "$(table_of "$ORG" "$2meta" "$2ssd" "$2org" 64)"; }

mark()
{
	dmsetup message lw 0 mark "$1"
	SIZE[$1]=$(stat -c %s /tmp/h)
}

run() { "$HISTORY" run --resume --dev /dev/mapper/c --log /tmp/h --seed "$SEED" "$@" >/tmp/out; }

# What is done between two batches; the pages that a drain leaves are clean, and overwritten next.
between()
{
	case $(($1 % 6)) in
	1 | 3) circle_drain c ;;
	2) dmsetup suspend c && dmsetup resume c ;;
	4) sleep 1.5 ;;			# the tick commits, write-back begins
	5) dmsetup remove c && create c "" ;;
	esac
}

# A batch has no FLUSH and no FUA in it (dm-log-writes puts a FUA before older unflushed writes);
# then one FLUSH. So until mark f<n> nothing of batch n is promised.
record()
{
	local i
	"$HISTORY" init --dev /dev/mapper/c --log /tmp/h --seed "$SEED" >/tmp/out || return 1
	mark f0
	for ((i = 1; i <= BATCHES; i++)); do
		run --ops 90 --threads 3 --hot 60 --mix "$MIX" \
			--sizes 512,4096,4096,16384,32768 || return 1
		mark "w$i"
		run --ops 1 --mix flush=1 || return 1
		mark "f$i"
		between "$i" || return 1
	done
	dmsetup remove c
}

# One image. The origin is looked at too, when all is written back: it must have what was shown.
judge()	# <entry> <mark before> <mark behind> <die>
{
	local rc
	head -c "${SIZE[w${3#[wf]}]}" /tmp/h >/tmp/cut
	create i i || { echo "# point $*: it does not load"; return 1; }
	"$HISTORY" check --dev /dev/mapper/i --log /tmp/cut --allow flushed --record >/tmp/out
	rc=$?
	[ $((TRIED % 3)) != 0 ] || circle_drain i || rc=1
	dmsetup remove i || return 1
	if [ "$rc" = 0 ] && [ $((TRIED % 3)) = 0 ]; then
		"$HISTORY" check --dev /dev/mapper/iorg --log /tmp/cut --allow all >/tmp/out || rc=$?
	fi
	[ "$rc" = 0 ] && return
	echo "# point $*, SEED=$SEED: exit $rc"
	grep -m 3 violation: /tmp/out | sed 's/^/# /'
	cp /tmp/cut "/vm/out/history.$1"
	return 1
}

judge_all()
{
	local line bad=0
	TRIED=0
	coproc image { exec "$REPLAY" /dev/mapper/log image /dev/mapper/img; }
	while read -r line <&3; do
		echo "$line" >&"${image[1]}"
		read -r line <&"${image[0]}" || { echo "# no image"; return 1; }
		TRIED=$((TRIED + 1))
		# shellcheck disable=SC2086	# four words
		judge $line || bad=$((bad + 1))
	done 3</tmp/points
	eval "exec ${image[1]}>&-"
	echo "# prefixes tried $TRIED, violations $bad, SEED=$SEED"
	[ "$TRIED" -gt 0 ] && [ "$bad" = 0 ]
}

# Would we notice? A history that has a FLUSH more than the image.
notices()
{
	local n
	n=$("$REPLAY" /dev/mapper/log list | awk '$5 == "f2" { print $1 }')
	echo "$n f2 w3 0" | "$REPLAY" /dev/mapper/log image /dev/mapper/img >/tmp/out || return 1
	head -c "${SIZE[w6]}" /tmp/h >/tmp/cut
	create i i || return 1
	"$HISTORY" check --dev /dev/mapper/i --log /tmp/cut --allow flushed >/tmp/out
	n=$?
	dmsetup remove i
	[ "$n" = 2 ]
}

modprobe dm-log-writes || skip_all "no dm-log-writes"
at_exit 'dmsetup remove --retry c 2>/dev/null; dmsetup remove --retry i 2>/dev/null'
dev_null big 12 && dev_null log 256 && dev_null img 12 || exit 1
at_exit 'dmsetup remove --retry lw 2>/dev/null'
dmsetup create lw --table "0 24576 log-writes /dev/mapper/big /dev/mapper/log" || exit 1
parts /dev/mapper/lw "" && parts /dev/mapper/img i || exit 1
ktap_test "create" create c "" || exit 1
ktap_test "a history is recorded" record || exit 1
dmsetup remove meta ssd org && dmsetup remove lw || exit 1	# ends the log
"$REPLAY" /dev/mapper/log points f0 "f$BATCHES" "$POINTS" "$SEED" >/tmp/points || exit 1
ktap_test "a history that does not fit is noticed" notices
ktap_test "no crash loses what was flushed" judge_all
check_dmesg
ktap_done
