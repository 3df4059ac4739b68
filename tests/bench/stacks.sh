# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2317	# read and called by who sources it
#
# What is measured. stack_<name> builds it from b_ssd, b_meta and the origin b_org, sets TOP to its
# device, and may set MIRROR (load's argument) and define:
#
#	hold		do not write back or promote from now on, as far as this can be told
#	write_back	start to write back what is dirty, and go on serving
#
# Sizes in MiB: SSD, what is used of the origin (a circle has its label behind it), metadata.

SSD_MB=${SSD_MB:-128}
TOP_MB=${TOP_MB:-96}
META_MB=8
TOP=
MIRROR=()
FIRST=()
WATCH=()
hold() { return 0; }
write_back() { return 1; }

sectors() { echo $(($1 * 2048)); }

# host_devices: SSD, metadata and origin of the host that is measured
host_devices()
{
	rig_dev ssd "$SSD_MB" ssd "$VOLATILE" && rig_dev meta "$META_MB" ssd "$VOLATILE" &&
		rig_dev org $((TOP_MB + 1)) "$ORIGIN" && WATCH+=(ssd meta org)
}

dm_create()	# <name> <table without start and length>
{
	local name=$1
	shift
	dmsetup create "$name" --table "0 $(sectors "$TOP_MB") $*" && TOP=/dev/mapper/$name
}

# ---------------------------------------------------------------- nothing, and local caches

stack_raw_ssd() { rig_dev ssd "$SSD_MB" ssd "$VOLATILE" && TOP=$(rig_path ssd) && WATCH=(ssd); }
stack_raw_origin() { rig_dev org "$TOP_MB" "$ORIGIN" && TOP=$(rig_path org) && WATCH=(org); }

stack_linear()
{
	stack_raw_ssd && dm_create linear "linear $(rig_path ssd) 0"
}

dmcache_table()	# <block sectors> <mode> <policy>
{
	local org=${4:-$(rig_path org)}
	echo "cache ${META:-$(rig_path meta)} ${CACHE:-$(rig_path ssd)} $org $1 1 $2 $3 0"
}

dmcache()	# <block sectors> <mode>
{
	host_devices && modprobe -a dm-cache dm-cache-smq &&
		dm_create dmcache "$(dmcache_table "$1" "$2" smq)"
	DMCACHE_BLOCK=$1
	# It takes for idle what has no I/O to the origin for a second.
	hold() { dmsetup message dmcache 0 migration_threshold 0; }
	write_back()
	{
		dmsetup load dmcache --table \
			"0 $(sectors "$TOP_MB") $(dmcache_table "$DMCACHE_BLOCK" writeback cleaner)" &&
			dmsetup suspend --noflush dmcache && dmsetup resume dmcache
	}
}

stack_dmcache64() { dmcache 128 writeback; }
stack_dmcache256() { dmcache 512 writeback; }
stack_dmcache64_wt() { dmcache 128 writethrough; }

stack_writecache()
{
	host_devices && modprobe dm-writecache &&
		dm_create writecache "writecache s $(rig_path org) $(rig_path ssd) 4096 0"
}

# ---------------------------------------------------------------- circle

circle_table_of()	# <N> <block sectors> <MiB> <suffix of its devices> [<circle arguments>]
{
	echo "0 $(sectors "$3") circle $(rig_path "meta$4") $(rig_path "ssd$4") $(rig_path "org$4")" \
		"$2 1 writeback default 0 ${5-}"
}

circle_words()	# <N> <degree> <other nodes>...
{
	local n=$1 words p
	words="id $n listen $(rig_addr "$n"):7000 degree $2"
	for p in "${@:3}"; do
		words+=" peer $p@$(rig_addr "$p"):7000"
	done
	# shellcheck disable=SC2086	# words
	set -- $words
	echo "$# $*"
}

# As dm-cache does it: in the background. A drain would be in haste.
circle_policy()	# <the one it has> <the other>
{
	local table
	table=$(dmsetup table circle) || return 1
	[[ $table == *" $2 "* ]] || dmsetup load circle --table "${table/ $1 / $2 }" &&
		dmsetup suspend --noflush circle && dmsetup resume circle
}

circle_drains()
{
	CLEANS=
	hold() { [ -z "$CLEANS" ] || circle_policy cleaner default; }
	write_back() { CLEANS=1; circle_policy default cleaner; }
}

circle_local()	# <block sectors>
{
	host_devices && modprobe dm-circle &&
		dmsetup create circle --table "$(circle_table_of 1 "$1" "$TOP_MB" "")" || return 1
	TOP=/dev/mapper/circle
	circle_drains
}

stack_circle0() { circle_local 128; }

counted() { [ "$(circle_status circle floor)" = "$1" ]; }

