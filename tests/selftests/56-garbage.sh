#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=600 modules=dm-circle,null_blk kernels=newest
#
# Hostile ends of the wire (tests/tools/README.rst, circle-throw): strangers, one with the id of a peer, one
# that knows the owner's set, and peers that answer garbage. The owner and its real peer go on meanwhile,
# nothing that they hold is lost or changed, memory is bounded, and removal ends. Arguments: SECONDS_EACH=n of
# each attack; SEED=n.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/rig.sh
. "$REPO/tests/lib/rig.sh"
ktap_header

# shellcheck source=tests/lib/heal.sh
. "$REPO/tests/lib/heal.sh"

THROW=$REPO/build/tools/circle-throw
[ -x "$THROW" ] || skip_all "no circle-throw, try: make -C tests/tools"
for arg in "$@"; do
	declare "$arg"
done
[[ $KVER != *debug* ]] || SECONDS_EACH=${SECONDS_EACH:-60}	# ten times as slow
SECONDS_EACH=${SECONDS_EACH:-5}
SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}
THROWN=0		# attacks so far: each has a seed of its own
echo "# seed $SEED"

owner() { circle_node_create 1 1 "2 3" && circle_wait_counts 1 1; }
lost_of() { circle_get 1 "peers/$1/lost"; }
unbroken() { [ "$(lost_of 2)" = "$LOST" ] && circle_counts 1 1; }

# throw <namespace> <output> <arguments>: in the background, PIDS gets it. Not by node_exec, whose PID is not its.
throw()
{
	nsenter --net="/run/netns/n$1" -- "$THROW" "${@:3}" >"/tmp/thrown.$2" &
	PIDS+=($!)
}
# attack <namespace> <id> <node> [<metadata of an owner>]
attack()
{
	THROWN=$((THROWN + 1))
	throw "$1" "$3" at "$(node_addr "$3")" 7000 "$2" "$3" $((SEED + THROWN)) "$SECONDS_EACH" "${@:4}"
}
# fake <node> <seconds> [<answers that are right> [full]]
fake() { throw "$1" "$1" as "$(node_addr "$1")" 7000 "$1" 1 $((SEED + 100 + $1)) "$2" "${@:3}"; }
stop_fake()
{
	kill "${PIDS[0]}"
	wait "${PIDS[0]}"
	PIDS=()
}

# some <which> <type> <status>: such answers came; which: all: from any node, in all sieges
some() { grep -q "^$2 $3 " "/tmp/thrown.$1" || { echo "# no $2 $3" && return 1; }; }

# all_ended <which...>: and no node did what it must not; what came is shown
all_ended()
{
	local rc=0 pid n
	for pid in "${PIDS[@]}"; do
		wait "$pid" || rc=$?
	done
	PIDS=()
	for n in "$@"; do
		echo "# $n: $(tr '\n' ',' <"/tmp/thrown.$n")"
	done
	return "$rc"
}

# In KiB: memory that can be had, as if /tmp, where the history's log is, had nothing; and that of slabs.
memory()
{
	local key value shmem
	while read -r key value _; do
		case $key in
		MemAvailable:) AVAILABLE=$value ;;
		Shmem:) shmem=$value ;;
		Slab:) SLAB=$value ;;
		esac
	done </proc/meminfo
	AVAILABLE=$((AVAILABLE + shmem))
}
# The devices keep what is written in memory: they have all of it from the beginning.
fill_devices()
{
	local d
	for d in ssd1 ssd2 org1; do
		dd if=/dev/zero of=/dev/mapper/$d bs=1M oflag=direct status=none 2>/dev/null
	done
}
watch()
{
	local least=99999999
	while [ -e /tmp/watching ]; do
		memory
		[ "$AVAILABLE" -ge "$least" ] || least=$AVAILABLE
		pause 0.1
	done
	echo "$least" >/tmp/least
}
watch_memory()
{
	memory
	AVAILABLE_BEFORE=$AVAILABLE SLAB_BEFORE=$SLAB
	: >/tmp/watching
	watch &
	WATCH=$!
}
memory_is_back()
{
	memory
	[ "$AVAILABLE" -ge $((AVAILABLE_BEFORE - 32768)) ] && [ "$SLAB" -le $((SLAB_BEFORE + 24576)) ]
}
memory_was_bounded()
{
	local least
	rm -f /tmp/watching
	wait "$WATCH"
	read -r least </tmp/least
	wait_for 20 "memory to be given back" memory_is_back
	echo "# KiB: available $AVAILABLE_BEFORE, at least $least, then $AVAILABLE; slabs $SLAB_BEFORE, then $SLAB"
	memory_is_back && [ "$least" -ge $((AVAILABLE_BEFORE - 400 * 1024)) ]
}

# siege <namespace> <id> [<metadata>]: of node 2; and of node 1 by a stranger; while the host writes
siege()
{
	LOST=$(lost_of 2)
	attack "$1" "$2" 2 "${@:3}"
	attack 4 4 1
	run --seconds "$SECONDS_EACH" && all_ended 1 2 && cat /tmp/thrown.[12] >>/tmp/thrown.all && check
}
strangers() { siege 3 3 && some 1 FENCE OK && some 2 FENCE OK; }
got_through()
{
	local what
	for what in REPLICATE FETCH RELEASE LIST FLUSH PING REVIVE; do
		some all "$what" OK || return 1
	done
}

