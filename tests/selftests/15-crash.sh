#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1024 smp=2 timeout=400 modules=dm-circle,null_blk,brd,dm-log-writes
#
# Crashes at many moments of one history: metadata, cache and origin are parts of one device under
# dm-log-writes. What a power loss could have left after some write of the log, exactly, or with what
# was not flushed lost or torn, is put on another device, loaded and judged (tests/tools/crash_images.py,
# crash_judge.py). `make crash-sweep` does this for every write. Arguments: SEED=n, PICK=n (so many
# moments by chance; 0: all), BATCHES=n, MIX=... (circle-history's); RECORD=1: leave the recording in
# /vm/out; FROM=directory: judge what RECORD=1 left there; more words for crash_judge.py: WORDS=...
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
JUDGE=$REPO/tests/tools/crash_judge.py
TRACE=/sys/kernel/tracing
SEED=${SEED:-$(($(date +%N | sed 's/^0*//;s/^$/1/') % 100000))}
PICK=${PICK:-40}
BATCHES=${BATCHES:-20}
MIX=${MIX:-write=56,read=26,flush=4,fua=6,discard=8}
META=784 SSD=1536 ORG=4096 BLOCK=32	# sectors; 47 slots, 128 blocks; the smallest journal
DIR=/tmp/recorded

parts()	# <device>
{
	dmsetup create meta --table "0 $META linear $1 0" &&
		dmsetup create ssd --table "0 $SSD linear $1 $META" &&
		dmsetup create org --table "0 $ORG linear $1 $((META + SSD))" || return 1
	at_exit "dmsetup remove meta ssd org 2>/dev/null"
}

create() { dmsetup create c --table "$(table_of "$ORG" meta ssd org "$BLOCK")"; }
reload()	# <mode>
{
	dmsetup reload c --table "$(table_of "$ORG" meta ssd org "$BLOCK" "1 $1 default 0")" && dmsetup resume c
}

run()
{
	"$HISTORY" run --resume --dev /dev/mapper/c --log "$DIR/history" --seed "$SEED" --marks lw \
		--threads 3 --overlap "$@" >/tmp/out || { cat /tmp/out; return 1; }
}

# The hot blocks leave the cache, are promoted by reads, and are durably clean without an intent (R1a)
# when they are overwritten. Whatever was written keeps its intent until it is evicted.
over_clean()
{
	circle_drain c && reload passthrough && dmsetup message c 0 invalidate_cblocks 0-$((SSD / BLOCK - 1)) &&
		reload writeback && run --ops 40 --hot 100 --mix read=100 --sizes 16384 &&
		run --ops 1 --mix flush=1 && run --ops 8 --hot 100 --mix write=100 --sizes 4096 &&
		run --ops 8 --hot 100 --mix write=100 --sizes 4096
}

# What is done between two batches. The pages that a drain leaves are clean, after the FLUSH durably so,
# and overwritten next.
between()
{
	case $(($1 % 6)) in
	1) circle_drain c && run --ops 1 --mix flush=1 ;;
	3) over_clean ;;
	2) dmsetup suspend c && dmsetup resume c ;;
	4) wait_for 120 "write-back" circle_is_clean c ;;	# of its own accord
	5) dmsetup remove c && create ;;
	esac
}

record()
{
	local i
	"$HISTORY" init --dev /dev/mapper/c --log "$DIR/history" --seed "$SEED" >/tmp/out &&
		dmsetup message lw 0 mark begin || return 1
	echo 1 >"$TRACE/events/dm_circle/circle_plan/enable" || return 1
	for ((i = 1; i <= BATCHES; i++)); do
		run --ops 54 --hot 60 --mix "$MIX" --sizes 512,1024,4096,4096,16384,32768 &&
			between "$i" || return 1
	done
	demotions=$(circle_status c 9)
	dmsetup remove c meta ssd org lw && "$REPO/tests/tools/log_replay.py" /dev/mapper/log save "$DIR/log"
}

# There are enough of them: <name> <number> <at least>
many()
{
	echo "#   $1: $2"
	[ "$2" -ge "$3" ] || { echo "# too few $1, wanted $3"; few=1; }
}

happened()
{
	local name n few=
	"$JUDGE" census "$DIR" 256 272 >/tmp/census || return 1
	echo "# the workload, SEED=$SEED:"
	while read -r name n; do
		many "$name" "$n" 5
	done </tmp/census
	many "evictions" "$demotions" 5
	many "writes over clean pages" "$(grep -c 'circle_plan: .* plan intent' "$TRACE/trace")" 5
	many "writes that fill a page" "$(grep -c 'circle_plan: .* plan fill' "$TRACE/trace")" 5
	[ -z "$few" ]
}

# faults: owner-host power-loss writing,flushing,writing-back
# faults: owner-ssd power-loss writing,flushing,writing-back
# faults: owner-meta power-loss writing,flushing,writing-back
# faults: origin power-loss writing,flushing,writing-back
judge()	# <words for crash_judge.py>
{
	modprobe brd rd_nr=1 rd_size=16384 max_part=0
	"$JUDGE" judge "${FROM:-$DIR}" /dev/ram0 "$SEED" "$META" "$SSD" "$ORG" "$BLOCK" "$@"
}

modprobe dm-log-writes || skip_all "no dm-log-writes"
at_exit 'dmsetup remove --retry c i 2>/dev/null'
echo 1 >/sys/kernel/rcu_expedited	# devices come and go faster
if [ -z "${FROM-}" ]; then
	mkdir "$DIR"
	dev_null big 4 && dev_null log 256 || exit 1
	at_exit 'dmsetup remove --retry lw 2>/dev/null'
	dmsetup create lw --table "0 8192 log-writes /dev/mapper/big /dev/mapper/log" || exit 1
	parts /dev/mapper/lw || exit 1
	ktap_test "create" create || exit 1
	ktap_test "a history is recorded" record || exit 1
	ktap_test "it has all that it should" happened
	echo 0 >"$TRACE/events/dm_circle/circle_plan/enable"
	ktap_test "a history that does not fit is noticed" judge notice=1
fi
if [ -n "${RECORD-}" ]; then
	"$JUDGE" count "$DIR" >"$DIR/prefixes" && cp "$DIR"/* /vm/out/ || exit 1
else
	# shellcheck disable=SC2086	# words
	ktap_test "no crash loses what was flushed" judge "pick=$PICK" ${WORDS-}
fi
check_dmesg
ktap_done
