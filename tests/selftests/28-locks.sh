#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1024 smp=4 timeout=400 modules=dm-circle,null_blk kernels=newest
#
# What locks a hit takes: its shard's, one of 64, and no other of ours; how often; who waits for whom
# when four CPUs hit at once. Counters are per CPU.
#
# No kernel of a distribution has lock statistics, and lock:contention_begin says nothing of
# spinlocks in a virtual machine (they spin there before it is reached). So: a probe at the entry of each
# function that takes a lock, and that our module calls, tells lock and caller; probes at circle_map(),
# circle_end_io() and their ends tell whose they are. Who has to wait for a spinlock, enters
# native_queued_spin_lock_slowpath(). Probes by fprobe, which misses nothing in interrupts.
# shellcheck disable=SC2016,SC2317	# the kernel's own dollars; called by ktap_test

# shellcheck source=tests/lib/ktap.sh
. "$REPO/tests/lib/ktap.sh"
# shellcheck source=tests/lib/nodes.sh
. "$REPO/tests/lib/nodes.sh"
# shellcheck source=tests/lib/circle.sh
. "$REPO/tests/lib/circle.sh"
ktap_header

TRACE=/sys/kernel/tracing
PROBES=$TRACE/events/hits
CPUS=/sys/devices/system/cpu
JOBS=4
IOS=250			# of each job, with every lock recorded
RACE_IOS=3000		# of each job, to see them wait
SHARDS=64
READ_TAKES=2		# times that a hit takes the shard's lock: when it begins, when it ends
WRITE_TAKES=2
ODD=2			# percent: hits that met write-back, or were under way at either end

# Where the module's code is: its first function to the end of the page with its last one.
text_of_module()
{
	local first last
	read -r first last < <(awk '$4 == "[dm_circle]" && tolower($2) == "t" { print $1 }' \
		/proc/kallsyms | sort | sed -n '1p;$p' | xargs)
	[ -n "$last" ] || return 1
	TEXT=0x$first
	TEXT_END=0x$(printf '%x' $(((0x$last | 4095) + 1)))
}

probe() { echo "f$1:hits/$2 $3" >>"$TRACE/dynamic_events"; }	# <most at a time> <name> <what>

from_module() { echo "$1 >= $TEXT && $1 < $TEXT_END" >"$2/filter"; }	# <field> <event>

# One CPU while code is changed: an emulated one has been seen to trap on a breakpoint that was not
# there any more, which kills the kernel.
one_cpu() { local c; for c in 1 2 3; do echo 0 >"$CPUS/cpu$c/online" || return 1; done; }
all_cpus() { local c; for c in 1 2 3; do echo 1 >"$CPUS/cpu$c/online" || return 1; done; }

probes_end()
{
	one_cpu
	echo 0 >"$TRACE/events/hits/enable"
	: >"$TRACE/dynamic_events"
	all_cpus
}

# Who has to wait; and the device, whose counters are seen to be per CPU.
begin()
{
	local event=$TRACE/events/percpu/percpu_alloc_percpu
	[ -e "$TRACE/trace" ] || mount -t tracefs nodev "$TRACE" || return 1
	text_of_module && one_cpu || return 1
	at_exit probes_end
	probe "" slow 'native_queued_spin_lock_slowpath lock=$arg1:x64' &&
		from_module call_site "$event" && : >"$TRACE/trace" && echo 1 >"$event/enable" &&
		circle_create c /dev/mapper/org 128 /dev/mapper/meta /dev/mapper/ssd || return 1
	echo 0 >"$event/enable"
	grep -o 'call_site=[^ ]*\|\bsize=[0-9]*' "$TRACE/trace" | xargs | sed 's/^/# /'
	all_cpus && grep -q 'call_site=.*\[dm_circle\].* size=' "$TRACE/trace"
}

