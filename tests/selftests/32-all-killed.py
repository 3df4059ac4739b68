#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
# needs: nodes=multi timeout=600 kernels=newest
"""Power goes everywhere at once, origins apart: what was flushed is there after the restart."""
import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import ktap
import vm

sys.path.insert(0, os.path.join(vm.REPO, "tests", "demo"))
import hosts                            # noqa: E402

RUN = ("--zero --threads 4 --qd 2 --overlap --hot 50 --seconds 200 "
       "--mix write=70,read=26,flush=1,fua=2,discard=1")
LOGGED = 50000          # bytes of each history: the writers are in the middle of it


# faults: owner-host power-loss writing
# faults: owner-ssd power-loss writing
# faults: owner-meta power-loss writing
# faults: peer-host power-loss writing
# faults: peer-ssd power-loss writing
def outage(h):
    """All three write, then are dark."""
    waits = [c.node.spawn(c.history("run", f"{RUN} --seed {h.seed % 1000000 + c.number}"), 250)
             for c in h.circles.values()]
    for c in h.circles.values():
        c.until_logged(LOGGED)
    print("# dirty:", [c.status()["dirty"] for c in h.circles.values()], flush=True)
    for c in h.circles.values():
        c.node.kill9()
    for c in h.circles.values():
        c.node.power_cut()
    ktap.check("all die in the middle of writing", [w()[0] for w in waits] == [125] * 3)


# faults: owner-host return idle
# faults: peer-host return recovering
def restart(h):
    """The nodes boot, the circle devices come back in an order that the seed says.

    Each begins when the one before is there or has waited for its peers in vain for some seconds: then it
    says that it goes on to do so, for much longer than this test wants to last.
    """
    for c in h.circles.values():
        c.node.start(wait=False)
    for c in h.circles.values():
        c.node.ready(240)
    order = random.Random(h.seed).sample(list(h.circles.values()), 3)
    with ThreadPoolExecutor(len(order)) as pool:
        jobs = []
        for c in order:
            jobs.append(pool.submit(c.restarts))
            while not jobs[-1].done() and c.node.try_sh("dmesg | grep 'waiting .* peers of the view'")[0]:
                time.sleep(0.2)
        for c, job in zip(order, jobs):
            print(f"# n{c.number}: " + "; ".join(line.split("circle: ")[-1] for line in job.result().splitlines()
                                                 if "complete" in line or "waiting" in line), flush=True)


def test():
    """One outage."""
    with hosts.Hosts(3, volatile=True) as h:
        h.start_all()
        outage(h)
        restart(h)
        # What only volatile caches had is gone, also if it had been read: no copy of it is left anywhere.
        waits = [(c, c.node.spawn(c.history("check", "--allow flushed --record"), 180 * hosts.SLOW))
                 for c in h.circles.values()]
        for c, wait in waits:
            rc, out = wait()
            ktap.check(f"n{c.number}: no flushed write is lost",
                       rc == 0, out)
        for c in h.circles.values():
            c.wait("in_view", 2)
        ktap.ok("all are in view again")
        ktap.check_splats(h)


ktap.main(test)
