# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# For tests of circles in one VM (source rig.sh first) whose owner is node 1: a history of writes to it, much that
# is dirty with all holders while the origin takes nothing, and the death of the owner, after which what its
# peers say has to be what was written.

SIZE=16777216
hist() { "$HISTORY" "$1" --dev /dev/mapper/c1 --log /tmp/h --size $SIZE "${@:2}" >/tmp/out || { tail -15 /tmp/out; return 1; }; }
run() { hist run --resume --threads 2 --qd 4 "$@"; }
check() { hist check --allow all --record; }
peer() { circle_node_create "$1" 0 ""; }
put() { dm_dir "c$1" && echo "$3" >"$REPLY/circle/$2"; }
healed() { circle_get 1 healed; }
heals_on() { [ "$(healed)" -gt "$1" ]; }
whole() { circle_counts 1 "$1" "$2" && circle_risk_is 1 0; }

# owner <degree> "<peers>": all count, and much is dirty with as many holders as asked for
owner()
{
	circle_node_create 1 "$1" "$2" && wait_for 60 "all peers" circle_counts 1 "$(wc -w <<<"$2")" "$1" && dirty
}
dirty()
{
	circle_drain c1 && dev_hold org1 1 2500 && run --ops 120 --qd 32 --mix write=90,discard=10 \
		--sizes 512,4096,4096,8192,65536,262144 && [ "$(circle_dirty c1)" -gt 20 ] &&
		circle_risk_is 1 0 && HEALED=$(healed)
}

# It has all of it from the peers alone.
owner_dies()	# <degree> "<peers>"
{
	circle_node_die 1 && circle_node_wipe 1 &&
		circle_recovers 1 circle_node_create 1 "$1" "$2" "3 writeback recover fenced" && check &&
		circle_recovered 1 && check && dmsetup remove c1
}

# heal <peers left> <floor>: by copying: what is dirty is dirty still, and the origin takes nothing.
heal()
{
	wait_for 60 "floor $2 of $1" whole "$1" "$2" && echo "# copied: $(($(healed) - HEALED)) blocks" && heals_on "$HEALED"
}
