# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What is measured. stack_<name> builds it from b_ssd, b_meta and the origin b_org, sets TOP to its
# device, and may set MIRROR (load's argument) and define:
#
#	write_back	start to write back what is dirty, and go on serving
#
# Sizes in MiB: SSD, what is used of the origin (a circle has its label behind it), metadata.

SSD_MB=${SSD_MB:-128}
TOP_MB=${TOP_MB:-96}
META_MB=8
TOP=
MIRROR=()
WATCH=()
write_back() { return 4; }

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

circle_drains() { write_back() { dmsetup message circle 0 drain; }; }

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
	local n others
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

# ---------------------------------------------------------------- the yardstick

stack_yardstick()
{
	rig_net && stack_raw_ssd && rig_dev ssd2 "$SSD_MB" ssd "$VOLATILE" || return 1
	"$LOAD" serve "$(rig_addr 2):7100" "$(rig_path ssd2)" &
	wait_for 10 "the server" eval "ss -ltn | grep -q :7100" || return 1
	MIRROR=(--mirror "$(rig_addr 2):7100")
	WATCH+=(ssd2)
}
