#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Self-test of circle-history: history_selftest.sh DIRECTORY-OF-TOOLS. KTAP.

bin=$(cd "${1:-.}" && pwd) || exit 1
h=$bin/circle-history
# Not in /tmp: a file system that refuses O_DIRECT may show readers torn sectors, and it be no fault of ours.
top=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
mkdir -p "$top/build" && dir=$(mktemp -d "$top/build/history.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
n=0 failed=0 extra='' buffered=''

result() { # rc name
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n $2"
	else
		echo "not ok $n $2"
		sed 's/^/# /' "$dir/out" | head -60
		failed=$((failed + 1))
	fi
}

skip() {
	n=$((n + 1))
	echo "ok $n $1 # SKIP $2"
}

# Bytes of the log.
logged() { stat -c %s "$dir/log" 2>/dev/null || echo 0; }

# judge MODE FIELD=COUNT... : what check must print; fields not named must be 0.
judge() {
	local a mode=$1 want got rc f total=0
	shift
	"$h" check --dev "$dir/dev" --log "$dir/log" --allow "$mode" --buffered ${extra:+"$extra"} >"$dir/out" 2>&1
	rc=$?
	for f in lost zeroed garbage torn misplaced foreign never_written errors bad_reads_in_the_history; do
		want=0
		for a in "$@"; do [ "${a%%=*}" = $f ] && want=${a##*=}; done
		case $f in zeroed|torn|misplaced|foreign) ;; *) total=$((total + want)) ;; esac
		got=$(sed -n "s/^${f//_/ }: //p" "$dir/out")
		[ "$got" = "$want" ] || { echo "$f: expected $want, got $got (mode $mode)" >>"$dir/out"; return 1; }
	done
	[ "$(sed -n 's/^violations: //p' "$dir/out")" = $total ] || { echo "expected $total violations" >>"$dir/out"; return 1; }
	for a in "$@"; do
		[ "${a%%=*}" = at ] || continue
		grep -q "^violation: sector ${a##*=}: " "$dir/out" || { echo "sector ${a##*=} not named" >>"$dir/out"; return 1; }
	done
	[ $rc = $((total ? 2 : 0)) ] || { echo "exit code $rc" >>"$dir/out"; return 1; }
}

forge() {
	"$bin/history_forge" "$dir/log" "$dir/dev" >"$dir/out" 2>&1
}