circle()	# <degree>: with as many peers
{
	local n p others
	modprobe dm-circle && rig_net && host_devices || return 1
	for ((n = 2; n <= 1 + $1; n++)); do
		rig_dev "ssd$n" $((SSD_MB * 2)) ssd "$VOLATILE" && rig_dev "meta$n" "$META_MB" ssd "$VOLATILE" &&
			rig_dev "org$n" 5 san || return 1
		others=()
		for ((p = 1; p <= 1 + $1; p++)); do
			[ $p = $n ] || others+=("$p")
		done
		dmsetup create "peer$n" --table "$(circle_table_of "$n" 128 4 "$n" \
			"$(circle_words "$n" 1 "${others[@]}")")" || return 1
	done
	others=()
	for ((p = 2; p <= 1 + $1; p++)); do
		others+=("$p")
	done
	dmsetup create circle --table "$(circle_table_of 1 128 "$TOP_MB" "" \
		"$(circle_words 1 "$1" "${others[@]}")")" || return 1
	wait_for 60 "peers that count" counted "$1" || return 1
	WATCH+=(ssd2)
	TOP=/dev/mapper/circle
	circle_drains
}

stack_circle1() { circle 1; }
stack_circle2() { circle 2; }

# The host that is measured is a peer, and replicates nothing itself; another, with devices of its own, is
# an owner that writes as fast as a link of 1 Gbit/s takes it.
# All on one CPU: so the load of the host that is measured comes first, also while others are in the kernel.
stack_lender()
{
	mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug
	echo full >/sys/kernel/debug/sched/preempt || return 1
	FIRST=(--first)
	modprobe dm-circle && rig_net 1gbit && host_devices && rig_dev ssd1 "$SSD_MB" ssd "$VOLATILE" &&
		rig_dev meta1 "$META_MB" ssd "$VOLATILE" && rig_dev org1 65 san &&
		dmsetup create circle --table "$(circle_table_of 2 128 "$TOP_MB" "" "$(circle_words 2 0 1)")" &&
		dmsetup create other --table "$(circle_table_of 1 128 64 1 "$(circle_words 1 1 2)")" || return 1
	TOP=/dev/mapper/circle
	counted() { [ "$(circle_status other floor)" = "$1" ]; }
	wait_for 60 "the peer to count" counted 1
	circle_drains
}
lends() { [ "$(circle_status circle lent)" -gt 64 ]; }
lend()
{
	"$LOAD" run --name other --dev /dev/mapper/other --state /tmp/other --op write --bs 262144 --depth 8 \
		--seq --span 33554432 --count 10000000 >/dev/null &
	OTHER=$!
	wait_for 60 "replicas" lends
}
lend_no_more() { kill "$OTHER"; wait "$OTHER"; return 0; }

# ---------------------------------------------------------------- the yardstick

stack_yardstick()
{
	rig_net && stack_raw_ssd && rig_dev ssd2 "$SSD_MB" ssd "$VOLATILE" || return 1
	"$LOAD" serve "$(rig_addr 2):7100" "$(rig_path ssd2)" &
	wait_for 10 "the server" eval "ss -ltn | grep -q :7100" || return 1
	MIRROR=(--mirror "$(rig_addr 2):7100")
	WATCH+=(ssd2)
}

# ---------------------------------------------------------------- bcache

BCACHE_SET=11111111-2222-4333-8444-555555555555

stack_bcache()
{
	local dir
	host_devices && modprobe bcache || return 1
	"$REPO/tests/bench/bcache_super.py" cache "$(rig_path ssd)" $BCACHE_SET \
		aaaaaaaa-2222-4333-8444-555555555555 &&
		"$REPO/tests/bench/bcache_super.py" backing "$(rig_path org)" $BCACHE_SET \
			bbbbbbbb-2222-4333-8444-555555555555 || return 1
	rig_path ssd >/sys/fs/bcache/register && rig_path org >/sys/fs/bcache/register || return 1
	dir=/sys/block/$(rig_kname org)/bcache
	wait_for 10 "bcache" test -e "$dir/attach" || return 1
	grep -q "no cache" "$dir/state" && { echo $BCACHE_SET >"$dir/attach" || return 1; }
	# Not told to leave streams, or an SSD that looks slow, to the origin.
	echo writeback >"$dir/cache_mode" && echo 0 >"$dir/sequential_cutoff" &&
		echo 0 >"/sys/fs/bcache/$BCACHE_SET/congested_read_threshold_us" &&
		echo 0 >"/sys/fs/bcache/$BCACHE_SET/congested_write_threshold_us" || return 1
	hold() { echo 0 >"/sys/block/$(rig_kname org)/bcache/writeback_running"; }
	TOP=/dev/bcache0
}

# ---------------------------------------------------------------- the safe stacks of today

# drbd_volume <minor> <device> <N>: of one host's resource
drbd_volume()
{
	drbdmeta --force "$1" v08 "$2" internal create-md >/dev/null &&
		drbdsetup new-minor "host$3" "$1" $(($1 % 10)) &&
		drbdsetup attach "$1" "$2" "$2" internal "${DRBD_DISK[@]}"
}

drbd_is() { drbdsetup dstate "$1" | grep -qx "$2"; }

