#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=512 smp=2 timeout=120
#
# shellcheck disable=SC2317	# called by ktap_test
#
# The module loads, registers its target, and unloads.

# shellcheck source=tests/lib/ktap.sh
. "$REPO/tests/lib/ktap.sh"
ktap_header

registered() { dmsetup targets | grep -q '^circle '; }
unregistered() { ! registered && ! grep -q '^dm_circle ' /proc/modules; }

ktap_test "the kernel is the one asked for" [ "$(uname -r)" = "$KVER" ]
modinfo -n dm-circle >/dev/null 2>&1 || skip_all "no dm-circle.ko for $KVER"

for round in 1 2 3; do
	ktap_test "load, round $round" modprobe dm-circle
	ktap_test "the target is there" registered
	ktap_test "unload" modprobe -r dm-circle
	ktap_test "the target is gone" unregistered
done

check_dmesg
ktap_done