# What the module calls to take a lock, or to have something done by others.
probes()
{
	local f calls
	calls=$(nm -u "$(modinfo -n dm-circle)" | awk '{ print $2 }' |
		grep -E '^(_raw_[a-z]+_(try)?lock|mutex_(try)?lock|down_|queue_(delayed_)?work|mod_delayed)')
	echo "# probed: $(xargs <<<"$calls")"
	one_cpu || return 1
	probe "" map 'circle_map bio=$arg2:x64' && probe "" end 'circle_end_io bio=$arg1:x64' &&
		probe 256 map_over 'circle_map%return' &&
		probe 256 end_over 'circle_end_io%return' || return 1
	for f in $calls; do
		probe "" "${f#_raw_}" "$f what=\$arg1:x64 from=\$stack0:x64 at=\$stack0:symbol" &&
			from_module from "$PROBES/${f#_raw_}" || return 1
	done
	echo 16384 >"$TRACE/buffer_size_kb"
	echo 0 >"$TRACE/tracing_on"
	echo 1 >"$PROBES/enable" && echo 0 >"$PROBES/slow/enable" && all_cpus
}

# record <command...>: what is probed meanwhile is left in /tmp/trace
record()
{
	local r
	: >"$TRACE/trace"
	echo 1 >"$TRACE/tracing_on"
	"$@"
	r=$?
	echo 0 >"$TRACE/tracing_on"
	if grep -hE '^(overrun|dropped events): [1-9]' "$TRACE"/per_cpu/cpu*/stats; then
		echo "# the trace has holes"
		return 1
	fi
	# pid, cpu, event, arguments
	sed -nE 's/^.*-([0-9]+) +\[([0-9]+)\] .* [0-9]+\.[0-9]+: ([a-z_]+): \([^)]*\) ?(.*)$/\1 \2 \3 \4/p' \
		"$TRACE/trace" >/tmp/trace
	return "$r"
}

# One line per hit: cpu, acquisitions, locks, things queued, and who did it, in order: what ran within
# circle_map() and circle_end_io() of its bio. An interrupt has the pid of whom it interrupts, and ends
# before that goes on.
hits()
{
	awk '
	{ who = $1 ? $1 : "cpu" $2 }
	$3 == "map" || $3 == "end" {
		bio = $4
		stack[who, ++depth[who]] = bio
		if ($3 == "map") {
			known[bio] = 1; ended[bio] = 0; n[bio] = 0; queued[bio] = 0; locks[bio] = ""; by[bio] = ""
			cpu[bio] = $2
		} else {
			ended[bio] = 1
		}
		open[bio]++
		next
	}
	$3 ~ /_over$/ {
		if (!depth[who]) next
		bio = stack[who, depth[who]--]
		if (--open[bio] || !ended[bio] || !known[bio]) next
		print cpu[bio], n[bio], locks[bio] == "" ? "-" : locks[bio], queued[bio], by[bio]
		known[bio] = 0
		next
	}
	depth[who] {
		bio = stack[who, depth[who]]
		at = $6; sub(/^at=/, "", at); sub(/\+.*/, "", at)
		by[bio] = by[bio] " " at
		if ($3 ~ /work/) { queued[bio]++; next }
		n[bio]++
		if ($3 !~ /^spin_lock/) { locks[bio] = locks[bio] "," $3; next }
		lock = substr($4, 6)
		if (index("," locks[bio] ",", "," lock ",")) next
		locks[bio] = locks[bio] == "" ? lock : locks[bio] "," lock
	}' /tmp/trace >/tmp/hits
}

# load <rw> <I/Os of each job> [<size>]: four jobs, one I/O at a time, each on a CPU of its own
load()
{
	fio --name=l --filename="$DEV" --direct=1 --ioengine=psync --rw="$1" --bs=4k --thread \
		--numjobs="$JOBS" --io_size=$(($2 * 4))k --norandommap --size="${3:-${MIB}M}" --cpus_allowed=0-3 \
		--cpus_allowed_policy=split --minimal >/tmp/fio 2>&1 || { tail -n 5 /tmp/fio; return 1; }
}

