#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=500 modules=dm-circle,null_blk kernels=newest
#
# Three nodes as network namespaces: what sysfs shows and takes, what it does under load, when it is
# there and when it is gone, and the tracepoints.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/ktap.sh
. "$REPO/tests/lib/ktap.sh"
# shellcheck source=tests/lib/nodes.sh
. "$REPO/tests/lib/nodes.sh"
# shellcheck source=tests/lib/circle.sh
. "$REPO/tests/lib/circle.sh"
ktap_header

SIZE=33554432
TRACE=/sys/kernel/tracing
COMMON="cache_errors dirty_bytes drain_eta free_slots generation hung mode state used_slots lost_bytes origin_errors retired_slots"
CIRCLE="at_risk_bytes degree degree_now floor healed leaving lend lent_bytes parked relied_on replicas_held revived role timeout_ms view"
PEER="address away bit in_view lost space state wanted"

disk_of() { dm_dir "$1" && echo "${REPLY##*/}"; }
dir() { dm_dir "c$1" && echo "$REPLY/circle"; }
get() { local line; dm_dir "c$1" && IFS= read -r line <"$REPLY/circle/$2" && echo "$line"; }	# <node> <file>
put() { dm_dir "c$1" && echo "$3" 2>/dev/null >"$REPLY/circle/$2"; }	# <node> <file> <value>
is()	# <node> <file> <value>
{
	local -a lines
	dm_dir "c$1" && mapfile -t lines <"$REPLY/circle/$2" && [ "${#lines[@]} ${lines[0]}" = "1 $3" ]
}
hist() { "$HISTORY" "$1" --dev /dev/mapper/c1 --log /tmp/h --size $SIZE "${@:2}"; }

