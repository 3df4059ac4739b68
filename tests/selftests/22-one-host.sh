#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1024 smp=2 timeout=450 modules=dm-circle,null_blk
#
# The simplest circle: two SSDs in one host, two devices that reach each other over loopback, in one
# domain. One SSD is lost; its dirty data are on the other.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/ktap.sh
. "$REPO/tests/lib/ktap.sh"
# shellcheck source=tests/lib/nodes.sh
. "$REPO/tests/lib/nodes.sh"
# shellcheck source=tests/lib/circle.sh
. "$REPO/tests/lib/circle.sh"
ktap_header

one()	# <N> <peer> [<features>]
{
	dmsetup create "c$1" --table "$(circle_table "/dev/mapper/org$1" 8 "/dev/mapper/meta$1" \
		"/dev/mapper/ssd$1" "${3:-1 writeback}" "default 0" \
		"10 id $1 listen 127.0.0.1:700$1 degree 1 domain here peer $2@127.0.0.1:700$2")"
}

# faults: owner-ssd error idle
# faults: owner-meta error idle
ssd_is_lost()	# and its metadata: the device must be made anew
{
	dev_fail ssd1 && dev_fail meta1 && dmsetup remove --retry c1 && dev_heal ssd1 &&
		dev_heal meta1 && circle_node_wipe 1
}

circle_timeout 30000	# no peer is lost here
at_exit "dmsetup remove --retry c1 c2 2>/dev/null"
for n in 1 2; do
	circle_node_devices $n 32 || exit 1
done
ktap_test "first SSD" one 1 2
ktap_test "second SSD" one 2 1
ktap_test "each counts the other" wait_for 60 "both views" eval "circle_view_is 1 1 && circle_view_is 2 1"
"$HISTORY" init --dev /dev/mapper/c1 --log /tmp/h --size 16777216 --seed 8 || exit 1
writes()
{
	"$HISTORY" run --resume --dev /dev/mapper/c1 --log /tmp/h --size 16777216 --threads 2 --qd 8 \
		--sizes 512,4096,16384,65536 "$@" >/dev/null
}
ktap_test "writes" writes --ops 600
# What is written last is dirty when the SSD is lost: the origin is slow, but not with the label.
ktap_test "and some that stay dirty" eval "circle_drain c1 && dev_hold org1 1 && writes --ops 120 --mix write=100"
lends() { [ "$(circle_status c2 lent)" -gt 0 ]; }
ktap_test "what is written is on the other SSD too" wait_for 60 "replicas" lends
ktap_test "floor 1" circle_wait_counts 1 1
ktap_test "the first SSD is lost" ssd_is_lost
ktap_test "the origin is as fast as before" dev_heal org1
ktap_test "recover with a blank one" circle_recovers 1 one 1 2 "3 writeback recover fenced"
ktap_test "nothing is lost" "$HISTORY" check --dev /dev/mapper/c1 --log /tmp/h --size 16777216 \
	--allow all
ktap_test "remove" dmsetup remove c1 c2
check_dmesg
ktap_done
