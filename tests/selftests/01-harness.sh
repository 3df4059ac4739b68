#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=768 smp=2 timeout=180 kernels=newest
#
# shellcheck disable=SC2317	# called by ktap_test
#
# The means of the other tests do what they say: nodes, links, devices.

# shellcheck source=tests/lib/ktap.sh
. "$REPO/tests/lib/ktap.sh"
# shellcheck source=tests/lib/nodes.sh
. "$REPO/tests/lib/nodes.sh"
ktap_header

reach() { node_exec "$1" busybox ping -c 1 -W "${3:-1}" "10.78.0.$2" >/dev/null; }
no_reach() { ! reach "$@"; }
took() { local b; b=$(now_ms); "${@:2}" || return 1; [ $(($(now_ms) - b)) -ge "$1" ]; }

# <device> <word> [<4 KiB page>]
put_only()
{
	printf '%-511s\n' "$2" | dd of="$(dev_path "$1")" bs=512 seek=$((${3:-0} * 8)) \
		count=1 iflag=fullblock oflag=direct status=none
}
put() { put_only "$@" && blockdev --flushbufs "$(dev_path "$1")" && sync "$(dev_path "$1")"; }
has()
{
	local word
	word=$(dd if="$(dev_path "$1")" bs=512 skip=$((${3:-0} * 8)) count=1 iflag=direct \
		status=none | tr -d '\0 \n') && [ "$word" = "$2" ]
}
fails() { ! "$@" 2>/dev/null; }

# An error in an expression ends a case without a result: it has failed all the same.
cut_short() { : $(($1 / 65536)); }
with_a_case_cut_short()
{
	bash -c '. "$REPO/tests/lib/ktap.sh"; ktap_header; eval "$1"; ktap_test one true
		ktap_test two cut_short " * 3"
		ktap_test three true
		ktap_done' - "$(declare -f cut_short)" >/tmp/ktap 2>/dev/null
	[ $? = 1 ] && grep -q "^not ok 2 two" /tmp/ktap && grep -q "^ok 3 three" /tmp/ktap
}

ktap_test "a case that is cut short" with_a_case_cut_short
ktap_test "node 1" node_add 1
ktap_test "node 2" node_add 2
ktap_test "they reach each other" wait_for 30 "ping" reach 1 2
ktap_test "a link goes down" link_down 2
ktap_test "nothing gets through" no_reach 1 2
ktap_test "and up" link_up 2
ktap_test "it gets through" wait_for 30 "ping" reach 1 2
ktap_test "delay" link_delay 1 100
ktap_test "a round trip takes 200 ms" took 200 reach 1 2 20
ktap_test "no delay" link_delay 1 0
ktap_test "loss" link_loss 1 100
ktap_test "all is lost" no_reach 1 2
ktap_test "no loss" link_loss 1 0
ktap_test "nothing is lost" wait_for 30 "ping" reach 1 2

ktap_test "a disk with a volatile cache" dev_null a 64 volatile
ktap_test "it says so" grep -q "write back" "/sys/block/$(basename "${DEV_LOWER[a]}")/queue/write_cache"
ktap_test "write and flush" put a one
ktap_test "write without flush" put_only a two 1
ktap_test "it is there" has a two 1
ktap_test "power off" dev_off a
ktap_test "I/O fails" fails has a one
ktap_test "power on" dev_on a
ktap_test "what was flushed is there" has a one
ktap_test "what was not is gone" has a "" 1

ktap_test "a ram disk" dev_brd b 64
ktap_test "write" put b three
ktap_test "it fails on demand" dev_fail b
ktap_test "reads fail" fails has b three
ktap_test "it heals" dev_heal b
ktap_test "nothing was lost" has b three
ktap_test "writes fail on demand" dev_fail_writes b
ktap_test "a write fails" fails put b four
ktap_test "a read does not" has b three
ktap_test "slow on demand" dev_delay b 300
ktap_test "a read takes 300 ms" took 300 has b three
ktap_test "fast again" dev_heal b
ktap_test "removed" dev_remove b

check_dmesg
ktap_done
