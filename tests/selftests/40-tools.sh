#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1536 smp=2 timeout=600 modules=dm-circle,null_blk,loop kernels=newest
#
# The tools on devices that the module wrote: what they say is what a load then does; what they wrote
# back is at the origin, and the module goes on from there. Needs `make tools`.
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/ktap.sh
. "$REPO/tests/lib/ktap.sh"
# shellcheck source=tests/lib/nodes.sh
. "$REPO/tests/lib/nodes.sh"
# shellcheck source=tests/lib/circle.sh
. "$REPO/tests/lib/circle.sh"
# shellcheck source=tests/lib/local.sh
. "$REPO/tests/lib/local.sh"
ktap_header

BIN=$REPO/build/tools-bin
EDIT=$REPO/tests/tools/disk_edit.py
[ -x "$BIN/circle_writeback" ] || skip_all "no tools: make tools"

check() { "$BIN/circle_check" "$@" >/tmp/check 2>&1; }
id() { "$BIN/circle_id" "$@" >/tmp/id; }
id_is() { id "$2"; [ $? = "$1" ] && return; sed 's/^/# /' /tmp/id; return 1; }
dump() { "$BIN/circle_dump" "$1" >/tmp/dump && python3 -I -S -c "import json; d = json.load(open('/tmp/dump')); print($2)"; }
dump_is() { [ "$(dump "$1" "$2")" = "$3" ] && return; echo "# not $3: $2"; return 1; }
dirty_of() { dump "/dev/mapper/$1" "d['load']['own_dirty']"; }

# writeback <meta> <ssd> <origin> <more options>; its words are in /tmp/wb
writeback()
{
	"$BIN/circle_writeback" --metadata-device "/dev/mapper/$1" --fast-device "/dev/mapper/$2" \
		--origin-device "/dev/mapper/$3" "${@:4}" >/tmp/wb 2>&1 || { sed 's/^/# /' /tmp/wb; return 1; }
}

# wb_refused <regular expression> <writeback's arguments>: nothing changes
wb_refused()
{
	local before after
	before=$(sum_of "$2"; sum_of "$3"; sum_of "$4")
	if writeback "${@:2}" >/dev/null || ! grep -qE "$1" /tmp/wb; then
		sed 's/^/# /' /tmp/wb
		return 1
	fi
	after=$(sum_of "$2"; sum_of "$3"; sum_of "$4")
	[ "$before" = "$after" ]
}

# ---------------------------------------------------------------- a local cache

SIZE=$((15 * 2048))
create() { dmsetup create c --table "$(table_of "$SIZE" meta ssd org 64)"; }
seen() { dd if=/dev/mapper/c of=/tmp/want bs=64k iflag=direct status=none; }
there() { "$IO" same "/dev/mapper/$1" /tmp/want "$SIZE" 0; }
keep() { dd if=/dev/mapper/meta of=/tmp/keep bs=64k status=none; }
restore() { dd if=/tmp/keep of=/dev/mapper/meta bs=64k oflag=direct status=none; }

write_some()	# <seek, 32 KiB blocks>: whole blocks, and pieces of others
{
	head -c 524288 /dev/urandom | dd iflag=fullblock of=/dev/mapper/c bs=32k seek="$1" oflag=direct status=none &&
		head -c 20480 /dev/urandom | dd iflag=fullblock of=/dev/mapper/c bs=4k seek=$(($1 * 8 + 203)) \
			oflag=direct conv=notrunc status=none &&
		head -c 1536 /dev/urandom | dd of=/dev/mapper/c bs=512 seek=$(($1 * 64 + 1781)) \
			oflag=direct conv=fdatasync,notrunc status=none
}

# Uncleanly stopped, with dirty data that the origin has not: it fails as long as it is written to.
make_dirty()
{
	create && seen && dev_fail_writes org || return 1
	write_some 20 && write_some 300 && seen && crash c ssd meta && dev_heal org
}

live_is_refused() { ! check /dev/mapper/meta && grep -q "in use" /tmp/check && wb_refused "in use" meta ssd org; }
foretold() { check /dev/mapper/meta && grep -q "stopped uncleanly" /tmp/check && [ "$(dirty_of meta)" -gt 30 ]; }

# The module and circle_check agree on damaged metadata.
agree()	# <disk_edit arguments>
{
	local said=bad does=bad
	restore && "$EDIT" /dev/mapper/meta "$@" || return 1
	check /dev/mapper/meta && said=good
	if create 2>/dev/null; then
		does=good
		crash c ssd meta
	fi
	dmsetup remove c 2>/dev/null
	[ "$said" = "$does" ] || { echo "# $*: circle_check says $said, a load $does"; return 1; }
	[ -z "${WANT-}" ] || [ "$WANT" = "$said" ]
}

agree_on_pages()
{
	local p
	for p in 0 3 5; do
		agree flip "$("$EDIT" /dev/mapper/meta page "$p" newer)" || return 1
		restore
	done
}

