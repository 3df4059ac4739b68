# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Circle devices for tests in one VM. Source after ktap.sh and nodes.sh.

HISTORY=${HISTORY:-$REPO/build/tools/circle-history}

# circle_timeout [<ms>]: how long nodes that are made from now on wait for a peer. 2 s is the default; this
# machine may stand still for longer, and who tests other things than that would lose a peer by chance.
# Without <ms> as long as is good where peers are lost on purpose while I/O waits for them; else say 30000.
PATIENT_MS=8000
circle_timeout() { echo "${1:-$PATIENT_MS}" >/sys/module/dm_circle/parameters/timeout_ms; }

# circle_table <origin> <block sectors> <meta> <ssd> [<features> [<policy> [<circle args>]]]
# The whole line, for an origin of which all but the last MiB is used.
circle_table()
{
	local sectors
	sectors=${DEV_SECTORS[${1##*/}]:-$(blockdev --getsz "$1")}
	sectors=$((sectors - 2048))
	echo "0 $sectors circle $3 $4 $1 $2 ${5:-1 writeback} ${6:-default 0} ${7-}"
}

# circle_create <name> <circle_table's arguments>
circle_create()
{
	local name=$1
	shift
	dmsetup create "$name" --table "$(circle_table "$@")" || return 1
	at_exit "dmsetup remove --retry $name 2>/dev/null"
}

# circle_status <name> <field number of dm-cache's line, from 1> | <key behind "circle">
circle_status()
{
	"$IO" status "$1" "$2"
}

# circle_is <name> <as circle_status> <value>
circle_is()
{
	local is
	is=$("$IO" status "$1" "$2") && [ "$is" = "$3" ]
}

circle_dirty() { "$IO" status "$1" 11; }
circle_is_clean() { circle_is "$1" 11 0; }

# circle_drain <name>: until nothing is dirty
circle_drain()
{
	dmsetup message "$1" 0 drain && wait_for 60 "$1 to be clean" circle_is_clean "$1" &&
		dmsetup message "$1" 0 undrain
}

# Nodes of a circle in one VM. Node N listens at its namespace's address, port 7000; its devices
# are ssdN, metaN and orgN, the circle device cN. Who takes over an origin names it: ORIGIN=org1.

circle_node_devices()	# <N> <MiB>
{
	dev_null "ssd$1" "$2" && dev_null "meta$1" 8 && dev_null "org$1" $(($2 + 1))
}

circle_nodes()	# <MiB> <N>...: namespaces, and devices
{
	local n
	for n in "${@:2}"; do
		node_add "$n" && circle_node_devices "$n" "$1" || return 1
	done
}

circle_args()	# <N> <degree> "<peers>"; LABEL: a device of its own for the label
{
	local p words
	words="id $1 listen $(node_addr "$1"):7000 degree $2${LABEL:+ label $LABEL}"
	for p in $3; do
		words+=" peer $p@$(node_addr "$p"):7000"
	done
	# shellcheck disable=SC2086	# words
	set -- $words
	echo "$# $*"
}

# circle_node_create <N> <degree> "<peers>" [<features>]
circle_node_create()
{
	local n=$1 org=/dev/mapper/${ORIGIN:-org$1} line
	line=$(circle_table "$org" "${BLOCK:-128}" "/dev/mapper/meta$n" "/dev/mapper/ssd$n" \
		"${4:-1 writeback}" "default 0" "$(circle_args "$n" "$2" "$3")")
	node_exec "$n" dmsetup create "c$n" --table "$line" || return 1
	at_exit "dmsetup remove --retry c$n 2>/dev/null"
}

# circle_refused <arguments of circle_node_create>: with a reason in the log
circle_refused()
{
	! circle_node_create "$@" 2>/dev/null || return 1
	dmsetup remove "c$1" 2>/dev/null
	dmesg | grep -q 'device-mapper: circle: .*recover'
}

circle_sysfs() { dm_dir "c$1" && echo "$REPLY/circle/$2"; }
circle_get() { dm_dir "c$1" && cat "$REPLY/circle/$2"; }

# circle_patient <N> [<ms>]: as circle_timeout, of a node that is there.
circle_patient() { dm_dir "c$1" && echo "${2:-30000}" >"$REPLY/circle/timeout_ms"; }

# log_mark; log_since <mark>: the kernel's log from then on
log_mark()
{
	local mark="mark $RANDOM$RANDOM."
	echo "$mark" >/dev/kmsg && echo "$mark"
}
log_since() { "$IO" log "$1"; }

# circle_recovers <N> <command...>: which creates cN with `recover`, on ssdN and metaN. Again, at most
# twice, if a CPU stood still for 2 s and the log says that a peer was lost meanwhile, which then is no fault
# of the recovery.
circle_recovers()
{
	local n=$1 i mark still='no answer.*connection reset|peer [0-9]+ of the view cannot be reached'
	still+='|did not give its list \(-(110|104|107)\)|a peer went away or restarted meanwhile'
	still+='|could not be drained \(-(110|104|107)\)'
	shift
	for i in 1 2 3; do
		mark=$(log_mark)
		__awake "$@" && return
		log_since "$mark" | grep -E "$still" || return 1
		echo "# try $i: the machine stood still for $STILL_MS ms"
		[ "$STILL_MS" -ge 2000 ] || return 1
		dmsetup remove "c$n" 2>/dev/null
		circle_node_wipe "$n" || return 1
	done
	return 1
}

# circle_recovered <N>: it has been live before that, and has brought all to the origin.
circle_recovered() { wait_for 120 "the recovery of node $1" circle_is "c$1" recovering 0; }

circle_view_is() { circle_is "c$1" in_view "$2"; }
circle_risk_is() { circle_is "c$1" at_risk "$2"; }

# circle_counts <N> <peers in view> [<floor>]: and the label says that each dirty page has so many holders.
# Before an owner dies whose blank successor is to find everything: without risk is not enough, at_risk is
# also 0 when all is clean, and the view alone is not, since the floor rises later. circle_wait_counts waits.
circle_counts() { circle_view_is "$1" "$2" && circle_is "c$1" floor "${3:-1}"; }
circle_wait_counts() { wait_for 60 "node $1 to count $2, floor ${3:-1}" circle_counts "$@"; }

# The node is dead to the others and leaves nothing behind: its devices fail first, so that the end
# of its device can neither write back nor mark anything.
circle_node_die()
{
	dev_fail "${ORIGIN:-org$1}" && dev_fail "ssd$1" && dev_fail "meta$1" && link_down "$1" &&
		dmsetup remove --retry "c$1" && dev_heal "ssd$1" && dev_heal "meta$1" &&
		dev_heal "${ORIGIN:-org$1}"
	link_up "$1"
}

circle_node_wipe()
{
	blkdiscard -z "/dev/mapper/ssd$1" && dd if=/dev/zero "of=/dev/mapper/meta$1" bs=1M count=1 \
		conv=fsync,notrunc status=none
}

circle_remove_all()
{
	local n
	for n in "${NODES[@]}"; do
		dmsetup remove --retry "c$n" || return 1
	done
}

test_lent() { circle_is "c$1" lent "$2"; }

# How long a CPU stood still: a process on each looks at the clock all the while; more than 200 ms
# between two looks is that. The most of one CPU is what counts, in ms.
__still()	# <CPU>
{
	local last now gap sum=0 fd
	taskset -cp "$1" "$BASHPID" >/dev/null
	exec {fd}<>/tmp/still.fifo
	last=${EPOCHREALTIME/./}
	while [ -e /tmp/still.on ]; do
		read -r -t 0.02 -u "$fd"
		now=${EPOCHREALTIME/./}
		gap=$((now - last))
		last=$now
		[ "$gap" -lt 200000 ] || sum=$((sum + gap))
	done
	echo $((sum / 1000)) >"/tmp/still.$1"
}

# Runs a command; STILL_MS says for how long one CPU stood still meanwhile, at most.
__awake()
{
	local rc cpu n
	local -a pids=()
	STILL_MS=0
	[ -p /tmp/still.fifo ] || mkfifo /tmp/still.fifo || return 1
	: >/tmp/still.on
	for ((cpu = 0; cpu < $(nproc); cpu++)); do
		__still "$cpu" &
		pids+=($!)
	done
	"$@"
	rc=$?
	rm -f /tmp/still.on
	wait "${pids[@]}"
	for ((cpu = 0; cpu < $(nproc); cpu++)); do
		n=0
		read -r n <"/tmp/still.$cpu"
		[ "$n" -le "$STILL_MS" ] || STILL_MS=$n
	done
	return "$rc"
}

# within_awake <seconds> <command...>: it succeeds, and no later than that, but for the time that the
# machine stood still, of which not more than twice as much is believed.
within_awake()
{
	__awake __timed "${@:2}" || return 1
	[ "$STILL_MS" -le $(($1 * 2000)) ] || STILL_MS=$(($1 * 2000))
	[ "$TOOK_MS" -le $(($1 * 1000 + STILL_MS)) ] && return
	echo "# ${*:2} took $TOOK_MS ms, and for $STILL_MS ms the machine stood still"
	return 1
}

__timed()
{
	local rc begin
	get_now
	begin=$NOW_MS
	"$@"
	rc=$?
	get_now
	TOOK_MS=$((NOW_MS - begin))
	return "$rc"
}
