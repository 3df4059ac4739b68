#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
# needs: nodes=multi timeout=400
"""Power loss of a host with a local cache; all three disks lose what was not flushed, each for
itself. The history's log goes to the host, so it knows all that was acknowledged."""
import os
import random
import time

import cluster
import ktap

BLOCK, SECTORS = 64, 30 * 2048
HISTORY = f"{cluster.vm.REPO}/build/tools/circle-history"
LOG = "/vm/out/history"
DISK = "/dev/disk/by-serial"
RUN = (f"{HISTORY} run --resume --dev /dev/mapper/c --log {LOG} --seconds 120 --threads 4 "
       "--hot 50 --sizes 512,4096,4096,16384,65536 --mix {mix}")
MIX = "write=60,read=25,flush=5,fua=5,discard=5"
WRITES = "write=80,read=17,flush=3"


def create(n):
    """The module, and the device."""
    n.sh("modprobe dm-circle && dmsetup create c --table "
         f"'0 {SECTORS} circle {DISK}/meta {DISK}/ssd {DISK}/origin {BLOCK} "
         "1 writeback default 0'")


def status(n, field):
    """A field of dm-cache's status line."""
    return int(n.sh("dmsetup status --noflush c").split()[2 + field])


def drain(n):
    """Until nothing is dirty."""
    n.sh("dmsetup message c 0 drain")
    n.wait_for("set -- $(dmsetup status --noflush c); [ ${14} = 0 ]", 60, "a drained cache")
    n.sh("dmsetup message c 0 undrain")


def judge(n, what, allow="flushed"):
    """Does it have what it must have?"""
    rc, out = n.try_sh(f"{HISTORY} check --dev /dev/mapper/c --log {LOG} --allow {allow} --record",
                       120)
    return ktap.check(what, rc == 0, "\n".join(out.splitlines()[:12]))


# faults: owner-host power-loss writing
# faults: owner-ssd power-loss writing
# faults: owner-meta power-loss writing
# faults: origin power-loss writing
# faults: owner-host return idle
def power_loss(n, rand, mix):
    """In the midst of I/O: when the history has grown."""
    log = os.path.join(n.out, "history")
    enough = os.path.getsize(log) + 100000
    job = n.spawn(RUN.format(mix=mix), 150)
    end = time.monotonic() + 60
    while os.path.getsize(log) < enough and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(rand.random() * 2)
    n.power_cut(keep=rand.choice((0, 0.3, 0.7)))
    rc, out = job()
    if rc != 125:
        raise cluster.CommandError(f"the history ended before the power did: {rc}\n{out}")
    n.start()
    create(n)


def test():
    """All of it."""
    disks = {"ssd": 4, "meta": 2, "origin": 32}
    with cluster.Cluster(1, disks=disks, volatile=True, mem=512, smp=2) as c:
        n, rand = c.node(1), random.Random(c.seed)
        create(n)
        n.sh(f"{HISTORY} init --dev /dev/mapper/c --log {LOG} --seed {c.seed % 1000}", 120)
        n.sh(f"{HISTORY} run --resume --dev /dev/mapper/c --log {LOG} --ops 1 --mix flush=1")
        ktap.ok("a history begins")
        bad = False
        for i in range(1, 4):
            power_loss(n, rand, MIX if i != 2 else WRITES)
            bad |= not judge(n, f"power loss {i}: nothing that was flushed is lost")
            if bad:
                break
        if not bad:
            # Clean pages, which the metadata call clean, are overwritten; then power goes.
            n.sh(RUN.format(mix=WRITES).replace("--seconds 120", "--ops 300"))
            drain(n)
            ktap.check("drained", status(n, 11) == 0)
            power_loss(n, rand, "write=95,flush=5")
            judge(n, "clean pages overwritten, power loss: nothing that was flushed is lost")
            drain(n)
            n.sh("dmsetup remove c")
            rc, out = n.try_sh(f"{HISTORY} check --dev {DISK}/origin --log {LOG} --allow all", 120)
            ktap.check("drained and removed: the origin is whole", rc == 0, out)
        lost = {name: d.lost for name, d in n.disks.items()}
        print(f"# writes that power losses took: {lost}")
        # Of the metadata device hardly ever: it is written by FUA, or flushed at once.
        ktap.check("power losses took writes", lost["ssd"] + lost["origin"] > 0, lost)
        ktap.check_splats(c)


if not os.path.exists(HISTORY):
    ktap.main(lambda: ktap.skip("16-power", "no circle-history: make -C tests/tools"))
ktap.main(test)
