#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Write a bcache superblock, so that bcache-tools are not needed for three numbers.

    bcache_super.py cache|backing <device> <set uuid> <own uuid>
"""
import os
import struct
import sys
import uuid

MAGIC = bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")
SECTOR = 8                      # where it is
BLOCK = 8                       # sectors
BUCKET = 256                    # sectors: 128 KiB
CACHE, BACKING = 3, 4           # versions
DATA = 16                       # first sector of data behind a backing device's
WRITEBACK = 1
POLY = 0x42F0E1EBA9EA3693


def crc64(data):
    """ECMA-182, most significant bit first, inverted before and after."""
    crc = (1 << 64) - 1
    for byte in data:
        crc ^= byte << 56
        for _ in range(8):
            crc = (crc << 1 ^ (POLY if crc >> 63 else 0)) & ((1 << 64) - 1)
    return crc ^ ((1 << 64) - 1)


def superblock(kind, sectors, set_uuid, own):
    """4 KiB with it."""
    cache = kind == "cache"
    body = struct.pack("<QQ16s16s16s32sQQ64x", SECTOR, CACHE if cache else BACKING, MAGIC, own,
                       set_uuid, b"", 0 if cache else WRITEBACK, 0)
    body += struct.pack("<QHHHH", sectors // BUCKET if cache else DATA, BLOCK, BUCKET if cache else 0,
                        1 if cache else 0, 0)
    body += struct.pack("<IHH", 0, 1 if cache else 0, 0)
    return (struct.pack("<Q", crc64(body)) + body).ljust(4096, b"\0")


def main():
    """As the first comment says."""
    kind, path, set_uuid, own = sys.argv[1:]
    with open(path, "r+b", buffering=0) as f:
        sectors = f.seek(0, os.SEEK_END) // 512
        f.seek(SECTOR * 512)
        f.write(superblock(kind, sectors, uuid.UUID(set_uuid).bytes, uuid.UUID(own).bytes))
        os.fsync(f.fileno())


main()
