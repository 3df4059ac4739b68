# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# One script, run with the targets `cache` and `circle`, each with devices of its own: it must succeed
# with both, and what it prints must be the same. Source after local.sh.
#
# A script uses $T, the target's name, and the functions below. Its devices are m_$T (metadata), s_$T
# (cache), o_$T (origin); its mapped device is d_$T.

TARGETS=(cache circle)

# side_devices <MiB of metadata> <of the cache> <of the origin>
side_devices()
{
	local t
	for t in "${TARGETS[@]}"; do
		dev_null "m_$t" "$1" && dev_null "s_$t" $(($2 + 1)) && dev_null "o_$t" "$3" || return 1
		# Room behind the last block: ours keeps its void mark there, or has a block less.
		# shellcheck disable=SC2034,SC2154	# nodes.sh's
		DEV_SECTORS["s_$t"]=$(($2 * 2048 + 8)) && dev_heal "s_$t" || return 1
	done
	LEN=$(($3 * 2048))
}

side_devices_remove()
{
	local t
	for t in "${TARGETS[@]}"; do
		dmsetup remove --retry "d_$t" 2>/dev/null
		dev_remove "m_$t"; dev_remove "s_$t"; dev_remove "o_$t"
	done
}

# What differs by nature: the target's name and that of its devices, numbers of devices.
__plain() { sed -E "s/_?\b$T\b//g; s/\b[mso]_$T\b//g; s/\b[0-9]+:[0-9]+\b/DEV/g"; }

# same_both <function> [<arguments>]
same_both()
{
	local out rc=0 ended
	for T in "${TARGETS[@]}"; do
		"$@" 2>&1 | __plain >"/tmp/side_$T"
		ended=${PIPESTATUS[0]}
		[ "$ended" = 0 ] && continue
		echo "# $T ended with $ended:"
		sed 's/^/#   /' "/tmp/side_$T"
		rc=1
	done
	[ "$(</tmp/side_cache)" != "$(</tmp/side_circle)" ] || return "$rc"
	out=$(diff -u --label cache --label circle /tmp/side_cache /tmp/side_circle) && return "$rc"
	echo "# ${out//$'\n'/$'\n'# }"
	return 1
}

dev() { echo "/dev/mapper/d_$T"; }
# line <from the block size on> [<length>]
line() { echo "0 ${2-$LEN} $T /dev/mapper/m_$T /dev/mapper/s_$T /dev/mapper/o_$T $1"; }

# try <dmsetup's arguments>: how it ended, with the kernel's reason
try()
{
	local out rc
	out=$(dmsetup "$@" 2>&1)
	rc=$?
	while read -r out; do
		[[ ! $out =~ .*ioctl\ .*failed:\ (.*) ]] || echo "dmsetup: ${BASH_REMATCH[1]}"
	done <<<"$out"
	[ "$rc" = 0 ] || echo "exit $rc"
	return "$rc"
}

# As scripts for dm-cache do it: the first 4 KiB.
wipe() { dd if=/dev/zero of="/dev/mapper/m_$T" bs=4096 count=1 oflag=direct status=none; }

fresh() { ! dm_dir "d_$T" || dmsetup remove --retry "d_$T" 2>/dev/null; wipe; }
create() { try create "d_$T" --table "$(line "$@")"; }
load() { try load "d_$T" --table "$(line "$@")"; }
reload() { dmsetup suspend "d_$T" && load "$@" && try resume "d_$T"; }

# field <n>: of dm-cache's status line, from 1; its dirty blocks are 11
field() { "$IO" status "d_$T" "$1"; }

is_dirty() { [ "$(field 11)" -gt 0 ]; }
is_clean() { circle_is "d_$T" 11 0; }

# status [--inactive]: what must be the same of two caches with another history; `circle` ends it
status()
{
	local line
	if [ -n "${1-}" ]; then
		line=$(dmsetup status "$@" --noflush "d_$T")
	else
		line=$("$IO" status "d_$T")
	fi
	[[ ! $line =~ ^(.*)circle\ [0-9]+\ generation ]] || line=${BASH_REMATCH[1]}
	[[ ! $line =~ ^(0\ [0-9]+\ [a-z]+\ 8)\ [0-9]+/[0-9]+\ ([0-9]+)\ [0-9]+/([0-9]+)\ ([0-9]+\ ){6}(.*) ]] ||
		line="${BASH_REMATCH[1]} ${BASH_REMATCH[2]} ${BASH_REMATCH[3]} ${BASH_REMATCH[5]}"
	echo "$line"
}

table() { "$IO" line "d_$T"; }

# hot <blocks of 64 KiB>: written until they are dirty in the cache
hot()
{
	local n end
	get_now
	end=$((NOW_MS + 150000))
	while [ "$NOW_MS" -lt "$end" ]; do
		dd if=/dev/urandom of="/dev/mapper/d_$T" bs=64k count="$1" oflag=direct conv=notrunc \
			status=none && n=$(field 11) || return 1
		[ "$n" -lt "$1" ] || return 0
		get_now
	done
	echo "# $T: $n of $1 blocks became dirty"
	return 1
}

# The cleaner is what runs, and nothing is dirty.
cleaned()
{
	reload "128 0 cleaner 0" && [[ "$(table)" == *" cleaner 0"* ]] && wait_for 60 "clean" is_clean
}
