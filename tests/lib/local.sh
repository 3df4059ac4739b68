# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What tests of a local cache share. Source after circle.sh.

# table_of <sectors> <meta> <ssd> <origin> <block sectors> [<rest>]: names of mapper devices
table_of()
{
	echo "0 $1 circle /dev/mapper/$2 /dev/mapper/$3 /dev/mapper/$4 $5 ${6:-1 writeback default 0}"
}

sum_of() { "$IO" sum "/dev/mapper/$1"; }

# refused <extended regular expression> <table line>: no device comes of it, and the kernel's log
# or dmsetup says why.
refused()
{
	local mark="refused: $RANDOM$RANDOM" out
	echo "$mark" >/dev/kmsg
	if out=$(dmsetup create refused --table "$2" 2>&1); then
		dmsetup remove refused
		echo "# was accepted: $2"
		return 1
	fi
	! dm_dir refused || dmsetup remove refused 2>/dev/null
	out+=$("$IO" log "$mark")
	grep -qE "$1" <<<"$out" && return
	grep circle <<<"# $out"
	return 1
}

# stat_of <mapper device> <field, from 1>: of /sys/block/*/stat; 1 reads, 5 writes, 12 discards
stat_of()
{
	local -a f
	dm_dir "$1" && read -ra f <"$REPLY/stat" && echo "${f[$2 - 1]}"
}

# bad_sectors <name> <first> <number>: of a dev_null device: reads and writes there fail.
# good_sectors: they work again.
bad_sectors() { echo "+$2-$(($2 + $3 - 1))" >"/sys/kernel/config/nullb/b_$1/badblocks"; }
good_sectors() { echo "-$2-$(($2 + $3 - 1))" >"/sys/kernel/config/nullb/b_$1/badblocks" || true; }

# within <seconds> <command...>: it succeeds, and no later than that
within()
{
	local begin
	get_now
	begin=$NOW_MS
	"${@:2}" || return 1
	get_now
	[ $((NOW_MS - begin)) -le $(($1 * 1000)) ] && return
	echo "# ${*:2} took $((NOW_MS - begin)) ms"
	return 1
}

# crash <circle> <ssd> <meta> ...: the circle device goes without having written anything at its
# end, as if the host had died; the lower devices keep what they have. In this order: were only the
# metadata to fail, the SSD would get a mark that says so.
crash()
{
	local name=$1 d
	shift
	for d in "$@"; do
		dev_fail "$d" || return 1
	done
	dmsetup remove --retry "$name" || return 1
	for d in "$@"; do
		dev_heal "$d" || return 1
	done
}
