#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Load and judge what crashes may have left of a recorded workload of a local cache (15-crash.sh).

    crash_judge.py census DIR FIRST LAST   counts; table pages are from sector FIRST to LAST - 1
    crash_judge.py count DIR               how many prefixes there are
    crash_judge.py judge DIR DEV SEED META SSD ORG BLOCK [pick=N] [from=N] [to=N] [seconds=N]

DIR has the log of dm-log-writes (log) and circle-history's (history); DEV is overwritten with
each image: metadata, cache, origin, of so many sectors. Prefixes are numbered from 1. The end:
"# sweep: P prefixes, R replays, V violations, next N". Exit code 2 if there are violations.
"""
import mmap
import os
import random
import shutil
import subprocess
import sys
import time

import dm
from crash_images import VARIANTS, Images, census
from log_replay import SECTOR, Log

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HISTORY = os.path.join(REPO, "build/tools/circle-history")
CHECK = "/tmp/check"        # a copy, where it is started faster
CUT = "/tmp/cut"
DRAIN = 5                   # each so many replays all is written back, and the origin judged too


class Rig:
    """The devices that an image is loaded with."""

    def __init__(self, dev, meta, ssd, org, block):
        self.fd = os.open(dev, os.O_RDWR | os.O_DIRECT)
        self.size = (meta + ssd + org) * SECTOR
        self.buf = mmap.mmap(-1, self.size)
        self.org = org
        self.parts = {}
        at = 0
        for name, sectors in (("imeta", meta), ("issd", ssd), ("iorg", org)):
            self.parts[name] = dm.create(name, sectors, "linear", f"{dev} {at}")
            at += sectors
        self.args = (f"{self.parts['imeta']} {self.parts['issd']} {self.parts['iorg']} {block} "
                     "1 writeback default 0")

    def end(self):
        """No device is left."""
        for name in self.parts:
            dm.remove(name)

    def load(self, image):
        """The device that comes of an image."""
        self.buf[:] = image
        os.pwrite(self.fd, self.buf, 0)
        return dm.create("i", self.org, "circle", self.args)

    def drain(self):
        """Until nothing is dirty."""
        dm.message("i", "drain")
        end = time.monotonic() + 60
        while dm.status("i")[10] != "0":
            if time.monotonic() > end:
                raise SystemExit("crash_judge: it does not get clean")
            time.sleep(0.005)


def check(dev, *more):
    """circle-history's judgement: (exit code, what it says)."""
    p = subprocess.run([CHECK, "check", "--dev", dev, "--log", CUT, *more], check=False,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
    return p.returncode, p.stdout


def judge(rig, image, history, drain):
    """None, or what is wrong with an image."""
    with open(CUT, "wb") as f:
        f.write(history)
    try:
        dev = rig.load(image)
    except OSError as e:
        return f"it does not load: {e}"
    rc, out = check(dev, "--allow", "flushed", *(["--record"] if drain else []))
    if not rc and drain:
        rig.drain()
    dm.remove("i")
    if not rc and drain:
        rc, out = check(rig.parts["iorg"], "--allow", "all")
    return out if rc else None


def tell(images, n, variant, image, history, why):
    """All that is needed to see how it came."""
    print(f"# VIOLATION: prefix of {n} entries, {variant}, SEED={images.seed}")
    for line in [w for w in why.splitlines() if "violation" in w or "load" in w][:4]:
        print("#   " + line)
    name = f"/vm/out/bad.{n}.{variant}"
    with open(name, "w", encoding="ascii") as f:
        print(f"base: entries 0 .. {images.done - 1}", file=f)
        for i, fate in images.fates:
            e = images.log.entries[i]
            print(i, e.sector, e.nr, e.flags, e.mark or "", fate, file=f)
        print(why, file=f)
    for end, data in ((".image", image), (".history", history)):
        with open(name + end, "wb") as f:
            f.write(data)
    sys.stdout.flush()


def chosen(prefixes, opts, seed):
    """(number, entries) of those asked for."""
    want = list(enumerate(prefixes, 1))[int(opts.get("from", 1)) - 1:int(opts.get("to", 1 << 30))]
    pick = int(opts.get("pick", 0))
    return sorted(random.Random(seed).sample(want, pick)) if 0 < pick < len(want) else want


def sweep(rig, images, history, todo, seconds):
    """All variants of all of them: (prefixes, replays, violations, number of the next one)."""
    tried = replays = bad = 0
    end = time.monotonic() + seconds
    for number, n in todo:
        if time.monotonic() > end:
            return tried, replays, bad, number
        seen = []
        cut = history[:images.history(n)]
        for variant in VARIANTS:
            image = images.make(n, variant)
            if image in seen:
                continue
            seen.append(image)
            replays += 1
            why = judge(rig, image, cut, replays % DRAIN == 0)
            if why:
                bad += 1
                tell(images, n, variant, image, cut, why)
        tried += 1
    return tried, replays, bad, 0


def main():
    """Do as told."""
    what, path, *args = sys.argv[1:]
    log = Log(os.path.join(path, "log"))
    if what == "census":
        for name, count in census(log, *map(int, args)).items():
            print(name, count)
        return 0
    if what == "count":
        print(len(Images(log, 0, 0).prefixes()))
        return 0
    dev, seed, *sizes = args[:6]
    opts = dict(a.split("=") for a in args[6:])
    with open(os.path.join(path, "history"), "rb") as f:
        history = f.read()
    shutil.copy(HISTORY, CHECK)
    rig = Rig(dev, *map(int, sizes))
    images = Images(log, rig.size, seed)
    prefixes = images.prefixes()
    try:
        if "notice" in opts:    # far too much is promised of the first one
            why = judge(rig, images.make(prefixes[0], "exact"), history, False)
            return 0 if why and "violations: " in why else 2
        begin = time.monotonic()
        p, r, v, following = sweep(rig, images, history, chosen(prefixes, opts, seed),
                                   float(opts.get("seconds", 1e9)))
    finally:
        rig.end()
    print(f"# {time.monotonic() - begin:.0f} s; {len(prefixes)} prefixes in all, SEED={seed}")
    print(f"# sweep: {p} prefixes, {r} replays, {v} violations, next {following}")
    return 2 if v else 0


sys.exit(main())
