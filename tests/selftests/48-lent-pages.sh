#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1024 smp=2 timeout=400 modules=dm-circle,null_blk kernels=newest
#
# TCP sends the pages of a write again, for a network loses packets, while the host writes the same
# blocks anew: the holder gets exactly what was acknowledged, and no frame that it has to refuse. Its
# copies are what is left when the owner dies.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/ktap.sh
. "$REPO/tests/lib/ktap.sh"
# shellcheck source=tests/lib/nodes.sh
. "$REPO/tests/lib/nodes.sh"
# shellcheck source=tests/lib/circle.sh
. "$REPO/tests/lib/circle.sh"
ktap_header

SIZE=2097152		# so that each block is written again and again
RECOVER="3 writeback recover fenced"

hist() { "$HISTORY" "$1" --dev /dev/mapper/c1 --log /tmp/h --size "$SIZE" "${@:2}" >/tmp/out || { tail -15 /tmp/out; return 1; }; }
resent() { node_exec 1 nstat -asz TcpRetransSegs | awk '/TcpRetransSegs/ { print $2 }'; }
lost_peers() { log_since "$MARK" | grep -cE 'peer 2: (ready|.*connection reset)'; }

# The origin takes no writes, so that all that is dirty stays with the holder alone.
# faults: link error writing
# faults: origin error writing
writes()
{
	local before after
	dev_fail_writes org1 && link_loss 2 3 && before=$(resent) &&
		hist run --resume --overlap --threads 4 --qd 2 --ops 1500 --mix write=100 \
			--sizes 16384,32768,65536,131072 && after=$(resent) && link_loss 2 0 || return 1
	echo "# $((after - before)) segments were sent again"
	[ "$after" -gt "$before" ]
}

none_lost() { [ "$(lost_peers)" = 0 ] && circle_counts 1 1; }
# faults: owner-host power-loss idle
dies() { circle_node_die 1 && circle_node_wipe 1; }

circle_timeout 30000
circle_nodes 32 1 2 || exit 1
ktap_test "a peer" circle_node_create 2 0 ""
ktap_test "its owner" circle_node_create 1 1 "2"
ktap_test "counts it" circle_wait_counts 1 1
hist init --zero --seed $((RANDOM + 1)) || exit 1
MARK=$(log_mark)
ktap_test "writes over a network that loses 3 %" writes
ktap_test "the peer was not lost" none_lost
ktap_test "the owner dies" dies
ktap_test "it is taken over" circle_recovers 1 circle_node_create 1 1 "2" "$RECOVER"
ktap_test "what was acknowledged is there" hist check --allow all
ktap_test "remove" circle_remove_all
check_dmesg
ktap_done
