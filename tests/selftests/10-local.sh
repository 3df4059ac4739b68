#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=600 modules=dm-circle,null_blk
#
# A local write-back cache: random verified I/O with a cache much smaller than the working set,
# flush, reload, remove and load again.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/ktap.sh
. "$REPO/tests/lib/ktap.sh"
# shellcheck source=tests/lib/nodes.sh
. "$REPO/tests/lib/nodes.sh"
# shellcheck source=tests/lib/circle.sh
. "$REPO/tests/lib/circle.sh"
ktap_header

fio_verify()	# <device> <more options>
{
	local dev=$1
	shift
	fio --name=v --filename="$dev" --direct=1 --ioengine=libaio --iodepth=16 --rw=randrw \
		--rwmixread=40 --bsrange=512-32k --bs_unaligned=0 --blockalign=512 --size=48M \
		--io_size=24M --verify=crc32c --verify_backlog=64 --fsync=64 --randseed=7 \
		--minimal "$@" >/tmp/fio.out 2>&1 || { tail -n 20 /tmp/fio.out; return 1; }
}

one_size()	# <block sectors>
{
	local bs=$1
	dev_null "ssd$bs" 16 && dev_null "meta$bs" 8 && dev_null "org$bs" 64 || return 1
	ktap_test "$bs: create" circle_create "c$bs" "/dev/mapper/org$bs" "$bs" \
		"/dev/mapper/meta$bs" "/dev/mapper/ssd$bs" || return 1
	ktap_test "$bs: random verified I/O" fio_verify "/dev/mapper/c$bs"
	"$HISTORY" init --dev "/dev/mapper/c$bs" --log /tmp/h --size 50331648 --seed "$bs" || return 1
	ktap_test "$bs: history" "$HISTORY" run --resume --dev "/dev/mapper/c$bs" --log /tmp/h --size 50331648 \
		--seed "$bs" --ops 1500 --threads 2
	ktap_test "$bs: remove" dmsetup remove "c$bs"
	ktap_test "$bs: load again" circle_create "c$bs" "/dev/mapper/org$bs" "$bs" \
		"/dev/mapper/meta$bs" "/dev/mapper/ssd$bs"
	ktap_test "$bs: nothing is lost" "$HISTORY" check --dev "/dev/mapper/c$bs" --log /tmp/h --allow all
	ktap_test "$bs: drain" circle_drain "c$bs"
	ktap_test "$bs: remove, clean" dmsetup remove "c$bs"
	ktap_test "$bs: the origin is whole" "$HISTORY" check --dev "/dev/mapper/org$bs" --log /tmp/h --allow all
	rm -f /tmp/h
	dev_remove "ssd$bs"; dev_remove "meta$bs"; dev_remove "org$bs"
}

for bs in 8 128 512; do
	one_size $bs
done
check_dmesg
ktap_done