# Both ends in one kernel: two resources, which take each other for the peer. SSD and metadata are
# its two volumes: minors 0 and 1 here, 10 and 11 there.
drbd_pair()
{
	local n m s
	local -A at=([1]="ipv4:$(rig_addr 1):7201" [2]="ipv4:$(rig_addr 2):7202")
	rig_net && host_devices && rig_dev ssd2 "$SSD_MB" ssd "$VOLATILE" &&
		rig_dev meta2 "$META_MB" ssd "$VOLATILE" && modprobe drbd usermode_helper=/bin/true || return 1
	DRBD_DISK=(--on-io-error=detach)
	[ "$VOLATILE" = volatile ] || DRBD_DISK+=(--disk-flushes=no --md-flushes=no)
	for n in 1 2; do
		drbdsetup new-resource "host$n" || return 1
		m=$(((n - 1) * 10))
		[ $n = 1 ] && s='' || s=2
		drbd_volume $m "$(rig_path "ssd$s")" $n && drbd_volume $((m + 1)) "$(rig_path "meta$s")" $n ||
			return 1
	done
	drbdsetup connect host1 "${at[1]}" "${at[2]}" --protocol=C --max-buffers=8000 &&
		drbdsetup connect host2 "${at[2]}" "${at[1]}" --protocol=C --max-buffers=8000 || return 1
	for m in 0 1; do
		wait_for 30 "drbd to be connected" drbd_is $m Inconsistent/Inconsistent &&
			drbdsetup new-current-uuid $m --clear-bitmap &&
			wait_for 30 "drbd to be level" drbd_is $m UpToDate/UpToDate &&
			drbdsetup primary $m || return 1
	done
	WATCH+=(ssd2)
	CACHE=/dev/drbd0 META=/dev/drbd1
}

stack_drbd_dmcache()
{
	drbd_pair && modprobe -a dm-cache dm-cache-smq &&
		dm_create dmcache "$(dmcache_table 128 writeback smq)" &&
		hold() { dmsetup message dmcache 0 migration_threshold 0; }
}

stack_drbd_writecache()
{
	drbd_pair && modprobe dm-writecache &&
		dm_create writecache "writecache s $(rig_path org) $CACHE 4096 0"
}

nvme_target()	# <device> <N>: host N exports it
{
	local t=/sys/kernel/config/nvmet
	modprobe -a nvmet nvmet-tcp nvme-tcp && mkdir $t/subsystems/bench $t/ports/1 &&
		mkdir $t/subsystems/bench/namespaces/1 || return 1
	echo 1 >$t/subsystems/bench/attr_allow_any_host
	printf %s "$1" >$t/subsystems/bench/namespaces/1/device_path &&
		echo 1 >$t/subsystems/bench/namespaces/1/enable || return 1
	echo tcp >$t/ports/1/addr_trtype && echo ipv4 >$t/ports/1/addr_adrfam &&
		rig_addr "$2" >$t/ports/1/addr_traddr && echo 4420 >$t/ports/1/addr_trsvcid &&
		ln -s $t/subsystems/bench $t/ports/1/subsystems/bench
}

nvme_host()	# <N>: of which host
{
	local id=cccccccc-2222-4333-8444-555555555555
	printf %s "transport=tcp,traddr=$(rig_addr "$1"),trsvcid=4420,nqn=bench,nr_io_queues=1,$(:
		)hostnqn=nqn.2014-08.org.nvmexpress:uuid:$id,hostid=$id" >/dev/nvme-fabrics &&
		wait_for 10 "the NVMe device" test -b /dev/nvme0n1
}

dev_number() { cat "/sys/class/block/${1##*/}/dev"; }

# md_mirror <local> <remote>: without metadata and bitmap, which it would pay for
md_mirror()
{
	local md=/sys/block/md_bench/md n d
	modprobe -a md-mod raid1 && echo md_bench >/sys/module/md_mod/parameters/new_array &&
		echo raid1 >$md/level && echo 2 >$md/raid_disks && echo $((SSD_MB * 1024)) >$md/component_size &&
		dev_number "$1" >$md/new_dev && dev_number "$2" >$md/new_dev || return 1
	n=0
	for d in "$@"; do
		echo $n >"$md/dev-${d##*/}/slot" || return 1
		n=1
	done
	echo writemostly >"$md/dev-${2##*/}/state" && echo none >$md/resync_start &&
		echo active >$md/array_state && wait_for 10 "md" test -b /dev/md_bench
}

stack_md_writecache()
{
	rig_net && host_devices && rig_dev ssd2 "$SSD_MB" ssd "$VOLATILE" &&
		nvme_target "$(rig_path ssd2)" 2 && nvme_host 2 &&
		md_mirror "$(rig_path ssd)" /dev/nvme0n1 && modprobe dm-writecache &&
		dm_create writecache "writecache s $(rig_path org) /dev/md_bench 4096 0" && WATCH+=(ssd2)
}
