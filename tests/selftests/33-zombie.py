#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
# needs: nodes=multi timeout=600 kernels=newest
"""The owner stops for a while, as by a hypervisor, is taken over, and goes on where it was."""
import os
import sys
import time

import ktap
import vm

sys.path.insert(0, os.path.join(vm.REPO, "tests", "demo"))
import hosts                            # noqa: E402

# Two writers on n1, each with a part of the device. The new owner goes on with the second part;
# the first it leaves alone, so that n1's whole log can be held against it.
RUN = ("--zero --threads 2 --qd 2 --overlap --errors record --seconds 200 "
       "--mix write=70,read=25,fua=5")
LOGGED = 50000          # bytes of each history: the writers are in the middle of it
PARTS = {"first": 0, "second": 16}

# Nothing is written to the origin, and nothing was for a moment.
NO_WRITEBACK = """
    cd /sys/block/nbd{}
    read -ra before <stat; sleep 0.3; read -ra after <stat; read -r _ writes <inflight
    [ "${{before[4]}}" = "${{after[4]}}" ] && [ "$writes" = 0 ]"""


def start(h, c1):
    """Both writers."""
    return [c1.node.spawn(c1.history(
        "run", f"{RUN} --offset {at}M --seed {h.seed % 1000000 + at}", name, size=16), 250)
            for name, at in PARTS.items()]


def refused(taker, c1):
    """While the owner is there."""
    rc, out = taker.try_create("recover")
    ktap.check("recover is refused while the peers hear the owner",
               rc and "still hears node 1" in out, out)
    ktap.check("the owner goes on", c1.status()["role"] == "owner")


def take_over(taker, c1):
    """The owner stops; it is taken over when it has been silent for long enough.

    What a stopped host has in flight to the origin, nobody but real fencing stops (README): it is
    not what is tested here.
    """
    c1.node.wait_for(NO_WRITEBACK.format(c1.origin), 60 * hosts.SLOW, "a pause of write-back")
    c1.node.pause()
    begin = time.monotonic()
    rc, out = taker.try_create("recover")
    ktap.check("a refused recover may be tried again", "wipe" not in out, out)
    while rc and time.monotonic() - begin < 30 * hosts.SLOW:
        taker.wipe()
        rc, out = taker.try_create("recover")
    ktap.check("accepted when it has been silent", rc == 0, out)
    ktap.check("the lease is waited for", "waiting" in out, out)
    print(f"# {time.monotonic() - begin:.1f} s after the pause; {hosts.recovered(out)}", flush=True)
    for name in PARTS:
        taker.inherit(c1, name)
        ktap.check(f"{name} part: no completed write is lost", *taker.check(log=name))
    rc, out = taker.node.try_sh(taker.history("run", "--resume --threads 2 --seconds 3", "second"), 30)
    ktap.check("the new owner writes", rc == 0, out)


def wake(taker, c1, writers):
    """The old owner must notice."""
    c1.node.resume()
    begin = time.monotonic()
    c1.wait("role", "fenced", 20)
    print(f"# fenced {time.monotonic() - begin:.1f} s after it woke up", flush=True)
    ktap.ok("the old owner is fenced")
    rc, out = c1.node.try_sh(f"dd if=/dev/zero of={c1.dev} bs=4k count=1 seek=9000 oflag=direct")
    ktap.check("a write to it fails", rc == 1 and "error" in out, f"{rc} {out}")
    rc, out = c1.node.try_sh(f"dd if={c1.dev} of=/dev/null bs=4k count=1 iflag=direct")
    ktap.check("a read from it fails", rc == 1 and "error" in out, f"{rc} {out}")
    c1.node.try_sh("pkill -TERM circle-history")
    for wait in writers:
        rc, out = wait()
        ktap.check("its writers met errors and ended", rc in (0, 3) and "error" in out, f"{rc} {out}")
    taker.inherit(c1, "first")
    ktap.check("what it completed after it woke up is true", *taker.check(log="first"))
    ktap.check("the new owner's writes are intact", *taker.check(log="second"))


def test():
    """n1 is paused; n3 takes over."""
    with hosts.Hosts(3) as h:
        c1 = h.start_all()[0]
        taker = h.circle(4, host=3, origin=1, spare=True, peers=[2, 3])
        refused(taker, c1)
        writers = start(h, c1)
        for name in PARTS:
            c1.until_logged(LOGGED, log=name)
        take_over(taker, c1)
        wake(taker, c1, writers)
        ktap.check_splats(h)


ktap.main(test)