counted() { echo $(($(circle_status "$NAME" "$1"))); }	# <field>: 5 read hits, 7 write hits

# All were hits, and each was counted, though nobody locks the counters.
record_hits()	# <rw> <field>
{
	local before after
	before=$(counted "$2")
	record load "$1" "$IOS" || return 1
	after=$(counted "$2")
	hits
	echo "# $((after - before)) hits counted, $(wc -l </tmp/hits) seen"
	[ $((after - before)) = $((JOBS * IOS)) ]
}

# who took them, how often: the most frequent ways
ways() { awk '{ $1 = $3 = ""; print }' /tmp/hits | sort | uniq -c | sort -rn | head -n "$1" | sed 's/^ */# /'; }

# One lock, a spinlock; at most so many times. 1: no; 2: too many of them had to wait, or were not seen
# from their beginning to their end.
judge_locks()	# <times>
{
	ways 5
	awk -v most="$1" -v all=$((JOBS * IOS)) -v odd="$ODD" '
		$3 ~ /,/ || $3 == "-" || $2 > most { if (!bad++) print "# " $0 }
		$4 { queued++ }
		END {
			printf "# %d hits: %d with another lock, or none, or too often; %d queued work\n", NR, bad, queued
			if (bad) exit 1
			exit queued * 100 > all * odd || NR * 100 < all * (100 - odd) ? 2 : 0
		}' /tmp/hits
}

# As recorded last. A machine that stands still in the midst of write-back makes many hits wait for it:
# then they are recorded again, at most twice; not if any took another lock.
one_lock()	# <times> <rw> <field>
{
	local i rc
	for i in 1 2 3; do
		judge_locks "$1"
		rc=$?
		[ "$rc" = 2 ] && [ "$i" -lt 3 ] || return "$rc"
		echo "# try $i: met write-back"
		record_hits "$2" "$3" || return 1
	done
}

# The locks stand in an array, each in a cache line of its own; all are in use, none much more than others.
spread()
{
	cut -d' ' -f3 /tmp/hits | grep -v -e , -e - | sort | uniq -c | sort -k2 >/tmp/shards
	local n=0 most=0 lock last="" step=""
	local -i count gap
	while read -r count lock; do
		n=$((n + 1))
		[ "$count" -le "$most" ] || most=$count
		if [ -n "$last" ]; then
			gap=$((lock - last))
			[ -n "$step" ] || step=$gap
			[ "$step" = "$gap" ] || step=unequal
		fi
		last=$lock
	done </tmp/shards
	echo "# $n locks, $step bytes apart; the busiest has $most of $(wc -l </tmp/hits) hits"
	[ "$n" = "$SHARDS" ] && [ "$step" != unequal ] && [ $((step % 64)) = 0 ] &&
		[ $((most * SHARDS)) -le $((4 * $(wc -l </tmp/hits))) ]
}

on_all_cpus() { [ "$(cut -d' ' -f1 /tmp/hits | sort -u | wc -l)" = "$JOBS" ]; }

# race <rw> <size> <file>: a line for each lock that somebody had to wait for: lock, how often
race()
{
	local trigger=hist:keys=lock.hex:size=4096
	echo "$trigger" >"$PROBES/slow/trigger" || return 1
	load "$1" "$RACE_IOS" "$2" || return 1
	grep -oE 'lock: *[0-9a-f]+ .*hitcount: *[0-9]+' "$PROBES/slow/hist" |
		sed -E 's/lock: *([0-9a-f]+) .*hitcount: *([0-9]+)/0x\1 \2/' >"$3"
	echo "!$trigger" >"$PROBES/slow/trigger"
}

# waits <file>: for locks of ours; for any
waits()
{
	awk 'NR == FNR { ours[$2]; next } $1 in ours { n += $2 } { all += $2 }
		END { print n + 0, all + 0 }' /tmp/shards "$1"
}

