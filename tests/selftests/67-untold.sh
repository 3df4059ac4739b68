#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# needs: mem=1024 smp=2 timeout=400 modules=dm-circle,null_blk,dm-flakey kernels=newest cpu=40
#
# What only the origin had was told to the host, and is lost before a FLUSH: by a FLUSH that is not the host's and
# fails, or while the origin was away. The host hears of it, also if its FLUSH comes with data: device-mapper keeps
# the error of such a one to itself, and a journal would take its last block for durable (R4, R12).
# shellcheck disable=SC2317	# called by ktap_test

# shellcheck source=tests/lib/rig.sh
. "$REPO/tests/lib/rig.sh"
ktap_header

MNT=/tmp/mnt
SIZE=$((31 * 2048))
create() { dd if=/dev/zero of=/dev/mapper/meta bs=128K count=1 conv=fsync,notrunc status=none && dmsetup create c --table "$(table_of "$SIZE" meta ssd "$1" 64 "1 writethrough default 0")"; }
put() { head -c 32768 /dev/zero | tr '\0' "$1" | dd of="$2" bs=32k count=1 iflag=fullblock oflag=direct conv=notrunc status=none; }
flush() { "$IO" fdatasync /dev/mapper/c 2>/dev/null; }
# O_DSYNC and O_DIRECT: one request, FUA, and a FLUSH behind it
with_fua() { head -c 4096 /dev/zero | dd of=/dev/mapper/c bs=4k seek=100 iflag=fullblock oflag=direct,dsync conv=notrunc status=none 2>/dev/null; }
flush_failed() { [ "$(circle_status c origin_errors)" != 0 ]; }
# The origin loses what <command...> writes. A promotion FLUSHes the origin before it calls anything clean; that fails.
lost()	# <command...>
{
	local i
	dev_drop_writes org && "$@" && dev_fail_writes org || return 1
	for ((i = 900; i < 964; i++)); do
		! flush_failed || break
		dd if=/dev/mapper/c bs=32k skip="$i" count=1 iflag=direct of=/dev/null status=none
	done
	wait_for 30 "a FLUSH to fail" flush_failed && dev_heal org
}

at_once() { create org && put a /dev/mapper/c && flush && lost put b /dev/mapper/c && ! flush && flush; }
fua() { ! with_fua && wait_for 20 "a write with FUA to succeed" with_fua && dmsetup remove c; }
# Not hours later.
forgotten() { create org && put a /dev/mapper/c && flush && lost put b /dev/mapper/c && ! flush && sleep 6 && with_fua && dmsetup remove c; }

# Nothing of it is to be written by itself meanwhile, or that would be what hears of it.
file_system()
{
	create org && mkdir -p "$MNT" && mkfs.ext4 -q -F -J size=4 -E lazy_itable_init=0,lazy_journal_init=0 /dev/mapper/c 24M &&
		mount -o noatime,commit=300 /dev/mapper/c "$MNT" && put a "$MNT/a" && sync && sync
}
a_commit() { echo new >"$MNT/b" && "$IO" fdatasync "$MNT/b" 2>/dev/null; }
journal() { lost put b "$MNT/a" && ! a_commit; }
file_system_ends() { umount "$MNT" && dmsetup remove c; }

SCSI=/sys/bus/pseudo/drivers/scsi_debug
# Its reads fail as those of a disk that is out of reach do (DID_TRANSPORT_FAILFAST); an I/O error could be about the place.
ERRORS=/sys/kernel/debug/scsi_debug
out_of_reach() { echo "2 1 0x28 0xf 0 0 0 0 0 0" >"$ERRORS/$ADDRESS/error"; }
in_reach() { echo "- 2 0x28" >"$ERRORS/$ADDRESS/error"; }
no_scsi() { modprobe scsi_debug dev_size_mb=32 sector_size=512 max_luns=1 num_tgts=1 delay=0 2>/dev/null && modprobe sd_mod && return 1; KTAP_REASON="no scsi_debug"; }
has_disk() { compgen -G "$SCSI/adapter*/host*/target*/*/block/*" >/dev/null; }
volatile() { grep -q back "/sys/block/$DISK/queue/write_cache"; }
disk()
{
	! no_scsi || return 4
	wait_for 10 "the disk" has_disk || return 1
	DISK=$(basename "$SCSI"/adapter*/host*/target*/*/block/*)
	ADDRESS=$(basename "$(readlink -f "/sys/block/$DISK/device")")
	mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug
	[ -e "$ERRORS/$ADDRESS/error" ] || { KTAP_REASON="this scsi_debug injects no errors"; DISK=; return 4; }
	volatile && dmsetup create sd --table "0 $((32 * 2048)) linear /dev/$DISK 0" && create sd && put a /dev/mapper/c && flush
}
read_fails() { ! dd if=/dev/mapper/c bs=32k skip="$1" count=1 iflag=direct of=/dev/null status=none 2>/dev/null; }
away()
{
	[ -n "${DISK-}" ] || { KTAP_REASON="no such disk"; return 4; }
	put b /dev/mapper/c && out_of_reach && read_fails 300 && in_reach && ! flush && flush
}
nothing_to_lose()
{
	[ -n "${DISK-}" ] || { KTAP_REASON="no such disk"; return 4; }
	put b /dev/mapper/c && flush && out_of_reach && read_fails 301 && in_reach && flush && dmsetup remove c sd
}

dev_null ssd 32 && dev_null meta 4 && dev_null org 32 volatile || exit 1
at_exit "umount $MNT 2>/dev/null; dmsetup remove --retry c sd 2>/dev/null"
ktap_test "what a FLUSH of nobody's lost, the host's next one tells" at_once
ktap_test "and what is written with FUA right behind it" fua
ktap_test "but not much later" forgotten
ktap_test "a file system" file_system
ktap_test "its journal does not call durable what comes behind something lost" journal
ktap_test "the file system ends" file_system_ends
ktap_test "an origin that can be out of reach" disk
ktap_test "was, and a FLUSH behind that tells" away
ktap_test "it tells nothing when there was nothing to lose" nothing_to_lose
check_dmesg
ktap_done
