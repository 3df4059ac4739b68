# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Nodes as network namespaces in one VM, and devices that fail on demand.
# Source after ktap.sh, whose at_exit cleans up.
#
#	 root namespace: bridge br0, 10.78.0.254/24
#	   v1 |        v2 |        v3 |      <- link_down, link_delay, link_loss
#	 eth0 |      eth0 |      eth0 |
#	    netns n1    netns n2    netns n3
#	   10.78.0.1   10.78.0.2   10.78.0.3
#
# A device "x" is a null_blk that keeps its data in memory, under a dm-linear
# /dev/mapper/x whose table the dev_ functions exchange. Give tests the mapper
# device only.

IO=$REPO/build/tools/circle-io
[ -x "$IO" ] || { echo "# no circle-io: make -C tests/tools"; exit 1; }

NODES=()
DEVS=()
declare -A LINK_DELAY LINK_LOSS DEV_LOWER DEV_SECTORS

node_addr() { echo "10.78.0.$1"; }

__nodes_begin()
{
	[ ${#NODES[@]} -eq 0 ] || return 0
	modprobe -a bridge veth sch_netem || return 1
	ip -batch - <<-END || return 1
		link add br0 type bridge forward_delay 0 stp_state 0
		addr add 10.78.0.254/24 dev br0
		link set br0 up
	END
	at_exit nodes_cleanup
}

# node_add <N>: a namespace nN with the address of node N.
node_add()
{
	__nodes_begin || return 1
	ip netns add "n$1" && ip -batch - <<-END && ip -n "n$1" -batch - <<-END || return 1
		link add v$1 type veth peer name eth0 netns n$1
		link set v$1 master br0 up
	END
		link set lo up
		addr add 10.78.0.$1/24 dev eth0
		link set eth0 up
	END
	NODES+=("$1")
}

# node_exec <N> <command...>: run it in the node's network.
# nsenter and not `ip netns exec`, which would mount another /sys.
node_exec()
{
	local n=$1
	shift
	nsenter --net="/run/netns/n$n" -- "$@"
}

nodes_cleanup()
{
	local n
	for n in "${NODES[@]}"; do
		ip netns del "n$n"
	done
	ip link del br0 2>/dev/null
	NODES=()
}

# The cable: nothing goes through, and neither end is told (no reset, no carrier
# loss at the bridge's side of the other nodes).
link_down() { ip link set "v$1" down; }
link_up() { ip link set "v$1" up; }

__link_apply()
{
	local n=$1 ms=${LINK_DELAY[$1]:-0} pct=${LINK_LOSS[$1]:-0}
	local -a netem=(netem limit 10000)
	[ "$ms" = 0 ] || netem+=(delay "${ms}ms")
	[ "$pct" = 0 ] || netem+=(loss "$pct%")
	tc qdisc replace dev "v$n" root "${netem[@]}" &&
		tc -n "n$n" qdisc replace dev eth0 root "${netem[@]}"
}

# link_delay <N> <ms>, link_loss <N> <percent>: each way; 0 takes it away.
link_delay() { LINK_DELAY[$1]=$2; __link_apply "$1"; }
link_loss() { LINK_LOSS[$1]=$2; __link_apply "$1"; }

# ---------------------------------------------------------------- devices

dev_path() { echo "/dev/mapper/$1"; }

__devs_begin()
{
	[ ${#DEVS[@]} -eq 0 ] || return 0
	modprobe dm-mod || return 1
	at_exit devs_cleanup
}

# has_module <name with _>: it is there, or is loaded
has_module() { [ -e "/sys/module/$1" ] || modprobe "$1"; }

# dm_dir <name>: REPLY is the directory of a mapper device in /sys/block
dm_dir()
{
	local file name
	for file in /sys/block/dm-*/dm/name; do
		read -r name 2>/dev/null <"$file" && [ "$name" = "$1" ] && REPLY=${file%/dm/name} && return
	done
	REPLY=
	return 1
}

__dev_wrap()	# <name> <lower> <MiB>
{
	DEV_LOWER[$1]=$2
	DEV_SECTORS[$1]=$(($3 * 2048))
	dmsetup create "$1" --table "0 ${DEV_SECTORS[$1]} linear $2 0" || return 1
	DEVS+=("$1")
}

# dev_null <name> <MiB> [volatile]: memory-backed. With `volatile` it has a
# write cache (a quarter of the size) whose contents dev_off loses. Beware: only
# the first write to a 4 KiB page goes through null_blk's cache; a page that was
# once flushed is overwritten in place, durably. To lose overwrites, replay a
# dm-log-writes log, or use a VM's disk (tests/vm/README.rst).
dev_null()
{
	local name=$1 mb=$2 dir=/sys/kernel/config/nullb/b_$1 cache=0
	__devs_begin || return 1
	[ -d /sys/kernel/config/nullb ] || modprobe null_blk nr_devices=0 || return 1
	[ "${3-}" != volatile ] || cache=$(((mb + 3) / 4))
	mkdir "$dir" || return 1
	# queue_mode 2 = blk-mq; irqmode 1 = completion in softirq, as a disk does
	echo "$mb" >"$dir/size" && echo 1 >"$dir/memory_backed" &&
		echo 1 >"$dir/discard" && echo "${DEV_SECTOR:-512}" >"$dir/blocksize" &&
		echo "$cache" >"$dir/cache_size" && echo 2 >"$dir/queue_mode" &&
		echo 1 >"$dir/irqmode" && echo 1 >"$dir/power" || return 1
	__get_null_node "$dir" && __dev_wrap "$name" "$REPLY" "$mb"
}

__get_null_node()	# <configfs directory>: REPLY; named after it, or by index on old kernels
{
	local index
	if [ -e "/sys/block/${1##*/}" ]; then
		REPLY=/dev/${1##*/}
	else
		read -r index <"$1/index" && REPLY=/dev/nullb$index
	fi
}
__null_node() { __get_null_node "$1" && echo "$REPLY"; }

# dev_brd <name> <MiB>: a ram disk; no volatile cache, no discard.
dev_brd()
{
	local n
	__devs_begin || return 1
	[ -e /dev/ram0 ] || modprobe brd rd_nr=16 rd_size=4194304 max_part=0 || return 1
	for n in {0..15}; do
		[[ " ${DEV_LOWER[*]} " == *" /dev/ram$n "* ]] && continue
		__dev_wrap "$1" "/dev/ram$n" "$2"
		return
	done
	return 1
}

# dev_zram <name> <MiB>: keeps its data compressed in memory: for large devices whose contents take
# little. Sectors of 4 KiB; no volatile cache.
dev_zram()
{
	local id
	__devs_begin || return 1
	[ -d /sys/class/zram-control ] || modprobe zram num_devices=0 || return 1
	id=$(cat /sys/class/zram-control/hot_add) && echo "$2M" >"/sys/block/zram$id/disksize" &&
		__dev_wrap "$1" "/dev/zram$id" "$2"
}

# __dev_table <name> <target and arguments>: exchange the table; I/O in flight
# goes through the old one, what comes meanwhile waits.
__dev_table()
{
	local name=$1
	shift
	"$IO" table "$name" noflush nolockfs <<<"0 ${DEV_SECTORS[$name]} $*"
}

# dev_fail: every I/O fails. dev_heal: everything works again.
dev_fail() { __dev_table "$1" error; }
dev_heal() { __dev_table "$1" linear "${DEV_LOWER[$1]}" 0; }

# dev_fail_writes: reads still work.
dev_fail_writes()
{
	has_module dm_flakey && __dev_table "$1" flakey "${DEV_LOWER[$1]}" 0 0 3600 1 error_writes
}

# dev_drop_writes: writes report success and do nothing: a disk that lies.
dev_drop_writes()
{
	has_module dm_flakey && __dev_table "$1" flakey "${DEV_LOWER[$1]}" 0 0 3600 1 drop_writes
}

# dev_delay <name> <read ms> [<write ms>]
dev_delay()
{
	local lower=${DEV_LOWER[$1]}
	has_module dm_delay &&
		__dev_table "$1" delay "$lower" 0 "$2" "$lower" 0 "${3:-$2}"
}

# dev_hold <name> [<MiB> [<ms>]]: a write takes 10 s, or <ms>, but within the last MiB: what is dirty above stays so,
# however slow the machine is. Nothing is lost or refused; a discard is passed down at once, and so is a
# FLUSH, which a label has before and behind it. Another table lets go what is held: a batch of write-back,
# 64 blocks; who wants something to be dirty afterwards writes more, many at a time and with nothing dirty
# before: a write to a block that is held waits for it.
dev_hold()
{
	local lower=${DEV_LOWER[$1]} all=${DEV_SECTORS[$1]} held
	held=$((all - ${2:-0} * 2048))
	has_module dm_delay && {
		echo "0 $held delay $lower 0 0 $lower 0 ${3:-10000} $lower 0 0"
		[ "$held" = "$all" ] || echo "$held $((all - held)) linear $lower $held"
	} | "$IO" table "$1" noflush nolockfs
}

# dev_held_writes <name> <number>: so many are held there, or more.
dev_held_writes() { [ "$(__dev_delayed "$1" 5)" -ge "$2" ]; }
__dev_delayed() { "$IO" status "$1" $(($2 - 3)); }

# dev_paths <name>: a device <name>m with two paths to the device <name>: by <name>a a FLUSH does not end, all else
# goes on; by <name>b nothing is special. dev_path_only <name> a | b | none: the way from now on; by `none`
# everything fails. dev_held_flushes <name> <number>: so many are held. dev_path_open <name>: by a they end,
# as <name> makes them end. So one FLUSH can fail after one that was issued later has succeeded.
dev_paths()
{
	local sectors=${DEV_SECTORS[$1]} lower=/dev/mapper/$1 path
	modprobe -a dm-delay dm-multipath dm-round-robin || return 1
	for path in a b; do
		DEV_LOWER[$1$path]=$lower DEV_SECTORS[$1$path]=$sectors
	done
	dmsetup create "$1a" --table "0 $sectors delay $lower 0 0 $lower 0 0 $lower 0 600000" &&
		dmsetup create "$1b" --table "0 $sectors linear $lower 0" &&
		dmsetup create "$1m" --table "0 $sectors multipath 2 queue_mode bio 0 1 1 round-robin 0 2 0 /dev/mapper/$1a /dev/mapper/$1b" &&
		at_exit "dmsetup remove --retry $1m $1a $1b"
}

dev_path_only()
{
	local path verb
	for path in a b; do
		verb=fail_path
		[ "$path" != "$2" ] || verb=reinstate_path
		dmsetup message "$1m" 0 "$verb" "$(dmsetup info -c --noheadings --separator : -o major,minor "$1$path")" ||
			return 1
	done
}

dev_held_flushes() { [ "$(__dev_delayed "$1a" 6)" -ge "$2" ]; }
dev_path_open() { __dev_table "$1a" linear "/dev/mapper/$1" 0; }

# dev_freeze: I/O hangs until dev_thaw.
dev_freeze() { dmsetup suspend --noflush --nolockfs "$1"; }
dev_thaw() { dmsetup resume "$1"; }

# dev_off: power is cut: I/O fails, and what a volatile cache held is gone.
# dev_on: power is back. Only for dev_null. Nothing may run above meanwhile
# that is to survive: a host whose disks lose power has lost it too.
dev_off()
{
	__dev_table "$1" error && echo 0 >"/sys/kernel/config/nullb/b_$1/power"
}

dev_on()
{
	local dir=/sys/kernel/config/nullb/b_$1
	echo 1 >"$dir/power" || return 1
	__get_null_node "$dir" && DEV_LOWER[$1]=$REPLY || return 1
	dev_heal "$1"
}

dev_remove()
{
	local name=$1 d keep=()
	dmsetup remove --retry "$name" || return 1
	if [ -d "/sys/kernel/config/nullb/b_$name" ]; then
		echo 0 >"/sys/kernel/config/nullb/b_$name/power"
		rmdir "/sys/kernel/config/nullb/b_$name"
	fi
	[[ ${DEV_LOWER[$name]} != /dev/zram* ]] ||
		echo "${DEV_LOWER[$name]#/dev/zram}" >/sys/class/zram-control/hot_remove
	unset "DEV_LOWER[$name]" "DEV_SECTORS[$name]"
	for d in "${DEVS[@]}"; do
		[ "$d" = "$name" ] || keep+=("$d")
	done
	DEVS=("${keep[@]}")
}

# All at once: a process for each takes seconds.
devs_cleanup()
{
	local d dir
	local -a dirs=()
	[ ${#DEVS[@]} -gt 0 ] || return 0
	dmsetup remove --retry "${DEVS[@]}"
	for d in "${DEVS[@]}"; do
		dir=/sys/kernel/config/nullb/b_$d
		if dm_dir "$d"; then
			echo "# device $d is still in use"
		elif [ -d "$dir" ]; then
			echo 0 >"$dir/power"
			dirs+=("$dir")
		elif [[ ${DEV_LOWER[$d]} == /dev/zram* ]]; then
			echo "${DEV_LOWER[$d]#/dev/zram}" >/sys/class/zram-control/hot_remove
		fi
	done
	[ ${#dirs[@]} -eq 0 ] || rmdir "${dirs[@]}"
	DEVS=()
}
