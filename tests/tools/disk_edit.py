#!/usr/bin/env -S python3 -I -S
# SPDX-License-Identifier: GPL-2.0-only
"""Look at and damage a metadata device of circle (include/circle/format/disk.h).

    disk_edit.py DEV super COPY FIELD VALUE   set a field, checksum made right
    disk_edit.py DEV flip MB                  damage 4096-byte block MB
    disk_edit.py DEV show                     seq of both superblocks, lsn of table pages
    disk_edit.py DEV journal                  MB of each journal block since the tail, in order
    disk_edit.py DEV page PAGE newer|older    MB of the newer or older copy of a table page
"""
import os
import struct
import sys

MB = 4096
FIELD = {"version": (12, "<H"), "incompat": (24, "<I"), "flags": (28, "<I"), "seq": (32, "<Q"),
         "node_id": (88, "<I"), "label_kind": (100, "<I"),
         "table_start": (128, "<Q"), "table_pages": (136, "<Q"), "journal_start": (144, "<Q"),
         "journal_blocks": (152, "<Q"), "tail_lsn": (160, "<Q")}
SUPER = (0, 16)


def crc_table():
    """What each value of a byte does."""
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
        yield crc


def crc32c(data, table=tuple(crc_table())):
    """As the kernel's crc32c(~0, ...): not inverted at the end."""
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xff]
    return crc


class Meta:
    """A metadata device."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDWR)

    def read(self, mb):
        """One metadata block."""
        return bytearray(os.pread(self.fd, MB, mb * MB))

    def write(self, mb, data):
        """The same, and durably."""
        os.pwrite(self.fd, data, mb * MB)
        os.fsync(self.fd)

    def get(self, mb, name):
        """A field of the superblock at mb."""
        at, fmt = FIELD[name]
        return struct.unpack_from(fmt, self.read(mb), at)[0]

    def sound(self, mb, crc_at):
        """Is the checksum right?"""
        data = self.read(mb)
        want = struct.unpack_from("<I", data, crc_at)[0]
        struct.pack_into("<I", data, crc_at, 0)
        return any(data) and crc32c(data) == want

    def newest(self):
        """Where the newest superblock stands."""
        return max((mb for mb in SUPER if self.sound(mb, 8)), key=lambda mb: self.get(mb, "seq"))

    def set(self, mb, name, value):
        """Change a field of a superblock."""
        at, fmt = FIELD[name]
        data = self.read(mb)
        struct.pack_into(fmt, data, at, value)
        struct.pack_into("<I", data, 8, 0)
        struct.pack_into("<I", data, 8, crc32c(data))
        self.write(mb, data)

    def flip(self, mb):
        """Bytes that no magic number stands in."""
        data = self.read(mb)
        for at in (200, 1000, 3000):
            data[at] ^= 0x5a
        self.write(mb, data)

    def copies(self, page):
        """(lsn, MB) of the valid copies of a table page, oldest first."""
        sb = self.newest()
        where = [self.get(sb, "table_start") + page + i * self.get(sb, "table_pages")
                 for i in (0, 1)]
        return sorted((struct.unpack_from("<Q", self.read(mb), 16)[0], mb)
                      for mb in where if self.sound(mb, 4))

    def journal(self):
        """MBs of the journal's blocks from the tail on."""
        sb = self.newest()
        tail, ring = self.get(sb, "tail_lsn"), self.get(sb, "journal_blocks")
        for lsn in range(tail, tail + ring):
            mb = self.get(sb, "journal_start") + lsn % ring
            if not self.sound(mb, 4) or struct.unpack_from("<Q", self.read(mb), 8)[0] != lsn:
                return
            yield mb


def main():
    """Do as told."""
    dev, what, *args = sys.argv[1:]
    m = Meta(dev)
    if what == "super":
        m.set(SUPER[int(args[0])], args[1], int(args[2], 0))
    elif what == "flip":
        m.flip(int(args[0]))
    elif what == "journal":
        print(*m.journal())
    elif what == "page":
        print(m.copies(int(args[0]))[-1 if args[1] == "newer" else 0][1])
    else:
        sb = m.newest()
        print("newest", sb, *(f"{name} {m.get(sb, name)}" for name in FIELD))
        for page in range(m.get(sb, "table_pages")):
            print("page", page, *m.copies(page))


main()
