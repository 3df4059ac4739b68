#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=2000 smp=1 timeout=300 modules=dm-circle,null_blk icount=1 kernels=newest
#
# A full cache after a crash: how soon it serves, in instructions. The bar is where it was seen to be,
# with room for the host: while the guest waits for its root file system its clock runs away. About
# 180 ns a slot were counted within preresume (half of it is memory being zeroed, a byte an instruction,
# and null_blk's copying); reading both copies and entering all took 1000. By hand, up to 1 TiB:
#
#	tests/vm/run-one --icount --mem 5000 --timeout 900 --modules dm-circle,null_blk -- \
#		tests/selftests/42-startup.sh 16777216 [a|mixed]
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/ktap.sh
. "$REPO/tests/lib/ktap.sh"
# shellcheck source=tests/lib/nodes.sh
. "$REPO/tests/lib/nodes.sh"
# shellcheck source=tests/lib/circle.sh
. "$REPO/tests/lib/circle.sh"
# shellcheck source=tests/lib/local.sh
. "$REPO/tests/lib/local.sh"
# shellcheck source=tests/lib/startup.sh
. "$REPO/tests/lib/startup.sh"
ktap_header

[ -x "$FORGE" ] || { skip "all" "no circle-forge: make -C tests/tools"; ktap_done; }

FULL=16777216		# 1 TiB
SLOTS=${1:-1048576}
COPIES=${2:-a}

# From `dmsetup create` to the first page read
first_read()
{
	local t0 t1 word want
	want=$(block dirty late 1)
	t0=$(now_us)
	T0=$t0
	create || return 1
	t1=$(now_us)
	word=$(get c "$want")
	TOOK=$(($(now_us) - t0))
	echo "# $SLOTS slots, $COPIES: create $((t1 - t0)) us, first read after $TOOK us, loaded $(loaded)"
	[ "$word" = "new$want" ]
}
in_time()
{
	local bar=$((6000000 * SLOTS / FULL + 300000))
	echo "# the bar: $bar us"
	[ "$TOOK" -le "$bar" ]
}

at_exit 'dmsetup remove --retry c 2>/dev/null'
rig "$SLOTS" "$COPIES" || exit 1
ktap_test "$SLOTS slots: a dirty block is there" first_read
ktap_test "$SLOTS slots: in time" in_time
ktap_test "$SLOTS slots: still loading" loading
ktap_test "$SLOTS slots: a clean block is there" has c "$(block clean late 1)" "new$(block clean late 1)"
ktap_test "$SLOTS slots: all is loaded" wait_for 60 "all to be loaded" all_loaded
echo "# all loaded after $(($(now_us) - T0)) us: $(loaded)"
ktap_test "$SLOTS slots: all blocks are right" all_right
gone
check_dmesg
ktap_done
