#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Load and judge what crashes may have left of a recorded workload of a local cache (15-crash.sh).

    crash_judge.py census DIR FIRST LAST   counts; table pages are from sector FIRST to LAST - 1
    crash_judge.py count DIR               how many prefixes there are
    crash_judge.py judge DIR DEV SEED META SSD ORG BLOCK [pick=N] [from=N] [to=N] [seconds=N]

DIR has the log of dm-log-writes (log) and circle-history's (history); DEV is overwritten with
images: metadata, cache, origin, of so many sectors; one worker's for each CPU. Prefixes are numbered
from 1. The end: "# sweep: P prefixes, R replays, V violations, next N". Exit code 2 if there are
violations.
"""
import mmap
import multiprocessing
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
DRAIN = 5                   # each so many replays all is written back, and the origin judged too


class Rig:
    """The devices that an image is loaded with."""

    def __init__(self, dev, meta, ssd, org, block, worker=0):
        self.fd = os.open(dev, os.O_RDWR | os.O_DIRECT)
        self.size = (meta + ssd + org) * SECTOR
        self.buf = mmap.mmap(-1, self.size)
        self.org, self.name, self.cut = org, f"i{worker}", f"/tmp/cut{worker}"
        self.parts = {}
        at = worker * (meta + ssd + org)
        self.start = at * SECTOR
        for name, sectors in (("meta", meta), ("ssd", ssd), ("org", org)):
            self.parts[name] = dm.create(self.name + name, sectors, "linear", f"{dev} {at}")
            at += sectors
        self.args = " ".join([*self.parts.values(), str(block), "1 writeback default 0"])

    def end(self):
        """No device is left."""
        for name in self.parts:
            dm.remove(self.name + name)

    def load(self, image):
        """The device that comes of an image."""
        self.buf[:] = image
        os.pwrite(self.fd, self.buf, self.start)
        return dm.create(self.name, self.org, "circle", self.args)

    def drain(self):
        """Until nothing is dirty."""
        dm.message(self.name, "drain")
        end = time.monotonic() + 180
        while dm.status(self.name)[10] != "0":
            if time.monotonic() > end:
                raise SystemExit("crash_judge: it does not get clean")
            time.sleep(0.005)


    def check(self, dev, *more):
        """circle-history's judgement: (exit code, what it says)."""
        p = subprocess.run([CHECK, "check", "--dev", dev, "--log", self.cut, *more], check=False,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
        return p.returncode, p.stdout


def judge(rig, image, history, drain):
    """None, or what is wrong with an image."""
    with open(rig.cut, "wb") as f:
        f.write(history)
    try:
        dev = rig.load(image)
    except OSError as e:
        return f"it does not load: {e}"
    rc, out = rig.check(dev, "--allow", "flushed", *(["--record"] if drain else []))
    if not rc and drain:
        rig.drain()
    dm.remove(rig.name)
    if not rc and drain:
        rc, out = rig.check(rig.parts["org"], "--allow", "all")
    return out if rc else None


def tell(images, n, variant, image, history, why):
    """All that is needed to see how it came."""
    print(f"# VIOLATION: prefix of {n} entries, {variant}, SEED={images.seed}")
    for line in [w for w in why.splitlines() if "violation" in w or "load" in w][:2]:
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


class Tally:
    """What all workers did, and what is next to do."""

    def __init__(self):
        self.lock = multiprocessing.Lock()
        self.counts = multiprocessing.Array("i", 4)     # prefixes, replays, violations, taken

    def add(self, *more):
        """Count."""
        with self.lock:
            for i, n in enumerate(more):
                self.counts[i] += n

    def take(self):
        """The next index."""
        with self.lock:
            self.counts[3] += 1
            return self.counts[3] - 1


def sweep(rig, images, history, todo, end, tally):
    """All variants of one prefix after the other, until the end of time."""
    while time.monotonic() < end:
        i = tally.take()
        if i >= len(todo):
            return
        n, seen, bad = todo[i][1], [], 0
        cut = history[:images.history(n)]
        for variant in VARIANTS:
            image = images.make(n, variant)
            if image in seen:
                continue
            seen.append(image)
            drain = (i * len(VARIANTS) + len(seen)) % DRAIN == 0
            why = judge(rig, image, cut, drain)
            if why:
                bad += 1
                tell(images, n, variant, image, cut, why)
        tally.add(1, len(seen), bad)


def work(worker, log_path, history, setup, todo, end, tally):
    """One worker, from beginning to end."""
    dev, seed, sizes = setup
    rig = Rig(dev, *sizes, worker)
    try:
        sweep(rig, Images(Log(log_path), rig.size, seed), history, todo, end, tally)
    finally:
        rig.end()


def notices(log, history, setup):
    """Is it noticed when far too much is promised of the first prefix?"""
    dev, seed, sizes = setup
    rig = Rig(dev, *sizes)
    try:
        images = Images(log, rig.size, seed)
        why = judge(rig, images.make(images.prefixes()[0], "exact"), history, False)
    finally:
        rig.end()
    return bool(why) and "violations: " in why


def judge_all(path, history, setup, opts):
    """Exit code."""
    prefixes = Images(Log(path), 0, setup[1]).prefixes()
    todo = chosen(prefixes, opts, setup[1])
    tally, begin = Tally(), time.monotonic()
    end = begin + float(opts.get("seconds", 1e9))
    workers = [multiprocessing.Process(target=work, args=(n, path, history, setup, todo, end, tally))
               for n in range(os.cpu_count())]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    if any(w.exitcode for w in workers):
        return 1
    tried, replays, bad, taken = tally.counts
    following = todo[taken][0] if taken < len(todo) else 0
    print(f"# {time.monotonic() - begin:.0f} s; {len(prefixes)} prefixes in all, SEED={setup[1]}")
    print(f"# sweep: {tried} prefixes, {replays} replays, {bad} violations, next {following}")
    return 2 if bad else 0


def main():
    """Do as told."""
    what, path, *args = sys.argv[1:]
    log_path = os.path.join(path, "log")
    if what == "census":
        for name, count in census(Log(log_path), *map(int, args)).items():
            print(name, count)
        return 0
    if what == "count":
        print(len(Images(Log(log_path), 0, 0).prefixes()))
        return 0
    setup = args[0], args[1], tuple(map(int, args[2:6]))
    with open(os.path.join(path, "history"), "rb") as f:
        history = f.read()
    shutil.copy(HISTORY, CHECK)
    opts = dict(a.split("=") for a in args[6:])
    if "notice" in opts:        # and no prefix fits
        return 0 if notices(Log(log_path), history, setup) else 2
    return judge_all(log_path, history, setup, opts)


sys.exit(main())
