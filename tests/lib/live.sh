# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What tests of a recovery that is live share: node 1 is the owner, with the peers of $PEERS and the degree
# $DEGREE; a write to its origin takes $SLOW ms while it recovers. Brings ktap.sh and all
# that it needs.

# shellcheck source=tests/lib/rig.sh
. "$REPO/tests/lib/rig.sh"

PEERS="2 3"
SLOW=2000
RECOVER="3 writeback recover fenced"

SIZE=33554432		# of the history: 512 blocks
hist() { "$HISTORY" "$1" --dev /dev/mapper/c1 --log /tmp/h --size $SIZE "${@:2}" >/tmp/out || { tail -25 /tmp/out; return 1; }; }
run() { hist run --resume --threads 4 "$@"; }
check() { hist check --allow all --record; }

left() { circle_status c1 recovering; }
is_live() { local n; n=$(left); echo "# $n left"; [ "$n" -gt 0 ]; }
is_over() { [ "$(left)" = 0 ]; }
said() { log_since "$MARK" | grep -q "$1"; }
counts() { circle_wait_counts 1 2 "$DEGREE"; }
owner() { circle_node_create 1 "$DEGREE" "$PEERS" "${FEATURES-1 writeback}"; }
nothing_lost() { [ "$(circle_status c1 lost_pages)" = 0 ]; }

# live_lost <command...>: hundreds of blocks that it makes dirty; then the host and its SSD are gone.
live_lost()
{
	live_dirty "$@" && dies_again
}

# live_dirty <command...>: nothing but what it writes is dirty, and stays so
live_dirty()
{
	circle_patient 1 && circle_drain c1 && dev_hold org1 1 120000 && counts && "$@" || return 1
	echo "# $(circle_dirty c1) dirty"
	counts
}
dies_again() { circle_node_die 1 && circle_node_wipe 1 && dev_hold org1 1 "$SLOW"; }

# The first read is of the last block, so that it is not one of those that are drained first.
first_read()
{
	local begin made
	begin=$(now_ms)
	owner && made=$(now_ms) && is_live && dd if=/dev/mapper/c1 of=/dev/null bs=64k skip=511 count=1 \
		iflag=direct status=none || return 1
	echo "# made after $((made - begin)) ms, the first read ended $(($(now_ms) - made)) ms later"
}
takes_over()
{
	local FEATURES=$RECOVER
	MARK=$(log_mark)
	circle_recovers 1 within_awake 10 first_read && is_live
}

# Known content: 192 blocks, of which as many as a batch of write-back has may be written back when the
# owner dies (dev_hold): not the last.
random_blocks()	# <file>
{
	head -c 12M /dev/urandom >"$1" && copy_blocks "$1" 0 192
}
copy_blocks()	# <file> <first> <number>
{
	timeout 600 dd "if=$1" of=/dev/mapper/c1 bs=64k skip="$2" seek="$2" count="$3" conv=notrunc \
		oflag=direct iflag=fullblock status=none
}
reads_as()	# <file> <first> <number>
{
	timeout 600 dd if=/dev/mapper/c1 of=/tmp/blocks bs=64k skip="$2" count="$3" iflag=direct status=none &&
		cmp -n $(($3 << 16)) -i $(($2 << 16)):0 "$1" /tmp/blocks
}

# The block that is looked at: one that nobody has written back.
X=191

# place_of <ssd> <file> <block>: its first sector there, if it is
place_of()
{
	dd "if=/dev/mapper/$1" of=/tmp/image bs=1M iflag=direct status=none &&
		python3 - "$2" "$3" <<-END
			import sys
			with open(sys.argv[1], "rb") as f:
			    f.seek(int(sys.argv[2]) << 16)
			    block = f.read(4096)
			at = open("/tmp/image", "rb").read().find(block)
			if at >= 0:
			    print(at // 512)
		END
}
bad_place() { AT=$(place_of "ssd$1" /tmp/before "$X") && echo "# ssd$1: sector $AT" && bad_sectors "ssd$1" "$AT" 128; }
good_place() { good_sectors "ssd$1" "$AT" 128; }
x_is_read() { reads_as /tmp/before "$X" 1; }
x_fails() { ! x_is_read; }
all_is_read() { reads_as /tmp/before 0 192 && nothing_lost; }

# find_holder: of it, of nodes 2 and 3, with degree 1
find_holder()
{
	local n
	HOLDER=
	for n in 2 3; do
		[ -z "$(place_of "ssd$n" /tmp/before "$X")" ] || HOLDER=$n
	done
	# shellcheck disable=SC2034	# for the test
	OTHER=$((5 - HOLDER))
	echo "# node $HOLDER has block $X"
	[ -n "$HOLDER" ]
}

peer() { circle_node_create "$1" 0 ""; }
risk_is_known() { [ "$(circle_status c1 at_risk)" -gt 0 ]; }
ends() { dev_heal org1 && wait_for 120 "the end" is_over; }
# The taker, in the middle of it; its devices stay.
dies() { is_live && circle_node_die 1 && dev_hold org1 1 "$SLOW"; }
# A taker that may not be quick, since a peer is away.
slow_take()
{
	local FEATURES=$RECOVER
	MARK=$(log_mark)
	owner && is_live
}