# It knows the set, which half of its connections name: it may look, but not touch.
knows_it() { siege 3 3 /dev/mapper/meta1 && some 2 FENCE FENCED && some 2 REPLICATE NOT_ADMITTED; }
# As the owner itself each of its greetings ends the owner's connection: that is how a lost one is told.
is_owner() { siege 3 1 /dev/mapper/meta1 && some 2 HELLO OK && [ "$(lost_of 2)" -gt "$LOST" ]; }

fakes()
{
	fake 3 $((SECONDS_EACH * 3)) && fake 4 $((SECONDS_EACH * 3)) &&
		circle_node_create 1 1 "2 3 4" && circle_patient 1 2000 && run --seconds $((SECONDS_EACH * 3)) && check &&
		all_ended 3 4 && some 3 REPLICATE OK && some 4 REPLICATE OK
}
# sets <output> <number>: fenced by a stranger
sets() { throw 4 "$1" sets "$(node_addr 2)" 7000 4 2 $((SEED + RANDOM)) "$2" && all_ended "$1"; }
sets_fill_it() { sets 4 40 && some 4 FENCE OK && some 4 HELLO NOT_ADMITTED && sets 5 1 && some 5 HELLO NOT_ADMITTED && circle_counts 1 1; }
# What it stores is of a set that it still knows.
restart_makes_room()
{
	dmsetup remove c2 && circle_node_create 2 0 '1 3' && circle_wait_counts 1 1 && sets 4 1 && some 4 FENCE OK
}

# It stores, and has no space for a FLUSH: it is done without, and the host is told no error.
no_space()
{
	local rc=0
	fake 3 600 1000000 full
	LOST=0
	circle_node_create 1 1 3 && circle_wait_counts 1 1 && LOST=$(lost_of 3) && run --ops 60 --mix write=70,fua=15,flush=15 &&
		circle_wait_counts 1 1 && run --ops 10 --mix write=100 && circle_drain c1 && check || rc=1
	[ "$(lost_of 3)" -gt "$LOST" ] || rc=1
	stop_fake
	within_awake 15 dmsetup remove c1 && return "$rc"
}
over_again() { circle_wait_counts 1 1 && circle_drain c1 && check && dmsetup remove c1; }

# Another set.
anew()
{
	rm -f /tmp/h && blkdiscard -z /dev/mapper/org1 && circle_node_wipe 1 &&
		hist init --zero --dev /dev/mapper/org1 --seed $((RANDOM + 1))
}
# What it lists is junk, and the label has it in the view: a recovery writes that, or is refused. It ends.
lied_to()
{
	local rc
	anew && fake 3 600 1000000 && circle_node_create 1 1 3 && circle_wait_counts 1 1 && dirty && circle_node_die 1 && circle_node_wipe 1
	rc=$?
	stop_fake
	[ "$rc" = 0 ] || return 1
	fake 3 600
	! circle_node_create 1 1 3 "3 writeback recover fenced" || echo "# recovered"
	dmesg | grep 'circle: .*recover' | tail -3 | sed 's/^/# /'
	! dm_dir c1 || within_awake 15 dmsetup remove c1
	rc=$?
	stop_fake
	return "$rc"
}
ends()
{
	attack 4 4 1 && attack 4 4 2 && attack 3 3 2 && run --seconds 2 && within_awake 5 dmsetup remove c1 &&
		within_awake 5 dmsetup remove c2 && within_awake 5 rmmod dm-circle && all_ended 1 2
}

circle_timeout 30000		# no peer is lost by chance
at_exit "dmsetup remove --retry c1 c2 2>/dev/null"
circle_nodes 64 1 2 || exit 1
node_add 3 && node_add 4 || exit 1
fill_devices
hist init --zero --dev /dev/mapper/org1 --seed $((RANDOM + 1)) || exit 1
ktap_test "a peer" circle_node_create 2 0 "1 3"
ktap_test "an owner, one of whose peers is not there" owner
ktap_test "writes" run --ops 200
watch_memory
ktap_test "strangers, and one with the id and the address of a peer" strangers
ktap_test "the owner has not lost its peer" unbroken
ktap_test "it knows the owner's set" knows_it
ktap_test "the owner has not lost its peer" unbroken
ktap_test "it says that it is the owner" is_owner
ktap_test "they got through to all that can be asked for" got_through
ktap_test "memory was bounded" memory_was_bounded
ktap_test "the peer counts again" circle_wait_counts 1 1
ktap_test "the peer crashes, and comes back with what it was given" eval "crash c2 org2 ssd2 meta2 && circle_node_create 2 0 '1 3'"
ktap_test "it counts again" circle_wait_counts 1 1
ktap_test "sets that are no more have filled its table" sets_fill_it
ktap_test "a restart makes room" restart_makes_room
ktap_test "much is dirty" dirty
ktap_test "the owner dies: its peer has all" owner_dies 1 "2 3"
ktap_test "peers that answer garbage: the host goes on" fakes
ktap_test "they have gone: nothing is lost" over_again
ktap_test "another set" anew
ktap_test "a peer that has no space for what needs none" no_space
ktap_test "a recovery from one that answers garbage ends" lied_to
ktap_test "another owner" eval "anew && owner"
ktap_test "removal and unload under attack" ends
check_dmesg
ktap_done