# scenario NAME, on stdin: history_forge's lines; lines "= MODE FIELD=COUNT..." are judged at the end.
scenario() {
	local name=$1 text rc=0 line
	text=$(cat)
	grep -v '^=' <<<"$text" | forge || rc=1
	while [ $rc = 0 ] && read -r line; do
		# shellcheck disable=SC2086
		judge ${line#=} || rc=1
	done < <(grep '^=' <<<"$text")
	result $rc "$name"
}

echo "KTAP version 1"

scenario "initial contents are legal, zeros are not" <<'E'
new 64 init
zero 7 1
= all lost=1 zeroed=1 at=7
= flushed lost=1 zeroed=1 at=7
E
scenario "zero as the initial contents" <<'E'
new 64 zero
write a 8 8
ok a
put a 8 4
= all lost=4 zeroed=4 at=12 at=15
= flushed
E
scenario "acknowledged write there" <<'E'
new 64 init
write a 8 8
ok a
put a 8 8
= all
= flushed
E
scenario "acknowledged write lost: all says so, flushed does not" <<'E'
new 64 init
write a 8 8
ok a
= all lost=8 at=8 at=15
= flushed
= flushed+observed
E
scenario "in-flight write either way, each sector on its own" <<'E'
new 64 init
write a 8 8
put a 8 1
put a 11 2
= all
= flushed
E
scenario "failed write either way" <<'E'
new 64 init
write a 8 8
fail a
put a 9 3
= all
= flushed
E
scenario "flushed write must be there" <<'E'
new 64 init
write a 8 8
ok a
flush f
ok f
= all lost=8 at=8
= flushed lost=8 at=8
E
scenario "a failed flush covers nothing" <<'E'
new 64 init
write a 8 8
ok a
flush f
fail f
= all lost=8
= flushed
E
scenario "a flush in flight covers nothing" <<'E'
new 64 init
write a 8 8
ok a
flush f
= flushed
E
scenario "a flush issued before the write completed does not cover it" <<'E'
new 64 init
write a 8 8
flush f
ok a
ok f
= all lost=8
= flushed
E
scenario "the next flush does" <<'E'
new 64 init
write a 8 8
flush f
ok a
ok f
flush g
ok g
= flushed lost=8
E
scenario "FUA covers itself" <<'E'
new 64 init
write a 0 8
ok a
fua b 4 8
ok b
put b 8 4
= all lost=8 at=0 at=7
= flushed lost=4 at=4 at=7
E
scenario "flushed, then overwritten: old and new under flushed, nothing older" <<'E'
new 64 init
write a 0 8
ok a
flush f
ok f
write b 0 8
ok b
write c 0 8
ok c
put a 0 2
put b 2 2
put c 4 2
= all lost=6 at=0 at=3 at=6
= flushed lost=2 at=6 at=7
E
scenario "concurrent writes: either, even after both are acknowledged" <<'E'
new 64 init
write a 0 8
write b 4 8
ok a
ok b
put a 0 6
put b 6 6
= all
E
scenario "concurrent writes: not what was before both" <<'E'
new 64 init
write a 0 8
write b 4 8
ok b
ok a
put a 0 4
put b 8 4
= all lost=4 at=4 at=7
= flushed
E
scenario "concurrent writes: a read settles it" <<'E'
new 64 init
write a 0 8
write b 0 8
ok a
ok b
read r 0 4
ok r b b b b
put a 0 2
put b 2 2
put a 4 2
put b 6 2
= all lost=2 at=0 at=1
= flushed
= flushed+observed lost=2 at=0 at=1
E
scenario "concurrent writes settled by a read, then flushed" <<'E'
new 64 init
write a 0 4
write b 0 4
ok a
ok b
read r 0 2
ok r b b
flush f
ok f
put a 0 4
= flushed lost=2 at=0 at=1
E
scenario "a write begun after another was seen is newer, though that is still in flight" <<'E'
new 64 init
write a 0 1
read r 0 1
ok r a
write b 0 1
ok b
put a 0 1
= all lost=1
E
scenario "what a read showed of a write in flight stays" <<'E'
new 64 init
write a 0 4
read r 0 2
ok r a a
= all lost=2 at=0 at=1
= flushed
= flushed+observed lost=2 at=0 at=1
E
scenario "a read that overlaps may show the old" <<'E'
new 64 init
write a 0 1
read r 0 1
ok a
ok r init
put a 0 1
= all
E
scenario "a read in the history shows the old: violation" <<'E'
new 64 init
write a 0 2
ok a
read r 0 2
ok r a init
put a 0 2
= all bad_reads_in_the_history=1 at=1
E
scenario "two reads in turn go backwards within one write: violation" <<'E'
new 64 init
write a 0 1
read r 0 1
ok r a
read q 0 1
ok q init
ok a
put a 0 1
= all bad_reads_in_the_history=1
E
scenario "two reads at once disagree after both writes ended: violation" <<'E'
new 64 init
write a 0 1
write b 0 1
ok a
ok b
read r 0 1
read q 0 1
ok r a
ok q b
put b 0 1
= all bad_reads_in_the_history=1
E
scenario "garbage read in the history" <<'E'
new 64 init
read r 0 2
ok r init garbage
= all bad_reads_in_the_history=1
E
scenario "garbage, torn, foreign, misplaced, never written" <<'E'
new 64 init
write a 0 8
ok a
write b 0 8
ok b
write c 32 8
ok c
put b 0 8
put c 32 8
garbage 1 1
torn 3 a b
foreign 4 b
move 5 b 6
move 6 b 5
number 7 900000
number 40 4
= all garbage=5 torn=1 foreign=1 misplaced=2 never_written=2 at=1 at=3 at=4 at=5 at=6 at=7 at=40
= flushed garbage=5 torn=1 foreign=1 misplaced=2 never_written=2
E
scenario "discard: zero or the old, until seen" <<'E'
new 64 init
write a 0 8
ok a
discard d 0 8
ok d
read r 4 4
ok r 0 0 a a
put a 0 1
zero 1 1
put a 2 1
zero 3 1
zero 4 1
put a 5 1
put a 6 1
zero 7 1
= all lost=2 zeroed=1 at=5 at=7
= flushed
= flushed+observed lost=2 zeroed=1 at=5 at=7
E
scenario "discard: not what was old before the old" <<'E'
new 64 init
write a 0 8
ok a
discard d 0 8
ok d
= all lost=8
E
scenario "discard any: what was old before the old, too" <<'E'
new 64 init any
write a 0 8
ok a
discard d 0 4
ok d
= all lost=4 at=4
E
scenario "discard any: until written again" <<'E'
new 64 init any
write a 0 8
ok a
discard d 0 4
ok d
write b 0 2
ok b
put b 1 1
put a 4 4
= all lost=1 at=0
E
scenario "discard zeroes: zero it is" <<'E'
new 64 init zeroes
discard d 0 8
ok d
zero 0 4
= all lost=4 at=4
= flushed
E
scenario "discard in flight; write after discard" <<'E'
new 64 init
discard d 0 8
discard e 8 8
ok e
write a 8 8
ok a
zero 0 4
put a 8 4
zero 12 4
= all lost=4 zeroed=4 at=12
= flushed
E
scenario "a crash ends what was in flight: seen absent, it stays absent" <<'E'
new 64 init
write a 0 2
resume all
read r 0 1
ok r init
put a 0 2
= all lost=1 at=0
E
scenario "two rounds: what was lost does not come back" <<'E'
new 64 init
write a 0 4
ok a
resume flushed
read r 0 2
ok r init a
put a 0 1
= all lost=2 at=0 at=1
= flushed
= flushed+observed lost=2 at=0 at=1
E
scenario "two rounds: seen, then flushed" <<'E'
new 64 init
write a 0 4
ok a
resume flushed
read r 0 2
ok r init a
flush f
ok f
put a 0 1
= flushed lost=2 at=0 at=1
E
scenario "two rounds: a flush does not cover what the crash may have taken" <<'E'
new 64 init
write a 0 4
ok a
resume flushed
flush f
ok f
put a 0 1
= all
= flushed
E
scenario "torn end of the log" <<'E'
new 64 init
write a 0 4
ok a
put a 0 4
tear
= all
E
scenario "torn record healed by a resume" <<'E'
new 64 init
write a 0 4
ok a
tear
resume all
write b 0 2
ok b
put b 0 2
= all lost=2 at=2
E

# The log itself
forge <<'E'
new 64 init
write a 0 4
ok a
tear
write b 0 2
E
judge all; [ "$(grep -c 'damaged at byte' "$dir/out")" = 1 ]
result $? "damage in the middle of the log is an error"

forge <<'E'
new 64 init
write a 0 4
ok a
E
printf '\x5a' | dd of="$dir/log" bs=1 seek=100 conv=notrunc 2>/dev/null
"$h" check --dev "$dir/dev" --log "$dir/log" --allow all --buffered >"$dir/out" 2>&1; [ $? = 1 ]
result $? "a flipped byte in the log is an error"

# Rounds by check --record
forge <<'E'
new 64 init
write a 0 4
ok a
write b 4 4
put b 4 2
E
extra=--record judge flushed && judge all
result $? "what check --record saw is the floor of the next round"
"$bin/history_forge" /dev/null "$dir/dev" <<'E' >/dev/null
new 64 init
E
judge all lost=2 at=4 at=5
result $? "... and must not be gone"
"$bin/history_forge" /dev/null "$dir/dev" <<'E' >/dev/null
new 64 init
number 0 2
number 4 4
number 5 4
E
judge all lost=1 at=0 && judge flushed && judge flushed+observed lost=1 at=0
result $? "... nor come back"

# Errors: a loop device whose file became shorter fails beyond its end.
forge <<'E'
new 128 init
write a 0 4
ok a
put a 0 4
E
if [ "$(id -u)" = 0 ] && loop=$(losetup -f --show "$dir/dev" 2>/dev/null); then
	truncate -s 32K "$dir/dev"
	for list in 64-127 64-99 "$(printf '# none\n64+20\n90-127')"; do
		echo "$list" >"$dir/list"
		"$h" check --dev "$loop" --log "$dir/log" --allow all --errors-allowed "$dir/list" >"$dir/out" 2>&1
		echo "$? $(sed -n 's/^errors: //p;s/^errors allowed: //p' "$dir/out" | xargs)"
	done >"$dir/got"
	"$h" run --dev "$loop" --log "$dir/log" --resume --ops 200 --mix read=1 --errors record >"$dir/out" 2>&1
	echo $? >>"$dir/got"
	"$h" run --dev "$loop" --log "$dir/log" --resume --ops 200 --mix read=1 >"$dir/out" 2>&1
	echo $? >>"$dir/got"
	losetup -d "$loop"
	cp "$dir/got" "$dir/out"
	printf '%s\n' "0 0 64" "2 28 36" "2 6 58" 0 3 | cmp -s - "$dir/got"
	result $? "read errors: allowed where listed, nowhere else"
else
	skip "read errors: allowed where listed, nowhere else" "no loop device"
fi

# Live runs
live() { # NAME RUN-OPTIONS
	local name=$1 rc=0
	shift
	rm -f "$dir/dev" "$dir/log"
	"$h" init --dev "$dir/dev" --size 8M --seed 5 $buffered >"$dir/out" 2>&1 || rc=1
	[ $rc = 1 ] || "$h" run --dev "$dir/dev" --log "$dir/log" --seed 5 $buffered "$@" >"$dir/out" 2>&1 || rc=1
	[ $rc = 1 ] || judge all || rc=1
	[ $rc = 1 ] || judge flushed+observed || rc=1
	result $rc "$name"
}
buffered=
"$h" init --dev "$dir/probe" --size 1M >/dev/null 2>&1 || buffered=--buffered
live "run: one thread, everything" --ops 3000
live "run: eight writers, apart" --ops 4000 --threads 8 --hot 50
live "run: eight writers, overlapping" --ops 4000 --threads 4 --qd 2 --hot 80 --overlap
live "run: small hot range, heavy reads" --ops 6000 --threads 8 --overlap --hot 100 --sizes 512,1024,4096 \
	--mix write=40,read=50,discard=10

rm -f "$dir/dev" "$dir/log"
"$h" init --dev "$dir/dev" --size 4M --zero --log "$dir/log" $buffered &&
	"$h" run --dev "$dir/dev" --log "$dir/log" --ops 500 $buffered >"$dir/out" 2>&1 && judge all &&
	{ "$h" run --dev "$dir/dev" --log "$dir/log" --ops 5 $buffered >"$dir/out" 2>&1; [ $? = 1 ]; }
result $? "run: zeros at first, the log begun by init; a history is not begun twice"

rm -f "$dir/dev" "$dir/log"; rc=0
"$h" init --dev "$dir/dev" --size 8M --seed 6 $buffered
for _ in 1 2 3 4; do
	was=$(logged)
	"$h" run --dev "$dir/dev" --log "$dir/log" --seed 6 --threads 4 --overlap --hot 50 --seconds 30 --resume \
		$buffered >"$dir/out" 2>&1 &
	pid=$!
	# until it has begun, then into the middle of it
	for _ in {1..300}; do
		[ "$(logged)" -gt "$was" ] && break
		sleep 0.1
	done
	sleep 0.4
	kill -9 $pid; wait $pid 2>/dev/null
	extra=--record judge all || { rc=1; break; }
done
judge flushed+observed || rc=1
result $rc "run killed four times, one history"

# A copy of before a completed run is put back: everything acknowledged since is lost.
cp "$dir/dev" "$dir/before"
"$h" run --dev "$dir/dev" --log "$dir/log" --resume $buffered --ops 200 --mix write=100 --sizes 4096 >"$dir/out" 2>&1
cp "$dir/before" "$dir/dev"
"$h" check --dev "$dir/dev" --log "$dir/log" --buffered --allow all >"$dir/out" 2>&1
[ $? = 2 ] && [ "$(sed -n 's/^lost: //p' "$dir/out")" -gt 1000 ] && judge flushed+observed
result $? "an old copy put back is seen"

cp "$dir/before" "$dir/dev"
"$h" run --dev "$dir/dev" --log "$dir/log" --resume $buffered --ops 2000 --mix read=100 --sizes 65536 >"$dir/out" 2>&1
[ $? = 2 ]
result $? "... also by the reads of a run"

# Streams: a fifo
rm -f "$dir/log" "$dir/fifo"; mkfifo "$dir/fifo"
"$h" init --dev "$dir/dev" --seed 7 $buffered
stream() { # RUN-OPTIONS
	local pid
	cat "$dir/fifo" >>"$dir/log" 2>/dev/null & pid=$!
	if "$h" run --dev "$dir/dev" --log "$dir/fifo" --threads 4 --ops 500 $buffered "$@" >"$dir/out" 2>&1; then
		wait $pid
	else	# perhaps before it opened the fifo, which cat does not wait out
		kill $pid 2>/dev/null; wait $pid 2>/dev/null
		return 1
	fi
}
stream --seed 7 && judge all && stream --history "$dir/log" --resume && judge all && grep -q '1 rounds' "$dir/out"
result $? "the log as a stream, and its continuation"

"$bin/history_fuzz" 20000 1 >"$dir/out" 2>&1
result $? "the model against every possible order ($(tail -1 "$dir/out"))"

echo "1..$n"
[ $failed = 0 ]
