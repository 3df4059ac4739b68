# SPDX-License-Identifier: GPL-2.0-only
"""What a crash may have left, for each prefix of a log of dm-log-writes that ends at a write.

A prefix is known by the number of entries in it. Its images:

    exact   all of it was written, nothing more
    drop    what was not flushed, and was no FUA, is lost at random, request by request
    torn    the same sector by sector; the last request too, of whatever kind

The log has a write that was no FUA where it was flushed, so behind each FUA that came after it.
Where the two overlap the FUA stays: circle-history's FUA (--marks) overlaps with nothing in flight
and ends with a FLUSH, so what is newer stands behind that. A FLUSH that was under way already may
come between: behind it the versions (history_sector.h) tell.
"""
import random
import struct

from log_replay import DISCARD, FLUSH, FUA, MARK, SECTOR

MAGIC = 0x7972747369486343
VARIANTS = ("exact", "drop", "torn")


class Images:
    """The images of prefixes that only grow."""

    def __init__(self, log, size, seed):
        self.log, self.seed = log, seed
        self.marks = log.marks()
        self.base = bytearray(size)     # all up to a FLUSH
        self.done = 0                   # so many entries are in the base
        self.fua = ({}, {})             # the base's: see put()
        self.fates = []                 # of the last image: (entry, what became of it)

    def prefixes(self, first="begin"):
        """All of them, from a mark on."""
        begin = [n for n, name in self.marks if name == first][0]
        return [n + 1 for n, e in enumerate(self.log.entries)
                if n > begin and e.nr and not e.flags & MARK]

    def history(self, n):
        """How many bytes of the history a prefix is to be judged by; None: all."""
        behind = [name for at, name in self.marks if at >= n and name.isdigit()]
        return int(behind[0]) if behind else None

    def put(self, image, fua, e, keep=None):
        """What an entry does to an image; keep: these of its sectors.

        fua: sectors that a FUA wrote since the last FLUSH, and between the last two: what it wrote.
        Gives back the next fua.
        """
        if e.flags & FLUSH:
            fua = ({}, fua[0])
        if e.flags & MARK or not e.nr:
            return fua
        data = bytes(e.nr * SECTOR) if e.flags & DISCARD else self.log.data(e)
        sectors = range(e.sector, e.sector + e.nr)
        if e.flags & FUA:
            fua[0].update((s, what(data, s - e.sector)) for s in sectors)
        elif not all(f.keys().isdisjoint(sectors) for f in fua):
            keep = [s for s in (sectors if keep is None else keep)
                    if s not in fua[0] and not older(what(data, s - e.sector), fua[1].get(s))]
        if keep is None:
            image[e.sector * SECTOR:(e.sector + e.nr) * SECTOR] = data
        for s in keep or ():
            at = (s - e.sector) * SECTOR
            image[s * SECTOR:(s + 1) * SECTOR] = data[at:at + SECTOR]
        return fua

    def _advance(self, n):
        """The base has all up to the last FLUSH within n entries."""
        flushes = [i for i in range(self.done, n) if self.log.entries[i].flags & FLUSH]
        for e in self.log.entries[self.done:flushes[-1] + 1] if flushes else ():
            self.fua = self.put(self.base, self.fua, e)
            self.done += 1

    def make(self, n, variant):
        """One image. n never gets less."""
        self._advance(n)
        rand = random.Random(f"{self.seed}/{n}/{variant}")
        lose = rand.choice((0.2, 0.5, 0.9))
        image, fua, self.fates = bytearray(self.base), (dict(self.fua[0]), self.fua[1]), []
        for i in range(self.done, n):
            e = self.log.entries[i]
            keep = None
            if variant == "torn" and (i == n - 1 or not e.flags & (FUA | MARK)):
                keep = [s for s in range(e.sector, e.sector + e.nr) if rand.random() >= lose]
            elif variant == "drop" and not e.flags & (FUA | MARK) and rand.random() < lose:
                keep = []
            fua = self.put(image, fua, e, keep)
            self.fates.append((i, "all" if keep is None or len(keep) == e.nr else keep))
        return image


def what(data, nr):
    """(user's sector, version) that a sector of the data holds, or None."""
    magic, _, sector, version = struct.unpack_from("<4Q", data, nr * SECTOR)
    return (sector, version) if magic == MAGIC else None


def older(a, b):
    """Of the same user's sector."""
    return bool(a and b) and a[0] == b[0] and a[1] < b[1]


def census(log, first, last):
    """What happened between two marks, by the log alone; table pages are between two sectors."""
    n = dict.fromkeys(("writes", "flush", "fua", "discard", "odd", "overlapping", "table_pages"), 0)
    seen, begun = set(), False
    for e in log.entries:
        begun |= e.mark == "begin"
        if not begun or e.flags & MARK:
            continue
        n["flush"] += bool(e.flags & FLUSH)
        if e.flags & FLUSH:
            seen = set()
        if not e.nr:
            continue
        n["writes"] += 1
        n["fua"] += bool(e.flags & FUA)
        n["discard"] += bool(e.flags & DISCARD)
        n["odd"] += e.nr % 8 != 0
        n["table_pages"] += first <= e.sector < last
        sectors = set(range(e.sector, e.sector + e.nr))
        n["overlapping"] += not seen.isdisjoint(sectors)
        seen |= sectors
    return n
