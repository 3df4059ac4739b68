# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Results in KTAP, waiting for conditions, and what the kernel said meanwhile.
# To be sourced by a test; a test is
#
#	. "$REPO/tests/lib/ktap.sh"
#	ktap_header
#	ktap_test "it does this" command args	# or ok / not_ok / skip
#	check_dmesg
#	ktap_done
#
# A test that ends before ktap_done has failed.

KTAP_N=0
KTAP_FAILED=0
KTAP_SKIPPED=0
KTAP_DONE=
KTAP_OPEN=		# the ktap_test that has no result yet
exec {KTAP_NEVER}<> <(:)	# nothing is ever to be read there; now, as it changes $!
KTAP_AT_EXIT=()
KTAP_MARK="ktap: begin $$"

# What the log must not have; vm.py has the same list.
KTAP_SPLAT='WARNING: |BUG: |kernel BUG|INFO: task .* blocked for more than|'
KTAP_SPLAT+='possible (circular|recursive) locking|inconsistent lock state|'
KTAP_SPLAT+='suspicious RCU usage|rcu.*detected stalls|soft lockup|hard LOCKUP|'
KTAP_SPLAT+='KASAN|use-after-free|kmemleak: [0-9]+ new|refcount_t:|'
KTAP_SPLAT+='scheduling while atomic|sleeping function called from invalid|'
KTAP_SPLAT+='Call Trace:|general protection fault|Oops|Kernel panic|'
KTAP_SPLAT+='Objects remaining in|list_(add|del) corruption|UBSAN'

ktap_header()
{
	echo "KTAP version 1"
	echo "$KTAP_MARK" >/dev/kmsg
	trap ktap_exit EXIT
	trap 'exit 1' INT TERM
}

# Register a command to be run at the end, last registered first.
at_exit()
{
	KTAP_AT_EXIT=("$*" "${KTAP_AT_EXIT[@]}")
}

ktap_exit()
{
	local rc=$? c
	for c in "${KTAP_AT_EXIT[@]}"; do
		eval "$c"
	done
	if [ -z "$KTAP_DONE" ]; then
		not_ok "the test runs to its end" "exit $rc"
		echo "1..$KTAP_N"
		exit 1
	fi
}

ok()
{
	KTAP_N=$((KTAP_N + 1))
	echo "ok $KTAP_N $1"
}

not_ok()
{
	KTAP_N=$((KTAP_N + 1))
	KTAP_FAILED=$((KTAP_FAILED + 1))
	echo "not ok $KTAP_N $1"
	[ -z "${2-}" ] || echo "# $2"
	echo "ktap: not ok $KTAP_N $1" >/dev/kmsg
}

skip()
{
	KTAP_N=$((KTAP_N + 1))
	KTAP_SKIPPED=$((KTAP_SKIPPED + 1))
	echo "ok $KTAP_N $1 # SKIP ${2:?a skip has a reason}"
}

# An error in an expression makes the shell leave all functions and go on in the script, without a word.
ktap_close()
{
	[ -z "$KTAP_OPEN" ] || not_ok "$KTAP_OPEN" "it ended in the middle, the shell says why"
	KTAP_OPEN=
}

# ktap_test <description> <command...>: one result from an exit code; 4 = skip.
ktap_test()
{
	local what=$1 rc
	shift
	ktap_close
	KTAP_OPEN=$what
	echo "ktap: $what" >/dev/kmsg
	"$@"
	rc=$?
	KTAP_OPEN=
	case $rc in
	0) ok "$what" ;;
	4) skip "$what" "${KTAP_REASON:-it says so}" ;;
	*) not_ok "$what" "$* : exit $rc" ;;
	esac
	return $rc
}

# Print the plan and end with the exit code of kselftest.
ktap_done()
{
	ktap_close
	KTAP_DONE=1
	echo "1..$KTAP_N"
	echo "# passed $((KTAP_N - KTAP_FAILED - KTAP_SKIPPED))," \
		"failed $KTAP_FAILED, skipped $KTAP_SKIPPED"
	[ "$KTAP_FAILED" -eq 0 ] || exit 1
	[ "$KTAP_N" -gt "$KTAP_SKIPPED" ] || exit 4
	exit 0
}

# skip_all <reason>: nothing here can run.
skip_all()
{
	skip "$(basename "$0")" "$1"
	ktap_done
}

# Milliseconds of a clock that only grows: printed; in NOW_MS, which takes no process.
now_ms()
{
	get_now
	echo "$NOW_MS"
}

get_now()
{
	local up
	read -r up _ </proc/uptime
	NOW_MS=$((10#${up/./} * 10))
}

# pause <seconds>: a sleep without a process, which costs more than it sleeps here
pause()
{
	read -rt "$1" -u "$KTAP_NEVER" || true
}

# wait_for <seconds> <description> <command...>: until the command succeeds. It is tried once more when
# time is up: the machine may have stood still meanwhile.
wait_for()
{
	local end last='' what=$2
	get_now
	end=$((NOW_MS + $1 * 1000))
	shift 2
	until "$@"; do
		if [ -n "$last" ]; then
			echo "# gave up waiting for $what: $*"
			return 1
		fi
		get_now
		[ "$NOW_MS" -lt "$end" ] || last=1
		pause 0.1
	done
}

dmesg_since_begin()
{
	dmesg | awk -v m="$KTAP_MARK" 'index($0, m) { on = 1; next } on' | without_foreign_races
}

# As vm.py does it: KCSAN's reports only if one side is in our module. KCSAN_LIB: what looks at memory for
# its caller, who is meant then.
KCSAN_LIB='(_find_[a-z_]+|__bitmap_[a-z_]+|__list_[a-z_]+|llist_[a-z_]+|_*mem(chr_inv|cmp|cpy|move|set)|'
KCSAN_LIB+='str[a-z]+|sized_strscpy|sort(_r)?|crc32c[a-z_]*)[+]0x'
without_foreign_races()
{
	awk -v lib=" $KCSAN_LIB" '
		/BUG: KCSAN:/ { report = 1; ours = side = 0; text = ""; tick = /kthread_data/ }
		!report { print; next }
		{ text = text $0 "\n"; ours = ours || (side && /\[dm_circle\]/) }
		{ side = /(read|write|no accesses).* of [0-9]+ bytes by (task|interrupt)/ || (side && $0 ~ lib) }
		/Reported by Kernel Concurrency Sanitizer/ { if (ours && !tick) printf "%s", text; report = 0 }
		END { if (report) printf "%s", text }'
}

# One result: the kernel's log has nothing bad since ktap_header.
# $1: an extended regular expression of lines that are meant to be there.
check_dmesg()
{
	local bad leak=/sys/kernel/debug/kmemleak
	if [ -e "$leak" ]; then
		echo scan >"$leak"
		echo scan >"$leak"	# a leak is reported from the second on
		cat "$leak" >/dev/kmsg
	fi
	bad=$(dmesg_since_begin | grep -E "$KTAP_SPLAT" | grep -vE "${1:-^$}")
	if [ -z "$bad" ]; then
		ok "the kernel log is clean"
	else
		not_ok "the kernel log is clean"
		head -n 20 <<<"$bad" | sed 's/^/# /'
	fi
}
