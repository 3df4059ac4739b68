# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2034	# read by who sources it
#
# The rig: devices with a known speed, hosts as addresses of the loopback device, all in one VM.
# Source after ktap.sh.
#
#	127.0.0.1  the host that is measured    127.0.0.2, 127.0.0.3  its peers
#
# All are in one network namespace, since drbd knows no other. netem on lo delays each packet by half
# a round trip. A device x is /dev/b_x: a null_blk with its data in memory and completions by timer.

LOAD=/tmp/bench-load
HALF_TRIP=25us

# The name of what a configfs directory made: itself, or a number on old kernels.
rig_kname()
{
	local index
	if [ -e "/sys/block/b_$1" ]; then
		echo "b_$1"
	else
		read -r index <"/sys/kernel/config/nullb/b_$1/index"
		echo "nullb$index"
	fi
}

rig_path() { echo "/dev/$(rig_kname "$1")"; }

# rig_dev <name> <MiB> ssd|san|disk [volatile]
#	ssd: 20 us; san: 1 ms, many at a time; disk: 4 ms, one at a time
# Written once from end to end, so that null_blk has its memory.
rig_dev()
{
	local dir=/sys/kernel/config/nullb/b_$1 ns depth=64 cache=0
	[ -d /sys/kernel/config/nullb ] || modprobe null_blk nr_devices=0 || return 1
	case $3 in
	ssd) ns=20000 depth=256 ;;
	san) ns=1000000 ;;
	disk) ns=4000000 depth=1 ;;
	esac
	[ "${4-}" != volatile ] || cache=$2
	mkdir "$dir" || return 1
	# queue_mode 2 = blk-mq; irqmode 2 = completion by timer
	echo "$2" >"$dir/size" && echo 1 >"$dir/memory_backed" && echo 1 >"$dir/discard" &&
		echo 4096 >"$dir/blocksize" && echo "$cache" >"$dir/cache_size" &&
		echo 2 >"$dir/queue_mode" && echo 2 >"$dir/irqmode" && echo "$ns" >"$dir/completion_nsec" &&
		echo "$depth" >"$dir/hw_queue_depth" && echo 2560 >"$dir/max_sectors" && echo 1 >"$dir/power" || return 1
	[ "$3" = disk ] || echo none >"/sys/block/$(rig_kname "$1")/queue/scheduler"
	dd if=/dev/zero of="$(rig_path "$1")" bs=1M count="$2" oflag=direct conv=fsync status=none
}

rig_net()	# [<rate>]
{
	modprobe sch_netem && tc qdisc replace dev lo root netem limit 100000 delay "$HALF_TRIP" ${1:+rate "$1"}
}

rig_addr() { echo "127.0.0.$1"; }
