# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Allocations and bios that fail, on a kernel that can do that (the debug kernel). Source after rig.sh,
# before ktap_header. Only allocations count that our module makes, itself or by what it calls, and not what
# null_blk, which is called too, makes for the data that it keeps.

FAULTS=/sys/kernel/debug
FAIL_KINDS=(failslab fail_page_alloc)

can_fail() { [ -e "$FAULTS/failslab/require-start" ] && [ -e "$FAULTS/fail_make_request" ] && [ -e /proc/self/fail-nth ]; }

# First and last address of a module's code
__text_of() { awk -v m="[$1]" '$4 == m && tolower($2) == "t" { print $1 }' /proc/kallsyms | sort | sed -n '1p;$p'; }

# fail_set <kind> [<name> <value>]...
fail_set()
{
	local kind=$1
	shift
	while [ $# -gt 0 ]; do
		echo "$2" >"$FAULTS/$kind/$1" || return 1
		shift 2
	done
}

# Which ones; none of them fails yet, but by circle-io nth.
fail_begin()
{
	local kind
	local -a ours theirs
	mapfile -t ours < <(__text_of dm_circle)
	mapfile -t theirs < <(__text_of null_blk)
	[ ${#ours[@]} = 2 ] && [ ${#theirs[@]} = 2 ] || return 1
	for kind in "${FAIL_KINDS[@]}"; do
		fail_set "$kind" probability 0 interval 1 times 0 verbose "${VERBOSE:-0}" task-filter N \
			ignore-gfp-wait N stacktrace-depth 32 \
			require-start "0x${ours[0]}" require-end "0x$(printf %x $((0x${ours[1]} + 8192)))" \
			reject-start "0x${theirs[0]}" reject-end "0x$(printf %x $((0x${theirs[1]} + 8192)))" || return 1
	done
	# Not the checkers' own, of which there are as many
	for kind in /sys/kernel/slab/*/failslab; do
		[[ $kind =~ kmemleak|debug_objects ]] || echo 1 >"$kind" || return 1
	done
	fail_set failslab cache-filter Y || return 1
	fail_set fail_page_alloc min-order 0 ignore-gfp-highmem N && fail_set fail_make_request times 0 || return 1
	at_exit fail_off
}

FAIL_TIMES=1000000
# fail_on <percent> [<kind>...]: of the allocations
fail_on()
{
	local kind
	for kind in "${FAIL_KINDS[@]}"; do
		fail_set "$kind" times $FAIL_TIMES probability "$1" || return 1
	done
}

# fail_off: FAILED says how many it were
fail_off()
{
	local kind n
	FAILED=0
	for kind in "${FAIL_KINDS[@]}" fail_make_request; do
		fail_set "$kind" probability 0
		n=$(<"$FAULTS/$kind/times")
		[ "$n" = 0 ] || FAILED=$((FAILED + FAIL_TIMES - n))
		fail_set "$kind" times 0
	done
	[ "$FAILED" = 0 ] || echo "# failed: $FAILED"
}

# with_failures <percent> <command...>: some must have been made to fail
with_failures()
{
	local rc
	fail_on "$1" || return 1
	"${@:2}"
	rc=$?
	fail_off
	[ "$rc" = 0 ] && [ "$FAILED" -gt 0 ]
}

# What the kernel says of an allocation that fails is not what check_dmesg looks for.
dmesg_since_begin()
{
	dmesg | awk -v m="$KTAP_MARK" '
		index($0, m) { on = 1; next }
		/page allocation failure|vmalloc error|FAULT_INJECTION: forcing/ { told = 1 }
		told && /<\/TASK>|Call Trace:$/ { if (/TASK/) told = 0; next }
		on && !told
		END { if (!on) print "BUG: the beginning of the log is gone" }'
}
