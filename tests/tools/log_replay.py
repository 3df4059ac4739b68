#!/usr/bin/env -S python3 -I -S
# SPDX-License-Identifier: GPL-2.0-only
"""Crash images from a dm-log-writes log (kernel document device-mapper/log-writes).

    log_replay.py LOG points FIRST LAST COUNT SEED [PERCENT]
        COUNT entries between the marks FIRST and LAST, in order, chosen by SEED:
        lines of: entry, last mark before it, first mark behind it, die
    log_replay.py LOG image OUT     reads such lines from stdin, makes the image of each
        in OUT, prints the line, and goes on when it gets an empty line
    log_replay.py LOG save FILE     as much of it as is used

A crash leaves what the log has up to the entry; with a die above 0, each write since the
last FLUSH that was no FUA is lost by the throw of it, one of several sectors also in part.
"""
import os
import random
import struct
import sys

SECTOR, MAGIC = 512, 0x6a736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8


class Entry:
    """One: where, how long, what, and where its data stand in the log."""

    def __init__(self, fd, at):
        self.sector, self.nr, self.flags, size = struct.unpack("<4Q", os.pread(fd, 32, at))
        self.data = at + SECTOR
        self.end = self.data
        if not self.flags & DISCARD:
            self.end += self.nr * SECTOR
        self.mark = None
        if self.flags & MARK:
            self.mark = os.pread(fd, size, at + 32).rstrip(b"\0").decode()


class Log:
    """All entries, in order."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY)
        magic, _, count, sector = struct.unpack("<3QI", os.pread(self.fd, 28, 0))
        if magic != MAGIC or sector != SECTOR:
            raise SystemExit(f"log_replay: {path}: no log of 512-byte sectors")
        self.entries, at = [], SECTOR
        for _ in range(count):
            self.entries.append(Entry(self.fd, at))
            at = self.entries[-1].end
        self.end = at

    def marks(self):
        """(entry, name) of each mark."""
        return [(n, e.mark) for n, e in enumerate(self.entries) if e.mark is not None]

    def data(self, e):
        """What it wrote."""
        return os.pread(self.fd, e.nr * SECTOR, e.data)

    def put(self, image, e, keep=None):
        """What an entry does to the image; keep: only so many sectors of it."""
        at, size = e.sector * SECTOR, (e.nr if keep is None else keep) * SECTOR
        if e.flags & DISCARD:
            image[at:at + size] = bytes(size)
        elif not e.flags & MARK:
            image[at:at + size] = os.pread(self.fd, size, e.data)

    def crash(self, image, begin, end, die):
        """The image has all up to begin; what does a crash leave of begin .. end - 1?"""
        rand = random.Random(die)
        for e in self.entries[begin:end]:
            fate = rand.random() if die and not e.flags & (FUA | MARK) else 0
            if fate < 0.5:
                self.put(image, e)
            elif fate < 0.65 and e.nr > 1:
                self.put(image, e, rand.randrange(1, e.nr))


def points(log, first, last, count, seed, percent=60):
    """Print crash points, most of them where something is not flushed."""
    rand = random.Random(seed)
    marks = log.marks()
    names = [name for _, name in marks]
    lo, hi = (marks[names.index(name)][0] for name in (first, last))
    for n in sorted(rand.sample(range(lo + 1, hi + 1), min(count, hi - lo))):
        before = [name for at, name in marks if at < n][-1]
        behind = [name for at, name in marks if at >= n][0]
        print(n, before, behind, rand.randrange(1, 1 << 30) if rand.random() * 100 < percent else 0)


def images(log, out):
    """Make one after the other."""
    size = out.seek(0, os.SEEK_END)
    durable, done = bytearray(size), 0      # all up to a FLUSH, which ends before entry `done`
    for line in sys.stdin:
        if not line.strip():
            continue
        n, _, _, die = line.split()
        n = int(n)
        flushes = [i for i, e in enumerate(log.entries[done:n], done) if e.flags & FLUSH]
        if flushes:
            for e in log.entries[done:flushes[-1] + 1]:
                log.put(durable, e)
            done = flushes[-1] + 1
        image = bytearray(durable)
        log.crash(image, done, n, int(die))
        out.seek(0)
        out.write(image)
        out.flush()
        os.fsync(out.fileno())
        print(line.strip(), flush=True)


def main():
    """Do as told."""
    path, what, *args = sys.argv[1:]
    log = Log(path)
    if what == "points":
        points(log, args[0], args[1], *map(int, args[2:]))
    elif what == "image":
        with open(args[0], "r+b", buffering=0) as out:
            images(log, out)
    elif what == "save":
        with open(args[0], "wb") as out:
            at = 0
            while at < log.end:
                at += out.write(os.pread(log.fd, min(1 << 20, log.end - at), at))
    else:
        for n, e in enumerate(log.entries):
            print(n, e.sector, e.nr, e.flags, e.mark or "")


if __name__ == "__main__":
    main()