# Exactly these files, each of one line.
shows()	# <directory> "<files>"
{
	local f
	local -a lines there=() want
	for f in "$1"/*; do
		[ ! -f "$f" ] || there+=("${f##*/}")
	done
	read -ra want <<<"$2"
	[ ${#there[@]} = ${#want[@]} ] || { echo "# ${there[*]}"; return 1; }
	for f in "${want[@]}"; do
		[[ " ${there[*]} " == *" $f "* ]] || { echo "# no $f: ${there[*]}"; return 1; }
		mapfile lines <"$1/$f"
		[[ "${#lines[@]} ${lines[0]}" == "1 "*$'\n' ]] || { echo "# $f is not one line"; return 1; }
	done
}

all_read()	# <node> "<peers>"
{
	local p dir
	dir=$(dir "$1")
	shows "$dir" "$COMMON $CIRCLE" || return 1
	[ "$(ls "$dir/peers")" = "${2// /$'\n'}" ] || return 1
	for p in $2; do
		shows "$dir/peers/$p" "$PEER" || return 1
	done
}

values()
{
	is 1 generation "$(circle_status c1 generation)" && is 1 state live && is 1 mode writeback &&
		is 1 free_slots "$(circle_status c1 free)" && is 1 degree 1 && is 1 role owner &&
		is 1 timeout_ms 30000 && is 1 lend 50 && is 1 view "2 3" && is 1 degree_now 1 &&
		is 1 peers/2/address 10.78.0.2:7000 && is 1 peers/2/state ready &&
		is 1 peers/3/in_view 1 && is 1 peers/2/bit 0 && is 1 peers/3/bit 1 && is 1 peers/2/lost 0
}

# Refused, and nothing has changed.
bad()	# <file> <values...>
{
	local file=$1 old v
	shift
	old=$(get 1 "$file") || return 1
	for v in "$@"; do
		! put 1 "$file" "$v" || { echo "# $file took '$v'"; return 1; }
		is 1 "$file" "$old" || { echo "# $file: '$v' changed it"; return 1; }
	done
}

# What new nodes begin with. `echo` says itself what was refused.
module_takes()
{
	local v file=/sys/module/dm_circle/parameters/timeout_ms
	for v in 99 60001 0 -5 x ""; do
		! echo "$v" 2>/dev/null >"$file" || { echo "# the module took '$v'"; return 1; }
		[ "$(<"$file")" = 2000 ] || { echo "# '$v' changed it"; return 1; }
	done
	for v in 100 60000 30000; do
		circle_timeout "$v" || return 1
		[ "$(<"$file")" = "$v" ] || { echo "# the module did not take $v"; return 1; }
	done
}

read_only()
{
	local f
	for f in $COMMON ${CIRCLE//degree /} peers/2/state peers/2/lost; do
		case $f in
		degree | lend | timeout_ms) continue ;;
		esac
		get 1 "$f" >/dev/null || return 1
		! put 1 "$f" 1 || { echo "# $f took a value"; return 1; }
	done
}

load()
{
	while [ -e /tmp/go ]; do
		hist run --resume --seconds 3 --threads 2 --pause 2000 || return 1
	done >/tmp/load 2>&1
}

load_begin() { touch /tmp/go; load & LOAD=$!; }
writing() { kill -0 "$LOAD"; }
load_end() { rm /tmp/go; wait "$LOAD" || { tail -n 5 /tmp/load; return 1; }; }
more_than() { [ "$(get "$1" "$2")" -gt "$3" ]; }

# Until a look comes in time: what is at risk is written back at once.
degree_up()
{
	local d n i
	d=$(dir 1)
	for ((i = 0; i < 20; i++)); do
		echo 2 >"$d/degree" && read -r n <"$d/at_risk_bytes" || return 1
		[ "$n" = 0 ] || return 0
		put 1 degree 1 && wait_for 30 "floor 1" is 1 floor 1 &&
			wait_for 30 "dirty blocks" more_than 1 dirty_bytes 1000000 || return 1
	done
	return 1
}

reload()	# <node> [<table line>]
{
	dmsetup load "c$1" --table "${2:-$(dmsetup table "c$1")}" && dmsetup resume "c$1"
}

reload_keeps()
{
	local inode gen
	inode=$(stat -c %i "$(dir 1)/peers/2/space") && gen=$(get 1 generation) && put 1 timeout_ms 12340 &&
		reload 1 && [ "$(stat -c %i "$(dir 1)/peers/2/space")" = "$inode" ] &&
		is 1 generation "$gen" && is 1 timeout_ms 12340 && all_read 1 "2 3" && put 1 timeout_ms 30000
}

while_suspended()
{
	local r=0
	dmsetup suspend c1 && all_read 1 "2 3" && is 1 state quiet || r=1
	dmsetup resume c1 && is 1 state live && return "$r"
}

lost_in_time()
{
	local lost begin took
	put 1 timeout_ms 6000 && is 1 view "2 3" && lost=$(get 1 peers/3/lost) || return 1
	begin=$(now_ms)
	link_down 3
	wait_for 60 "peer 3 to leave" is 1 peers/3/in_view 0 || return 1
	took=$(($(now_ms) - begin))
	echo "# out of the view after $took ms"
	wait_for 30 "the loss to be counted" more_than 1 peers/3/lost "$lost" &&
		wait_for 30 "it to be down" is 1 peers/3/state down &&
		wait_for 30 "the view" is 1 view 2 && [ "$took" -ge 4000 ]
}

back_again()
{
	link_up 3
	put 1 timeout_ms 30000 && wait_for 60 "peer 3 to be back" is 1 view "2 3"
}

# What peers lend is said with each answer, also to a heartbeat.
no_space()
{
	put 2 lend 0 && put 3 lend 0 && circle_drain c1 || return 1
	wait_for 60 "node 2 to hold nothing" is 2 replicas_held 0 &&
		wait_for 60 "node 3 to hold nothing" is 3 replicas_held 0 &&
		wait_for 30 "node 2 to have said so" is 1 peers/2/space 0 &&
		wait_for 30 "node 3 to have said so" is 1 peers/3/space 0 || return 1
	hist run --resume --ops 60 --threads 1 || return 1
	is 1 dirty_bytes 0 && is 1 at_risk_bytes 0 && is 2 lent_bytes 0 && is 3 lent_bytes 0
}

space_again()
{
	put 2 lend 100 && put 3 lend 50 || return 1
	wait_for 60 "writes to be replicated again" replicated
}

replicated()
{
	hist run --resume --ops 40 --threads 1 >/tmp/load 2>&1 && more_than 1 dirty_bytes 0
}

# Readers and writers of the files all the while; the device must go at once nevertheless.
busy_files()	# <directory>
{
	while cat "$1"/* "$1"/peers/*/* >/dev/null; do
		for v in 1 2; do
			echo "$v" >"$1/degree"
			echo "${v}000" >"$1/timeout_ms"
		done
	done 2>/dev/null
}

gone_with_node()
{
	local where pid1 pid2 fd v r=0 line
	where=$(dir 3)
	busy_files "$where" & pid1=$!
	busy_files "$where" & pid2=$!
	exec {fd}<"$where/degree"
	sleep 0.5
	# another target in its place: the disk stays, its circle goes
	line="0 $(blockdev --getsz /dev/mapper/c3) linear /dev/mapper/org3 0"
	reload 3 "$line" || r=1
	if [ ! -d "/sys/block/$(disk_of c3)" ] || [ -e "$where" ]; then
		echo "# it is still there"
		r=1
	fi
	! read -r v <&"$fd" 2>/dev/null || { echo "# read '$v' from what is gone"; r=1; }
	exec {fd}<&-
	wait "$pid1" "$pid2"
	return "$r"
}

there_again()
{
	local line
	line=$(circle_table /dev/mapper/org3 128 /dev/mapper/meta3 /dev/mapper/ssd3 "1 writeback" \
		"default 0" "$(circle_args 3 1 "1 2")")
	node_exec 3 dmsetup load c3 --table "$line" && dmsetup resume c3 &&
		all_read 3 "1 2" && is 3 generation 2
}

local_cache()
{
	local r
	dev_null ssdl 16 && dev_null metal 8 && dev_null orgl 17 || return 1
	circle_create cl /dev/mapper/orgl 128 /dev/mapper/metal /dev/mapper/ssdl || return 1
	shows "$(dir l)" "$COMMON" && [ "$(find "$(dir l)" -mindepth 1 -type d)" = "" ] &&
		is l generation 1 && is l dirty_bytes 0 || return 1
	dev_freeze orgl		# else what is dirty does not stay so
	dd if=/dev/urandom of=/dev/mapper/cl bs=64k count=2 oflag=direct status=none
	is l used_slots 2 && is l dirty_bytes 131072
	r=$?
	dev_thaw orgl
	dmsetup remove cl && return "$r"
}

TRACED="map done plan send stored through view release writeback commit"

trace_on()
{
	[ -e "$TRACE"/trace ] || mount -t tracefs nodev "$TRACE" || return 1
	echo 16384 >"$TRACE"/buffer_size_kb && : >"$TRACE"/trace && echo 1 >"$TRACE"/events/dm_circle/enable
}

# Each event has been seen, and one block's write shows its steps in order.
trace_shows()
{
	local e missing="" dev block steps
	: >"$TRACE"/trace
	put 1 degree 2 && wait_for 60 "degree 2" is 1 floor 2 && put 1 degree 1 &&
		wait_for 60 "degree 1" is 1 floor 1 || return 1
	hist run --resume --ops 200 --threads 2 && circle_drain c1 || return 1
	# one block, written while nobody lends, then while somebody does
	put 2 lend 0 && put 3 lend 0 && hist run --resume --ops 100 --threads 1 || return 1
	put 2 lend 50 && put 3 lend 50 && circle_drain c1
	for e in $TRACED; do
		grep -q " circle_$e: " "$TRACE"/trace || missing+=" $e"
	done
	[ -z "$missing" ] || { echo "# not seen:$missing"; return 1; }
	dev=$(cat "/sys/block/$(disk_of c1)/dev")
	block=$(sed -n "s/.* circle_send: ${dev/:/,} block \([0-9]*\) .*/\1/p" "$TRACE"/trace | head -n 1)
	steps=$(sed -n "s/.* circle_\([a-z]*\): ${dev/:/,} .*\bblock $block .*/\1/p" "$TRACE"/trace | uniq | xargs)
	echo "# block $block: ${steps:0:200}"
	[[ $steps =~ map.*plan.*send.*stored.*done.*release ]]
}

trace_off() { echo 0 >"$TRACE"/events/dm_circle/enable; }

for n in 1 2 3; do
	node_add $n || exit 1
	circle_node_devices $n 64 || exit 1
done

ktap_test "node 1" circle_node_create 1 1 "2 3"
ktap_test "its timeout is 2 s unless set" is 1 timeout_ms 2000
ktap_test "and may be set" circle_patient 1
ktap_test "so may that of new nodes" module_takes
ktap_test "node 2" circle_node_create 2 1 "1 3"
ktap_test "node 3" circle_node_create 3 1 "1 2"
ktap_test "node 2 began with it" is 2 timeout_ms 30000
ktap_test "node 1 counts both" wait_for 60 "the view of node 1" is 1 view "2 3"
ktap_test "every file can be read" all_read 1 "2 3"
ktap_test "values are right" values
ktap_test "bad degrees are refused" bad degree 3 9 -1 x "" 1x 4294967296
ktap_test "bad timeouts are refused" bad timeout_ms 99 60001 0 -5 x ""
ktap_test "bad shares are refused" bad lend 101 -1 50% ""
ktap_test "what is read-only is not written" read_only

ktap_test "history" hist init --seed 25
load_begin
ktap_test "dirty" wait_for 30 "dirty blocks" more_than 1 dirty_bytes 1000000
ktap_test "at risk is 0 with degree 1" wait_for 30 "no risk" is 1 at_risk_bytes 0
ktap_test "degree 2: what is dirty is at risk at first" degree_up
ktap_test "asked of new writes" wait_for 30 "degree_now" is 1 degree_now 2
ktap_test "floor becomes 2" wait_for 60 "floor 2" is 1 floor 2
ktap_test "at risk is 0 with degree 2" wait_for 30 "no risk" is 1 at_risk_bytes 0
ktap_test "all this under load" writing
ktap_test "two replicas of what is written now" wait_for 30 "replicas" more_than 1 dirty_bytes 1000000
ktap_test "still none at risk" wait_for 30 "no risk" is 1 at_risk_bytes 0
ktap_test "degree 1 again" put 1 degree 1
ktap_test "floor becomes 1" wait_for 30 "floor 1" is 1 floor 1
ktap_test "and degree_now" is 1 degree_now 1
ktap_test "still under load" writing
ktap_test "the load had no errors" load_end

ktap_test "a peer is lost after the timeout" lost_in_time
ktap_test "it comes back" back_again
ktap_test "nobody lends: writes go through" no_space
ktap_test "they lend again" space_again
ktap_test "a reload keeps the files" reload_keeps
ktap_test "they are there while suspended" while_suspended
ktap_test "tracing on" trace_on && {
	ktap_test "tracing shows the steps" trace_shows
	ktap_test "tracing off" trace_off
}
ktap_test "gone when the node goes, busy as they are" gone_with_node
ktap_test "there again with a new node" there_again
ktap_test "a local cache has its files only" local_cache
ktap_test "nothing is lost" hist check --allow all
ktap_test "remove all" circle_remove_all
check_dmesg
ktap_done
