# SPDX-License-Identifier: GPL-2.0-only
"""Device-mapper devices by ioctl: dmsetup without a process for each step."""
import errno
import fcntl
import os
import struct
import time

HEAD = struct.Struct("=6IiII4xQ128s129s7x")
SPEC = struct.Struct("=QQiI16s")
CREATE, REMOVE, RESUME, LOAD, STATUS, MESSAGE = 3, 4, 6, 9, 12, 14
NOFLUSH = 1 << 11
CONTROL = os.open("/dev/mapper/control", os.O_RDWR)


def call(cmd, name, body=b"", targets=0, flags=0):
    """One ioctl: (device number, bytes that came back)."""
    size = HEAD.size + max(len(body), 2048)
    buf = bytearray(HEAD.pack(4, 0, 0, size, HEAD.size, targets, 0, flags, 0, 0, name.encode(), b""))
    buf += body.ljust(size - HEAD.size, b"\0")
    fcntl.ioctl(CONTROL, 3 << 30 | HEAD.size << 16 | 0xfd << 8 | cmd, buf)
    return HEAD.unpack_from(buf)[9], bytes(buf[HEAD.size:])


def create(name, sectors, target, args):
    """A device with one target; its path. Nothing is left if it cannot be."""
    text = args.encode() + b"\0"
    dev, _ = call(CREATE, name)
    try:
        call(LOAD, name, SPEC.pack(0, sectors, 0, SPEC.size + len(text), target.encode()) + text, 1)
        call(RESUME, name)
    except OSError:
        remove(name)
        raise
    return f"/dev/dm-{os.minor(dev)}"


def remove(name):
    """It may be open for a moment longer."""
    end = time.monotonic() + 60
    while True:
        try:
            call(REMOVE, name)
            return
        except OSError as e:
            if e.errno != errno.EBUSY or time.monotonic() > end:
                raise
        time.sleep(0.01)


def status(name):
    """The words of the first target's status line."""
    return call(STATUS, name, flags=NOFLUSH)[1][SPEC.size:].split(b"\0")[0].decode().split()


def message(name, text):
    """Send it."""
    call(MESSAGE, name, struct.pack("=Q", 0) + text.encode() + b"\0")
