#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1024 smp=1 icount=1 timeout=400 modules=dm-circle,null_blk kernels=newest
#
# How long a drain takes is said while it runs: within 20 % and a second on an origin whose pace
# is steady, "-" while it fails. In virtual time, so that the machine's own pace has no part in it.
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

C=/dev/mapper/c
MIB=40
BLOCKS=$((MIB * 32))		# of 32 KiB

eta() { circle_status c drain_eta; }
eta_is() { [ "$(eta)" = "$1" ]; }
fill() { dd if=/dev/zero of="$C" bs=1M count="$MIB" oflag=direct conv=notrunc status=none; }
create() { dmsetup create c --table "$(table_of $((64 * 2048)) meta ssd org 64)"; }

words_counted()
{
	local n rest
	read -r n rest <<<"$(dmsetup status c | sed 's/.* circle \([0-9]* \)/\1/')"
	[ "$n" = "$(wc -w <<<"$rest")" ]
}

fails()
{
	dev_fail_writes org && fill &&
		wait_for 60 "it to be known that the origin fails" origin_failed &&
		wait_for 60 "the batch to end" eta_is - && ! circle_is_clean c && eta_is -
}
origin_failed() { [ "$(circle_status c origin_errors)" -gt 0 ]; }

# until_below <bytes>: of dirty data, looked at every 50 ms; UPTIME is then. Nothing but builtins, and
# nothing printed: what asks for a file of the host's, which the output is one of, waits for the real
# time of that, meanwhile virtual time runs on.
until_below()
{
	local dirty
	for ((i = 0; i < 4000; i++)); do
		read -r dirty <"$SYS/dirty_bytes" && read -r UPTIME _ </proc/uptime || return 1
		[ "$dirty" -ge "$1" ] || return 0
		read -rt 0.05 -u "$NEVER"
	done
	return 1
}

# A batch of 64 blocks takes half a second here, and more. Called in one function with what makes the
# data dirty: between two results virtual time runs on, too.
foretells()	# <when less than so many blocks are dirty>
{
	local said took begin
	until_below $(($1 << 15)) && begin=$UPTIME && read -r said <"$SYS/drain_eta" && until_below 1 ||
		return 1
	took=$(((10#${UPTIME/./} - 10#${begin/./}) * 10))
	echo "# said $said s, took $took ms"
	[ "$took" -ge 5000 ] && [ $((said * 1000)) -ge $((took * 8 / 10 - 1000)) ] &&
		[ $((said * 1000)) -le $((took * 12 / 10 + 1000)) ]
}

filled_and_told() { fill && foretells "$1"; }
# dmsetup is the host's: while it is waited for the clock must not run away, which it does if nothing runs.
drain_is_told()
{
	local spins rc
	while :; do :; done &
	spins=$!
	fill && dmsetup message c 0 drain
	rc=$?
	kill "$spins"
	[ "$rc" = 0 ] && foretells "$1"
}

dev_null meta 4 && dev_null ssd 64 && dev_null org 64 || exit 1
at_exit 'dmsetup remove --retry c 2>/dev/null'
ktap_test "create" create
SYS=/sys/block/dm-$(dmsetup info -c --noheadings -o minor c)/circle
mkfifo /tmp/never && exec {NEVER}<>/tmp/never
ktap_test "nothing is dirty: 0" eta_is 0
ktap_test "the words of the status are counted" words_counted
# While nothing is dirty: a batch in the midst of the change would take as long as that does.
ktap_test "the origin is slow" dev_delay org 0 500
ktap_test "filled, and drained: the end is foretold" drain_is_told $((BLOCKS * 3 / 4))
ktap_test "then nothing is dirty" eta_is 0
ktap_test "filled again: foretold from the first moment" filled_and_told $((BLOCKS + 1))
ktap_test "the origin fails: not known" fails
ktap_test "it is back" dev_heal org
ktap_test "clean" wait_for 120 "it to be clean" circle_is_clean c
ktap_test "remove" dmsetup remove c
check_dmesg
ktap_done
