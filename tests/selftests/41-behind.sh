#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=400 modules=dm-circle,null_blk,dm-delay kernels=newest
#
# What is done with a full cache while its clean blocks are still being loaded, after a crash:
# reads, writes, FLUSHes, discards, suspend, removal, another crash, metadata that fail.
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

SMALL=65536

# Reads of the metadata take long, so that a load is still under way when it is held up.
slow() { __dev_table meta delay "${DEV_LOWER[meta]}" 0 150 "${DEV_LOWER[meta]}" 0 0; }

# faults: owner-meta hang recovering
hold() { dmsetup suspend --nolockfs --noflush meta && loading; }
# faults: owner-meta return recovering
release() { dmsetup resume meta; }

# write_now <block> <word>: it does not wait for the load
write_now()
{
	NOW[$1]=$2
	within 10 put c "$1" "$2" && loading
}

# under_way <n>: requests that c has and has not answered
under_way()
{
	local -a n
	dm_dir c && read -ra n <"$REPLY/inflight" || return 1
	[ $((n[0] + n[1])) -ge "$1" ]
}

# A clean block that is not loaded yet: what is written to it waits.
writes_wait()
{
	local a b c
	a=$(block clean late 1) b=$(block clean late 3) c=$(block clean late 2)
	put c "$a" "over$a" & local first=$!
	put c "$b" "over$b" sync & local second=$!
	NOW[$a]=over$a
	NOW[$b]=over$b
	wait_for 20 "two to be under way" under_way 2 || return 1
	has c "$(block dirty late 2)" "new$(block dirty late 2)" || return 1
	# last: it holds the lock of the inode, which lseek takes
	blkdiscard -o $((c * BS * 512)) -l $((BS * 512)) /dev/mapper/c & local third=$!
	wait_for 20 "all three to be under way" under_way 3 || return 1
	loading && kill -0 "$first" && kill -0 "$second" && kill -0 "$third" || return 1
	release
	wait "$first" || { echo "# write: $?"; return 1; }
	wait "$second" || { echo "# write and FLUSH: $?"; return 1; }
	wait "$third" || { echo "# discard: $?"; return 1; }
	all_loaded
}
# What was discarded may be anything.
forget_discarded()
{
	local c
	c=$(block clean late 2)
	sed -i "/ $c late/d" /tmp/places
}

# Each block has one slot: of two the plain one is freed, whatever its tag.
once()
{
	local l twins
	l=$(loaded)
	twins=$(awk '$1 == "twins" { print $2 }' /tmp/places)
	echo "# $l, $twins twins"
	[ "$twins" -gt 0 ] && [ "${l%/*}" -le $((${l#*/} - twins)) ]
}

begin() { slow && create && hold; }
# faults: owner-host power-loss recovering
crashed() { crash c ssd meta && begin; }

# meanwhile <command...>: it begins while the load is held up, and ends when that goes on
meanwhile()
{
	local pid
	loading || return 1
	"$@" & pid=$!
	sleep 0.5
	kill -0 "$pid" || { echo "# did not wait: $*"; return 1; }
	release
	wait "$pid"
}
suspended() { meanwhile dmsetup suspend c && dmsetup resume c && all_loaded; }
removed() { meanwhile dmsetup remove c && begin; }
flushed() { within 60 dd of=/dev/mapper/c count=0 conv=fsync status=none; }

# The rest cannot be read: nothing that is not loaded is believed any more.
# faults: owner-meta error recovering
fails()
{
	local a
	a=$(block clean late 2)		# dirty since it was written, if write-back has not come to it
	loading && dev_fail meta || return 1
	within 60 put c "$a" "later$a" || return 1
	NOW[$a]=later$a
	wait_for 20 "the load to end" all_loaded && [ "$(circle_status c health)" != well ]
}

small_cases()
{
	rig "$SMALL" mixed || return 1
	ktap_test "a crash: it loads" begin || return 1
	ktap_test "a dirty block is written at once" write_now "$(block dirty late 1)" again
	ktap_test "other writes wait" writes_wait
	forget_discarded
	ktap_test "all blocks are right" all_right
	ktap_test "no block has two" once
	ktap_test "a crash" crashed
	ktap_test "all blocks are right, while loading" all_right
	ktap_test "a dirty block is written at once, again" write_now "$(block dirty early 1)" twice
	ktap_test "a crash while loading" crashed
	release
	ktap_test "a FLUSH" flushed
	ktap_test "a crash" crashed
	ktap_test "all blocks are right" all_right
	ktap_test "suspended while loading" suspended
	ktap_test "all blocks are right" all_right
	ktap_test "a crash, once more" crashed
	ktap_test "removed while loading" removed
	ktap_test "all blocks are right" all_right
	ktap_test "still loading" loading
	ktap_test "the metadata fail while loading" fails
	ktap_test "all blocks are right" all_right
	dmsetup remove --retry c && dev_heal meta
	ktap_test "which are not believed any more" refused "void|needs? a check" \
		"$(table_of "$SECTORS" meta ssd org "$BS")"
	gone
}

no_map()	# <nomap, or nothing: it is damaged>
{
	NOW=()
	rig "$SMALL" mixed "$@" || return 1
	[ -n "${1-}" ] || dd if=/dev/urandom of=/dev/mapper/meta bs=4096 seek=1 count=1 oflag=direct \
		status=none || return 1
	create && all_right && wait_for 60 "all to be loaded" all_loaded && all_right || return 1
	gone
}

# All that is not in the index yet too: none is left.
invalidated()
{
	local DIRTY=0 l
	rig "$SMALL" mixed && slow || return 1
	dmsetup create c --table "$(table_of "$SECTORS" meta ssd org "$BS" "1 passthrough default 0")" &&
		hold && meanwhile dmsetup message c 0 invalidate_cblocks "0-$((SMALL - 1))" || return 1
	wait_for 60 "all to be loaded" all_loaded
	l=$(loaded)
	echo "# $l"
	[ "${l%/*}" = 0 ] && all_right && gone
}

at_exit 'dmsetup remove --retry c 2>/dev/null'
small_cases
ktap_test "a copy map that is damaged" no_map
ktap_test "none" no_map nomap
NOW=()
ktap_test "invalidate_cblocks while loading" invalidated
check_dmesg
ktap_done
