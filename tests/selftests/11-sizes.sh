#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=450 modules=dm-circle,null_blk kernels=newest
#
# Block sizes from 4 KiB to 1 GiB, pages of every kind, an origin that ends within a block.
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

create() { dmsetup create c --table "$(table_of "$SECTORS" meta ssd org "$BS")"; }

page_sectors()	# <block sectors>
{
	local n=8
	while [ $((n * 64)) -lt "$1" ]; do n=$((n * 2)); done
	echo $n
}

# put <sector> <sectors> <seed>: a pattern onto c and into the file of what must be there
put()
{
	"$IO" piece /dev/mapper/c /tmp/want "$1" "$2" "$FROM" "$3"
}

# same <device>: has it what must be there, from FROM on?
same()
{
	"$IO" same "/dev/mapper/$1" /tmp/want $((SECTORS - FROM)) "$FROM"
}

# No bio of more than a MiB is cut in pieces only if the page fits into one.
whole_pages()
{
	local page before last
	page=$(page_sectors "$BS")
	before=$(stat_of org 1)
	put "$FROM" "$page" 1 && put $((FROM + 3 * page)) $((2 * page)) 2 || return 1
	last=$(((SECTORS - 1) % BS / page * page + (SECTORS - 1) / BS * BS))
	put "$last" $((SECTORS - last)) 3 || return 1
	[ "$(stat_of org 1)" = "$before" ] && return
	echo "# the origin was read $(($(stat_of org 1) - before)) times"
	return 1
}

small_writes()
{
	local i page
	page=$(page_sectors "$BS")
	local -a at=(1 2 5 9 14)
	[ "$page" -le 256 ] || at=(1 2)
	for i in "${at[@]}"; do
		put $((FROM + i * page - 1)) 2 $((10 + i)) || return 1	# ends one, begins another
	done
	put $((FROM + 3 * page + 3)) 1 20 && put $((FROM + 2 * page + 8)) 7 21 &&
		put $((SECTORS - 1)) 1 22
}

one_size()	# <block sectors> <MiB of the cache> <MiB of the origin>
{
	local span page
	BS=$1 SECTORS=$(($3 * 2048 - 2048 - 5))
	page=$(page_sectors "$BS")
	span=$((20 * page > 2048 ? 20 * page : 2048))	# what the test looks at
	[ "$page" -le 256 ] || span=$((5 * page))
	FROM=$((((SECTORS - span) / BS * BS) + (SECTORS - span) % BS / page * page))
	dev_null ssd "$2" && dev_null meta 2 && dev_null org "$3" || return 1
	dd if=/dev/urandom bs=1M count=1 status=none | dd of=/dev/mapper/org bs=1M \
		seek=$((FROM * 512)) oflag=seek_bytes status=none
	dd if=/dev/mapper/org of=/tmp/want bs=1M skip=$((FROM * 512)) iflag=skip_bytes,count_bytes \
		count=$(((SECTORS - FROM) * 512)) status=none
	ktap_test "$BS: create" create || return 1
	[ "$page" -gt 256 ] || ktap_test "$BS: writes of whole pages read nothing" whole_pages
	ktap_test "$BS: small writes" small_writes
	ktap_test "$BS: the data are right" same c
	ktap_test "$BS: remove" dmsetup remove c
	ktap_test "$BS: load again" create
	ktap_test "$BS: the data are still right" same c
	ktap_test "$BS: drain" circle_drain c
	ktap_test "$BS: remove, clean" dmsetup remove c
	ktap_test "$BS: the origin has it" same org
	dev_remove ssd; dev_remove meta; dev_remove org
}

bad_size() { refused "circle: block size must be" "$(table_of 65536 meta ssd org "$1")"; }

no_blocks() { refused "cache device holds fewer than 8 blocks" "$(table_of 65536 meta ssd org 8192)"; }

at_exit 'dmsetup remove --retry c 2>/dev/null'
one_size 8 8 32
one_size 24 8 32
one_size 520 8 32
one_size 2048 16 48
one_size 8192 40 64
one_size 2097152 9216 9216

dev_null ssd 16 && dev_null meta 2 && dev_null org 64
for bs in 0 4 7 9 2097160 4294967304 -8 8k ''; do
	ktap_test "block size \"$bs\" is refused" bad_size "$bs"
done
ktap_test "a cache of fewer than 8 blocks is refused" no_blocks
check_dmesg
ktap_done