seldom()	# <file of race>
{
	local ours any
	read -r ours any < <(waits "$1")
	echo "# $((JOBS * RACE_IOS)) I/Os, $ours waits for locks of ours, $any for any"
	[ $((ours * 100)) -le $((JOBS * RACE_IOS)) ]
}

# This is what it looks like when they do wait; if a busy host lets our CPUs run at the same time. If
# nobody ever waited for any lock, in none of the races, then it is not seen.
crowded()
{
	local apart here ours any race all=0
	for race in read write one; do
		read -r ours any < <(waits "/tmp/race.$race")
		echo "# race.$race: $((JOBS * RACE_IOS)) I/Os, $ours waits for locks of ours, $any for any"
		all=$((all + any))
		[ "$race" != read ] || apart=$ours
		here=$ours
	done
	[ "$here" -gt "$apart" ] && return
	[ "$all" -gt 0 ] || return 1
	KTAP_REASON="the host seldom ran two of our CPUs at a time"
	return 4
}

fill() { dd if=/dev/zero of="$DEV" bs=1M count="$MIB" oflag=direct status=none; }

local_cache()
{
	dev_null ssd 64 && dev_null meta 8 && dev_null org 41 || return 1
	NAME=c DEV=/dev/mapper/c MIB=40
	ktap_test "the counters are per CPU" begin || return 1
	ktap_test "all is cached" fill
	ktap_test "and clean" circle_drain c
	ktap_test "4 x $RACE_IOS read hits" race randread ${MIB}M /tmp/race.read
	ktap_test "the same in one block" race randread 64k /tmp/race.one
	# A clean block's first write commits its intent. Here all are dirty, and stay so.
	ktap_test "nothing is written back" dev_fail_writes org
	ktap_test "all is dirty" fill
	ktap_test "4 x $RACE_IOS write hits" race randwrite ${MIB}M /tmp/race.write
	ktap_test "probes" probes || return 1
	ktap_test "4 x $IOS write hits, all counted" record_hits randwrite 7
	ktap_test "a write hit takes its shard's lock and no other of ours" one_lock $WRITE_TAKES randwrite 7
	ktap_test "the origin is back" dev_heal org
	ktap_test "4 x $IOS read hits, all counted" record_hits randread 5
	ktap_test "on 4 CPUs" on_all_cpus
	ktap_test "a read hit takes its shard's lock and no other of ours" one_lock $READ_TAKES randread 5
	ktap_test "the hits are spread over $SHARDS shards" spread
	ktap_test "readers seldom wait for one another" seldom /tmp/race.read
	ktap_test "in one block they do" crowded
	ktap_test "writers seldom wait for one another" seldom /tmp/race.write
	ktap_test "remove" dmsetup remove c
}

replicates() { circle_view_is 1 1 && [ "$(circle_status c1 floor)" = 1 ]; }

# These have others to tell: circle->lock, the peer's, the connection's. To be seen, not judged.
replicated()
{
	record load randwrite 25 && hits && ways 5
}

circle()
{
	node_add 1 && node_add 2 && circle_node_devices 1 16 && circle_node_devices 2 16 || return 1
	NAME=c1 DEV=/dev/mapper/c1 MIB=4 IOS=50
	ktap_test "an owner" circle_node_create 1 1 2
	ktap_test "its peer" circle_node_create 2 0 ""
	ktap_test "and may be slow" circle_patient 1
	ktap_test "which counts" wait_for 30 "floor 1" replicates
	ktap_test "all is cached there" fill
	ktap_test "4 x $IOS read hits there" record_hits randread 5
	ktap_test "they take no more" one_lock $READ_TAKES randread 5
	ktap_test "replicated writes" replicated
	ktap_test "remove both" dmsetup remove c1 c2
}

local_cache && circle
check_dmesg
ktap_done