agree_on_journal()
{
	local -a mb
	restore
	read -ra mb <<<"$("$EDIT" /dev/mapper/meta journal)"
	[ ${#mb[@]} -ge 2 ] || { echo "# ${#mb[@]} blocks"; return 1; }
	WANT=bad agree flip "${mb[0]}" && WANT=good agree flip "${mb[-1]}"
}

written_back() { writeback meta ssd org && there org && [ "$(dirty_of meta)" = 0 ] && check /dev/mapper/meta; }
loads() { create && there c && dmsetup remove c; }
loads_clean() { create && [ "$(circle_dirty c)" = 0 ] && there c && dmsetup remove c; }

# Sectors [a, b) of the origin fail.
hole()
{
	local lower=${DEV_LOWER[org]}
	printf '%s\n' "0 $1 linear $lower 0" "$1 $(($2 - $1)) error" \
		"$2 $((DEV_SECTORS[org] - $2)) linear $lower $2" >/tmp/table
	dmsetup suspend --noflush --nolockfs org && dmsetup load org /tmp/table && dmsetup resume org
}

origin_fails()
{
	make_dirty && hole $((305 * 64)) $((307 * 64)) || return 1
	! writeback meta ssd org --list-failed-blocks --retry-count 2 >/dev/null &&
		[ "$(grep -c '^block 30[56] slot' /tmp/wb)" = 2 ] && [ "$(dirty_of meta)" = 2 ] &&
		dev_heal org && check /dev/mapper/meta
}

at_exit 'dmsetup remove --retry c 2>/dev/null'
dev_null meta 4 && dev_null ssd 16 && dev_null org 16 || exit 1
ktap_test "a blank device" id_is 2 /dev/mapper/meta
create || exit 1
ktap_test "devices in use are refused" live_is_refused
dmsetup remove c
ktap_test "a metadata device is known" id_is 3 /dev/mapper/meta
ktap_test "dirty, stopped uncleanly" make_dirty
ktap_test "circle_check and circle_dump say so" foretold
keep
ktap_test "agree on a damaged superblock" agree flip 0
WANT=bad ktap_test "agree on a superblock of a newer version" agree super 0 incompat 1
ktap_test "agree on damaged pages" agree_on_pages
ktap_test "agree on a damaged journal" agree_on_journal
restore
ktap_test "written back: the origin has all" written_back
ktap_test "nothing is dirty at the next load" loads_clean
ktap_test "an origin that fails: what could be written is clean" origin_fails
ktap_test "a load has all" loads
ktap_test "the rest goes to the origin later" written_back

# ---------------------------------------------------------------- a circle

hist() { "$HISTORY" "$1" --dev "$2" --log /tmp/h --size 33554432 "${@:3}" >/tmp/hist || { cat /tmp/hist; return 1; }; }
counts() { circle_wait_counts 1 1 && wait_for 30 "no risk" circle_risk_is 1 0; }

label_is()	# <state> <flags>, of org1's newest label
{
	local is
	"$BIN/circle_dump" --label -o /tmp/dump /dev/mapper/org1 || return 1
	is=$(python3 -I -S -c 'import json
c = max(json.load(open("/tmp/dump"))["copies"], key=lambda c: (c["generation"], c["seq"]))
print(c["state"], c["flags"])')
	[ "$is" = "$1 $2" ] || { echo "# the label is $is"; return 1; }
}

# The origin takes no write-back at the time.
stays_dirty()
{
	circle_drain c1 && dev_hold org1 1 &&
		hist run /dev/mapper/c1 --resume --ops 300 --threads 2 --qd 8 --mix write=100 && counts
}

# Removed in order while something is dirty.
removed_dirty()
{
	hist run /dev/mapper/c1 --resume --ops 400 --threads 2 && stays_dirty &&
		dmsetup remove c1 && dev_heal org1 && [ "$(dirty_of meta1)" -gt 0 ] && label_is active ssd
}

fits() { check --label /dev/mapper/org1 /dev/mapper/meta1 && grep -q "1 peers in view, this SSD counts" /tmp/check; }
kept_for_others() { dump_is /dev/mapper/meta2 "d['load']['lent'] > 0" True; }
lent_of_2() { dump /dev/mapper/meta2 "sorted(str(s) for s in d['slots'] if s.get('owner'))"; }

# Node 2 is removed while it holds replicas; its own write-back leaves them alone.
others_are_left()
{
	local before org
	dmsetup remove c2 && kept_for_others && before=$(lent_of_2) && org=$(sum_of org1) || return 1
	writeback meta2 ssd2 org2 && [ "$(lent_of_2)" = "$before" ] && [ "$(sum_of org1)" = "$org" ]
}

all_at_origin() { hist check /dev/mapper/org1 --allow all; }
# faults: owner-host return idle
as_before() { circle_node_create 1 1 "2" && hist check /dev/mapper/c1 --allow all --record; }
# faults: owner-host power-loss idle
died_dirty()
{
	hist run /dev/mapper/c1 --resume --ops 300 --threads 2 && stays_dirty &&
		[ "$(circle_dirty c1)" -gt 0 ] && circle_node_die 1
}
clean_at_origin() { label_is clean empty && id_is 0 /dev/mapper/org1 && save_label clean; }
nothing_to_do() { local was; was=$(sum_of meta1; sum_of org1); writeback meta1 ssd1 org1 && [ "$was" = "$(sum_of meta1; sum_of org1)" ]; }
save_label() { dd if=/dev/mapper/org1 of="/tmp/label.$1" bs=1M skip=64 count=1 iflag=direct status=none; }
overtaken() { ! check --label /dev/mapper/org1 /dev/mapper/meta1 && grep -q "node 9 has taken over" /tmp/check; }
another() { node_exec 1 dmsetup create c9 --table "$(circle_table /dev/mapper/org1 128 \
	/dev/mapper/meta9 /dev/mapper/ssd9 "3 writeback recover fenced" "default 0" \
	"$(circle_args 9 1 2 | sed 's/10.78.0.9:7000/10.78.0.1:7009/')")"; }

circle_timeout 30000	# no peer is lost here
for n in 1 2; do
	node_add $n && circle_node_devices $n 64 || exit 1
	circle_node_create $n 1 "$((3 - n))" || exit 1
done
hist init /dev/mapper/c1 --seed 8 || exit 1
ktap_test "node 1 counts node 2" counts
ktap_test "the origin of a live circle is not clean" id_is 3 /dev/mapper/org1
ktap_test "the circle device on top is not one" id_is 2 /dev/mapper/c1
ktap_test "removed with dirty data" removed_dirty
ktap_test "the origin is not clean" id_is 3 /dev/mapper/org1
save_label active
ktap_test "metadata and label fit" fits
ktap_test "replicas for others are left alone" others_are_left
ktap_test "written back" writeback meta1 ssd1 org1
ktap_test "the label is clean" clean_at_origin
ktap_test "the origin has every completed write" all_at_origin
ktap_test "once more: nothing to do" nothing_to_do
ktap_test "node 2 is back" circle_node_create 2 1 1
ktap_test "node 1 goes on from there" as_before
ktap_test "it counts node 2 again" counts
ktap_test "node 1 dies" died_dirty
ktap_test "a peer may have more: refused" wb_refused "1 peers of the view may have newer" meta1 ssd1 org1
ktap_test "which the kernel asks" as_before
ktap_test "it counts node 2" counts
ktap_test "node 1 dies again" died_dirty
dev_null ssd9 64 && dev_null meta9 8
ktap_test "another host takes over" circle_recovers 9 another
at_exit "dmsetup remove --retry c9 2>/dev/null"
ktap_test "circle_check says so of the old metadata" overtaken
dmsetup remove c9
ktap_test "the old owner's blocks stay away, forced or not" wb_refused "node 9 has taken over" meta1 ssd1 org1 --force
ktap_test "it was the taker that wrote them" hist check /dev/mapper/org1 --allow all

# ---------------------------------------------------------------- udev

UUID=11111111-2222-3333-4444-555555555555

# rules <of what>: what udev would know of a loop device over /tmp/img
rules()
{
	local loop
	loop=$(losetup -f --show /tmp/img) || return 1
	udevadm test --action=add "/sys/block/${loop#/dev/}" >/tmp/udev 2>&1
	losetup -d "$loop"
}

udev_hides()
{
	rules && grep -qx "ID_FS_TYPE=circle_member" /tmp/udev && grep -qx "SYSTEMD_READY=0" /tmp/udev &&
		grep -qx "UDISKS_IGNORE=1" /tmp/udev && ! grep -q "^DEVLINKS=.*by-uuid/$UUID" /tmp/udev
}

udev_shows()
{
	rules && grep -qx "ID_FS_TYPE=ext4" /tmp/udev && grep -q "DEVLINKS=.*by-uuid/$UUID" /tmp/udev &&
		! grep -q "SYSTEMD_READY=0" /tmp/udev
}

# A file system with the label of an origin behind it.
with_label() { dd "if=/tmp/label.$1" of=/tmp/img bs=1M seek=32 conv=notrunc status=none && "$2"; }

if command -v udevadm >/dev/null && [ -e /lib/udev/rules.d/60-persistent-storage.rules ]; then
	mkdir -p /run/udev/rules.d
	sed "s|@SBINDIR@|$BIN|" "$REPO/udev/59-dm-circle.rules" >/run/udev/rules.d/59-dm-circle.rules
	truncate -s 33M /tmp/img && mkfs.ext4 -q -F -U $UUID /tmp/img 32M
	ktap_test "udev: a file system is shown" udev_shows
	ktap_test "udev: one on an origin that is not clean is hidden" with_label active udev_hides
	ktap_test "udev: one on a clean origin is shown" with_label clean udev_shows
else
	skip "udev rules" "no udev here"
fi
check_dmesg
ktap_done
