# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Circle devices for tests in one VM. Source after ktap.sh and nodes.sh.

HISTORY=${HISTORY:-$REPO/build/tools/circle-history}

# circle_table <origin> <block sectors> <meta> <ssd> [<features> [<policy> [<circle args>]]]
# The whole line, for an origin of which all but the last MiB is used.
circle_table()
{
	local sectors
	sectors=$(($(blockdev --getsz "$1") - 2048))
	echo "0 $sectors circle $3 $4 $1 $2 ${5:-1 writeback} ${6:-default 0} ${7-}"
}

# circle_create <name> <circle_table's arguments>
circle_create()
{
	local name=$1
	shift
	dmsetup create "$name" --table "$(circle_table "$@")" || return 1
	at_exit "dmsetup remove --retry $name 2>/dev/null"
}

# circle_status <name> <field number of dm-cache's line, from 1> | <key behind "circle">
circle_status()
{
	local -a f
	local i
	read -ra f <<<"$(dmsetup status --noflush "$1")"
	case $2 in
	[0-9]*) echo "${f[$(($2 + 2))]}" ;;
	*)
		for ((i = ${#f[@]} - 2; i > 2; i--)); do
			[ "${f[i]}" != "$2" ] || { echo "${f[i + 1]}"; return; }
		done
		;;
	esac
}

circle_dirty() { circle_status "$1" 11; }
circle_is_clean() { [ "$(circle_dirty "$1")" = 0 ]; }

# circle_drain <name>: until nothing is dirty
circle_drain()
{
	dmsetup message "$1" 0 drain && wait_for 60 "$1 to be clean" circle_is_clean "$1" &&
		dmsetup message "$1" 0 undrain
}
