#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1024 smp=2 timeout=600
#
# shellcheck disable=SC2317	# called by ktap_test
#
# The net layer alone, by a module that runs both ends over the loopback device:
# once in the first network namespace, once in one that is removed afterwards.
# Then what a socket owes to its namespace.

# shellcheck source=tests/lib/ktap.sh
. "$REPO/tests/lib/ktap.sh"
# shellcheck source=tests/lib/nodes.sh
. "$REPO/tests/lib/nodes.sh"
ktap_header

ko=$REPO/build/net_loop/$KVER/circle_net_test.ko
[ -e "$ko" ] || skip_all "no circle_net_test.ko, try: make -C tests/selftests/net_loop KVER=$KVER"
modprobe libcrc32c

# results <mark>: what the module wrote into the log since the mark.
results()
{
	dmesg | awk -v mark="$1" 'index($0, mark) { on = 1 } on' |
		sed -n 's/^\[[^]]*\] *//; s/^\(ok\|not ok\) [0-9]* /\1 /p; /^# /p'
}

# all_cases <name> <command that loads>
all_cases()
{
	local name=$1 mark="net-loop: $1" verdict what n=0
	shift
	echo "$mark" >/dev/kmsg
	"$@" || echo "# loading failed"
	while read -r verdict what; do
		case $verdict in
		ok) ok "$name: $what"; n=$((n + 1)) ;;
		not) not_ok "$name: ${what#ok }" ;;
		*) echo "# $what" ;;
		esac
	done < <(results "$mark")
	ktap_test "$name: all cases ran" [ "$n" -ge 18 ]
	ktap_test "$name: unload at once" rmmod circle_net_test
}

# A node's veth has its other end in the namespace, and goes when that goes.
there() { ip link show dev "$1" >/dev/null 2>&1; }
gone() { ! there "$1"; }

ip link set lo up
all_cases "first namespace" insmod "$ko"

node_add 1
all_cases "namespace" node_exec 1 insmod "$ko"
ip netns del n1
ktap_test "nothing keeps the namespace afterwards" wait_for 60 "v1 to go" gone v1

node_add 2
node_exec 2 insmod "$ko" hold=1
ip netns del n2
node_add 4
ip netns del n4
wait_for 60 "v4 to go" gone v4	# namespaces go in order: v2 would have gone, too
ktap_test "a listener keeps its namespace" there v2
rmmod circle_net_test
ktap_test "and lets it go" wait_for 60 "v2 to go" gone v2

# The network loses everything once a connection is up.
ready() { dmesg_since_begin | grep -q '# ready$'; }
vanish()
{
	local pid rc
	node_exec 3 insmod "$ko" vanish=1 &
	pid=$!
	wait_for 60 "the connection" ready
	tc -n n3 qdisc add dev lo root netem loss 100%
	wait "$pid"
	rc=$?
	results "net-loop: vanish"
	rmmod circle_net_test
	return "$rc"
}
node_add 3
NODES=(3)
modprobe sch_netem
echo "net-loop: vanish" >/dev/kmsg
ktap_test "both ends notice that the other is gone" vanish

check_dmesg
ktap_done
